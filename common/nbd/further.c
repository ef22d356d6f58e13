/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A server may let in fewer clients than multi-conn promises: who is not let in
 * is no loss.
 */
#include <config.h>

#include <errno.h>

#include "nbd/connect.h"
#include "nbd/pool-internal.h"

/* A server at its limit of clients leaves the next one waiting in silence
 * (qemu-nbd --shared).
 */
#define TIMEOUT_MS 1000

struct Further {
  NbdPool *pool;
  NbdEndpoint endpoint;         /* what of it is needed to connect */
  bool want_zeroes;
  bool waited_for;
  GThread *threads[CONNECTIONS - 1];
  GMutex lock;                  /* guards: */
  GError *error;                /* if it is waited for: the first */
};

Further *
further_new (NbdPool *pool, const NbdEndpoint *endpoint, bool want_zeroes)
{
  Further *further = g_new0 (Further, 1);

  further->pool = pool;
  nbd_endpoint_copy (&further->endpoint, endpoint);
  further->want_zeroes = want_zeroes;
  g_mutex_init (&further->lock);
  return further;
}

static void
tell (Further *further, GError *error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&further->lock);

  if (!further->waited_for)
    reporter_warn_error (further->endpoint.reporter, error);
  else if (!further->error)
    further->error = g_error_copy (error);
}

static gpointer
connect_one (gpointer data)
{
  Further *further = data;
  g_autoptr (GError) refusal = NULL, error = NULL;
  struct nbd_handle *nbd
    = nbd_connect_endpoint (&further->endpoint, further->want_zeroes,
                            TIMEOUT_MS, &refusal);

  if (nbd)
    nbd_pool_join (further->pool, nbd, &error);
  else if (refusal->code == EOVERFLOW /* nbd_check_export */
           && nbd_life_end (further->endpoint.life))
    nbd_pool_two_sizes (further->pool, &error);
  if (error)
    tell (further, error);
  return NULL;
}

static void
begin (void *opaque)
{
  Further *further = opaque;

  for (guint i = 0; i < G_N_ELEMENTS (further->threads); i++)
    further->threads[i]
      = g_thread_try_new ("connect", connect_one, further, NULL);
}

static void
wait_for_all (Further *further)
{
  for (guint i = 0; i < G_N_ELEMENTS (further->threads); i++)
    if (further->threads[i])
      g_thread_join (g_steal_pointer (&further->threads[i]));
}

bool
further_join_all (Further *further, GError **error)
{
  further->waited_for = true;
  begin (further);
  wait_for_all (further);
  if (!further->error)
    return true;
  g_propagate_error (error, g_steal_pointer (&further->error));
  return false;
}

bool
further_may_join_later (const NbdEndpoint *endpoint)
{
  return endpoint->reporter
    && (nbd_life_is_serving (endpoint->life)
        || (endpoint->uri && g_str_has_prefix (endpoint->uri, "nbd://")));
}

void
further_join_later (Further *further)
{
  nbd_life_when_serving (further->endpoint.life, begin, further);
}

void
further_free (Further *further)
{
  if (!further)
    return;
  nbd_life_forget (further->endpoint.life, further);
  wait_for_all (further);
  g_clear_error (&further->error);
  g_mutex_clear (&further->lock);
  nbd_endpoint_clear (&further->endpoint);
  g_free (further);
}
