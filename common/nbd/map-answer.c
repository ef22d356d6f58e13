/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The contexts' flags are of NBD's doc/proto.md and QEMU's
 * docs/interop/nbd.txt.
 */
#include <config.h>

#include <string.h>

#include "nbd/endpoint.h"
#include "nbd/map-answer.h"

#define STATE_HOLE 1
#define STATE_ZERO 2
#define STATE_DIRTY 1

void
map_answer_init (MapAnswer *answer, const char *context, guint depth,
                 NbdHoles holes, bool wants_zeroes)
{
  *answer = (MapAnswer) {
    .context = context,
    .depth = depth,
    .holes = holes,
    .wants_zeroes = wants_zeroes && !holes,
    .dirty = g_array_new (FALSE, FALSE, sizeof (uint32_t)),
    .zeroes = g_array_new (FALSE, FALSE, sizeof (uint32_t)),
  };
}

void
map_answer_clear (MapAnswer *answer)
{
  g_clear_pointer (&answer->dirty, g_array_unref);
  g_clear_pointer (&answer->zeroes, g_array_unref);
}

void
map_answer_expect (MapAnswer *answer, guint64 offset, guint64 length, bool all)
{
  answer->offset = offset;
  answer->length = length;
  answer->asks_dirty = !all;
  answer->asks_zeroes = answer->wants_zeroes;
  g_array_set_size (answer->dirty, 0);
  g_array_set_size (answer->zeroes, 0);
  if (all) {                    /* in any context: a bit, a depth, no hole */
    const uint32_t entry[] = { (uint32_t) length,
                               answer->holes ? 0 : STATE_DIRTY };
    g_array_append_vals (answer->dirty, entry, G_N_ELEMENTS (entry));
  }
}

/* One answer tells each context once.  A server may tell more than is asked
 * of it: that of a lower layer knows other zeroes.
 */
bool
map_answer_keep (MapAnswer *answer, const char *context,
                 const uint32_t *entries, size_t count)
{
  GArray *into = strcmp (context, answer->context) == 0 ? answer->dirty
    : strcmp (context, NBD_CONTEXT_ALLOCATION) == 0 ? answer->zeroes : NULL;
  const bool asked = into == answer->dirty
    ? answer->asks_dirty : answer->asks_zeroes;

  if (!into || !asked)
    return true;
  if (into->len > 0)
    return false;
  g_array_append_vals (into, entries, (guint) count);
  return true;
}

/* One context of an answer, walked. */
typedef struct {
  const uint32_t *entry;        /* length, flags */
  const uint32_t *end;
  guint64 left;                 /* bytes left of *entry */
} Cursor;

static Cursor
cursor_start (const GArray *array)
{
  const uint32_t *entry = (const uint32_t *) (void *) array->data;

  return (Cursor) { entry, entry + array->len / 2 * 2,
                    array->len >= 2 ? entry[0] : 0 };
}

static void
cursor_advance (Cursor *cursor, guint64 length)
{
  cursor->left -= length;
  if (cursor->left == 0) {
    cursor->entry += 2;
    cursor->left = cursor->entry < cursor->end ? cursor->entry[0] : 0;
  }
}

/* An extent of no length ends what is told. */
static guint64
context_covers (const GArray *array, guint64 most)
{
  guint64 covered = 0;

  for (Cursor cursor = cursor_start (array); covered < most && cursor.left > 0;
       cursor_advance (&cursor, cursor.left))
    covered += cursor.left;
  return MIN (covered, most);
}

guint64
map_answer_covers (const MapAnswer *answer)
{
  const guint64 covered = context_covers (answer->dirty, answer->length);

  return answer->wants_zeroes
    ? context_covers (answer->zeroes, covered) : covered;
}

guint
map_answer_extents (const MapAnswer *answer)
{
  return MAX (answer->dirty->len, answer->zeroes->len) / 2;
}

/* What base:allocation tells in a view of ours.  Flags that no view of that kind
 * has are no proof that a block is clean.
 */
static DirtyState
shown_state (NbdHoles holes, uint32_t flags)
{
  if (flags == (STATE_HOLE | STATE_ZERO))
    return holes == NBD_ZEROES_CLEAN ? DIRTY_MAP_CLEAN : DIRTY_MAP_ZERO;
  return flags == STATE_HOLE && holes == NBD_HOLES_CLEAN
    ? DIRTY_MAP_CLEAN : DIRTY_MAP_DIRTY;
}

static bool
is_dirty (const MapAnswer *answer, uint32_t flags)
{
  /* A flag that no specification knows is no proof that a block is clean. */
  if (answer->depth == 0)
    return flags != 0;
  /* Depth 0 is allocated nowhere, 1 on top, 2 in the layer below… */
  return flags >= 1 && flags <= answer->depth;
}

static inline DirtyState
state_of (const MapAnswer *answer, uint32_t flags, bool zero)
{
  return answer->holes ? shown_state (answer->holes, flags)
    : !is_dirty (answer, flags) ? DIRTY_MAP_CLEAN
    : zero ? DIRTY_MAP_ZERO : DIRTY_MAP_DIRTY;
}

/* Both contexts of an answer, walked together. */
typedef struct {
  const MapAnswer *answer;
  Cursor dirty, zeroes;
} Pair;

static inline Pair
pair_start (const MapAnswer *answer)
{
  return (Pair) { answer, cursor_start (answer->dirty),
                  cursor_start (answer->zeroes) };
}

/* The next bytes, *length at most, and what they are. */
static inline DirtyState
pair_next (Pair *pair, guint64 *length)
{
  const MapAnswer *answer = pair->answer;
  const uint32_t flags = pair->dirty.entry[1];
  bool zero = false;

  *length = MIN (*length, pair->dirty.left);
  if (answer->wants_zeroes) {
    *length = MIN (*length, pair->zeroes.left);
    zero = (pair->zeroes.entry[1] & STATE_ZERO) != 0;
    cursor_advance (&pair->zeroes, *length);
  }
  cursor_advance (&pair->dirty, *length);
  return state_of (answer, flags, zero);
}

void
map_answer_append (const MapAnswer *answer, DirtyMap *map, guint64 length)
{
  Pair pair = pair_start (answer);

  while (length > 0) {
    guint64 step = length;
    const DirtyState state = pair_next (&pair, &step);
    dirty_map_append (map, step, state);
    length -= step;
  }
}

bool
map_answer_visit (const MapAnswer *answer, guint64 length, DirtyRun *run,
                  DirtyMapVisit visit, void *opaque)
{
  Pair pair = pair_start (answer);
  guint64 offset = answer->offset;

  while (length > 0) {
    guint64 step = length;
    const DirtyState state = pair_next (&pair, &step);
    if (!dirty_run_go_on (run, offset, state, visit, opaque))
      return false;
    offset += step;
    length -= step;
  }
  return true;
}
