/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The cache's lock is never held while a server is waited for: each entry has
 * its own for that.  What nobody uses is bounded in number, for the
 * descriptors, and in memory, for the maps; the longest unused goes first.
 */
#include <config.h>

#include <errno.h>
#include <sys/resource.h>

#include "base/error.h"
#include "view/open-part.h"

#define IDLE_LIMIT 8
#define IDLE_MEMORY_LIMIT (64 * 1024 * 1024)

typedef struct {
  OpenPart opened;              /* first: clients hold a pointer to it */
  OpenParts *cache;
  const Disk *disk;
  Part part;                    /* the key, with disk */
  GMutex opening;               /* held while opened is filled in */
  guint users;                  /* guarded by the cache's lock */
} Entry;

struct OpenParts {
  Source *source;
  bool want_zeroes;
  guint64 coalesce;
  GMutex lock;                  /* guards: */
  GQueue entries;               /* of Entry, the latest used last */
};

static void
entry_free (Entry *entry)
{
  map_reader_free (entry->opened.reader);
  nbd_pool_free (entry->opened.bits);
  nbd_pool_free (entry->opened.pool);
  g_mutex_clear (&entry->opening);
  g_free (entry);
}

void
open_parts_raise_limit (void)
{
  struct rlimit files;

  if (getrlimit (RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit (RLIMIT_NOFILE, &files);
  }
}

OpenParts *
open_parts_new (Source *source, bool want_zeroes, guint64 coalesce)
{
  OpenParts *cache = g_new0 (OpenParts, 1);

  cache->source = source;
  cache->want_zeroes = want_zeroes;
  cache->coalesce = coalesce;
  g_mutex_init (&cache->lock);
  g_queue_init (&cache->entries);
  return cache;
}

void
open_parts_free (OpenParts *cache)
{
  if (!cache)
    return;
  g_queue_clear_full (&cache->entries, (GDestroyNotify) entry_free);
  g_mutex_clear (&cache->lock);
  g_free (cache);
}

/* The entry for a part, with one more user. */
static Entry *
use_entry (OpenParts *cache, const Disk *disk, const Part *part)
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
tells_zeroes (const OpenParts *cache, const Part *part)
{
  return part->kind == PART_DISK || cache->want_zeroes;
}

/* Does its pool tell of zeroes?  Who may not connect again negotiates for both. */
static bool
negotiates_zeroes (const OpenParts *cache, const Part *part)
{
  return cache->source->keeps_connections || tells_zeroes (cache, part);
}

/* Other entries of the disk that may have such connections, in use from now on. */
static GPtrArray *
use_donors (OpenParts *cache, const Entry *entry)
{
  GPtrArray *donors = g_ptr_array_new_with_free_func (
    (GDestroyNotify) open_part_release);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&cache->lock);

  for (GList *link = cache->entries.head; link; link = link->next) {
    Entry *other = link->data;
    if (other->part.kind == PART_DISK || other->disk != entry->disk
        || other->part.layer != entry->part.layer
        || !negotiates_zeroes (cache, &other->part))
      continue;
    other->users++;
    g_ptr_array_add (donors, &other->opened);
  }
  return donors;
}

/* The connections of an open part of that disk, where they tell all that the disk
 * itself needs; NULL: there are none.  A server may let in no other client, or
 * another may have taken its place.  Only the disk itself waits for others, so
 * nobody waits for it.
 */
static NbdPool *
share_pool (OpenParts *cache, const Entry *entry)
{
  g_autoptr (GPtrArray) donors = use_donors (cache, entry);

  for (guint i = 0; i < donors->len; i++) {
    Entry *other = g_ptr_array_index (donors, i);
    g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&other->opening);
    if (other->opened.pool)
      return nbd_pool_share (other->opened.pool);
  }
  return NULL;
}

/* A map that is derived from holes is read and checked before anybody is told of
 * it.
 */
static bool
is_believed (const OpenPart *opened, NbdPool *pool, GError **error)
{
  const int failure = nbd_pool_holes (pool)
    ? map_reader_learn (opened->reader, NULL, NULL, error) : 0;

  if (failure && error && !*error)
    error_set (error, failure, "its dirty map cannot be read");
  return !failure;
}

