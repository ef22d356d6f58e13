/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * QEMU's machine protocol over a pair of pipes, or a socket: one command, one
 * answer.
 * Source: docs/interop/qmp-spec of QEMU 7.2.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>
#include <json-glib/json-glib.h>

#include "nbd/life.h"

typedef struct Qmp Qmp;

/* A monitor that reads fd_in and writes fd_out (both stay the caller's).  Waits
 * for the greeting and leaves negotiation mode.  No wait lasts longer than
 * until life is told to end.  life and peer, which is QEMU's name in messages,
 * are borrowed.
 */
Qmp *qmp_new (const char *peer, int fd_in, int fd_out, const NbdLife *life,
              GError **error);
/* Where others have negotiated already, such as a process that was killed in the
 * middle, and maybe wait for answers still.  turn: which of them we are, from 1.
 */
Qmp *qmp_new_joined (const char *peer, int fd, guint turn,
                     const NbdLife *life);
void qmp_free (Qmp *qmp);
/* How long an answer may take from now on, instead of 30 seconds. */
void qmp_set_patience (Qmp *qmp, guint seconds);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Qmp, qmp_free)

/* Execute a command.  arguments is taken, and may be NULL.  The answer's
 * "return" member goes to *answer unless that is NULL (json_node_unref).
 * QEMU's own refusal is EINVAL with QEMU's words.  A monitor that is gone or
 * does not answer in time is EIO, and so is all that is asked after that: a
 * late answer must not be taken for another's.  One thread at a time.
 */
bool qmp_execute (Qmp *qmp, const char *command, JsonObject *arguments,
                  JsonNode **answer, GError **error);

/* An object of members that are texts: name, value, …, NULL. */
JsonObject *qmp_texts (const char *name, ...) G_GNUC_NULL_TERMINATED;

/* Drop the events that have come.  *told: one of them was of that name.  False:
 * the other side is gone, or sends what is no event.
 */
bool qmp_hear (Qmp *qmp, const char *event, bool *told);
