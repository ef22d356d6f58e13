/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What has been read of files leaves the page cache again, a little later: for
 * who reads much once, beside others who need the memory.  Not at once, as
 * neighbours are read at the same time, tables again and again, and the kernel
 * reads ahead by what it finds in the cache.
 */
#pragma once

#include <glib.h>

typedef struct DropBehind DropBehind;

/* For all files together, so that what stays is bounded by one number: 24 MiB,
 * and what the kernel has read ahead for each reader.  What is not on the disk
 * yet stays, too, until it is.
 */
DropBehind *drop_behind_new (void);

/* Drops the rest.  Descriptors that were told of must be open until then.
 * NULL is fine.
 */
void drop_behind_free (DropBehind *behind);

/* Bytes of a file or block device have been read: call it after that, or they
 * may stay.  Errors do not matter to who reads, and are not told.  Any thread.
 */
void drop_behind_note (DropBehind *behind, int fd, guint64 offset,
                       guint64 length);
