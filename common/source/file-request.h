/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What was asked for of disks that are read from files, disk by disk.
 */
#pragma once

#include "image/chain.h"
#include "source/request.h"
#include "tree/forest.h"

/* Which disk the file at that index is: as it was said, as the tree (or NULL)
 * knows the path, or in order.  A new string; NULL with EINVAL.
 */
char *file_request_target (const SourceRequest *request, const Forest *tree,
                           guint index, GError **error);

/* The target that the newest document of tree that knows the path gives it; NULL:
 * none does.  Borrowed.
 */
const char *file_request_known_target (const Forest *tree, const char *path);

/* How its chain is walked.  What is said of the format of all disks goes for
 * those of which nothing is said.  All in it is borrowed.
 */
ChainRequest file_request_chain (const SourceRequest *request,
                                 const RequestedFile *file,
                                 const char *target);

/* Give the disk its secrets.  Each is read once, since it may come from a pipe:
 * read has those that were read before (RequestedWord's value → Secret).
 */
bool file_request_secrets (const SourceRequest *request, GHashTable *read,
                           Disk *disk, GError **error);

/* EINVAL if something is said of a disk that is none of these (Disk). */
bool file_request_check_words (const SourceRequest *request,
                               const GPtrArray *disks, GError **error);
