/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#pragma once

#include "tool/reading.h"

typedef struct {
  SourceRequest request;
  Reading reading;              /* of it */
} Backup;

/* Open a backup and the files below it as a stopped guest's disk is, locked
 * against writers, to be read.  path: as a file's.  What the options say of
 * backing files is good for it, too.  To be cleared, whatever is returned; it must
 * not be moved.
 */
bool backup_open (Backup *backup, const Options *options, const char *path,
                  GError **error);
/* False (EINVAL) if the backup is the disk's own topmost image, or lies on it: what is
 * read there would be compared with itself.
 */
bool backup_check_apart (const Backup *backup, const Disk *disk,
                         GError **error);
/* The view must be closed. */
void backup_clear (Backup *backup);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Backup, backup_clear)

/* All that it holds. */
OpenView *backup_view (const Backup *backup, GError **error);
