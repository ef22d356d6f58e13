/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Views as exports.  An export has one map, so a view of several parts has an
 * export for each.
 */
#pragma once

#include "plugin/settings.h"
#include "source/catalogue.h"
#include "view/open-part.h"

/* What an export name stands for. */
typedef struct {
  const DiskView *view;         /* the catalogue's */
  int part;                     /* or EXPORT_NAME_WHOLE */
} ExportChoice;

/* Find what a client asks for, as catalogue_lookup; ENOTSUP for all of a view
 * of several parts.
 */
bool exports_resolve (const Catalogue *catalogue, const Settings *settings,
                      const char *name, ExportChoice *choice, GError **error);

/* The one part that a resolved choice serves. */
const Part *export_choice_part (const ExportChoice *choice);

/* Call add for every export that can be served, at most 10,000 (nbdkit's
 * limit).  Stops and fails when add does.
 */
typedef bool (*ExportsAdd) (void *opaque, const char *name,
                            const ExportChoice *choice);
bool exports_list (const Catalogue *catalogue, ExportsAdd add, void *opaque);

/* One line for people, of at most NBD's 4096 bytes.  Returns a new string;
 * g_free ().  Reads the map if the source did not count.  shown: how it looks to
 * a client, to whom the disk has so many bytes, which programs are told, too
 * (view-label.h); NULL: to none.
 */
char *exports_describe (Source *source, const ExportChoice *choice,
                        const View *shown, guint64 size, OpenParts *cache);
