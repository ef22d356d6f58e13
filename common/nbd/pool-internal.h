/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What pool.c (the connections), further.c (all but the first) and ask.c (what
 * is asked there) share.
 */
#pragma once

#include <libnbd.h>

#include "nbd/further.h"
#include "nbd/pool.h"

/* With fewer, threads wait for one another; more make nothing faster. */
#define CONNECTIONS 8

struct NbdPool {
  char *what;
  NbdLife *life;                /* borrowed */
  NbdWitness *witness;          /* borrowed, or NULL */
  Child *server;                /* if it is our own; borrowed */
  guint64 size;
  uint32_t minimum, preferred, maximum;
  Collector *collector;
  Further *further;             /* NULL: none are made */
  GMutex lock;                  /* guards what follows */
  GCond freed;
  struct nbd_handle *idle[CONNECTIONS];
  guint n_idle;
  guint n_kept;                 /* idle or in use, but not borrowed */
  int watched_fd;               /* of the first connection, which is never
                                 * borrowed, nor closed unless life is over
                                 * before; -1: it is closed */
  bool refusal_reported;
  _Atomic gint64 checked;       /* when; monotonic, microseconds */
  _Atomic gint64 shortest;      /* that an answer took, microseconds; 0: none */
};

/* One more connection (taken).  False: it is of no use, and *error is set unless
 * the server was lost before; then the life is over.
 */
bool nbd_pool_join (NbdPool *pool, struct nbd_handle *nbd, GError **error);
/* The server tells of another size than before. */
bool nbd_pool_two_sizes (const NbdPool *pool, GError **error);

/* A connection, for one answer of the budget; NULL with *failure. */
struct nbd_handle *nbd_pool_take (NbdPool *pool, NbdBudget *budget,
                                  int *failure);
void nbd_pool_give_back (NbdPool *pool, struct nbd_handle *nbd);

/* An answer took so long, in microseconds. */
void nbd_pool_note_answer (NbdPool *pool, gint64 took);

/* Why the server fails, to follow an errno's text; to be freed. */
char *nbd_pool_reason (NbdPool *pool);
