/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Reads a union through the layer below.  Each part is read to its end and
 * closed before the next is opened, as nbdkit aborts if one client has two.
 * Meanwhile the union so far and the one that is made of it are held, each as
 * bounded as any dirty map.
 *
 * Only the whole will do: a part that cannot be opened, has another size, or
 * stops telling its extents half-way, fails the union.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>

#include "nbdkit/say.h"
#include "bitmap-merge/union.h"
#include "map/dirty-map-union.h"
#include "parts/part-name.h"

/* nbdkit keeps at most a million extents of an answer, and cuts the rest. */
#define SLICE (1ULL << 30)

/* Failing, the plugin has said why. */
static nbdkit_next *
open_part (nbdkit_backend *backend, const char *name)
{
  nbdkit_next *next = nbdkit_next_context_open (backend, 1, name, 0);

  if (!next) {
    say_debug ("export %s cannot be opened", name);
    return NULL;
  }
  if (next->prepare (next) == -1) {
    nbdkit_next_context_close (next);
    return NULL;
  }
  return next;
}

static void
close_part (nbdkit_next *next)
{
  next->finalize (next);        /* it has logged what failed; all is read */
  nbdkit_next_context_close (next);
}

GPtrArray *
union_find_parts (nbdkit_backend *backend, const char *name)
{
  g_autofree char *first = part_name_format (name, 0);
  nbdkit_next *next = open_part (backend, first);
  const char *rest;
  guint part, count;

  if (!next)
    return NULL;
  const char *text = next->export_description (next);
  const bool told
    = text && part_label_parse (text, &part, &count, &rest) && part == 0;
  close_part (next);
  if (!told) {
    say_error ("bitmap-merge: export %s: the plugin does not tell what its "
               "parts are; name them with merge=EXPORT, the one whose data "
               "is served first", name);
    return NULL;
  }
  GPtrArray *parts = g_ptr_array_new_with_free_func (g_free);
  for (part = 0; part < count; part++)
    g_ptr_array_add (parts, part_name_format (name, part));
  return parts;
}

/* A hole of unknown content is clean, what reads as zeroes may be dirty, and
 * data is: so in every view of the plugin, and in plugins that know holes only.
 */
static DirtyState
state_of (uint32_t type)
{
  if (type & NBDKIT_EXTENT_ZERO)
    return DIRTY_MAP_ZERO;
  return type & NBDKIT_EXTENT_HOLE ? DIRTY_MAP_CLEAN : DIRTY_MAP_DIRTY;
}

/* Append what an answer tells of the bytes up to end.  shown: how many bytes the
 * part shows in each state.
 */
static void
append_extents (DirtyMap *map, const DirtyMap *with, bool same_bytes,
                const struct nbdkit_extents *extents, guint64 end,
                guint64 *shown)
{
  const size_t count = nbdkit_extents_count (extents);

  for (size_t i = 0; i < count; i++) {
    const struct nbdkit_extent extent = nbdkit_get_extent (extents, i);
    const guint64 at = dirty_map_appended (map);
    if (extent.offset > at || at >= end)
      break;
    if (extent.offset + extent.length <= at)
      continue;
    const guint64 length = MIN (extent.offset + extent.length, end) - at;
    shown[state_of (extent.type)] += length;
    dirty_map_append_union (map, with, length, state_of (extent.type),
                            same_bytes);
  }
}

static bool
read_slice (nbdkit_next *next, const char *name, DirtyMap *map,
            const DirtyMap *with, bool same_bytes, guint64 size,
            guint64 *shown)
{
  const guint64 offset = dirty_map_appended (map);
  const guint64 end = offset + MIN (SLICE, size - offset);
  struct nbdkit_extents *extents = nbdkit_extents_new (offset, end);
  int errnum = 0;

  if (!extents)                 /* it has said why */
    return false;
  const int failure = next->extents (next, (uint32_t) (end - offset), offset,
                                     0, extents, &errnum);
  if (failure == 0)
    append_extents (map, with, same_bytes, extents, end, shown);
  nbdkit_extents_free (extents);
  if (failure == 0 && dirty_map_appended (map) > offset)
    return true;
  say_error ("bitmap-merge: export %s: what is dirty at %" PRIu64 " cannot "
             "be read, so no union can be served: %s", name, offset,
             failure ? g_strerror (errnum ? errnum : EIO)
             : "it is not told");
  return false;
}

