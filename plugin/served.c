/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The cache's lock is never held while a server is waited for: each entry has
 * its own for that.  What nobody uses is bounded in number, for the
 * descriptors, and in memory, for the maps; the longest unused goes first.
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
open_entry (const ServedCache *cache, Entry *entry, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&entry->opening);
  g_auto (NbdEndpoint) endpoint = { 0 };
  Source *source = cache->source;
  const bool zeroes = cache->view->tells_zeroes;
  Served *served = &entry->served;

  if (served->pool)
    return true;
  if (!source->ops->endpoint (source, entry->disk, &entry->part, &endpoint,
                              error))
    return false;
  g_autoptr (NbdPool) pool = nbd_pool_open (&endpoint, zeroes, error);
  if (!pool)
    return false;
  if (endpoint.bits) {
    served->bits = nbd_pool_open (endpoint.bits, false, error);
    if (!served->bits)
      return false;
  }
  if (source->ops->direct)
    served->direct = source->ops->direct (source, entry->disk);
  served->pool = g_steal_pointer (&pool);
  served->reader = map_reader_new (served->pool, served->bits, &endpoint,
                                   zeroes, cache->coalesce);
  return true;
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
    const Served *served = &entry->served;
    next = link->prev;
    if (entry->users > 0 || (cache->source->keeps_connections && served->pool))
      continue;
    idle++;
    if (served->pool)
      memory += dirty_map_memory (map_reader_map (served->reader));
    if (!served->pool || idle > IDLE_LIMIT || memory > IDLE_MEMORY_LIMIT) {
      surplus = g_slist_prepend (surplus, entry);
      g_queue_delete_link (&cache->entries, link);
    }
  }
  return surplus;
}

void
served_release (Served *served)
{
  Entry *entry = (Entry *) served;
  ServedCache *cache = entry->cache;

  g_mutex_lock (&cache->lock);
  entry->users--;
  GSList *surplus = take_surplus (cache);
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
  served_release (&entry->served);
  return NULL;
}

/* May bytes, of which the last came at that moment, be handed out?  What is
 * read ahead goes on coming while the proof is waited for.
 */
static int
release (const Served *served, ReadAhead *ahead, gint64 came,
         const NbdBudget *budget, GError **error)
{
  const NbdLife *life = nbd_pool_life (served->pool);

  if (served->direct)           /* right if the server still locks the files */
    return nbd_pool_check (served->pool, error);
  while (ahead && !nbd_witness_confirms (nbd_pool_witness (served->pool), came)
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

GPtrArray *
served_acquire_all (ServedCache *cache, const Disk *disk,
                    const GPtrArray *parts, int except, GError **error)
{
  g_autoptr (GPtrArray) all
    = g_ptr_array_new_with_free_func ((GDestroyNotify) served_release);

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
