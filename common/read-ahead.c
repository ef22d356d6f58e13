/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * While a client takes one answer, the server is already at its next ones, on
 * a connection of that client's own.  The thread that serves the client also
 * receives what is read ahead, just before it is asked for: nobody is woken
 * on the way, and the bytes are still in the processor's cache.
 *
 * When that connection fails, all is read by nbd_pool_pread: the failure may
 * be of a block that nobody asks for.
 */
#include <config.h>

#include <string.h>
#include <libnbd.h>

#include "nbd-connect.h"
#include "read-ahead.h"

/* A piece is what is waited for together: QEMU is fastest with some 512 KiB.
 * The runs in it are requests of their own.  More pieces only fall out of the
 * processor's caches.  Measured: bench/RESULTS.md.
 */
#define PIECES 4
#define PIECE_RUNS 32
#define PIECE_BYTES (READ_AHEAD_BYTES / PIECES)
/* The server has the next piece at hand, and no more: what it reads too early
 * is in no cache any more when it sends it.
 */
#define UNANSWERED_LIMIT (2 * PIECE_BYTES)
/* A reader asks for its next request, or with many under way, for one of the
 * next few.  Of one who then left most of it out, such as one of several who
 * take turns, it must be the very next.
 */
#define EXPECTED_RUNS 4

typedef enum {
  PIECE_WANTED,                 /* not asked for yet */
  PIECE_READING,                /* libnbd may write to buffer */
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
  guint unanswered;             /* requests */
  bool refused;                 /* one of them */
  char *buffer;                 /* PIECE_BYTES, or NULL */
} Piece;

struct ReadAhead {
  NbdPool *pool;
  const DirtyMap *map;
  struct nbd_handle *nbd;       /* NULL: nobody reads in order */
  bool ended;                   /* the connection was lost */
  guint unanswered;             /* requests */
  guint32 unanswered_bytes;     /* of pieces that are not all there */
  Piece pieces[PIECES];         /* a ring, ascending; n from first on */
  guint first, n;
  guint depth;                  /* n may be as much; 0: nothing was asked for */
  bool leaves_out;              /* it has left out more than it took */
  guint64 next;                 /* what follows will be read ahead, or has to
                                 * be asked for to make this a stream */
};

ReadAhead *
read_ahead_new (NbdPool *pool, const DirtyMap *map)
{
  ReadAhead *ahead = g_new0 (ReadAhead, 1);

  ahead->pool = pool;
  ahead->map = map;
  for (guint i = 0; i < PIECES; i++)
    ahead->pieces[i].ahead = ahead;
  return ahead;
}

static Piece *
nth_piece (ReadAhead *ahead, guint n)
{
  return &ahead->pieces[(ahead->first + n) % PIECES];
}

static guint64
run_end (const Run *run)
{
  return run->offset + run->length;
}

/* The next dirty run as far as the map is known, of at most `most` bytes, and
 * within one aligned piece, since requests are aligned, too.  Zeroes are not
 * read by those who look at the map.
 */
static bool
next_run (const DirtyMap *map, guint64 offset, guint32 most, Run *run)
{
  const guint64 known = dirty_map_frontier (map);
  guint64 end;

  for (; offset < known; offset = end) {
    if (dirty_map_lookup (map, offset, known, &end) != DIRTY_MAP_DIRTY)
      continue;
    const guint64 border = (offset / PIECE_BYTES + 1) * PIECE_BYTES;
    run->offset = offset;
    run->length = (guint32) MIN (MIN (end, border) - offset, most);
    return true;
  }
  return false;
}

/* Does a request at offset go on where this stream is? */
static bool
is_expected (const ReadAhead *ahead, guint64 offset)
{
  Run run = { .offset = ahead->next };

  if (ahead->depth == 0 || offset < ahead->next)
    return false;
  for (guint i = 0; i < (ahead->leaves_out ? 1 : EXPECTED_RUNS); i++) {
    if (!next_run (ahead->map, run_end (&run), PIECE_BYTES, &run)
        || offset < run.offset)
      return false;
    if (offset < run_end (&run))
      return true;
  }
  return false;
}

