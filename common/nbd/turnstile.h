/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Nobody may connect to a QEMU of ours while it is told to add an export.  QEMU
 * 11.1 waits then until all its clients are quiet, and if one ends its negotiation
 * meanwhile, it is not told to be, and is waited for until it leaves
 * (block_export_add → bdrv_drain_all_begin → nbd_drained_poll).
 */
#pragma once

#include <glib.h>

/* Many can be in at a time, or one that is alone.  New ones stand behind one who
 * waits to be alone, which so has a bounded wait: as long as a connection takes.
 * One is made by nbd_turnstile_init.
 */
typedef struct {
  GMutex turn;
  GRWLock inside;
} NbdTurnstile;

void nbd_turnstile_init (NbdTurnstile *turnstile);
void nbd_turnstile_clear (NbdTurnstile *turnstile);

/* Before connecting, and after it: the same thread.  NULL is fine: others' servers
 * have none.
 */
void nbd_turnstile_enter (NbdTurnstile *turnstile);
void nbd_turnstile_leave (NbdTurnstile *turnstile);

/* Before and after the command: the same thread. */
void nbd_turnstile_clear_out (NbdTurnstile *turnstile);
void nbd_turnstile_open (NbdTurnstile *turnstile);
