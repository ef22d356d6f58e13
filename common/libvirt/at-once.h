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

/* Have all questions from 0 on asked, some at a time; returns when all are answered.
 * Where there are no threads left, one after another.
 */
void at_once (AtOnceAsk ask, void *opaque, guint count);
