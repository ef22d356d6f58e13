/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The server works out the next slice while we take this one in, and while
 * the client receives what it asked for: one more is asked for, on a connection
 * of the reader's own, if there is one to spare and one server tells all.
 */
#include <config.h>

#include <errno.h>

#include "error.h"
#include "map-answer.h"
#include "map-reader.h"
#include "nbd-connect.h"

/* About what clients ask for at once, which is less than 4 GiB.  With a part of
 * it, most of their waiting would be for what was not asked ahead.
 */
#define SLICE (3584ULL * 1024 * 1024)

struct MapReader {
  NbdPool *pool;
  NbdPool *bits;                /* tells what is dirty; often the same */
  char *context;                /* the one that tells dirty */
  guint64 dirty_from;           /* all from here on, nobody is asked */
  GMutex lock;                  /* held while a slice is read; guards: */
  DirtyMap *map;                /* writing; reading needs no lock */
  MapAnswer answers[2];         /* the latest, and the next */
  guint latest;
  guint64 slice;                /* bytes to ask for: SLICE, if not cut */
  struct nbd_handle *nbd;       /* borrowed from pool, or NULL; */
  gint64 cookie;                /* the next is asked for there; or -1 */
  bool alone;                   /* nothing is asked ahead (any more) */
  gint64 used;                  /* when; monotonic, microseconds */
  int failure;
};

static bool
is_under_way (MapReader *reader)
{
  return reader->cookie != -1 && nbd_aio_in_flight (reader->nbd) > 0
    && nbd_aio_is_dead (reader->nbd) != 1;
}

/* As long as something comes every so often, and until then. */
static void
receive (MapReader *reader, gint64 until)
{
  while (is_under_way (reader) && g_get_monotonic_time () < until
         && nbd_poll (reader->nbd, ATTENDANT_PATIENCE_MS) == 1)
    ;
}

static bool
attend (void *opaque)
{
  MapReader *reader = opaque;

  if (!g_mutex_trylock (&reader->lock))
    return true;
  if (g_get_monotonic_time () - reader->used >= ATTENDANT_IDLE_US)
    receive (reader, G_MAXINT64);
  const bool more = is_under_way (reader);
  g_mutex_unlock (&reader->lock);
  return more;
}

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
  reader->dirty_from = endpoint->full ? 0
    : bits ? nbd_pool_size (bits)
    : endpoint->server ? endpoint->dirty_from : G_MAXUINT64;
  g_mutex_init (&reader->lock);
  reader->map = dirty_map_new (nbd_pool_size (pool), coalesce,
                               DIRTY_MAP_MEMORY_LIMIT);
  for (guint i = 0; i < 2; i++)
    map_answer_init (&reader->answers[i], reader->context,
                     dirty->bitmap_context ? 0 : dirty->depth, want_zeroes);
  reader->slice = SLICE;
  reader->cookie = -1;
  reader->alone = reader->bits != pool;
  attendant_add (nbd_pool_attendant (pool), attend, reader);
  return reader;
}

/* Nothing is asked ahead from here on.  A connection that failed is of no use
 * to others.
 */
static void
end_asking (MapReader *reader, bool failed)
{
  reader->alone = true;
  if (reader->nbd && !failed)   /* or the server tells of a broken connection */
    receive (reader, g_get_monotonic_time () + NBD_GOODBYE_MS * 1000);
  if (reader->nbd && (failed || reader->cookie != -1))
    nbd_connect_close (reader->nbd);
  else if (reader->nbd)
    nbd_pool_return (reader->pool, reader->nbd);
  reader->nbd = NULL;
  reader->cookie = -1;
}

void
map_reader_free (MapReader *reader)
{
  if (!reader)
    return;
  attendant_remove (nbd_pool_attendant (reader->pool), reader);
  end_asking (reader, false);
  dirty_map_free (reader->map);
  for (guint i = 0; i < 2; i++)
    map_answer_clear (&reader->answers[i]);
  g_mutex_clear (&reader->lock);
  g_free (reader->context);
  g_free (reader);
}

/* The slice at offset, of which all may be known to be dirty. */
static guint64
slice_length (const MapReader *reader, guint64 offset, bool *all)
{
  const guint64 left = nbd_pool_size (reader->pool) - offset;

  *all = offset >= reader->dirty_from;
  return MIN (reader->slice,
              *all ? left : MIN (left, reader->dirty_from - offset));
}

/* Ask for the slice at offset, without waiting, where one request for it will
 * do.
 */
