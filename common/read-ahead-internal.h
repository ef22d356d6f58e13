/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What read-ahead.c (whom to read ahead for, and what) and read-ahead-io.c
 * (the thread that reads) share.
 */
#ifndef COMMON_READ_AHEAD_INTERNAL_H
#define COMMON_READ_AHEAD_INTERNAL_H

#include "read-ahead.h"

/* A client of nbdcopy's kind reads in one place per connection, most often in
 * two or four.  A piece is what is waited for together: QEMU is fastest, and
 * threads are woken seldom, with some 512 KiB; the runs in it are requests of
 * their own.  More pieces only fall out of the processor's caches.  Measured:
 * bench/RESULTS.md.
 */
#define STREAMS 8
#define PIECES 4
#define PIECE_RUNS 32
#define PIECE_BYTES (READ_AHEAD_LIMIT / STREAMS / PIECES)

typedef enum {
  PIECE_WANTED,                 /* in ReadAhead.wanted */
  PIECE_READING,                /* the thread may write to buffer */
  PIECE_READY,
  PIECE_FAILED
} PieceState;

typedef struct {
  guint64 offset;
  guint32 length;
  guint32 at;                   /* in the piece's buffer */
} Run;

typedef struct {
  ReadAhead *ahead;
  PieceState state;
  guint n_runs;
  Run runs[PIECE_RUNS];         /* ascending */
  guint32 length;               /* of all runs */
  guint32 taken;                /* as much was handed out */
  guint users;                  /* threads that wait for it or copy from it */
  guint unanswered;             /* the thread's */
  bool refused;                 /* the thread's */
  GCond arrived;
  char *buffer;                 /* PIECE_BYTES, or NULL */
} Piece;

/* Somebody who reads in order. */
typedef struct {
  Piece pieces[PIECES];         /* a ring, ascending; n from first on */
  guint first, n;
  guint depth;                  /* n may be as much */
  guint64 from;                 /* where it began */
  guint64 next;                 /* what follows will be read ahead, or has to
                                 * be asked for to make this a stream */
  gint64 used;                  /* when; monotonic, microseconds */
} Stream;

struct ReadAhead {
  NbdPool *pool;
  const DirtyMap *map;
  GMutex lock;                  /* guards what follows, unless said above */
  GThread *thread;              /* NULL until there is a stream */
  bool stop, ended;             /* the thread shall; it has */
  GQueue wanted;                /* of Piece */
  GCond work;                   /* signalled with wanted and stop */
  Stream streams[STREAMS];
};

/* The thread, with the ReadAhead. */
gpointer read_ahead_thread (gpointer data);

/* Give the memory of streams back that were last used before then.  Call
 * with the lock held.  True if there is none left.
 */
bool read_ahead_shrink (ReadAhead *ahead, gint64 before);

#endif /* COMMON_READ_AHEAD_INTERNAL_H */
