/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A picture of where a disk changed: the numbers in it (picture.c), in letters
 * (map-text.c), and for reports (map-svg.c).
 */
#pragma once

#include "source/catalogue.h"
#include "tool/map-cells.h"

typedef struct {
  char *title;                  /* "vda since monday"; printable UTF-8 */
  guint64 granularity;          /* the coarsest of its bitmaps', bytes; 0: not
                                 * known */
  MapCells cells;
} Picture;

/* Of a view of the disk's size, in at most so many cells, which are no smaller
 * than what a bit of its bitmaps stands for; nothing is dirty in it yet.
 */
Picture *picture_new (const DiskView *view, guint64 size, guint cells);
void picture_free (Picture *picture);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Picture, picture_free)

/* "1.0 MiB of 64.0 MiB dirty (1.6 %) in 3 runs, 0 B of it zeroes".  A new string;
 * g_free ().
 */
char *picture_dirty (const Picture *picture);
/* "a cell is 64.0 KiB; the record's granularity is 64.0 KiB".  A new string;
 * g_free ().
 */
char *picture_scale (const Picture *picture);

/* How many cells picture_print has room for, as wide as the terminal is. */
guint picture_text_cells (void);
void picture_print (const Picture *picture);

/* How many cells each of so many pictures may have in picture_svg. */
guint picture_svg_cells (guint pictures);
/* All of them (of Picture) in one document, some 40 KiB each at most.  A new
 * string; g_free ().
 */
char *picture_svg (const GPtrArray *pictures);
/* How such a document begins. */
#define PICTURE_SVG_BEGIN "<svg xmlns=\"http://www.w3.org/2000/svg\" " \
  "data-by=\"qemu-checkpoint map\" "
