/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Looking into the file system of one volume.  What lies there is a guest's, and
 * may be anything: so this runs in a process of its own (examiner.h).
 */
#pragma once

#include "filesystem/line.h"
#include "filesystem/media.h"
#include "filesystem/runs.h"
#include "filesystem/census.h"

typedef struct Examination Examination;
struct Examination {
  Media *media;
  const Run *dirty;
  gsize dirty_count;
  guint64 granule, phase;       /* of the record; 0: not known */
  bool has_since;
  gint64 since;                 /* when the checkpoint was made: seconds since
                                 * the Epoch */
  /* Called once nothing more has to be opened. */
  void (*confine) (Examination *self);
  /* Takes what was found; text is borrowed. */
  void (*tell) (Examination *self, const Line *line);
  /* Says what may be missing in it. */
  void (*note) (Examination *self, const char *text);
};

/* Tell whose all dirty bytes are.  A failure leaves some untold. */
bool examine (Examination *self, GError **error);

/* What follows is for the kinds of file systems. */

/* False with ENOSYS: this build does not know them. */
bool ext_examine (Examination *self, GError **error);
bool xfs_examine (Examination *self, GError **error);

/* A line of what has no name.  Nothing, of no bytes. */
void examine_tell (Examination *self, LineKind kind, const char *what,
                   guint64 bytes);

/* Was a file changed since, as its own time of change, or what is dirty of it,
 * tells?  block: the file system's size of blocks.
 */
Changed examine_changed (const Examination *self, const CensusSum *sum,
                         guint block, gint64 ctime);
