/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What files prints.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

typedef struct {
  const char *checkpoint;       /* NULL: not said */
  bool has_since;
  guint64 since;                /* when it was made */
  GPtrArray *disks;             /* of char *: their targets */
  GPtrArray *left_out;          /* of char *: those that were not looked at */
  GPtrArray *lines;             /* of Line (filesystem/line.h) */
  GPtrArray *notes;             /* of char * */
} FilesFound;

/* Sorts the lines. */
void files_print (const FilesFound *found);
void files_print_json (const FilesFound *found);
