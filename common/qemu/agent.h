/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The QEMU guest agent, which freezes a guest's file systems.  Whoever can write
 * in the guest may be it, so nothing that it says is trusted, nor waited for long.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

typedef struct Agent Agent;

/* Connect, and have it answer: what it says later is said to us.  ETIMEDOUT: it
 * is silent; or as dial_socket.
 */
Agent *agent_open (const char *path, GError **error);
/* Thaws what is still frozen.  NULL is fine. */
void agent_free (Agent *agent);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Agent, agent_free)

/* Freeze the guest's file systems.  A process beside us thaws them when we have
 * ended in whatever way.  On failure nothing is frozen, unless the message says
 * so.  EBUSY: somebody else has frozen them.
 */
bool agent_freeze (Agent *agent, GError **error);

/* Thaw them.  On failure that process tries on for ten minutes; the message says
 * first what it means for the guest.
 */
bool agent_thaw (Agent *agent, GError **error);
