/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The calling thread walks the maps, and gives threads what is to be read.  How
 * much is under way is bounded by the buffers there are.
 */
#include <config.h>

#include <string.h>

#include "view/compare.h"
#include "view/sample.h"

#define THREADS 6
#define ITEMS (THREADS + 2)
#define ITEM_BYTES (512 * 1024)
#define SECTOR 512

/* Bytes to be compared, and the memory for it. */
typedef struct {
  guint64 offset;
  guint32 length;
  bool reads_disk, reads_backup; /* else it is zeroes */
  guint8 *disk, *backup;        /* ITEM_BYTES each */
} Item;

typedef struct {
  const CompareRequest *request;
  CompareResult *result;
  GThreadPool *threads;
  GAsyncQueue *idle;            /* of Item */
  Item *begun;                  /* what follows may still be added; or NULL */
  guint64 block;                /* the last one that was sampled, or not; */
  bool takes_block;             /* which */
  GMutex lock;                  /* guards: */
  GError *failure;              /* and result's differing */
  gint ended;                   /* atomic: failure is set */
} Compare;

static void
fail (Compare *self, GError *failure)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  /* Of one loss, only who noticed it knows why, and so says more. */
  if (!self->failure
      || strlen (failure->message) > strlen (self->failure->message)) {
    g_clear_error (&self->failure);
    self->failure = failure;
  }
  else
    g_error_free (failure);
  g_atomic_int_set (&self->ended, 1);
}

/* ── Differences, which are rare ── */

typedef struct {
  Compare *compare;
  const Item *item;
} Difference;

static guint32
next_sector (guint64 offset, guint64 end)
{
  return (guint32) (MIN (end, offset - offset % SECTOR + SECTOR) - offset);
}

/* A CompareVisit. */
static bool
note_piece (void *opaque, const ComparePiece *piece)
{
  const Difference *difference = opaque;
  const Item *item = difference->item;
  Compare *self = difference->compare;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  Compared *compared = &self->result->classes[piece->class];
  guint32 count;

  for (guint64 at = piece->offset; at < piece->end; at += count) {
    const gsize place = at - item->offset;
    count = next_sector (at, piece->end);
    if (memcmp (item->disk + place, item->backup + place, count) != 0)
      tally_add (&compared->differing, at, count);
  }
  return true;
}

static bool
note (Compare *self, const Item *item, GError **error)
{
  Difference difference = { self, item };

  return compare_walk (&self->request->views, item->offset,
                       item->offset + item->length, note_piece, &difference,
                       error);
}

/* ── Reading ── */

static bool
fetch (OpenView *view, bool reads, guint8 *buffer, const Item *item,
       GError **error)
{
  if (reads)
    return open_view_read (view, buffer, item->length, item->offset, error);
  memset (buffer, 0, item->length);
  return true;
}

static bool
compare_item (Compare *self, const Item *item, GError **error)
{
  const CompareViews *views = &self->request->views;

  if (!fetch (views->disk, item->reads_disk, item->disk, item, error)
      || !fetch (views->backup, item->reads_backup, item->backup, item, error))
    return false;
  return memcmp (item->disk, item->backup, item->length) == 0
    || note (self, item, error);
}

/* In one of the threads. */
static void
work (gpointer data, gpointer opaque)
{
  Item *item = data;
  Compare *self = opaque;
  GError *failure = NULL;

  if (!g_atomic_int_get (&self->ended)
      && !compare_item (self, item, &failure))
    fail (self, failure);
  g_async_queue_push (self->idle, item);
}

/* ── What is to be read ── */

static void
send_begun (Compare *self)
{
  Item *item = g_steal_pointer (&self->begun);

  if (item)
    g_thread_pool_push (self->threads, item, NULL);
}

static bool
can_follow (const Item *item, guint64 offset, bool disk, bool backup)
{
  return item->offset + item->length == offset && item->reads_disk == disk
    && item->reads_backup == backup && offset % ITEM_BYTES != 0;
}

