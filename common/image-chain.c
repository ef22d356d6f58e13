/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The chain is walked one image at a time, not by qemu-img's own
 * --backing-chain: each name is looked at before it is opened, so an image
 * cannot make us connect to a server, and a format is never guessed from
 * contents that a guest could write.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "error.h"
#include "image-chain.h"
#include "image-info.h"

/* Bit 2 of qcow2's incompatible features. */
#define EXTERNAL_DATA_FILE 4

#define QEMU_IMG_TIMEOUT_MS 60000
#define QEMU_IMG_OUTPUT_LIMIT (128 * 1024 * 1024)
/* Far above any chain that performs, far below where QEMU's recursion over
 * the layers becomes a risk.
 */
#define LAYERS_LIMIT 200

/* The beginning of a qcow2 file: magic, version at 4, incompatible features
 * at 72, all big-endian (QEMU docs/interop/qcow2.txt).  It is looked at before
 * qemu-img is, which would open the data file that a header may name.
 */
static bool
check_header (const char *path, int fd, bool top, GError **error)
{
  static const guint8 magic[4] = { 'Q', 'F', 'I', 0xfb };
  guint8 header[80] = { 0 };

  if (pread (fd, header, sizeof header, 0) < 0)
    return error_set (error, errno, "cannot read %s: %s", path,
                      g_strerror (errno));
  if (memcmp (header, magic, sizeof magic) != 0)
    return error_set (error, EINVAL, "%s is not a qcow2 image, and only "
                      "qcow2 can hold dirty bitmaps; name the guest's qcow2 "
                      "disk, or use uri= for a running QEMU", path);
  if (header[7] == 2 && !top)
    return true;                /* needs no bitmap; may be a shared template */
  if (header[7] == 2)
    return error_set (error, EINVAL, "%s is qcow2 version 2, which cannot "
                      "hold dirty bitmaps; with the guest stopped: qemu-img "
                      "amend -f qcow2 -o compat=1.1 %s", path, path);
  if (header[79] & EXTERNAL_DATA_FILE)
    return error_set (error, ENOTSUP, "%s keeps its data in an external data "
                      "file, which file= does not follow; export the disk "
                      "with qemu-storage-daemon and use uri=", path);
  return true;
}

static bool
check_file (const char *path, const char *format, bool top,
            struct stat *stamp, GError **error)
{
  /* O_NONBLOCK: never wait for a FIFO's writer. */
  const int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  bool ok = false;

  if (fd < 0)
    return error_set (error, errno, "cannot open %s: %s; check the path, and "
                      "that user %u may read it", path, g_strerror (errno),
                      (unsigned) geteuid ());
  if (fstat (fd, stamp) < 0)
    error_set (error, errno, "cannot look at %s: %s", path,
               g_strerror (errno));
  else if (!S_ISREG (stamp->st_mode) && !S_ISBLK (stamp->st_mode))
    error_set (error, EINVAL, "%s is %s; name the guest's qcow2 disk", path,
               S_ISDIR (stamp->st_mode) ? "a directory"
               : "neither a file nor a block device");
  else
    ok = strcmp (format, "qcow2") != 0
      || check_header (path, fd, top, error);
  close (fd);
  return ok;
}

static bool
begin_qemu_img (const char *path, const char *format, bool share,
                ChildRun *run, GError **error)
{
  const char *argv[] = { "qemu-img", "info", "--output=json", "-f", format,
                         path, share ? "-U" : NULL, NULL };

  return child_run_begin (argv, run, error);
}

static bool
end_qemu_img (ChildRun *run, ChildResult *result, GError **error)
{
  return child_run_end (run, QEMU_IMG_TIMEOUT_MS, QEMU_IMG_OUTPUT_LIMIT,
                        result, error);
}

/* Only a lock keeps qemu-img out without -U and lets it in with. */
static bool
is_locked (const char *path, const char *format)
{
  g_auto (ChildResult) result = { 0 };
  ChildRun run;

  return begin_qemu_img (path, format, true, &run, NULL)
    && end_qemu_img (&run, &result, NULL) && result.ok;
}

