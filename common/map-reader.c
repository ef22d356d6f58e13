/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * QEMU cuts each context of an answer after 131,072 extents, so two
 * contexts of one answer may cover different lengths (nbd/server.c): only
 * what both cover is used, and the rest is asked for again.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "error.h"
#include "map-reader.h"

#define SLICE (2ULL * 1024 * 1024 * 1024)
/* Flags of the contexts: NBD protocol, doc/proto.md; QEMU
 * docs/interop/nbd.txt.
 */
#define STATE_ZERO 2
#define STATE_DIRTY 1

struct MapReader {
  NbdPool *pool;
  NbdPool *bits;                /* tells what is dirty; often the same */
  char *context;                /* the one that tells dirty */
  guint depth;                  /* 0: a bitmap */
  guint64 dirty_from;           /* all from here on, nobody is asked */
  bool want_zeroes;
  GMutex lock;                  /* held while a slice is read; guards: */
  DirtyMap *map;                /* writing; reading needs no lock */
  GArray *dirty;                /* of uint32_t: the answer being read */
  GArray *zeroes;
  bool asks_dirty, asks_zeroes; /* of the answer being read */
  int failure;
};

MapReader *
map_reader_new (NbdPool *pool, NbdPool *bits, const NbdEndpoint *endpoint,
                bool want_zeroes, guint64 coalesce)
{
  MapReader *reader = g_new0 (MapReader, 1);
  const NbdEndpoint *dirty = bits ? endpoint->bits : endpoint;

  reader->pool = pool;
  reader->bits = bits ? bits : pool;
  reader->context = g_strdup (dirty->bitmap_context
                              ? dirty->bitmap_context : NBD_CONTEXT_DEPTH);
  reader->depth = dirty->bitmap_context ? 0 : dirty->depth;
  reader->dirty_from = endpoint->full ? 0
    : bits ? nbd_pool_size (bits)
    : endpoint->server ? endpoint->dirty_from : G_MAXUINT64;
  reader->want_zeroes = want_zeroes;
  g_mutex_init (&reader->lock);
  reader->map = dirty_map_new (nbd_pool_size (pool), coalesce,
                               DIRTY_MAP_MEMORY_LIMIT);
  reader->dirty = g_array_new (FALSE, FALSE, sizeof (uint32_t));
  reader->zeroes = g_array_new (FALSE, FALSE, sizeof (uint32_t));
  return reader;
}

void
map_reader_free (MapReader *reader)
{
  if (!reader)
    return;
  dirty_map_free (reader->map);
  g_clear_pointer (&reader->dirty, g_array_unref);
  g_clear_pointer (&reader->zeroes, g_array_unref);
  g_mutex_clear (&reader->lock);
  g_free (reader->context);
  g_free (reader);
}

/* One answer tells each context once.  A server may tell more than is asked
 * of it: that of a lower layer knows other zeroes.
 */
static bool
keep_extents (void *opaque, const char *context, const uint32_t *entries,
              size_t count)
{
  MapReader *reader = opaque;
  GArray *into = strcmp (context, reader->context) == 0 ? reader->dirty
    : strcmp (context, NBD_CONTEXT_ALLOCATION) == 0 ? reader->zeroes : NULL;
  const bool wanted = into == reader->dirty
    ? reader->asks_dirty : reader->asks_zeroes;

  if (!into || !wanted)
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

static bool
is_dirty (const MapReader *reader, uint32_t flags)
{
  if (reader->depth == 0)
    return (flags & STATE_DIRTY) != 0;
  /* Depth 0 is allocated nowhere, 1 on top, 2 in the layer below… */
  return flags >= 1 && flags <= reader->depth;
}

/* Append what both contexts tell of the next length bytes. */
static void
append_answer (MapReader *reader, guint64 length)
{
  Cursor dirty = cursor_start (reader->dirty);
  Cursor zeroes = cursor_start (reader->zeroes);

  while (length > 0 && dirty.left > 0
         && (!reader->want_zeroes || zeroes.left > 0)) {
    guint64 step = MIN (length, dirty.left);
    bool zero = false;

    if (reader->want_zeroes) {
      step = MIN (step, zeroes.left);
      zero = (zeroes.entry[1] & STATE_ZERO) != 0;
    }
    dirty_map_append (reader->map, step,
                      !is_dirty (reader, dirty.entry[1])
                      ? DIRTY_MAP_CLEAN
                      : zero ? DIRTY_MAP_ZERO : DIRTY_MAP_DIRTY);
    cursor_advance (&dirty, step);
    if (reader->want_zeroes)
      cursor_advance (&zeroes, step);
    length -= step;
  }
}

/* Ask who must be asked; both contexts in one request if one server tells
 * them.
 */
static int
ask (MapReader *reader, guint64 offset, guint64 length, bool all,
     GError **error)
{
  const bool apart = reader->bits != reader->pool;
  int failure = 0;

  g_array_set_size (reader->dirty, 0);
  g_array_set_size (reader->zeroes, 0);
  reader->asks_dirty = !all;
  reader->asks_zeroes = reader->want_zeroes && !apart;
  if (all) {                    /* in either context: a bit, a depth */
    const uint32_t entry[] = { (uint32_t) length, STATE_DIRTY };
    g_array_append_vals (reader->dirty, entry, G_N_ELEMENTS (entry));
  }
  else
    failure = nbd_pool_block_status (reader->bits, (guint32) length, offset,
                                     keep_extents, reader, error);
  if (failure || !reader->want_zeroes || !(all || apart))
    return failure;
  reader->asks_dirty = false;
  reader->asks_zeroes = true;
  return nbd_pool_block_status (reader->pool, (guint32) length, offset,
                                keep_extents, reader, error);
}

static int
read_slice (MapReader *reader, GError **error)
{
  const guint64 offset = dirty_map_appended (reader->map);
  const bool all = offset >= reader->dirty_from;
  guint64 length = MIN (SLICE, nbd_pool_size (reader->pool) - offset);

  if (!all)
    length = MIN (length, reader->dirty_from - offset);
  const int failure = ask (reader, offset, length, all, error);
  if (failure)
    return failure;
  append_answer (reader, length);
  if (dirty_map_appended (reader->map) == offset) {
    error_set (error, EPROTO, "cannot read the dirty map: the server says "
               "nothing of %s at %" G_GUINT64_FORMAT, all
               ? NBD_CONTEXT_ALLOCATION : reader->context, offset);
    return EPROTO;
  }
  return 0;
}

int
map_reader_need (MapReader *reader, guint64 offset, GError **error)
{
  if (dirty_map_frontier (reader->map) >= offset)
    return 0;

  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&reader->lock);
  if (reader->failure)
    return EIO;
  while (dirty_map_frontier (reader->map) < offset) {
    reader->failure = read_slice (reader, error);
    if (reader->failure)
      return EIO;
  }
  if (dirty_map_frontier (reader->map) == nbd_pool_size (reader->pool)) {
    g_clear_pointer (&reader->dirty, g_array_unref);
    g_clear_pointer (&reader->zeroes, g_array_unref);
  }
  return 0;
}

const DirtyMap *
map_reader_map (const MapReader *reader)
{
  return reader->map;
}