/* Is it a part of a view, so that all parts have the same bytes? */
static bool
is_part (nbdkit_next *next)
{
  const char *text = next->export_description (next), *rest;
  guint part, count;

  return text && part_label_parse (text, &part, &count, &rest);
}

/* A filter between us and the plugin that makes extents coarser calls dirty zeroes
 * clean that have clean neighbours.
 */
static bool
check_shown (nbdkit_next *next, const char *name, const guint64 *shown,
             guint64 size)
{
  const guint64 data = shown[DIRTY_MAP_DIRTY], zeroes = shown[DIRTY_MAP_ZERO];
  guint64 told_data, told_zeroes;

  if (!part_shown_parse (next->export_description (next), &told_data,
                         &told_zeroes)
      || (data >= told_data && zeroes == told_zeroes)
      || data + zeroes == size)
    return true;
  say_error ("bitmap-merge: export %s tells of %" PRIu64 " bytes of dirty data "
             "and %" PRIu64 " of zeroes, and shows %" PRIu64 " and %" PRIu64
             ", so another filter changes what is dirty: leave out those that "
             "come after --filter=bitmap-merge", name, told_data, told_zeroes,
             data, zeroes);
  return false;
}

/* with: the union of the parts before, or NULL. */
static DirtyMap *
read_part (nbdkit_next *next, const Union *into, const char *name,
           const DirtyMap *with, bool same_bytes, guint64 size)
{
  const int told = next->can_extents (next);

  if (told == -1)
    return NULL;
  if (told == 0) {
    say_error ("bitmap-merge: export %s does not tell what is allocated in "
               "it, so it cannot be a part of %s", name,
               into->name[0] ? into->name : "the union");
    return NULL;
  }
  g_autoptr (DirtyMap) map = dirty_map_new (size, 0, DIRTY_MAP_MEMORY_LIMIT);
  guint64 shown[DIRTY_MAP_ZERO + 1] = { 0 };
  while (dirty_map_appended (map) < size)
    if (!read_slice (next, name, map, with, same_bytes, size, shown))
      return NULL;
  return check_shown (next, name, shown, size) ? g_steal_pointer (&map) : NULL;
}

static bool
check_size (const Union *into, const char *name, int64_t size,
            guint64 first_size)
{
  if (size < 0)
    return false;
  if ((guint64) size == first_size)
    return true;
  say_error ("bitmap-merge: export %s has %" PRIi64 " bytes, but %s, whose "
             "data would be served, %" PRIu64 ": they are not parts of one "
             "disk", name, size,
             (const char *) g_ptr_array_index (into->parts, 0), first_size);
  return false;
}

bool
union_read (nbdkit_backend *backend, Union *into)
{
  g_autoptr (DirtyMap) united = NULL;
  guint64 first_size = 0;
  bool same_bytes = true;       /* so far; with merge=, exports may be of
                                 * anything */

  for (guint i = 0; i < into->parts->len; i++) {
    const char *name = g_ptr_array_index (into->parts, i);
    nbdkit_next *next = open_part (backend, name);
    if (!next)
      return false;
    const int64_t size = next->get_size (next);
    if (i == 0 && size >= 0)
      first_size = (guint64) size;
    same_bytes = same_bytes && is_part (next);
    DirtyMap *map = check_size (into, name, size, first_size)
      ? read_part (next, into, name, united, same_bytes, first_size) : NULL;
    close_part (next);
    if (!map)
      return false;
    dirty_map_free (united);
    united = map;
  }
  into->size = first_size;
  g_atomic_pointer_set (&into->map, g_steal_pointer (&united));
  return true;
}
