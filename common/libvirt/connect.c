/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A connection to libvirt's daemon, in bounded time.  virConnectOpen has no
 * limit: a daemon that is stopped, or far away, may take the connection and
 * never answer.  Once it has answered, libvirt's own signs of life are asked for.
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "libvirt/kept.h"

/* libvirtd is asked for a sign of life, and given up after three. */
#define KEEPALIVE_S 5
#define KEEPALIVE_COUNT 3

/* One for the thread that opens, one for the thread that waits. */
typedef struct {
  char *uri;
  bool writable;
  GMutex lock;
  GCond answered;
  gint users;                   /* atomic */
  bool is_over;
  bool is_given_up;             /* whoever opens it closes it, too */
  virConnectPtr connection;
  GError *refusal;
} Opening;

static void
opening_unref (Opening *opening)
{
  if (!g_atomic_int_dec_and_test (&opening->users))
    return;
  g_clear_error (&opening->refusal);
  g_mutex_clear (&opening->lock);
  g_cond_clear (&opening->answered);
  g_free (opening->uri);
  g_free (opening);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Opening, opening_unref)

static gpointer
open_it (gpointer data)
{
  g_autoptr (Opening) opening = data;
  virConnectPtr connection = opening->writable
    ? virConnectOpen (opening->uri) : virConnectOpenReadOnly (opening->uri);

  if (connection)
    virConnectSetKeepAlive (connection, KEEPALIVE_S, KEEPALIVE_COUNT);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&opening->lock);
  opening->is_over = true;
  if (!connection)
    hypervisor_error (&opening->refusal, "libvirt at %s", opening->uri);
  else if (!opening->is_given_up)
    opening->connection = connection;
  else
    virConnectClose (connection);
  g_cond_signal (&opening->answered);
  return NULL;
}

virConnectPtr
hypervisor_open (const char *uri, bool writable, int limit_ms, GError **error)
{
  g_autoptr (Opening) opening = g_new0 (Opening, 1);
  const gint64 deadline = g_get_monotonic_time () + limit_ms * 1000LL;

  opening->uri = g_strdup (uri);
  opening->writable = writable;
  opening->users = 2;
  g_mutex_init (&opening->lock);
  g_cond_init (&opening->answered);
  g_autoptr (GThread) thread
    = g_thread_try_new ("connect", open_it, opening, NULL);
  if (!thread) {
    opening_unref (opening);
    return error_null (error, EAGAIN, "libvirt at %s: cannot start a thread "
                       "that connects to it", uri);
  }
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&opening->lock);
  while (!opening->is_over && !opening->is_given_up)
    opening->is_given_up
      = !g_cond_wait_until (&opening->answered, &opening->lock, deadline);
  if (opening->connection)
    return opening->connection;
  if (!opening->refusal)
    error_set (&opening->refusal, ETIMEDOUT, "libvirt at %s: its daemon did "
               "not answer within %d s", uri, limit_ms / 1000);
  g_propagate_error (error, g_steal_pointer (&opening->refusal));
  return NULL;
}