static bool
open_entry (OpenParts *cache, Entry *entry, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&entry->opening);
  g_auto (NbdEndpoint) endpoint = { 0 };
  Source *source = cache->source;
  const bool zeroes = tells_zeroes (cache, &entry->part);
  OpenPart *opened = &entry->opened;

  if (opened->pool)
    return true;
  /* An endpoint that is all zero says what is true of the disk itself. */
  g_autoptr (NbdPool) pool = entry->part.kind == PART_DISK
    ? share_pool (cache, entry) : NULL;
  if (!pool
      && source->ops->endpoint (source, entry->disk, &entry->part, &endpoint,
                                error))
    pool = nbd_pool_open (&endpoint,
                          negotiates_zeroes (cache, &entry->part), error);
  if (!pool)
    return false;
  if (endpoint.bits) {
    opened->bits = nbd_pool_open (endpoint.bits, false, error);
    if (!opened->bits)
      return false;
  }
  if (source->ops->direct)
    opened->direct = source->ops->direct (source, entry->disk);
  opened->reader = map_reader_new (pool, opened->bits, &endpoint, zeroes,
                                   cache->coalesce);
  if (!is_believed (opened, pool, error)) {
    g_clear_pointer (&opened->reader, map_reader_free);
    return false;
  }
  opened->pool = g_steal_pointer (&pool);
  return true;
}

/* Take unused entries beyond the limits out; the caller frees them. */
static GSList *
take_surplus (OpenParts *cache)
{
  GSList *surplus = NULL;
  gsize memory = 0;
  guint idle = 0;

  for (GList *link = cache->entries.tail, *next; link; link = next) {
    Entry *entry = link->data;
    const OpenPart *opened = &entry->opened;
    next = link->prev;
    if (entry->users > 0 || (cache->source->keeps_connections && opened->pool))
      continue;
    idle++;
    if (opened->pool)
      memory += dirty_map_memory (map_reader_map (opened->reader));
    if (!opened->pool || idle > IDLE_LIMIT || memory > IDLE_MEMORY_LIMIT) {
      surplus = g_slist_prepend (surplus, entry);
      g_queue_delete_link (&cache->entries, link);
    }
  }
  return surplus;
}

void
open_part_release (OpenPart *opened)
{
  Entry *entry = (Entry *) opened;
  OpenParts *cache = entry->cache;

  g_mutex_lock (&cache->lock);
  entry->users--;
  GSList *surplus = take_surplus (cache);
  g_mutex_unlock (&cache->lock);
  g_slist_free_full (surplus, (GDestroyNotify) entry_free);
}

OpenPart *
open_part_acquire (OpenParts *cache, const Disk *disk, const Part *part,
                   GError **error)
{
  Entry *entry = use_entry (cache, disk, part);

  if (open_entry (cache, entry, error))
    return &entry->opened;
  open_part_release (&entry->opened);
  return NULL;
}

/* May bytes, of which the last came at that moment, be handed out?  What is
 * read ahead goes on coming while the proof is waited for.
 */
static int
release (const OpenPart *opened, ReadAhead *ahead, gint64 came,
         const NbdBudget *budget, GError **error)
{
  const NbdLife *life = nbd_pool_life (opened->pool);

  if (opened->direct)           /* right if the server still locks the files */
    return nbd_pool_check (opened->pool, error);
  while (ahead && !nbd_witness_confirms (nbd_pool_witness (opened->pool), came)
         && !nbd_life_is_over (life) && nbd_budget_left (budget->deadline) > 0
         && read_ahead_go_on (ahead, 1))
    ;
  return nbd_pool_release (opened->pool, came, budget, error);
}

static int
read_whole (const OpenPart *opened, ReadAhead *ahead, void *buffer,
            guint32 count, guint64 offset, NbdBudget *budget, GError **error)
{
  gint64 last = 0;

  while (count > 0) {
    guint32 others = count, done = 0;
    gint64 came = 0;

    if (opened->direct)
      done = direct_read (opened->direct, buffer, count, offset, &others);
    else if (ahead)
      done = read_ahead_take (ahead, buffer, count, offset, &others, &came,
                              budget);
    if (done == 0) {
      const int failure = nbd_pool_pread (opened->pool, buffer, done = others,
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
  return release (opened, ahead, last, budget, error);
}

int
open_part_pread (const OpenPart *opened, ReadAhead *ahead, void *buffer,
                 guint32 count, guint64 offset, NbdBudget *budget,
                 GError **error)
{
  if (!ahead)
    return read_whole (opened, NULL, buffer, count, offset, budget, error);
  read_ahead_enter (ahead, count);
  const int failure
    = read_whole (opened, ahead, buffer, count, offset, budget, error);
  read_ahead_leave (ahead, count);
  return failure;
}

GPtrArray *
open_part_acquire_all (OpenParts *cache, const Disk *disk,
                       const GPtrArray *parts, GError **error)
{
  g_autoptr (GPtrArray) all
    = g_ptr_array_new_with_free_func ((GDestroyNotify) open_part_release);

  for (guint i = 0; i < parts->len; i++) {
    OpenPart *opened
      = open_part_acquire (cache, disk, g_ptr_array_index (parts, i), error);
    if (!opened)
      return NULL;
    g_ptr_array_add (all, opened);
  }
  return g_steal_pointer (&all);
}
