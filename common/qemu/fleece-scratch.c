/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Scratch files.  QEMU opens each by its name (a storage daemon takes no
 * descriptors), which is removed at once: so nothing is left on the disk, whoever is
 * killed, once QEMU has let go of it.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "image/qcow2-empty.h"
#include "qemu/fleece-kept.h"

/* Their names end so; those of libvirt's jobs do not. */
#define SUFFIX ".fleece"
#define TRIES 5
/* Somebody may have filled the folder with names. */
#define NAMES_MAX 100000

/* ── Files ── */

static bool
is_name (const char *name)
{
  const char *dot = strchr (name, '.');
  g_autofree char *mark = dot ? g_strndup (name, (gsize) (dot - name)) : NULL;

  return mark && own_folder_is_name (mark) && g_str_has_suffix (name, SUFFIX);
}

/* Who made it holds a lock on it as long as it has a name. */
static void
remove_if_dead (int folder, const char *name, uid_t also_user)
{
  auto_fd fd = openat (folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK
                       | O_CLOEXEC);
  struct stat status;

  if (fd >= 0 && fstat (fd, &status) == 0 && S_ISREG (status.st_mode)
      && (status.st_uid == geteuid () || status.st_uid == also_user)
      && flock (fd, LOCK_EX | LOCK_NB) == 0)
    unlinkat (folder, name, 0);
}

/* What was killed before it could remove the name. */
static void
sweep (const char *folder, uid_t also_user)
{
  DIR *entries = opendir (folder);
  const struct dirent *entry;

  for (int i = 0; entries && i < NAMES_MAX && (entry = readdir (entries)); i++)
    if (is_name (entry->d_name))
      remove_if_dead (dirfd (entries), entry->d_name, also_user);
  if (entries)
    closedir (entries);
}

/* Another one that sweeps may have taken it for a dead one's before it was
 * locked.
 */
static int
open_locked (const char *path)
{
  for (int i = 0; i < TRIES; i++) {
    auto_fd fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct stat status;
    if (fd < 0)
      return -1;
    if (flock (fd, LOCK_EX) == 0 && fstat (fd, &status) == 0
        && status.st_nlink > 0)
      return g_steal_fd (&fd);
    unlink (path);
  }
  errno = EBUSY;
  return -1;
}

/* An empty image that our user makes, and QEMU's may open. */
static int
make_file (const KeptFleece *kept, const char *path, guint64 size,
           GError **error)
{
  auto_fd fd = open_locked (path);

  if (fd >= 0 && qcow2_write_empty (fd, size)
      && (kept->user == geteuid () || geteuid () != 0
                  || fchown (fd, kept->user, kept->group) == 0))
    return g_steal_fd (&fd);
  error_set (error, errno, "cannot make the scratch file %s: %s", path,
             g_strerror (errno));
  error_advise (error, REMEDY_SCRATCH_DIR, NULL);
  if (fd >= 0)
    unlink (path);
  return -1;
}

/* ── In QEMU ── */

static bool
open_image (Qmp *qmp, const char *image, const char *file, const char *disk,
            GError **error)
{
  JsonObject *options
    = qmp_texts ("driver", "qcow2", "node-name", image, "file", file,
                 "backing", disk, "discard", "unmap", NULL);
  JsonObject *cache = json_object_new ();

  /* After a crash it is of no use. */
  json_object_set_boolean_member (cache, "no-flush", true);
  json_object_set_object_member (options, "cache", cache);
  return qmp_execute (qmp, "blockdev-add", options, NULL, error);
}

static bool
explain (const char *path, GError **error)
{
  const bool denied = strstr ((*error)->message, "ermission denied");
  const bool missing = strstr ((*error)->message, "No such file");

  if (denied)
    (*error)->code = EACCES;
  g_prefix_error (error, "QEMU cannot use the scratch file %s%s: ", path,
                  missing ? " (does it run in a container, with another view "
                  "of the files?)" : "");
  return error_advise (error, denied ? REMEDY_CONFINEMENT
                       : REMEDY_SCRATCH_DIR, NULL);
}

bool
fleece_make_scratch (KeptFleece *kept, guint index, GError **error)
{
  const FleeceDisk *disk = g_ptr_array_index (kept->plan->disks, index);
  const char *mark = kept->plan->mark;
  Qmp *qmp = monitor_qmp (kept->monitor);
  g_autofree char *name
    = g_strdup_printf ("%s.%s" SUFFIX, mark, disk->target);
  g_autofree char *path = g_build_filename (disk->folder, name, NULL);
  g_autofree char *file = fleece_node_name (mark, index, FLEECE_NODE_FILE);
  g_autofree char *image = fleece_node_name (mark, index, FLEECE_NODE_IMAGE);

  sweep (disk->folder, kept->user);
  const int fd = make_file (kept, path, disk->size, error);
  if (fd < 0)
    return false;
  g_array_append_val (kept->scratch, fd);
  const bool opened = qmp_execute (
    qmp, "blockdev-add", qmp_texts ("driver", "file", "node-name", file,
                                    "filename", path, "discard", "unmap",
                                    NULL), NULL, error);
  unlink (path);
  return (opened && open_image (qmp, image, file, disk->node, error))
    || explain (path, error);
}

bool
fleece_scratch_use (const KeptFleece *kept, guint64 *used, guint64 *left,
                    const char **tightest)
{
  *used = *left = 0;
  for (guint i = 0; i < kept->scratch->len; i++) {
    const int fd = g_array_index (kept->scratch, int, i);
    struct stat file;
    struct statvfs fs;
    if (fstat (fd, &file) < 0 || fstatvfs (fd, &fs) < 0)
      return false;
    const guint64 room = (guint64) fs.f_bavail * fs.f_frsize;
    *used += (guint64) file.st_blocks * 512;
    if (i == 0 || room < *left) {
      *left = room;
      *tightest
        = ((const FleeceDisk *) g_ptr_array_index (kept->plan->disks,
                                                   i))->folder;
    }
  }
  return kept->scratch->len > 0;
}
