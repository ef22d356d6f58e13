/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a server says of a stretch of the disk: where it is dirty, and where
 * it reads as zeroes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "map/dirty-map-walk.h"
#include "nbd/endpoint.h"

typedef struct {
  const char *context;          /* the one that tells dirty; borrowed */
  guint depth;                  /* if it is qemu:allocation-depth: allocated in
                                 * the top `depth` layers is dirty; else 0 */
  NbdHoles holes;               /* if it is base:allocation */
  bool wants_zeroes;
  guint64 offset;               /* asked for, */
  guint64 length;               /* at most 4 GiB - 1 */
  int fd;                       /* where; borrowed */
  bool asks_dirty;              /* of the answer that is awaited */
  bool asks_zeroes;
  GArray *dirty;                /* of uint32_t: length, flags, … */
  GArray *zeroes;
} MapAnswer;

/* With holes, zeroes are told by the same context: none are wanted beside it. */
void map_answer_init (MapAnswer *answer, const char *context, guint depth,
                      NbdHoles holes, bool wants_zeroes);
void map_answer_clear (MapAnswer *answer);

/* Forget what was said, and expect it of that stretch.  all: it is dirty, and
 * nobody is asked.
 */
void map_answer_expect (MapAnswer *answer, guint64 offset, guint64 length,
                        bool all);

/* Keep what one context says, in pairs of length (bytes) and flags; contexts of
 * one answer may cover different lengths.  False: this is no valid answer.
 */
bool map_answer_keep (MapAnswer *answer, const char *context,
                      const uint32_t *entries, size_t count);

/* How many bytes from offset on all wanted contexts tell of.  QEMU cuts each
 * context of an answer after 131,072 extents, so they may differ
 * (nbd/server.c).
 */
guint64 map_answer_covers (const MapAnswer *answer);

/* How many extents the longer context has. */
guint map_answer_extents (const MapAnswer *answer);

/* Append the state of as many bytes. */
void map_answer_append (const MapAnswer *answer, DirtyMap *map,
                        guint64 length);

/* Go on with *run over as many bytes, as dirty_map_walk. */
bool map_answer_visit (const MapAnswer *answer, guint64 length, DirtyRun *run,
                       DirtyMapVisit visit, void *opaque);
