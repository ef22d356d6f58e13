/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Walk a backing chain one image at a time, not by qemu-img's --backing-chain:
 * each name is looked at before it is opened, so an image cannot make us
 * connect to a server, and a format is never guessed from contents that a guest
 * could write.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "image/chain.h"
#include "image/qcow2-bitmaps.h"
#include "image/qcow2-header.h"

/* Far above any chain that performs, far below where QEMU's recursion over
 * the layers becomes a risk.
 */
#define LAYERS_LIMIT 200

/* Returns the first bytes of the file, as many as the header needs. */
static guint8 *
read_header (const char *path, int fd, gsize *length, GError **error)
{
  guint8 begin[128];
  gsize needed;
  ssize_t n = pread (fd, begin, sizeof begin, 0);

  if (n >= 0 && !qcow2_header_begins (begin, (gsize) n, &needed)) {
    error_set (error, EINVAL, "%s is not a qcow2 image, and only qcow2 can hold "
               "dirty bitmaps", path);
    return error_advise_null (error, REMEDY_NOT_QCOW2, NULL);
  }
  g_autofree guint8 *bytes = n >= 0 ? g_malloc (needed) : NULL;
  if (bytes)
    n = pread (fd, bytes, needed, 0);
  if (n < 0)
    return error_null (error, errno, "cannot read %s: %s", path,
                       g_strerror (errno));
  *length = (gsize) n;
  return g_steal_pointer (&bytes);
}

/* Set an error with the command that mends the image. */
static bool G_GNUC_PRINTF (5, 6)
refuse_with (GError **error, int errnum, const char *command,
             const char *path, const char *format, ...)
{
  g_autofree char *word = error_shell_word (path);
  g_autofree char *whole
    = g_strdup_printf ("qemu-img %s %s", command, word);
  g_autofree char *advice = error_change_images (whole);
  va_list arguments;

  va_start (arguments, format);
  g_autofree char *what = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  return error_set (error, errnum, "%s %s", what, advice);
}

static bool
check_header (const Qcow2Header *header, const char *path, bool top,
              GError **error)
{
  if (header->version == 2 && top)
    return refuse_with (error, EINVAL, IMAGE_CHANGE_VERSION, path,
                        "%s is qcow2 version 2, which cannot hold dirty "
                        "bitmaps; make a full backup, and to have bitmaps "
                        "from then on,", path);
  if (header->external_data)
    return error_set (error, ENOTSUP, "%s keeps its data in an external data "
                      "file, which is not followed", path)
      || error_advise (error, REMEDY_EXPORT_DISK, NULL);
  if (header->corrupt)
    return refuse_with (error, EINVAL, "check -r all", path,
                        "%s is marked corrupt, so its bitmaps prove nothing; "
                        "make a full backup, with a new checkpoint, once it is "
                        "repaired (no bitmap records what that changes); to "
                        "repair it,", path);
  if (header->encrypted)
    return error_set (error, EINVAL, "%s is encrypted, and without its secret "
                      "cannot be read", path)
      || error_advise (error, REMEDY_EXPORT_DISK, NULL);
  return true;
}

/* QEMU takes the name relative to the folder of the image. */
static char *
backing_path (const char *path, const char *name)
{
  const char *colon_or_slash = name + strcspn (name, ":/");

  if (*name == '/' || *colon_or_slash == ':')
    return g_strdup (g_str_has_prefix (name, "file:/")
                     ? name + strlen ("file:") : name);
  const int folder_length = (int) (strrchr (path, '/') + 1 - path);
  return g_strdup_printf ("%.*s%s", folder_length, path, name);
}

static bool
is_locked (int fd, off_t byte)
{
  struct flock flock = { .l_type = F_WRLCK, .l_whence = SEEK_SET,
                         .l_start = byte, .l_len = 1 };

  return fcntl (fd, F_OFD_GETLK, &flock) == 0 && flock.l_type != F_UNLCK;
}

/* Lock the file as QEMU does for reading and against writers; false if others
 * keep us from reading, or write already.  Each permission has a byte that is
 * locked by those who use it, and another by those who do not share it.  QEMU's
 * own lock would not do: it lets others write to a raw image below others, and
 * ends when QEMU is killed, before its connections break.  Locks of this kind
 * go with the open file, not with the process; where the file system has none,
 * QEMU has none, either.  Source: QEMU 7.2 block/file-posix.c,
 * raw_apply_lock_bytes and raw_check_lock_bytes.
 */
