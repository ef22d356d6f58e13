/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Export names: "", "vda", "vda@monday", "vda@monday/0", "vda@".
 */
#pragma once

#include "tree/forest.h"

#define EXPORT_NAME_WHOLE (-1)

typedef struct {
  char *target;                 /* NULL: the one configured */
  char *checkpoint;             /* NULL: the one configured; "": since nothing,
                                 * the disk itself (no checkpoint's name is
                                 * empty) */
  int part;                     /* or EXPORT_NAME_WHOLE */
} ExportName;

void export_name_clear (ExportName *name);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ExportName, export_name_clear)

/* Take a client's name (untrusted) apart.  "/1" is no part number if the name
 * with it is a checkpoint of the forest, for bitmaps may be called anything;
 * EINVAL if the name without it is one, too.
 */
bool export_name_parse (const char *text, const Forest *forest,
                        ExportName *name, GError **error);

/* Returns a new string; g_free (). */
char *export_name_format (const char *target, const char *checkpoint,
                          int part);
