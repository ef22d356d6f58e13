/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a command looks at: checkpoints, and disks where they can be looked at,
 * too.
 */
#pragma once

#include "source/catalogue.h"
#include "tool/command.h"

typedef struct {
  const Forest *forest;
  Forest *loaded;               /* the same, if it is not the source's */
  Source *source;               /* NULL: there are no disks to look at */
  Catalogue *catalogue;         /* of source */
  char *no_sizes;               /* why there is none */
  bool has_documents;           /* not bitmaps alone */
  const Checkpoint *current;    /* the next one's parent; NULL: it has none */
  char *document;               /* that was asked for, by libvirt's word; NULL:
                                 * no libvirt, or it knows no such checkpoint */
  bool has_sizes;               /* libvirt has put them in it */
} Subject;

/* Is it said whose checkpoints are meant?  EINVAL. */
bool subject_check_words (const Options *options, GError **error);
/* Is it said where disks are read?  EINVAL. */
bool subject_check_disks (const Options *options, GError **error);

/* document: of which checkpoint libvirt's own is wanted; NULL: of none.  Disks
 * are looked at if sizes are wanted, or nothing else tells of checkpoints.
 */
bool subject_open (Subject *subject, const Options *options,
                   const char *document, const Reporter *reporter,
                   GError **error);
void subject_clear (Subject *subject);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Subject, subject_clear)

/* The checkpoint of that name; NULL with ENOENT and those there are. */
const Checkpoint *subject_checkpoint (const Subject *subject,
                                      const char *name, GError **error);

/* Open it, and find the checkpoint that the command was given.  What the command
 * ends with if that is not STATUS_FINE.
 */
Status subject_open_named (Subject *subject, const Options *options,
                           const char *document,
                           const Checkpoint **checkpoint, GError **error);

/* The disks that the checkpoint covers: a new array of their targets, borrowed.
 * Documents that do not say mean all.
 */
GPtrArray *subject_covered (const Subject *subject,
                            const Checkpoint *checkpoint);

/* What is dirty on one disk. */
typedef struct {
  char *target;
  bool known;
  guint64 bytes;
  char *why;                    /* it is not known */
} DiskSize;

/* Of the disks that the checkpoint covers: a new array of DiskSize. */
GPtrArray *subject_sizes (const Subject *subject,
                          const Checkpoint *checkpoint);

/* All of them together.  False if that is not known: why is not looked for,
 * which can take longer.
 */
bool subject_size (const Subject *subject, const Checkpoint *checkpoint,
                   guint64 *bytes);
