/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What read-ahead.c (what to read ahead) and read-ahead-io.c (how) share.  All
 * is called with ReadAhead.busy held.
 */
#ifndef COMMON_NBD_READ_AHEAD_INTERNAL_H
#define COMMON_NBD_READ_AHEAD_INTERNAL_H

#include <stdatomic.h>
#include <libnbd.h>

#include "nbd/read-ahead.h"
#include "nbd/read.h"

/* A piece is what is waited for together: QEMU is fastest with some 512 KiB.
 * The runs in it are requests of their own.  More pieces only fall out of the
 * processor's caches.  Measured: bench/RESULTS.md.
 */
#define PIECES_USUAL 4
#define PIECES 16
#define PIECE_RUNS 32
#define PIECE_BYTES (READ_AHEAD_BYTES / PIECES_USUAL)

typedef enum {
  PIECE_WANTED,                 /* not asked for yet */
  PIECE_READING,                /* libnbd may write to buffer */
  PIECE_READY,
  PIECE_FAILED
} PieceState;

typedef struct Piece Piece;

typedef struct {
  guint64 offset;
  guint32 length;
  guint32 at;                   /* in the piece's buffer */
  NbdRead read;
  Piece *piece;
} Run;

struct Piece {
  ReadAhead *ahead;
  PieceState state;
  guint n_runs;
  Run runs[PIECE_RUNS];         /* ascending */
  guint32 length;               /* of all runs */
  guint32 taken;                /* as much was handed out */
  guint unanswered;             /* requests */
  bool failed;                  /* one of them */
  gint64 came;                  /* when the last of it did */
  char *buffer;                 /* PIECE_BYTES, or NULL */
};

struct ReadAhead {
  NbdPool *pool;
  const DirtyMap *map;
  atomic_bool attended;         /* busy is held by the attendant */
  GMutex busy;                  /* guards what follows */
  struct nbd_handle *nbd;       /* NULL: nobody reads in order */
  bool refused;                 /* the server did, and may hang up over it */
  bool ended;                   /* the connection was given up */
  gint64 used;                  /* when; monotonic, microseconds */
  guint unanswered;             /* requests */
  guint32 unanswered_bytes;     /* of pieces that are not all there */
  Piece pieces[PIECES];         /* a ring, ascending; n from first on */
  guint first, n;
  guint most;                   /* depth is at most as much */
  guint depth;                  /* n may be as much; 0: nothing was asked for */
  bool leaves_out;              /* it has left out more than it took */
  guint64 read_to;              /* the end of the last request */
  guint64 next;                 /* what follows will be read ahead, or has to
                                 * be asked for to make this a stream */
};

/* The nth piece, if there is one, or the next to be used. */
static inline Piece *
nth_piece (ReadAhead *ahead, guint n)
{
  return &ahead->pieces[(ahead->first + n) % PIECES];
}

/* Ask for as much of what is wanted as the server should have at hand. */
void read_ahead_begin_wanted (ReadAhead *ahead);
/* Receive an answer, or the part of it that has come; wait for some as long as
 * that if nothing has.  False if nothing came.
 */
bool read_ahead_receive (ReadAhead *ahead, int milliseconds);
/* Wait for the piece until it is there or has failed. */
void read_ahead_await (ReadAhead *ahead, const Piece *piece,
                       const NbdBudget *budget);
/* Receive as long as something comes every so many milliseconds.  True if
 * nothing is on its way any more.
 */
bool read_ahead_drain (ReadAhead *ahead, int patience);
/* Wait until nothing is on its way, and give the connection up if that takes
 * longer.
 */
void read_ahead_settle (ReadAhead *ahead, guint milliseconds);
/* An Attend for a ReadAhead. */
bool read_ahead_attend (void *ahead);
/* Nobody reads in order any more: give memory and connection back, unless
 * something is on its way, for which the client does not wait.
 */
void read_ahead_rest (ReadAhead *ahead);

#endif /* COMMON_NBD_READ_AHEAD_INTERNAL_H */
