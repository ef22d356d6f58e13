/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Messages between two of our own processes on one machine, over a stream
 * socket: a kind and some texts each.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* Larger messages are neither sent nor received (EMSGSIZE). */
#define MESSAGE_MAX_BYTES (32 * 1024 * 1024)

typedef struct {
  guint kind;                   /* what the two agreed on */
  char **texts;                 /* NULL-terminated, owned */
  bool has_fd;
  int fd;                       /* that came with it, owned */
} Message;

void message_clear (Message *message);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Message, message_clear)

/* Send a message; texts is NULL-terminated.  Waits while the other side does
 * not read.  False with errno: EPIPE when it is gone (no signal is raised).
 */
bool message_send (int fd, guint kind, const char *const *texts);

/* The same with a copy of a descriptor (unix(7), SCM_RIGHTS), which exists from
 * then on, even while the message is not received.
 */
bool message_send_fd (int fd, guint kind, const char *const *texts,
                      int attached);

/* Take the descriptor that came with a message; close () it.  -1: none. */
int message_take_fd (Message *message);

/* Receive the next message within timeout_ms.  False with errno: ETIMEDOUT,
 * ECONNRESET when the other side is gone, EPROTO when it sends something else.
 */
bool message_receive (int fd, int timeout_ms, Message *message);

/* The text at an index, "" beyond the last.  Borrowed. */
const char *message_text (const Message *message, guint index);
