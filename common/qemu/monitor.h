/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A running QEMU, by its monitor's socket: a guest's, or a storage daemon that
 * others started.
 */
#pragma once

#include "qemu/qmp.h"

typedef struct Monitor Monitor;

/* Connect, and negotiate.  EBUSY: it is silent, as one is that another client
 * holds; EPROTO: it is no such monitor; or as dial_socket.  life: borrowed.
 */
Monitor *monitor_open (const char *path, const NbdLife *life, GError **error);
/* The connection fd (taken) of a process that has negotiated, and waits for nothing
 * while we ask.
 */
Monitor *monitor_join (const char *path, int fd, const NbdLife *life);
/* NULL is fine. */
void monitor_free (Monitor *monitor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Monitor, monitor_free)

/* Borrowed. */
Qmp *monitor_qmp (const Monitor *monitor);

/* The same monitor, for a process that was forked and outlives us: what we still
 * wait for is of no concern to it.  Takes monitor's place.
 */
Qmp *monitor_qmp_anew (Monitor *monitor);

/* Has it hung up, so that QEMU has ended, or we were thrown out? */
bool monitor_is_gone (const Monitor *monitor);

/* Borrowed. */
int monitor_fd (const Monitor *monitor);

/* What QEMU calls path, seen from here: its relative paths are its folder's.  A
 * new string.
 */
char *monitor_path (const Monitor *monitor, const char *path);