static bool
lock (int fd)
{
  static const struct { off_t take, look; } bytes[] = {
    { 100, 200 },               /* read consistent data */
    { 201, 101 },               /* none may write */
    { 203, 103 },               /* none may resize */
  };
  bool ok = true;

  for (guint i = 0; i < G_N_ELEMENTS (bytes); i++) {
    struct flock flock = { .l_type = F_RDLCK, .l_whence = SEEK_SET,
                           .l_start = bytes[i].take, .l_len = 1 };
    ok = ok && (fcntl (fd, F_OFD_SETLK, &flock) == 0
                || (errno != EAGAIN && errno != EACCES));
  }
  for (guint i = 0; i < G_N_ELEMENTS (bytes); i++)
    ok = ok && !is_locked (fd, bytes[i].look);
  return ok;
}

static bool
inspect_header (Layer *layer, bool top, GError **error)
{
  g_auto (Qcow2Header) header = { 0 };
  const char *why;
  gsize length;
  g_autofree guint8 *bytes
    = read_header (layer->path, layer->fd, &length, error);

  if (!bytes)
    return false;
  if (!qcow2_header_parse (bytes, length, &header, &why)) {
    g_autofree char *word = error_shell_word (layer->path);
    return error_set (error, EINVAL, "cannot read %s: %s; is the image whole?  "
                      "Try: qemu-img check -f qcow2 %s", layer->path, why,
                      word);
  }
  if (!check_header (&header, layer->path, top, error))
    return false;
  layer->backing_name = g_strdup (header.backing_path);
  if (header.backing_path)
    layer->backing_path = backing_path (layer->path, header.backing_path);
  layer->backing_format = g_steal_pointer (&header.backing_format);
  layer->void_bitmaps = header.void_bitmaps;
  if (layer->void_bitmaps)
    layer->void_names = qcow2_bitmap_names (layer->fd, &header);
  return true;
}

static bool
is_file (const Layer *layer, GError **error)
{
  if (S_ISREG (layer->stamp.st_mode) || S_ISBLK (layer->stamp.st_mode))
    return true;
  return error_set (error, EINVAL, "%s is %s; name the guest's qcow2 disk",
                    layer->path, S_ISDIR (layer->stamp.st_mode)
                    ? "a directory" : "neither a file nor a block device");
}

static Layer *
inspect_layer (const char *path, const char *format, bool top, GError **error)
{
  g_autoptr (Layer) layer = layer_new (path);

  layer->format = g_strdup (format);
  /* O_NONBLOCK: never wait for a FIFO's writer. */
  layer->fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (layer->fd < 0 || fstat (layer->fd, &layer->stamp) < 0) {
    const int failure = errno;
    g_autofree char *user = error_user ();
    return error_null (error, failure, "cannot open %s: %s; check the path, "
                       "and that %s may read it", path, g_strerror (failure),
                       user);
  }
  if (!is_file (layer, error))
    return NULL;
  const bool locked = lock (layer->fd);
  if (strcmp (format, "qcow2") == 0 && !inspect_header (layer, top, error))
    return NULL;
  if (locked)
    return g_steal_pointer (&layer);
  error_set (error, EBUSY, "%s is in use by another program, such as a running "
             "guest, whose bitmaps are in its memory, not in the file", path);
  return error_advise_null (error, REMEDY_GUEST_RUNS, NULL);
}

/* QEMU stands in another folder, and is spoken to in JSON. */
static bool
check_path (const char *path, GError **error)
{
  if (*path != '/')
    return error_set (error, EINVAL, "%s is not an absolute path; begin it "
                      "with /", path);
  if (!g_utf8_validate (path, -1, NULL))
    return error_set (error, EINVAL, "%s: QEMU cannot be told a name that is "
                      "not UTF-8; use a link to it", path);
  return true;
}

/* What lies below must be a local file of a known format. */
static bool
check_backing (const Layer *layer, GError **error)
{
  if (layer->backing_path[0] != '/')
    return error_set (error, ENOTSUP, "%s: its backing file \"%s\" is not a "
                      "local file", layer->path, layer->backing_path)
      || error_advise (error, REMEDY_EXPORT_DISK, NULL);
  if (!layer->backing_format) {
    g_autofree char *name = error_shell_word (layer->backing_name);
    g_autofree char *command
      = g_strdup_printf ("rebase -u -f qcow2 -b %s -F FORMAT", name);
    return refuse_with (error, EINVAL, command, layer->path, "%s does not "
                        "record the format of its backing file %s, and "
                        "guessing it is unsafe; to record it (FORMAT is qcow2 "
                        "or raw),", layer->path, layer->backing_path);
  }
  if (strcmp (layer->backing_format, "qcow2") != 0
      && strcmp (layer->backing_format, "raw") != 0)
    return error_set (error, ENOTSUP, "%s: its backing file %s has format %s, "
                      "and only qcow2 and raw are supported here", layer->path,
                      layer->backing_path, layer->backing_format)
      || error_advise (error, REMEDY_EXPORT_DISK, NULL);
  return true;
}

