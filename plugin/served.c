/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The cache's lock is never held while a server is waited for: each entry
 * has its own for that.  What nobody uses is bounded in number (descriptors)
 * and in memory (maps); the longest unused goes first.
 */
#include <config.h>

#include <sys/resource.h>

#include "plugin/served.h"

#define IDLE_LIMIT 8
#define IDLE_MEMORY_LIMIT (64 * 1024 * 1024)

typedef struct {
  Served served;                /* first: clients hold a pointer to it */
  ServedCache *cache;
  const Disk *disk;
  Part part;                    /* the key, with disk */
  GMutex opening;               /* held while served is filled in */
  guint users;                  /* guarded by the cache's lock */
} Entry;

struct ServedCache {
  Source *source;
  const View *view;
  guint64 coalesce;
  GMutex lock;                  /* guards: */
  GQueue entries;               /* of Entry, the latest used last */
};

static void
entry_free (Entry *entry)
{
  map_reader_free (entry->served.reader);
  nbd_pool_free (entry->served.bits);
  nbd_pool_free (entry->served.pool);
  g_mutex_clear (&entry->opening);
  g_free (entry);
}

void
served_raise_limit (void)
{
  struct rlimit files;

  if (getrlimit (RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit (RLIMIT_NOFILE, &files);
  }
}

ServedCache *
served_cache_new (Source *source, const View *view, guint64 coalesce)
{
  ServedCache *cache = g_new0 (ServedCache, 1);

  cache->source = source;
  cache->view = view;
  cache->coalesce = coalesce;
  g_mutex_init (&cache->lock);
  g_queue_init (&cache->entries);
  return cache;
}

void
served_cache_free (ServedCache *cache)
{
  if (!cache)
    return;
  g_queue_clear_full (&cache->entries, (GDestroyNotify) entry_free);
  g_mutex_clear (&cache->lock);
  g_free (cache);
}

/* The entry for a part, with one more user. */
static Entry *
use_entry (ServedCache *cache, const Disk *disk, const Part *part)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&cache->lock);

  for (GList *link = cache->entries.head; link; link = link->next) {
    Entry *entry = link->data;
    if (entry->disk == disk && part_equal (&entry->part, part)) {
      entry->users++;
      g_queue_unlink (&cache->entries, link);
      g_queue_push_tail_link (&cache->entries, link);
      return entry;
    }
  }
  Entry *entry = g_new0 (Entry, 1);
  entry->cache = cache;
  entry->disk = disk;
  entry->part = *part;
  entry->users = 1;
  g_mutex_init (&entry->opening);
  g_queue_push_tail (&cache->entries, entry);
  return entry;
}

static bool
open_entry (ServedCache *cache, Entry *entry, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&entry->opening);
  g_auto (NbdEndpoint) endpoint = { 0 };

  if (entry->served.pool)
    return true;
  if (!cache->source->ops->endpoint (cache->source, entry->disk,
                                     &entry->part, &endpoint, error))
    return false;
  g_autoptr (NbdPool) pool
    = nbd_pool_open (&endpoint, cache->view->tells_zeroes, error);
  if (!pool)
    return false;
  if (endpoint.bits) {
    entry->served.bits = nbd_pool_open (endpoint.bits, false, error);
    if (!entry->served.bits)
      return false;
  }
  if (cache->source->ops->direct)
    entry->served.direct
      = cache->source->ops->direct (cache->source, entry->disk);
  entry->served.pool = g_steal_pointer (&pool);
  entry->served.reader
    = map_reader_new (entry->served.pool, entry->served.bits, &endpoint,
                      cache->view->tells_zeroes, cache->coalesce);
  return true;
}

static gsize
entry_memory (const Entry *entry)
{
  return entry->served.reader
    ? dirty_map_memory (map_reader_map (entry->served.reader)) : 0;
}

