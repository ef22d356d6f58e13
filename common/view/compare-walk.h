/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A disk and its backup, walked side by side by what their maps tell.
 */
#pragma once

#include "view/open-view.h"

/* What a difference means. */
typedef enum {
  COMPARE_DIRTY,                /* it changed, and the backup has to have it */
  COMPARE_CLEAN,                /* it did not, by the record's word */
  COMPARE_BEYOND,               /* the disk ends before it */
  COMPARE_EXCUSED,              /* it may differ */
} CompareClass;
#define COMPARE_CLASSES 4

/* Borrowed. */
typedef struct {
  OpenView *disk, *backup;      /* themselves */
  OpenView *since;              /* what the backup has to have is dirty here; NULL:
                                 * nothing is known to be */
  OpenView *taken;              /* what changed after the backup was made is dirty
                                 * here; NULL: nothing did */
} CompareViews;

/* Alike in all respects. */
typedef struct {
  guint64 offset, end;
  CompareClass class;
  bool disk_is_zero, backup_is_zero; /* known to be, unread; so is each beyond its
                                      * end */
} ComparePiece;

typedef bool (*CompareVisit) (void *opaque, const ComparePiece *piece);

/* Where the longer one ends. */
guint64 compare_end (const CompareViews *views);

/* Have the pieces from offset to end visited, in order and without a gap.  end is
 * at most compare_end.  Returns as open_view_visit.  Any thread.
 */
bool compare_walk (const CompareViews *views, guint64 offset, guint64 end,
                   CompareVisit visit, void *opaque, GError **error);