static void
begin_next (MapReader *reader, guint64 offset)
{
  MapAnswer *next = &reader->answers[!reader->latest];
  bool all;

  if (reader->alone || offset == nbd_pool_size (reader->pool))
    return;
  const guint64 length = slice_length (reader, offset, &all);
  if (all)
    return;
  if (!reader->nbd)
    reader->nbd = nbd_pool_borrow (reader->pool);
  if (!reader->nbd)
    return;
  map_answer_expect (next, offset, length, false);
  reader->cookie
    = nbd_pool_begin_block_status (reader->nbd, (guint32) length, offset,
                                   map_answer_keep, next);
  if (reader->cookie == -1)
    end_asking (reader, true);
}

/* The answer to what begin_next asked, or NULL if there is none: what it was
 * asked for may be asked by others, who say why it fails.
 */
static int
await_next (MapReader *reader, const MapAnswer **answer, GError **error)
{
  int errnum;

  *answer = NULL;
  if (reader->cookie == -1)
    return 0;
  const NbdAnswer ended
    = nbd_connect_wait (reader->nbd, reader->cookie, &errnum);
  if (ended == NBD_ANSWERED) {
    reader->cookie = -1;
    reader->latest = !reader->latest;
    *answer = &reader->answers[reader->latest];
    return 0;
  }
  if (errnum == ETIMEDOUT) {
    struct nbd_handle *nbd = g_steal_pointer (&reader->nbd);
    end_asking (reader, true);
    return nbd_pool_lose (reader->pool, nbd, errnum, error);
  }
  end_asking (reader, true);
  return 0;
}

/* Ask who must be asked; both contexts in one request if one server tells
 * them.
 */
static int
ask (MapReader *reader, guint64 offset, GError **error)
{
  MapAnswer *answer = &reader->answers[reader->latest];
  bool all;
  const guint64 length = slice_length (reader, offset, &all);
  int failure = 0;

  map_answer_expect (answer, offset, length, all);
  const bool apart
    = answer->wants_zeroes && (all || reader->bits != reader->pool);
  answer->asks_zeroes = answer->wants_zeroes && !apart;
  if (!all)
    failure = nbd_pool_block_status (reader->bits, (guint32) length, offset,
                                     map_answer_keep, answer, error);
  if (failure || !apart)
    return failure;
  answer->asks_dirty = false;
  answer->asks_zeroes = true;
  return nbd_pool_block_status (reader->pool, (guint32) length, offset,
                                map_answer_keep, answer, error);
}

static int
read_slice (MapReader *reader, GError **error)
{
  const guint64 offset = dirty_map_appended (reader->map);

  if (reader->cookie == -1)
    begin_next (reader, offset);
  const MapAnswer *answer;
  int failure = await_next (reader, &answer, error);
  if (!failure && !answer) {
    failure = ask (reader, offset, error);
    answer = &reader->answers[reader->latest];
  }
  if (failure)
    return failure;
  const guint64 covered = map_answer_covers (answer);
  if (covered == 0) {
    error_set (error, EPROTO, "cannot read the dirty map: the server says "
               "nothing of %s at %" G_GUINT64_FORMAT,
               offset >= reader->dirty_from ? NBD_CONTEXT_ALLOCATION
               : reader->context, offset);
    return EPROTO;
  }
  /* QEMU works all of it out before it cuts an answer. */
  reader->slice = MIN (SLICE, 2 * MAX (covered, SLICE / 64));
  begin_next (reader, offset + covered);
  map_answer_append (answer, reader->map, covered);
  return 0;
}

/* All of need's reading, under the lock. */
static int
read_up_to (MapReader *reader, guint64 offset, GError **error)
{
  if (reader->failure)
    return EIO;
  while (dirty_map_frontier (reader->map) < offset) {
    reader->failure = read_slice (reader, error);
    if (reader->failure)
      return EIO;
  }
  if (dirty_map_frontier (reader->map) == nbd_pool_size (reader->pool)) {
    end_asking (reader, false);
    for (guint i = 0; i < 2; i++)
      map_answer_clear (&reader->answers[i]);
  }
  return 0;
}

int
map_reader_need (MapReader *reader, guint64 offset, GError **error)
{
  if (dirty_map_frontier (reader->map) >= offset)
    return 0;

  g_mutex_lock (&reader->lock);
  const int failure = read_up_to (reader, offset, error);
  const bool more = is_under_way (reader);
  reader->used = g_get_monotonic_time ();
  g_mutex_unlock (&reader->lock);
  if (more)
    attendant_wake (nbd_pool_attendant (reader->pool));
  return failure;
}

const DirtyMap *
map_reader_map (const MapReader *reader)
{
  return reader->map;
}
