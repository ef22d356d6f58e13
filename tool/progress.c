/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A thread draws, so that a line whose command waits for a server tells of that.
 * No escape sequences are used: a line is taken away by blanks, which every
 * terminal knows.  It is one column shorter than the terminal, where some would
 * begin another line.
 */
#include <config.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tool/progress.h"
#include "tool/table.h"

#define TICK_US 250000
#define WIDTH 80
/* The rate is that of the last few seconds, so that it tells of a server that has
 * become slow.
 */
#define SAMPLES 20
#define DAY_S 86400

struct Progress {
  const char *doing;
  guint64 total;
  gint64 begun;                 /* monotonic, microseconds */
  _Atomic guint64 done;
  GThread *thread;              /* NULL: nothing is drawn */
  GCond over;
  bool is_over;                 /* guarded by the screen's lock, as are */
  guint64 samples[SAMPLES];     /* done, at the latest ticks, */
  gint64 times[SAMPLES];        /* and when */
  guint ticks;
};

/* The terminal is one, and who prints messages knows no Progress. */
static struct {
  GMutex lock;
  gsize drawn;                  /* columns; 0: there is no line */
} screen;

static gsize
columns (void)
{
  struct winsize size;

  return ioctl (STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0
    ? size.ws_col : WIDTH;
}

/* Another job may have the terminal, as after a shell's bg. */
static bool
is_ours (void)
{
  return isatty (STDERR_FILENO) == 1
    && tcgetpgrp (STDERR_FILENO) == getpgrp ();
}

/* Under the lock, as all that draws.  The terminal may have added ^C. */
static void
wipe (void)
{
  const gsize blanks = MIN (screen.drawn + 2, columns () - 1);

  if (screen.drawn > 0)
    fprintf (stderr, "\r%*s\r", (int) blanks, "");
  screen.drawn = 0;
}

static void
draw (const char *line)
{
  const gsize width = MIN (columns (), 1000) - 1;
  const gsize length = MIN (strlen (line), width);
  const gsize before = MIN (screen.drawn, width);

  fprintf (stderr, "\r%.*s%*s", (int) length, line,
           before > length ? (int) (before - length) : 0, "");
  fflush (stderr);
  screen.drawn = MAX (length, before);
}

static char *
time_left (guint64 bytes, double rate)
{
  const double seconds = rate > 0 ? (double) bytes / rate : DAY_S;
  const guint whole = seconds < DAY_S ? (guint) seconds : DAY_S;

  return whole >= DAY_S ? g_strdup ("")
    : whole >= 3600 ? g_strdup_printf (", %u:%02u h left", whole / 3600,
                                       whole / 60 % 60)
    : g_strdup_printf (", %u:%02u min left", whole / 60, whole % 60);
}

/* Bytes a second. */
static double
measure (Progress *self, guint64 done, gint64 now)
{
  const guint at = self->ticks++ % SAMPLES;
  const bool is_full = self->ticks > SAMPLES;
  const guint64 before = is_full ? self->samples[at] : 0;
  const gint64 since = is_full ? self->times[at] : self->begun;

  self->samples[at] = done;
  self->times[at] = now;
  return now > since ? (double) (done - before) * 1e6 / (double) (now - since)
    : 0;
}

static char *
make_line (Progress *self)
{
  const guint64 done = atomic_load (&self->done);
  const double rate = measure (self, done, g_get_monotonic_time ());
  g_autofree char *so_far = table_size (done);
  g_autofree char *all = table_size (self->total);
  g_autofree char *speed = table_size ((guint64) rate);

  if (self->total == 0)
    return g_strdup_printf ("%s: %s, %s/s", self->doing, so_far, speed);
  const guint64 left = self->total - MIN (done, self->total);
  g_autofree char *when = time_left (left, rate);
  return g_strdup_printf ("%s: %s of %s (%u%%), %s/s%s", self->doing, so_far,
                          all, (guint) (100 * ((double) (self->total - left)
                                               / (double) self->total)),
                          speed, when);
}

static void *
run (void *opaque)
{
  Progress *self = opaque;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&screen.lock);

  while (!self->is_over) {
    if (g_cond_wait_until (&self->over, &screen.lock,
                           g_get_monotonic_time () + TICK_US)
        || !is_ours ())
      continue;
    g_autofree char *line = make_line (self);
    draw (line);
  }
  return NULL;
}

Progress *
progress_new (const char *doing, guint64 total)
{
  Progress *self = g_new0 (Progress, 1);

  self->doing = doing;
  self->total = total;
  self->begun = g_get_monotonic_time ();
  g_cond_init (&self->over);
  if (isatty (STDERR_FILENO) == 1)
    self->thread = g_thread_new ("progress", run, self);
  return self;
}

void
progress_free (Progress *self)
{
  if (!self)
    return;
  g_mutex_lock (&screen.lock);
  self->is_over = true;
  g_cond_signal (&self->over);
  g_mutex_unlock (&screen.lock);
  if (self->thread)
    g_thread_join (self->thread);
  progress_make_room ();
  g_cond_clear (&self->over);
  g_free (self);
}

void
progress_add (Progress *self, guint64 bytes)
{
  if (self)
    atomic_fetch_add_explicit (&self->done, bytes, memory_order_relaxed);
}

void
progress_reach (void *opaque, guint64 done)
{
  ProgressPart *part = opaque;

  progress_add (part->progress, done - part->done);
  part->done = done;
}

void
progress_make_room (void)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&screen.lock);

  wipe ();
  fflush (stderr);
}