static void
answered (Piece *piece, bool refused)
{
  piece->refused = piece->refused || refused;
  if (--piece->unanswered > 0)
    return;
  piece->ahead->unanswered_bytes -= piece->length;
  piece->state = piece->refused ? PIECE_FAILED : PIECE_READY;
}

static int
read_completed (void *opaque, int *error)
{
  Piece *piece = opaque;

  piece->ahead->unanswered--;
  answered (piece, *error != 0);
  return 1;
}

/* Send what a piece needs.  The last answer may come before this returns. */
static void
begin_piece (ReadAhead *ahead, Piece *piece)
{
  const guint n_runs = piece->n_runs;

  if (!piece->buffer)
    piece->buffer = g_malloc (PIECE_BYTES);
  piece->state = PIECE_READING;
  piece->refused = false;
  ahead->unanswered_bytes += piece->length;
  piece->unanswered = n_runs;
  for (guint i = 0; i < n_runs; i++) {
    const Run run = piece->runs[i];
    ahead->unanswered++;
    if (nbd_aio_pread (ahead->nbd, piece->buffer + run.at, run.length,
                       run.offset,
                       (nbd_completion_callback) {
                         .callback = read_completed, .user_data = piece },
                       0) == -1) {
      ahead->unanswered--;
      answered (piece, true);
    }
  }
}

static void
begin_wanted (ReadAhead *ahead)
{
  for (guint i = 0; i < ahead->n; i++) {
    Piece *piece = nth_piece (ahead, i);
    if (ahead->unanswered_bytes >= UNANSWERED_LIMIT)
      return;
    if (piece->state == PIECE_WANTED)
      begin_piece (ahead, piece);
  }
}

/* Give the connection up.  Afterwards libnbd writes to no buffer. */
static void
end (ReadAhead *ahead)
{
  ahead->ended = true;
  g_clear_pointer (&ahead->nbd, nbd_close);
  ahead->unanswered = 0;
  for (guint i = 0; i < PIECES; i++)
    if (ahead->pieces[i].state != PIECE_READY)
      ahead->pieces[i].state = PIECE_FAILED;
}

/* Receive what has come, and wait for something as long as that if nothing
 * has.
 */
static void
receive (ReadAhead *ahead, int milliseconds)
{
  if (nbd_poll (ahead->nbd, milliseconds) == -1
      || nbd_aio_is_dead (ahead->nbd) == 1
      || nbd_aio_is_closed (ahead->nbd) == 1)
    end (ahead);
  else
    begin_wanted (ahead);
}

static gint64
deadline_in (guint milliseconds)
{
  return g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND;
}

/* Wait for something, but not beyond the deadline. */
static void
receive_until (ReadAhead *ahead, gint64 deadline)
{
  const gint64 left = deadline - g_get_monotonic_time ();

  if (left > 0)
    receive (ahead, (int) (left / G_TIME_SPAN_MILLISECOND + 1));
  else
    end (ahead);
}

/* Wait until nothing is on its way. */
static void
settle (ReadAhead *ahead, guint milliseconds)
{
  const gint64 deadline = deadline_in (milliseconds);

  while (ahead->unanswered > 0)
    receive_until (ahead, deadline);
}

/* Nobody reads in order any more.  What is on its way is received later: the
 * client does not wait for it.
 */
static void
rest (ReadAhead *ahead)
{
  ahead->n = 0;
  if (ahead->unanswered > 0)
    receive (ahead, 0);
  if (ahead->unanswered > 0)
    return;
  if (ahead->nbd)
    nbd_pool_return (ahead->pool, g_steal_pointer (&ahead->nbd));
  for (guint i = 0; i < PIECES; i++)
    g_clear_pointer (&ahead->pieces[i].buffer, g_free);
}

void
read_ahead_free (ReadAhead *ahead)
{
  if (!ahead)
    return;
  ahead->n = 0;
  settle (ahead, NBD_GOODBYE_MS);
  rest (ahead);
  g_free (ahead);
}

