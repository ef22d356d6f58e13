/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * From export names to parts, and back to names and descriptions.
 */
#ifndef PLUGIN_EXPORTS_H
#define PLUGIN_EXPORTS_H

#include "parts/export-name.h"
#include "plugin/served.h"
#include "plugin/settings.h"
#include "source/source.h"

/* What an export name stands for. */
typedef struct {
  const Disk *disk;
  const Checkpoint *checkpoint; /* NULL: a full view since none */
  GPtrArray *parts;             /* of Part: the whole view's */
  int part;                     /* or EXPORT_NAME_WHOLE */
} ExportChoice;

void export_choice_clear (ExportChoice *choice);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ExportChoice, export_choice_clear)

/* Find what a client asks for.  ENOENT with what there is instead; a view
 * of several parts asked for as a whole is refused (ENOTSUP).
 */
bool exports_resolve (const Source *source, const Settings *settings,
                      const char *name, ExportChoice *choice, GError **error);

/* What the empty name stands for, with all its parts; false if nothing that
 * can be served.
 */
bool exports_resolve_default (const Source *source, const Settings *settings,
                              ExportChoice *choice);

/* The disk of that target, borrowed; ENOENT with the ones there are. */
const Disk *exports_find_disk (const Source *source, const char *target,
                               GError **error);

/* The one part that a resolved choice serves. */
const Part *export_choice_part (const ExportChoice *choice);

/* The parts of a disk since a checkpoint, the caller's; as parts_plan, but
 * with what the source knows of disks that are served whole.  checkpoint NULL
 * is for those only.
 */
GPtrArray *exports_parts (const Source *source, const Disk *disk,
                          const char *checkpoint, GError **error);

/* Can what was asked for at start-up be served at all?  Disks and
 * checkpoints that can't while others can are reported.
 */
bool exports_check (Source *source, const SourceRequest *request, GError **error);

/* The name that the empty one stands for, the caller's; NULL with an error
 * if that is ambiguous.
 */
char *exports_default (const Source *source, const Settings *settings,
                       GError **error);

/* Say why there is nothing that the disk could be served since: of no checkpoint is
 * a record known by its name.  Returns false.
 */
bool exports_nothing_recorded (const Source *source, const Disk *disk,
                               GError **error);

/* Call add for every export that can be served, at most 10,000 (nbdkit's
 * own limit).  Stops and fails when add does.
 */
typedef bool (*ExportsAdd) (void *opaque, const char *name,
                            const ExportChoice *choice);
bool exports_list (const Source *source, const Settings *settings,
                   ExportsAdd add, void *opaque);

/* One line for people: disk, checkpoint, time, parent, dirty bytes,
 * granularity, health; the caller's.  Reads the map if the source did not
 * count.
 */
char *exports_describe (Source *source, const ExportChoice *choice,
                        ServedCache *cache);

#endif /* PLUGIN_EXPORTS_H */
