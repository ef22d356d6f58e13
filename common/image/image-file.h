/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A local file or block device that is read as an image, or as part of one,
 * and that nobody may write to meanwhile.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>
#include <glib.h>

typedef struct {
  char *path;                   /* absolute */
  int fd;                       /* by it, the file is locked against writers */
  bool locked;                  /* else others write to it */
  struct stat stamp;            /* the file as it was when it was opened */
  int daemon_fd;                /* a storage daemon has it as this descriptor,
                                 * and is told no name; 0: it is told path */
} ImageFile;

/* Open and lock a file.  That it could not be locked is no failure yet, for
 * what its header says may matter more: image_file_check_lock.  NULL if it
 * cannot be opened (the errno of open), or is neither file nor block device
 * (EINVAL).
 */
ImageFile *image_file_open (const char *path, GError **error);
void image_file_free (ImageFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImageFile, image_file_free)

/* False (EBUSY) if others write to it. */
bool image_file_check_lock (const ImageFile *file, GError **error);

bool image_file_is_same (const ImageFile *a, const ImageFile *b);

/* Is it the same file, as far as one can see without reading it? */
bool image_file_is_unchanged (const ImageFile *now, const ImageFile *before);

/* How long it is, bytes: of a block device as the kernel says now, 0 if it
 * does not.
 */
guint64 image_file_length (const ImageFile *file);

/* For who has others write to it: release the lock; take it again, and what the
 * file is then for what it was when it was opened.
 */
void image_file_unlock (ImageFile *file);
void image_file_lock_again (ImageFile *file);

/* False (EBUSY) if others use it in any way that QEMU's locks show. */
bool image_file_check_alone (const ImageFile *file, GError **error);
/* False (EACCES, EROFS) if we may not write to it. */
bool image_file_check_writable (const ImageFile *file, GError **error);
