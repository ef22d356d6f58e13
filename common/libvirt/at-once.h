/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Questions to libvirt that are asked at once: each takes a round trip.
 */
#pragma once

#include <glib.h>

/* Ask the question of that number, in whatever thread.  libvirt's last error is that
 * thread's.
 */
typedef void (*AtOnceAsk) (void *opaque, guint which);

/* Questions from 0 to count. */
typedef struct {
  AtOnceAsk ask;
  void *opaque;
  guint count;
} AtOnce;

/* Have all questions of all groups asked, some at a time, in that order; returns when
 * all are answered.  Where there are no threads left, one after another.
 */
void at_once (const AtOnce *groups, guint count);
