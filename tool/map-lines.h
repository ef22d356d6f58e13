/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A map for programs, extent by extent.  There may be millions, so their numbers
 * are written here, not by printf.
 */
#pragma once

#include "view/open-view.h"

/* How a map is written: before all extents, of each extent, and after them. */
typedef struct {
  const char *begin;
  const char *offset;           /* before the offset, */
  const char *length;           /* before the length, */
  const char *states[4];        /* and after it, by DirtyState */
  const char *between;
  const char *end;
  guint width;                  /* of numbers, blanks on their left */
} LineFormat;

/* As nbdinfo --map prints what our plugin serves with view=overlay. */
extern const LineFormat line_format_nbdinfo;
/* The same with --json. */
extern const LineFormat line_format_json;
/* nbdkit-extentlist-filter(1): where nothing is listed, it has a hole that reads
 * as zeroes, so clean blocks are, too.
 */
extern const LineFormat line_format_extents;
/* oVirt imageio, GET /images/TICKET/extents?context=dirty (its docs/images.md). */
extern const LineFormat line_format_imageio;
/* KubeVirt, the map endpoint of an incremental backup: ExportMapResponse
 * (pkg/storage/export/virt-exportserver/apis), the last page.
 */
extern const LineFormat line_format_kubevirt;

/* Print all of the view's map, which was learnt, to the standard output.  False without an error: it
 * cannot be written to; stdio knows why.
 */
bool map_lines_print (OpenView *view, const LineFormat *format,
                      GError **error);
