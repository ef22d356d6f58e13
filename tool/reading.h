/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Disks that a command reads: maps and bytes, as nbdkit's clients would get
 * them.  Of a running guest, that takes a backup job, which ends with the
 * command, however that ends.
 */
#pragma once

#include "tool/command.h"
#include "view/open-view.h"

typedef struct {
  const char *say_which;        /* how the command is told of a checkpoint; NULL:
                                 * by a word.  To be filled in before */
  SourceRequest request;        /* all that it points to is borrowed */
  Source *source;
  Catalogue *catalogue;
  OpenParts *parts;
  char *only;                   /* the checkpoint that a running guest is read
                                 * since, as it has no other; or NULL */
  bool lacks_checkpoint;        /* of a disk that is there: why it did not open */
} Reading;

/* Open the source that the options name.  Its default checkpoint is checkpoint
 * (NULL: none is said), which a running guest's job is since; or else the only one
 * of the disk.  Both must outlive it, and it must not be moved.  Once in a process,
 * while it has no threads.
 */
bool reading_open (Reading *reading, const Options *options,
                   const char *checkpoint, GError **error);
/* The last step of that: its source, once inspected, can be read. */
bool reading_start (Reading *reading, const SourceRequest *request,
                    GError **error);
/* All views must be closed. */
void reading_clear (Reading *reading);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Reading, reading_clear)

/* The view of that disk (NULL: the only one) since that checkpoint (NULL: as
 * catalogue_lookup; "": the disk itself).
 */
OpenView *reading_view (const Reading *reading, const char *target,
                        const char *checkpoint, GError **error);
