/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Files are seen in windows.  The last ones that were read are open, and what
 * lies in them stays; the one that was not read for the longest time is closed
 * when another is opened.  Who reads through tables opens their windows again
 * with each look, so these stay open by themselves.
 */
#include <config.h>

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "image/drop-behind.h"

#define WINDOW_BITS 18          /* 256 KiB, what many clients ask for at once */
#define OPEN_LIMIT 96           /* for 4 connections with 16 requests each */

/* The kernel keeps pages in folios, and drops none that lies partly outside of
 * what it is told to drop.  They are aligned to their size, of 2 MiB at most.
 */
#define BEFORE (2 * 1024 * 1024 >> WINDOW_BITS)
/* How far it may have read ahead.  Its own default is 128 KiB, but hosts with
 * fast disks set some MiB.
 */
#define AHEAD (16 * 1024 * 1024 >> WINDOW_BITS)

typedef struct {
  int fd;
  guint64 number;
} Window;

/* Windows from first to before last. */
typedef struct {
  int fd;
  guint64 first, last;
} Range;

struct DropBehind {
  GMutex lock;                  /* guards: */
  guint count;
  Window open[OPEN_LIMIT];      /* the last read first */
};

DropBehind *
drop_behind_new (void)
{
  DropBehind *behind = g_new0 (DropBehind, 1);

  g_mutex_init (&behind->lock);
  return behind;
}

/* The window and its neighbours that are not open.  Our other readers are not
 * slower for it: who reads there now has a window open.
 */
static Range
range_around (const DropBehind *behind, Window window)
{
  Range range = { window.fd, window.number - MIN (window.number, BEFORE),
                  window.number + 1 + AHEAD };

  for (guint i = 0; i < behind->count; i++) {
    const Window *open = &behind->open[i];
    if (open->fd != window.fd)
      continue;
    if (open->number < window.number)
      range.first = MAX (range.first, open->number + 1);
    else
      range.last = MIN (range.last, open->number);
  }
  return range;
}

static void
drop (Range range)
{
  posix_fadvise (range.fd, (off_t) (range.first << WINDOW_BITS),
                 (off_t) ((range.last - range.first) << WINDOW_BITS),
                 POSIX_FADV_DONTNEED);
}

/* Take the window that was not read for the longest time out. */
static Range
close_oldest (DropBehind *behind)
{
  const Window oldest = behind->open[--behind->count];

  return range_around (behind, oldest);
}

/* Make it the last read.  True if another was closed for it. */
static bool
open_window (DropBehind *behind, Window window, Range *closed)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&behind->lock);
  Window *open = behind->open;
  bool is_full = false;
  guint at = 0;

  while (at < behind->count
         && (open[at].number != window.number || open[at].fd != window.fd))
    at++;
  if (at == behind->count) {
    is_full = behind->count == OPEN_LIMIT;
    if (is_full)
      *closed = close_oldest (behind);
    at = behind->count++;
  }
  memmove (open + 1, open, at * sizeof open[0]);
  open[0] = window;
  return is_full;
}

void
drop_behind_note (DropBehind *behind, int fd, guint64 offset, guint64 length)
{
  Window window = { fd, offset >> WINDOW_BITS };

  for (; length > 0 && window.number <= (offset + length - 1) >> WINDOW_BITS;
       window.number++) {
    Range closed;
    if (open_window (behind, window, &closed))
      drop (closed);
  }
}

void
drop_behind_free (DropBehind *behind)
{
  if (!behind)
    return;
  while (behind->count > 0)
    drop (close_oldest (behind));
  g_mutex_clear (&behind->lock);
  g_free (behind);
}
