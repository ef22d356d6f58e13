/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A view that our own plugin serves, read from there: what is dirty is derived
 * from holes.  That takes the server's word on which view it is.
 */
#pragma once

#include "image/disk.h"
#include "nbd/endpoint.h"
#include "parts/view-label.h"

typedef struct {
  ViewLabel label;
  NbdHoles holes;               /* NBD_HOLES_MEAN_NOTHING: it is no view of
                                 * changes */
  guint64 data, zeroes;         /* as NbdEndpoint has it */
} ShownView;

/* What the server says of its export of that size.  False with an error: it is no
 * view, or one that cannot be read.  Clear it in any case.
 */
bool shown_view_read (ShownView *view, const char *description, guint64 size,
                      const char *uri, GError **error);
void shown_view_clear (ShownView *view);

/* Make the disk, of one layer, what the view shows. */
void shown_view_fill (const ShownView *view, Disk *disk);