/* Waits while all buffers are in use. */
static void
add (Compare *self, guint64 offset, guint64 end, bool disk, bool backup)
{
  while (offset < end) {
    if (self->begun && !can_follow (self->begun, offset, disk, backup))
      send_begun (self);
    if (!self->begun) {
      self->begun = g_async_queue_pop (self->idle);
      self->begun->offset = offset;
      self->begun->length = 0;
      self->begun->reads_disk = disk;
      self->begun->reads_backup = backup;
    }
    const guint64 next
      = MIN (end, offset - offset % ITEM_BYTES + ITEM_BYTES);
    self->begun->length += (guint32) (next - offset);
    offset = next;
  }
}

/* Returns how many bytes of the piece are compared. */
static guint64
add_sample (Compare *self, const ComparePiece *piece)
{
  const CompareRequest *request = self->request;
  guint64 compared = 0, end;

  for (guint64 offset = piece->offset; offset < piece->end; offset = end) {
    const guint64 block = offset / SAMPLE_BLOCK;
    end = MIN (piece->end, (block + 1) * SAMPLE_BLOCK);
    if (block != self->block) {
      self->block = block;
      self->takes_block = sample_takes (request->seed, request->share, block);
      self->result->blocks++;
      self->result->sampled += self->takes_block;
    }
    if (self->takes_block) {
      add (self, offset, end, !piece->disk_is_zero, !piece->backup_is_zero);
      compared += end - offset;
    }
  }
  return compared;
}

/* A CompareVisit. */
static bool
take_piece (void *opaque, const ComparePiece *piece)
{
  Compare *self = opaque;
  const CompareRequest *request = self->request;
  Compared *compared = &self->result->classes[piece->class];
  const guint64 length = piece->end - piece->offset;

  compared->bytes += length;
  if (request->progress)
    request->progress (request->opaque, length);
  if (piece->class == COMPARE_EXCUSED)
    return true;
  if (piece->disk_is_zero && piece->backup_is_zero)
    compared->compared += length;
  else if (piece->class == COMPARE_CLEAN && request->share < 1)
    compared->compared += add_sample (self, piece);
  else {
    add (self, piece->offset, piece->end, !piece->disk_is_zero,
         !piece->backup_is_zero);
    compared->compared += length;
  }
  return !g_atomic_int_get (&self->ended);
}

/* ── All of it ── */

static void
item_free (gpointer data)
{
  Item *item = data;

  g_free (item->disk);
  g_free (item->backup);
  g_free (item);
}

static void
compare_init (Compare *self, const CompareRequest *request,
              CompareResult *result)
{
  *self = (Compare) { .request = request, .result = result,
                      .block = G_MAXUINT64 };
  g_mutex_init (&self->lock);
  self->idle = g_async_queue_new_full (item_free);
  for (guint i = 0; i < ITEMS; i++) {
    Item *item = g_new0 (Item, 1);
    item->disk = g_malloc (ITEM_BYTES);
    item->backup = g_malloc (ITEM_BYTES);
    g_async_queue_push (self->idle, item);
  }
  self->threads = g_thread_pool_new (work, self, THREADS, FALSE, NULL);
}

/* What was given to the threads is done before this returns. */
static void
compare_clear (Compare *self)
{
  g_thread_pool_free (self->threads, FALSE, TRUE);
  g_async_queue_unref (self->idle);
  g_mutex_clear (&self->lock);
}

void
compare_result_clear (CompareResult *result)
{
  for (guint i = 0; i < COMPARE_CLASSES; i++)
    tally_clear (&result->classes[i].differing);
}

bool
compare_run (const CompareRequest *request, CompareResult *result,
             GError **error)
{
  GError *failure = NULL;
  Compare compare;
  bool is_whole;

  *result = (CompareResult) { 0 };
  for (guint i = 0; i < COMPARE_CLASSES; i++)
    tally_init (&result->classes[i].differing);
  compare_init (&compare, request, result);
  is_whole = compare_walk (&request->views, 0, compare_end (&request->views),
                           take_piece, &compare, &failure);
  if (failure)
    fail (&compare, failure);
  send_begun (&compare);
  compare_clear (&compare);
  if (is_whole && !compare.failure)
    return true;
  g_propagate_error (error, compare.failure);
  return false;
}
