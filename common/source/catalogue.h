/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * All that a source can show: each of its disks, since each of its checkpoints.
 * A view is planned once, when it is first asked for.
 */
#pragma once

#include "parts/export-name.h"
#include "source/source.h"

/* A disk since a checkpoint. */
typedef struct {
  const Disk *disk;
  const Checkpoint *checkpoint; /* NULL: a full view since none, or the disk
                                 * itself */
  GPtrArray *parts;             /* of Part; NULL: it is refused */
  bool is_disk;                 /* PART_DISK, for a first backup, and to verify
                                 * one */
  bool lacks_record;            /* for which it is refused, or served whole */
} DiskView;

typedef struct Catalogue Catalogue;

/* Both are borrowed.  Any thread may ask the catalogue. */
Catalogue *catalogue_new (Source *source, const SourceRequest *request);
void catalogue_free (Catalogue *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Catalogue, catalogue_free)

/* Start the source, in the process that serves, before anybody reads: the only way
 * to do so.  A source may look at its disks anew then, so what was planned before
 * is forgotten.  Call before there are other threads.
 */
bool catalogue_start (Catalogue *self, GError **error);

/* At start-up: can what was asked for be served at all?  Disks and checkpoints
 * that can't while others can are reported.
 */
bool catalogue_check (const Catalogue *self, GError **error);

/* Take an export's name apart, as export_name_parse. */
bool catalogue_parse_name (const Catalogue *self, const char *text,
                           ExportName *name, GError **error);

/* The view of that disk since that checkpoint.  For a name that is NULL: what
 * the request says, or the only one that there is.  Since "": the disk itself, at
 * the instant of all its views.  Borrowed from the
 * catalogue.  NULL with ENOENT and what there is instead, or as parts_plan.
 */
const DiskView *catalogue_lookup (const Catalogue *self, const char *target,
                                  const char *checkpoint, GError **error);

/* The disk that the empty name means, whose view may be refused; NULL with
 * ENOENT if that is ambiguous.
 */
const Disk *catalogue_default_disk (const Catalogue *self, GError **error);

/* Call visit for every view that can be served, with each of its names ("vda",
 * "vda@monday").  Stops when visit returns false, and returns that.
 */
typedef bool (*CatalogueVisit) (void *opaque, const char *name,
                                const DiskView *view);
bool catalogue_visit (const Catalogue *self, CatalogueVisit visit,
                      void *opaque);

/* The same for every disk itself ("vda@"). */
bool catalogue_visit_disks (const Catalogue *self, CatalogueVisit visit,
                            void *opaque);