/* Take unused entries beyond the limits out; the caller frees them. */
static GSList *
take_surplus (ServedCache *cache)
{
  GSList *surplus = NULL;
  gsize memory = 0;
  guint idle = 0;

  for (GList *link = cache->entries.tail, *next; link; link = next) {
    Entry *entry = link->data;
    next = link->prev;
    if (entry->users > 0
        || (cache->source->keeps_connections && entry->served.pool))
      continue;
    idle++;
    memory += entry_memory (entry);
    if (!entry->served.pool || idle > IDLE_LIMIT
        || memory > IDLE_MEMORY_LIMIT) {
      surplus = g_slist_prepend (surplus, entry);
      g_queue_delete_link (&cache->entries, link);
    }
  }
  return surplus;
}

void
served_release (ServedCache *cache, Served *served)
{
  Entry *entry = (Entry *) served;
  GSList *surplus;

  g_mutex_lock (&cache->lock);
  entry->users--;
  surplus = take_surplus (cache);
  g_mutex_unlock (&cache->lock);
  g_slist_free_full (surplus, (GDestroyNotify) entry_free);
}

Served *
served_acquire (ServedCache *cache, const Disk *disk, const Part *part,
                GError **error)
{
  Entry *entry = use_entry (cache, disk, part);

  if (open_entry (cache, entry, error))
    return &entry->served;
  served_release (cache, &entry->served);
  return NULL;
}

/* The bytes have come; the last of them at that moment.  What is read ahead
 * goes on coming while the proof is waited for.
 */
static int
release (const Served *served, ReadAhead *ahead, gint64 came,
         const NbdBudget *budget, GError **error)
{
  const NbdLife *life = nbd_pool_life (served->pool);

  if (served->direct)           /* right if the server still locks the files */
    return nbd_pool_check (served->pool, error);
  while (ahead && !nbd_pool_may_release (served->pool, came)
         && !nbd_life_is_over (life) && nbd_budget_left (budget->deadline) > 0
         && read_ahead_go_on (ahead, 1))
    ;
  return nbd_pool_release (served->pool, came, budget, error);
}

int
served_pread (const Served *served, ReadAhead *ahead, void *buffer,
              guint32 count, guint64 offset, NbdBudget *budget,
              GError **error)
{
  gint64 last = 0;

  while (count > 0) {
    guint32 others = count, done = 0;
    gint64 came = 0;

    if (served->direct)
      done = direct_read (served->direct, buffer, count, offset, &others);
    else if (ahead)
      done = read_ahead_take (ahead, buffer, count, offset, &others, &came,
                              budget);
    if (done == 0) {
      const int failure = nbd_pool_pread (served->pool, buffer, done = others,
                                          offset, budget, error);
      if (failure)
        return failure;
      came = g_get_monotonic_time ();
    }
    last = MAX (last, came);
    buffer = (char *) buffer + done;
    offset += done;
    count -= done;
  }
  return release (served, ahead, last, budget, error);
}

int
served_dirty_bytes (const Served *served, NbdBudget *budget, guint64 *bytes,
                    GError **error)
{
  g_auto (MapView) view = { 0 };
  const int failure
    = map_reader_need (served->reader, 0, nbd_pool_size (served->pool),
                       budget, &view, error);

  *bytes = dirty_map_dirty_bytes (map_reader_map (served->reader));
  return failure;
}

static void
release_entry (gpointer served)
{
  Entry *entry = served;

  served_release (entry->cache, served);
}

GPtrArray *
served_acquire_all (ServedCache *cache, const Disk *disk,
                    const GPtrArray *parts, int except, GError **error)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (release_entry);

  for (guint i = 0; i < parts->len; i++) {
    if ((int) i == except)
      continue;
    Served *served
      = served_acquire (cache, disk, g_ptr_array_index (parts, i), error);
    if (!served)
      return NULL;
    g_ptr_array_add (all, served);
  }
  return g_steal_pointer (&all);
}
