/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Between catalogue.c and catalogue-check.c.
 */
#pragma once

#include "source/catalogue.h"

struct Catalogue {
  Source *source;
  const SourceRequest *request;
  GMutex lock;                  /* guards views */
  GHashTable *views;            /* name → DiskView, of those asked for */
};

/* The disk of that target, borrowed; ENOENT with the ones there are. */
const Disk *catalogue_disk (const Catalogue *self, const char *target,
                            GError **error);

/* The view, which is planned now if it was not before.  checkpoint: of the
 * offer; NULL with a disk that is read whole.
 */
const DiskView *catalogue_view (const Catalogue *self, const Disk *disk,
                                const Checkpoint *checkpoint);

/* Say why the view lacks a usable record.  Always false. */
bool catalogue_say_why (const Source *source, const DiskView *view,
                       GError **error);

/* Say why no checkpoint has a record of the disk.  Always false. */
bool catalogue_nothing_recorded (const Source *source, const Disk *disk,
                                 GError **error);
