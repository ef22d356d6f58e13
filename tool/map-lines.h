/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A map for programs, extent by extent.  There may be millions, so their numbers
 * are written here, not by printf.
 */
#pragma once

#include "tool/progress.h"
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

/* Print all of the view's map to the standard output, as it comes, each stretch
 * once it is proved.  False with an error: the rest of the disk could not be read,
 * and is called dirty.  False without one: the output takes no more; stdio knows
 * why.  progress is freed.
 */
bool map_lines_print (OpenView *view, const LineFormat *format,
                      Progress *progress, GError **error);
