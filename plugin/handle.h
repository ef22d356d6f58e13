/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What one client has opened.
 */
#pragma once

#include "plugin/exports.h"

typedef struct {
  ExportChoice choice;
  const View *view;             /* how it looks */
  OpenPart *opened;             /* NULL: see Source.look_only */
  ReadAhead *ahead;             /* NULL: it reads files, not a server */
  GPtrArray *parts;             /* of OpenPart: all of the view's, if they
                                 * decide what may be read; or NULL */
  gint described;               /* atomic: in the log, once the map is read */
} Handle;

/* Open the export of that name; NULL as exports_resolve and open_part_acquire.
 * All that is passed must outlive it.  Any thread.
 */
Handle *handle_open (const Source *source, const Catalogue *catalogue,
                     const Settings *settings, OpenParts *cache,
                     const char *name, GError **error);
void handle_free (Handle *handle);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Handle, handle_free)

/* Is each byte from offset to end dirty in one of the handle's parts?  Reads
 * their maps; 0, or as map_reader_need.
 */
int handle_is_all_dirty (const Handle *handle, guint64 offset, guint64 end,
                         NbdBudget *budget, bool *all, GError **error);
