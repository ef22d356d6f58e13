/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What is to be done to bitmaps: planned without touching anything (plan.h), and
 * done all together.
 */
#pragma once

#include "image/disk.h"

typedef enum {
  BITMAP_ADD,                   /* persistent */
  BITMAP_MERGE,                 /* from's bits are set in it, too */
  BITMAP_ENABLE,
  BITMAP_REMOVE,
} BitmapAction;

typedef struct {
  BitmapAction action;
  const Disk *disk;             /* borrowed */
  guint layer;                  /* 0 on top */
  char *name;
  char *from;                   /* MERGE: whose bits, in layer from_layer */
  guint from_layer;             /* MERGE: mostly layer; else of the same size */
  guint64 granularity;          /* ADD: bytes; 0: as QEMU chooses */
  bool recording;               /* ADD */
} BitmapChange;

/* A new array of BitmapChange. */
GPtrArray *bitmap_changes_new (void);

/* Add one at the end; returns it, borrowed.  name: copied. */
BitmapChange *bitmap_changes_add (GPtrArray *changes, BitmapAction action,
                                  const Disk *disk, guint layer,
                                  const char *name);
