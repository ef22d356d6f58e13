/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Several reads in flight on one connection, borrowed from a pool.  Its user
 * queues what to read and says how much may be in flight; answers come in any
 * order, and are received by whoever waits for one: there is no thread.
 *
 * When the connection fails, so does all that is queued, in silence: the cause
 * may be a block that nobody asks for.  What failed is read, and reported, by
 * nbd_pool_pread.
 */
#pragma once

#include "nbd/pool.h"
#include "nbd/read.h"
#include "nbd/turns.h"

#define PIPELINE_PIECES 64
#define PIPELINE_RUNS 32
#define PIPELINE_TIMEOUT_MS 30000

typedef enum {
  PIECE_WANTED,                 /* not asked for yet */
  PIECE_READING,                /* libnbd may write to buffer */
  PIECE_READY,
  PIECE_FAILED
} PieceState;

typedef struct Pipeline Pipeline;
typedef struct PipelinePiece PipelinePiece;

typedef struct {
  guint64 begin, end;
} PipelineRun;

typedef struct {
  NbdRead read;                 /* first: callbacks are given it.  Its offset
                                 * and length are set when it is queued */
  guint32 at;                   /* in the piece's buffer */
  PipelinePiece *piece;
} PipelineRequest;

/* What is waited for together.  Each run in it is a request of its own. */
struct PipelinePiece {
  Pipeline *pipeline;
  PieceState state;
  bool done;                    /* it is ready, or has failed */
  guint takers;                 /* threads that wait for it, or copy */
  guint n_requests;
  PipelineRequest requests[PIPELINE_RUNS]; /* ascending */
  guint32 length;               /* of all runs */
  guint32 taken;                /* of it, or tried to */
  guint unanswered;             /* requests */
  bool failed;                  /* one of them */
  gint64 came;                  /* when the last of it did: nbd_pool_release */
  char *buffer;                 /* piece_bytes, or NULL */
};

/* All calls below are made with turns.lock held. */
struct Pipeline {
  NbdPool *pool;                /* borrowed */
  guint32 piece_bytes;          /* no piece is longer */
  guint64 window;               /* to be set at any time: no piece is begun while
                                 * as many bytes are in flight */
  NbdTurns turns;
  /* To be read by the user, but not changed: */
  guint takers;                 /* of all pieces */
  bool refused;                 /* the server did, and may hang up over it */
  bool ended;                   /* the connection was given up, for good */
  guint unanswered;             /* requests in flight, also if dropped */
  guint64 unanswered_bytes;     /* of pieces that are not all there */
  PipelinePiece pieces[PIPELINE_PIECES]; /* a ring: n queued, from first on */
  guint first, n;
  char *spare[PIPELINE_PIECES]; /* buffers of pieces that were popped */
  guint n_spare;
};

void pipeline_init (Pipeline *pipeline, NbdPool *pool, guint32 piece_bytes);
/* After pipeline_close, without the lock. */
void pipeline_clear (Pipeline *pipeline);

/* Have a connection to push to.  False if the pool has none to spare, or what
 * was dropped is still in flight: libnbd writes to its buffers.
 */
bool pipeline_open (Pipeline *pipeline);
/* Queue a piece of these runs, which lie behind all that is queued, and begin
 * as much as the window allows.  The queue must have room (PIPELINE_PIECES).
 */
void pipeline_push (Pipeline *pipeline, const PipelineRun *runs, guint n_runs);
/* A queued piece's number, from 0. */
guint pipeline_number (const Pipeline *pipeline, const PipelinePiece *piece);
/* The first piece, if its answers are all there or it failed, and nobody is
 * taking of it; or NULL.
 */
const PipelinePiece *pipeline_first_done (Pipeline *pipeline);
void pipeline_pop (Pipeline *pipeline);

/* The queued run with the byte at offset, or NULL.  *count is cut to the end of that run, or to the start of the next.
 */
const PipelineRequest *pipeline_find (Pipeline *pipeline, guint64 offset,
                                      guint32 *count);
/* Copy count bytes from there, after waiting for all of the piece, until the
 * budget's deadline and PIPELINE_TIMEOUT_MS at most.  False if it failed.  Gives
 * the lock up meanwhile: others may queue and take, but not pop this piece.  In
 * *came, when the last of it came.
 */
bool pipeline_take (const PipelineRequest *request, void *buffer, guint32 count,
                    guint64 offset, const NbdBudget *budget, gint64 *came);

/* Receive an answer, or the part of it that has come, and begin more; wait for
 * some as long as that if nothing has come.  False if nothing came, or another
 * thread receives.
 */
bool pipeline_receive (Pipeline *pipeline, int milliseconds);
/* Receive as long as something comes every so many milliseconds, but for no
 * more than a second.  True if nothing is in flight any more.
 */
bool pipeline_drain (Pipeline *pipeline, int patience);
/* Drop the queue, and give memory and connection back, unless something is in
 * flight, which is not waited for: then this is to be called again.  Does nothing
 * while somebody takes.
 */
void pipeline_rest (Pipeline *pipeline);
/* The same for good: wait for what is in flight, as long as that, and give the
 * connection up if that takes longer.  Nobody takes any more.
 */
void pipeline_close (Pipeline *pipeline, guint milliseconds);
