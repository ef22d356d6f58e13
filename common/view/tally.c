/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "view/tally.h"

void
tally_init (Tally *tally)
{
  *tally = (Tally) {
    .places = g_array_new (FALSE, FALSE, sizeof (TallyPlace)),
  };
}

void
tally_clear (Tally *tally)
{
  g_clear_pointer (&tally->places, g_array_unref);
}

static TallyPlace *
place_at (const Tally *tally, guint index)
{
  return &g_array_index (tally->places, TallyPlace, index);
}

static guint64
end_of (const TallyPlace *place)
{
  return place->offset + place->length;
}

/* The first place beyond offset.  Most come in order, so it is looked for from
 * the end.
 */
static guint
index_beyond (const Tally *tally, guint64 offset)
{
  guint index = tally->places->len;

  while (index > 0 && place_at (tally, index - 1)->offset > offset)
    index--;
  return index;
}

void
tally_add (Tally *tally, guint64 offset, guint64 length)
{
  const guint next = index_beyond (tally, offset);
  const guint64 end = offset + length;
  const bool touches_next
    = next < tally->places->len && place_at (tally, next)->offset == end;

  tally->bytes += length;
  if (next > 0 && end_of (place_at (tally, next - 1)) == offset) {
    place_at (tally, next - 1)->length += length;
    if (touches_next) {
      place_at (tally, next - 1)->length += place_at (tally, next)->length;
      g_array_remove_index (tally->places, next);
    }
  }
  else if (touches_next) {
    place_at (tally, next)->offset = offset;
    place_at (tally, next)->length += length;
  }
  else {
    const TallyPlace place = { offset, length };
    g_array_insert_val (tally->places, next, place);
  }
  if (tally->places->len > TALLY_PLACES) {
    g_array_set_size (tally->places, TALLY_PLACES);
    tally->more = true;
  }
}