static Layer *
inspect_layer (const char *path, const char *format, bool top,
               const LayerTry *try, GError **error)
{
  g_auto (ChildResult) result = { 0 };
  g_autoptr (GError) refusal = NULL;
  struct stat stamp = { 0 };
  ChildRun run;

  if (!check_file (path, format, top, &stamp, error)
      || !begin_qemu_img (path, format, false, &run, error))
    return NULL;
  if (try)
    try->open_file (path, S_ISBLK (stamp.st_mode), try->data, &refusal);
  if (!end_qemu_img (&run, &result, error))
    return NULL;
  if (!result.ok) {
    if (is_locked (path, format))
      error_set (error, EBUSY, "%s is in use by another program, such as a "
                 "running guest, whose bitmaps are in its memory, not in the "
                 "file; use libvirt= or uri= for a running guest, or stop it",
                 path);
    else
      error_set (error, EINVAL, "qemu-img cannot read %s: %s; is the image "
                 "whole?  Try: qemu-img check -f %s %s", path, result.err,
                 format, path);
    return NULL;
  }
  if (refusal) {
    g_propagate_error (error, g_steal_pointer (&refusal));
    return NULL;
  }
  g_autoptr (Layer) layer
    = image_info_parse (result.out, result.out_length, path, error);
  if (layer)
    layer->stamp = stamp;
  return g_steal_pointer (&layer);
}

/* Make the backing name a plain absolute path, or refuse. */
static bool
check_backing (Layer *layer, GError **error)
{
  if (g_str_has_prefix (layer->backing_path, "file:")) {
    char *plain = g_strdup (layer->backing_path + strlen ("file:"));
    g_free (layer->backing_path);
    layer->backing_path = plain;
  }
  if (layer->backing_path[0] != '/')
    return error_set (error, ENOTSUP, "%s: its backing file \"%s\" is not a "
                      "local file; export the disk with qemu-storage-daemon "
                      "and use uri=", layer->path, layer->backing_path);
  if (!layer->backing_format)
    return error_set (error, EINVAL, "%s does not record the format of its "
                      "backing file %s, and guessing it is unsafe; record it "
                      "with: qemu-img rebase -u -f qcow2 -b %s -F FORMAT %s",
                      layer->path, layer->backing_path, layer->backing_path,
                      layer->path);
  if (strcmp (layer->backing_format, "qcow2") != 0
      && strcmp (layer->backing_format, "raw") != 0)
    return error_set (error, ENOTSUP, "%s: its backing file %s has format "
                      "%s; only qcow2 and raw are supported here, export the "
                      "disk with qemu-storage-daemon and use uri=",
                      layer->path, layer->backing_path,
                      layer->backing_format);
  return true;
}

static bool
is_in_chain (const GPtrArray *layers, const Layer *layer)
{
  for (guint i = 0; i < layers->len; i++) {
    const Layer *other = g_ptr_array_index (layers, i);
    if (other->stamp.st_dev == layer->stamp.st_dev
        && other->stamp.st_ino == layer->stamp.st_ino)
      return true;
  }
  return false;
}

GPtrArray *
image_chain_inspect (const char *path, const LayerTry *try, GError **error)
{
  g_autoptr (GPtrArray) layers
    = g_ptr_array_new_with_free_func ((GDestroyNotify) layer_free);
  const char *next = path, *format = "qcow2";

  while (next) {
    g_autoptr (Layer) layer
      = inspect_layer (next, format, layers->len == 0, try, error);
    if (!layer && layers->len > 0)
      g_prefix_error (error, "backing file of %s: ",
                      ((const Layer *)
                       g_ptr_array_index (layers, layers->len - 1))->path);
    if (!layer || (layer->backing_path && !check_backing (layer, error)))
      return NULL;
    if (is_in_chain (layers, layer)) {
      error_set (error, ELOOP, "%s: the backing chain comes back to %s; set "
                 "the right backing file with: qemu-img rebase -u -f qcow2 "
                 "-b BASE -F FORMAT IMAGE", path, layer->path);
      return NULL;
    }
    if (layers->len == LAYERS_LIMIT) {
      error_set (error, E2BIG, "%s: more than %d layers in the backing "
                 "chain; shorten it with: qemu-img commit, or virsh "
                 "blockcommit", path, LAYERS_LIMIT);
      return NULL;
    }
    next = layer->backing_path;
    format = layer->backing_format;
    g_ptr_array_add (layers, g_steal_pointer (&layer));
  }
  return g_steal_pointer (&layers);
}

bool
image_chain_unchanged (const Layer *layer, GError **error)
{
  const struct stat *was = &layer->stamp;
  struct stat now;

  if (stat (layer->path, &now) < 0)
    return error_set (error, errno, "%s went away while it was being opened",
                      layer->path);
  if (now.st_dev != was->st_dev || now.st_ino != was->st_ino
      || now.st_size != was->st_size
      || now.st_mtim.tv_sec != was->st_mtim.tv_sec
      || now.st_mtim.tv_nsec != was->st_mtim.tv_nsec)
    return error_set (error, EBUSY, "%s changed while it was being opened; "
                      "is a guest using it?  Try again", layer->path);
  return true;
}
