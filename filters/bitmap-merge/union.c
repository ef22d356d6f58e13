/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The unions that were read, by the export's name.  Where more of them are
 * unused than one map's memory, the longest unused go first.  A union that
 * could not be read is not kept.
 */
#include <config.h>

#include <stdbool.h>
#include <string.h>

#include "bitmap-merge/union.h"

#define IDLE_MEMORY_LIMIT ((gsize) 64 * 1024 * 1024)

typedef struct {
  Union united;                 /* first: clients hold a pointer to it */
  guint users;                  /* guarded by lock */
} Entry;

static GMutex reading;          /* held while a union is filled in: one at a
                                 * time, for the memory that takes */
static GMutex lock;             /* not held meanwhile; guards: */
static GQueue entries = G_QUEUE_INIT; /* of Entry, the latest used last */

static void
entry_free (Entry *entry)
{
  g_free (entry->united.name);
  g_clear_pointer (&entry->united.parts, g_ptr_array_unref);
  dirty_map_free (entry->united.map);
  g_free (entry);
}

/* The entry for a name, with one more user. */
static Entry *
use_entry (const char *name)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);

  for (GList *link = entries.head; link; link = link->next) {
    Entry *entry = link->data;
    if (strcmp (entry->united.name, name) == 0) {
      entry->users++;
      g_queue_unlink (&entries, link);
      g_queue_push_tail_link (&entries, link);
      return entry;
    }
  }
  Entry *entry = g_new0 (Entry, 1);
  entry->united.name = g_strdup (name);
  entry->users = 1;
  g_queue_push_tail (&entries, entry);
  return entry;
}

static bool
fill_entry (nbdkit_backend *backend, Entry *entry, GPtrArray *parts)
{
  Union *united = &entry->united;

  if (g_atomic_pointer_get (&united->map))
    return true;                /* nobody waits for another union */
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&reading);
  if (united->map)
    return true;
  g_clear_pointer (&united->parts, g_ptr_array_unref);
  united->parts = parts ? g_ptr_array_ref (parts)
    : union_find_parts (backend, united->name);
  return united->parts && union_read (backend, united);
}

/* Take unused entries beyond the limit out; the caller frees them. */
static GSList *
take_surplus (void)
{
  GSList *surplus = NULL;
  gsize memory = 0;

  for (GList *link = entries.tail, *next; link; link = next) {
    Entry *entry = link->data;
    next = link->prev;
    if (entry->users > 0)
      continue;
    if (entry->united.map)
      memory += dirty_map_memory (entry->united.map);
    if (!entry->united.map || memory > IDLE_MEMORY_LIMIT) {
      surplus = g_slist_prepend (surplus, entry);
      g_queue_delete_link (&entries, link);
    }
  }
  return surplus;
}

void
union_release (const Union *acquired)
{
  Entry *entry = (Entry *) acquired;

  g_mutex_lock (&lock);
  entry->users--;
  GSList *surplus = take_surplus ();
  g_mutex_unlock (&lock);
  g_slist_free_full (surplus, (GDestroyNotify) entry_free);
}

const Union *
union_acquire (nbdkit_backend *backend, const char *name, GPtrArray *parts)
{
  Entry *entry = use_entry (name);

  if (fill_entry (backend, entry, parts))
    return &entry->united;
  union_release (&entry->united);
  return NULL;
}

void
unions_free (void)
{
  g_queue_clear_full (&entries, (GDestroyNotify) entry_free);
}