static void
want_piece (ReadAhead *ahead)
{
  Piece *piece = nth_piece (ahead, ahead->n);

  piece->n_runs = piece->length = piece->taken = 0;
  while (piece->n_runs < PIECE_RUNS && piece->length < PIECE_BYTES) {
    Run *run = &piece->runs[piece->n_runs];
    if (!next_run (ahead->map, ahead->next, PIECE_BYTES - piece->length,
                   run))
      break;
    run->at = piece->length;
    piece->length += run->length;
    piece->n_runs++;
    ahead->next = run_end (run);
  }
  if (piece->n_runs == 0)
    return;
  piece->state = PIECE_WANTED;
  ahead->n++;
}

static void
read_on (ReadAhead *ahead)
{
  guint before;

  if (ahead->ended)
    return;
  if (ahead->n == 0)            /* a new stream: what was left of the last */
    settle (ahead, READ_AHEAD_TIMEOUT_MS);
  if (!ahead->nbd)
    ahead->nbd = nbd_pool_borrow (ahead->pool);
  if (!ahead->nbd)
    return;
  do {
    before = ahead->n;
    if (before < ahead->depth)
      want_piece (ahead);
  } while (ahead->n > before);
  begin_wanted (ahead);
  if (ahead->n == 0)
    rest (ahead);
  else if (ahead->unanswered > 0)
    receive (ahead, 0);         /* or the server waits for room in the socket */
}

/* Forget pieces that were handed out, and those that a reader who is at
 * piece n has left behind.  False if most of one was of no use.
 */
static bool
forget_behind (ReadAhead *ahead, guint n)
{
  bool useful = true;

  while (ahead->n > 0) {
    const Piece *piece = nth_piece (ahead, 0);
    if (piece->state == PIECE_WANTED || piece->state == PIECE_READING
        || (piece->taken < piece->length && n <= PIECES / 2))
      break;
    useful = useful && piece->taken >= piece->length / 4 * 3;
    ahead->first = (ahead->first + 1) % PIECES;
    ahead->n--;
    n -= n > 0;
    ahead->depth = MIN (ahead->depth * 2, PIECES);
  }
  return useful;
}

/* A stream may begin there. */
static void
begin_anew (ReadAhead *ahead, guint64 next)
{
  rest (ahead);
  ahead->next = next;
  ahead->depth = 1;
}

/* The reader is at piece n, and at that offset. */
static void
go_on (ReadAhead *ahead, guint n, guint64 offset)
{
  if (forget_behind (ahead, n)) {
    read_on (ahead);
    return;
  }
  ahead->leaves_out = true;
  begin_anew (ahead, offset);
}

/* What was not read ahead is asked for: it is where the stream goes on, or
 * where a new one may begin.
 */
static void
note_request (ReadAhead *ahead, guint64 offset, guint64 end)
{
  if (!is_expected (ahead, offset)) {
    begin_anew (ahead, end);
    return;
  }
  ahead->next = end;
  go_on (ahead, G_MAXUINT, end);
}

/* The run with this byte in it, or NULL and in *before how far it is to the
 * piece's next run.
 */
static const Run *
find_run (const Piece *piece, guint64 offset, guint64 *before)
{
  for (guint i = 0; i < piece->n_runs; i++) {
    const Run *run = &piece->runs[i];
    if (offset < run->offset) {
      *before = MIN (*before, run->offset - offset);
      return NULL;
    }
    if (offset < run_end (run))
      return run;
  }
  return NULL;
}

guint32
read_ahead_take (ReadAhead *ahead, void *buffer, guint32 count,
                 guint64 offset, guint32 *others)
{
  guint64 before = count;

  for (guint n = 0; n < ahead->n; n++) {
    Piece *piece = nth_piece (ahead, n);
    const Run *run = find_run (piece, offset, &before);
    if (!run)
      continue;
    count = (guint32) MIN (count, run_end (run) - offset);
    *others = count;
    const gint64 deadline = deadline_in (READ_AHEAD_TIMEOUT_MS);
    while (piece->state == PIECE_WANTED || piece->state == PIECE_READING)
      receive_until (ahead, deadline);
    const bool ready = piece->state == PIECE_READY;
    if (ready)
      memcpy (buffer, piece->buffer + run->at + (offset - run->offset),
              count);
    piece->taken += count;
    go_on (ahead, n, offset + count);
    return ready ? count : 0;
  }
  *others = (guint32) before;
  if (!ahead->ended)
    note_request (ahead, offset, offset + before);
  return 0;
}
