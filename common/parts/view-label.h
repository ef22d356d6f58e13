/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * How an export says, to programs, which view it is.  A hole means one thing in
 * one view, and another in the next, or in an export of somebody else: so who
 * derives from holes what is clean has to know.  The words stand at the end of a
 * description, where no name that is part of it can imitate them.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

typedef struct {
  char *view;                   /* "overlay", "sparse", "guard", or "disk", which
                                 * is no view of changes */
  char *target;
  char *checkpoint;             /* NULL: since none, all of it is dirty */
  guint64 size;                 /* of the disk, bytes */
  guint64 data, zeroes;         /* so many of them are shown as dirty, and so
                                 * many as dirty zeroes, in this part, */
  guint part, parts;            /* the view is complete only with all parts */
  bool ended;                   /* the record was disabled, and shows what was
                                 * written until then only */
  bool united;                  /* or in all parts, which a filter has united
                                 * (set by view_label_parse alone) */
} ViewLabel;

/* Returns a new string; g_free (). */
char *view_label_format (const ViewLabel *label);

/* Find it in a description (NULL is none).  False: there is none.  Clear the label
 * in any case.
 */
bool view_label_parse (const char *description, ViewLabel *label);

void view_label_clear (ViewLabel *label);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ViewLabel, view_label_clear)
