/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What pool.c (the connections), further.c (all but the first) and ask.c (what
 * is asked there) share.
 */
#pragma once

#include "nbd/further.h"
#include "nbd/pool.h"
#include "nbd/turns.h"

/* With more requests than this, some share a connection; more connections make
 * nothing faster.
 */
#define CONNECTIONS 8
/* QEMU refuses to read more at once (NBD_MAX_BUFFER_SIZE). */
#define READ_LIMIT (32 * 1024 * 1024)

typedef enum {
  LANE_EMPTY,                   /* never made, or lost */
  LANE_OPEN,
  LANE_LENT
} LaneState;

/* A place for a connection. */
typedef struct {
  NbdTurns turns;
  LaneState state;              /* guarded by the pool's lock, as users are */
  guint users;                  /* threads that ask on it */
  guint64 asked;                /* bytes, of them all */
} NbdLane;

struct NbdPool {
  gatomicrefcount users;        /* see nbd_pool_share */
  char *what;
  NbdLife *life;                /* borrowed */
  NbdWitness *witness;          /* borrowed, or NULL */
  Child *server;                /* if it is our own; borrowed */
  NbdHoles holes;
  guint64 size;
  uint32_t minimum, preferred, maximum;
  Collector *collector;
  Further *further;             /* NULL: none are made */
  GMutex lock;                  /* guards what follows */
  GCond freed;                  /* a lane has fewer users */
  NbdLane lanes[CONNECTIONS];   /* the first is never lent, nor closed unless
                                 * life is over before */
  guint n_lanes;                /* ever used */
  int watched_fd;               /* of the first; -1: there is none */
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

/* A connection that nobody uses, or else with the fewest users, for one answer of
 * the budget, of so many bytes; NULL with *failure.  Waits while it has
 * more to bring than half of what one answer may.
 */
NbdLane *nbd_pool_take (NbdPool *pool, guint32 bytes, NbdBudget *budget,
                        int *failure);
void nbd_pool_give_back (NbdPool *pool, NbdLane *lane, guint32 bytes);
/* It does not answer, and so the server is lost.  Call with its lock held, and
 * give it back afterwards all the same.
 */
int nbd_pool_lose_lane (NbdPool *pool, NbdLane *lane, int errnum,
                        GError **error);

/* An answer took so long, in microseconds. */
void nbd_pool_note_answer (NbdPool *pool, gint64 took);

/* Why the server fails, to follow an errno's text; to be freed. */
char *nbd_pool_reason (NbdPool *pool);
