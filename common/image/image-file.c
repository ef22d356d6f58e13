/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See image-file.h.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "image/image-file.h"

/* All bytes that QEMU locks: from RAW_LOCK_PERM_BASE to the last one after
 * RAW_LOCK_SHARED_BASE.
 */
#define FIRST_LOCK 100
#define LOCKS 200

static bool
is_locked (int fd, off_t byte, off_t count)
{
  struct flock flock = { .l_type = F_WRLCK, .l_whence = SEEK_SET,
                         .l_start = byte, .l_len = count };

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
    ok = ok && !is_locked (fd, bytes[i].look, 1);
  return ok;
}

/* To open a device may do something (/dev/watchdog), so what it is, is looked
 * at before.  The errno of what failed, or 0; EINVAL: it is no file.
 */
static int
open_file (ImageFile *file)
{
  auto_fd place = open (file->path, O_PATH | O_CLOEXEC);
  g_autofree char *name = g_strdup_printf ("/proc/self/fd/%d", place);

  if (place < 0 || fstat (place, &file->stamp) < 0)
    return errno;
  if (!S_ISREG (file->stamp.st_mode) && !S_ISBLK (file->stamp.st_mode))
    return EINVAL;
  file->fd = open (name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  return file->fd < 0 ? errno : 0;
}

static bool
refuse_file (const ImageFile *file, int failure, GError **error)
{
  g_autofree char *user = error_user ();

  if (failure == EINVAL)
    return error_set (error, EINVAL, "%s is %s; name the guest's qcow2 disk",
                      file->path, S_ISDIR (file->stamp.st_mode)
                      ? "a directory" : "neither a file nor a block device");
  return error_set (error, failure, "cannot open %s: %s; check the path, and "
                    "that %s may read it", file->path, g_strerror (failure),
                    user);
}

ImageFile *
image_file_open (const char *path, GError **error)
{
  g_autoptr (ImageFile) file = g_new0 (ImageFile, 1);

  file->path = g_strdup (path);
  file->fd = -1;
  const int failure = open_file (file);
  if (failure) {
    refuse_file (file, failure, error);
    return NULL;
  }
  file->locked = lock (file->fd);
  return g_steal_pointer (&file);
}

void
image_file_free (ImageFile *file)
{
  if (!file)
    return;
  g_free (file->path);
  close_fd (&file->fd);
  g_free (file);
}

bool
image_file_check_lock (const ImageFile *file, GError **error)
{
  if (file->locked)
    return true;
  error_set (error, EBUSY, "%s is in use by another program, such as a running "
             "guest, whose bitmaps are in its memory, not in the file",
             file->path);
  error_sort (error, REASON_IN_USE, file->path);
  return error_advise (error, REMEDY_GUEST_RUNS, NULL);
}

void
image_file_unlock (ImageFile *file)
{
  struct flock flock = { .l_type = F_UNLCK, .l_whence = SEEK_SET,
                         .l_start = FIRST_LOCK, .l_len = LOCKS };

  fcntl (file->fd, F_OFD_SETLK, &flock);
  file->locked = false;
}

void
image_file_lock_again (ImageFile *file)
{
  file->locked = lock (file->fd);
  fstat (file->fd, &file->stamp);
}

bool
image_file_check_alone (const ImageFile *file, GError **error)
{
  if (!is_locked (file->fd, FIRST_LOCK, LOCKS))
    return true;
  error_set (error, EBUSY, "%s is in use by another program, such as a running "
             "guest, or one that reads it, and nothing may be written to it "
             "meanwhile", file->path);
  return error_advise (error, REMEDY_GUEST_RUNS, NULL);
}

bool
image_file_check_writable (const ImageFile *file, GError **error)
{
  g_autofree char *name = g_strdup_printf ("/proc/self/fd/%d", file->fd);

  if (faccessat (AT_FDCWD, name, W_OK, AT_EACCESS) == 0)
    return true;
  const int failure = errno;
  g_autofree char *user = error_user ();
  g_autofree char *what = failure == EROFS
    ? g_strdup ("mount its file system read-write")
    : g_strdup_printf ("may %s write to it?", user);
  return error_set (error, failure, "%s cannot be written to: %s; %s",
                    file->path, g_strerror (failure), what);
}

bool
image_file_is_same (const ImageFile *a, const ImageFile *b)
{
  /* A block device may have several names that are no links. */
  if (S_ISBLK (a->stamp.st_mode) && S_ISBLK (b->stamp.st_mode))
    return a->stamp.st_rdev == b->stamp.st_rdev;
  return a->stamp.st_dev == b->stamp.st_dev
    && a->stamp.st_ino == b->stamp.st_ino;
}

bool
image_file_is_unchanged (const ImageFile *now, const ImageFile *before)
{
  /* The time of change is coarse, and block devices have none. */
  return image_file_is_same (now, before)
    && now->stamp.st_size == before->stamp.st_size
    && now->stamp.st_mtim.tv_sec == before->stamp.st_mtim.tv_sec
    && now->stamp.st_mtim.tv_nsec == before->stamp.st_mtim.tv_nsec;
}

guint64
image_file_length (const ImageFile *file)
{
  if (S_ISREG (file->stamp.st_mode))
    return (guint64) file->stamp.st_size;
  const off_t end = lseek (file->fd, 0, SEEK_END);
  return end > 0 ? (guint64) end : 0;
}