static gboolean
is_same_file (gconstpointer a, gconstpointer b)
{
  const struct stat *first = &((const Layer *) a)->stamp;
  const struct stat *second = &((const Layer *) b)->stamp;

  return first->st_dev == second->st_dev && first->st_ino == second->st_ino;
}

GPtrArray *
image_chain_inspect (const ChainRequest *request, GError **error)
{
  const char *path = request->path;
  g_autoptr (GPtrArray) layers
    = g_ptr_array_new_with_free_func ((GDestroyNotify) layer_free);
  const char *next = path, *format = "qcow2", *above = NULL;

  if (!check_path (path, error))
    return NULL;
  while (next) {
    g_autoptr (Layer) layer
      = inspect_layer (next, format, !above, error);
    if (!layer && above)
      g_prefix_error (error, "backing file of %s: ", above);
    if (!layer || (layer->backing_path && !check_backing (layer, error)))
      return NULL;
    if (g_ptr_array_find_with_equal_func (layers, layer, is_same_file, NULL)) {
      g_autofree char *advice
        = error_change_images ("qemu-img rebase -u -f qcow2 -b BASE -F FORMAT "
                               "IMAGE");
      return error_null (error, ELOOP, "%s: the backing chain comes back to "
                         "%s; to set the right backing file (BASE) of the "
                         "wrong layer (IMAGE), %s", path, layer->path, advice);
    }
    if (layers->len == LAYERS_LIMIT)
      return error_null (error, E2BIG, "%s: more than %d layers in the "
                         "backing chain; shorten it with virsh blockcommit, "
                         "which carries bitmaps along (qemu-img commit and "
                         "rebase do not: after them make a full backup)", path,
                         LAYERS_LIMIT);
    above = layer->path;
    next = layer->backing_path;
    format = layer->backing_format;
    g_ptr_array_add (layers, g_steal_pointer (&layer));
  }
  return g_steal_pointer (&layers);
}

/* Open an image and read its header, without a lock.  Returns a descriptor, or
 * -1 if it is not qcow2, or if it cannot be looked at: *unseen is the errno
 * then, else 0.
 */
static int
open_qcow2 (const char *path, Qcow2Header *header, int *unseen)
{
  auto_fd fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  g_autoptr (GError) refusal = NULL;
  const char *why;
  gsize length;

  *unseen = fd < 0 ? errno : 0;
  if (fd < 0)
    return -1;
  g_autofree guint8 *bytes = read_header (path, fd, &length, &refusal);
  if (refusal && refusal->code != EINVAL)
    *unseen = refusal->code;
  return bytes && qcow2_header_parse (bytes, length, header, &why)
    ? g_steal_fd (&fd) : -1;
}

const char *
image_void_bitmap (const char *path, const char *bitmap, bool needed,
                   int *unseen)
{
  g_auto (Qcow2Header) header = { 0 };
  auto_fd fd = open_qcow2 (path, &header, unseen);

  if (fd < 0)
    return needed && !*unseen ? "it is not qcow2 any more" : NULL;
  if (needed && !header.bitmaps)
    return "it has none any more";
  if (needed || !header.void_bitmaps)
    return header.void_bitmaps;
  g_autoptr (GPtrArray) names = qcow2_bitmap_names (fd, &header);
  return disk_names_lack (names, bitmap) ? NULL : header.void_bitmaps;
}

bool
image_is_version_2 (const char *path)
{
  g_auto (Qcow2Header) header = { 0 };
  int unseen;
  auto_fd fd = open_qcow2 (path, &header, &unseen);

  return fd >= 0 && header.version == 2;
}

bool
image_has_bitmap (const char *path, const char *bitmap)
{
  g_auto (Qcow2Header) header = { 0 };
  int unseen;
  auto_fd fd = open_qcow2 (path, &header, &unseen);
  g_autoptr (GPtrArray) names
    = fd >= 0 && header.bitmaps && !header.void_bitmaps
    ? qcow2_bitmap_names (fd, &header) : NULL;

  return names && !disk_names_lack (names, bitmap);
}

bool
image_chain_unchanged (const Layer *layer, GError **error)
{
  g_autoptr (Layer) now
    = inspect_layer (layer->path, layer->format, false, error);

  if (!now)
    return false;
  /* The time of change is coarse, and block devices have none. */
  if (!is_same_file (now, layer)
      || now->stamp.st_size != layer->stamp.st_size
      || now->stamp.st_mtim.tv_sec != layer->stamp.st_mtim.tv_sec
      || now->stamp.st_mtim.tv_nsec != layer->stamp.st_mtim.tv_nsec
      || g_strcmp0 (now->backing_path, layer->backing_path) != 0
      || g_strcmp0 (now->backing_format, layer->backing_format) != 0)
    return error_set (error, EBUSY, "%s changed while it was being opened; "
                      "is a guest using it?  Try again", layer->path);
  return true;
}
