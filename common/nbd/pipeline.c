/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What was dropped stays in the ring until its answers are in, as libnbd writes
 * to its buffers until then, or until the connection is closed.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "nbd/connect.h"
#include "nbd/pipeline.h"

/* The longest wait for what is in flight once life is over. */
#define LIFE_OVER_MS 100U
/* The longest time for receiving what nobody waits for. */
#define DRAIN_US G_TIME_SPAN_SECOND

/* The nth piece, if there is one, or the next to be used. */
static PipelinePiece *
nth_piece (Pipeline *pipeline, guint n)
{
  return &pipeline->pieces[(pipeline->first + n) % PIPELINE_PIECES];
}

/* An NbdReadEnded. */
static void
answered (NbdRead *read, int errnum)
{
  const bool refused = errnum != 0;
  PipelinePiece *piece = ((PipelineRequest *) (void *) read)->piece;
  Pipeline *pipeline = piece->pipeline;

  pipeline->unanswered--;
  pipeline->refused = pipeline->refused || refused;
  piece->failed = piece->failed || refused;
  nbd_read_clear (read);
  if (--piece->unanswered > 0)
    return;
  pipeline->unanswered_bytes -= piece->length;
  piece->state = piece->failed ? PIECE_FAILED : PIECE_READY;
  piece->done = true;
  piece->came = g_get_monotonic_time ();
}

/* From the system, so that it gets all back: malloc would keep most. */
static char *
map_buffer (const Pipeline *pipeline)
{
  char *buffer = mmap (NULL, pipeline->piece_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  return buffer != MAP_FAILED ? buffer : NULL;
}

static void
unmap_buffer (const Pipeline *pipeline, char *buffer)
{
  if (buffer)
    munmap (buffer, pipeline->piece_bytes);
}

/* Send what a piece needs.  The last answer may come before this returns. */
static void
begin_piece (Pipeline *pipeline, PipelinePiece *piece)
{
  if (!piece->buffer)           /* the last that was used is in the caches */
    piece->buffer = pipeline->n_spare > 0
      ? pipeline->spare[--pipeline->n_spare] : map_buffer (pipeline);
  if (!piece->buffer) {
    piece->state = PIECE_FAILED;
    piece->done = true;
    return;
  }
  piece->state = PIECE_READING;
  piece->failed = false;
  piece->unanswered = piece->n_requests;
  pipeline->unanswered += piece->n_requests;
  pipeline->unanswered_bytes += piece->length;
  for (guint i = 0; i < piece->n_requests; i++) {
    PipelineRequest *request = &piece->requests[i];
    NbdRead *read = &request->read;
    if (nbd_read_begin (read, pipeline->turns.nbd, piece->buffer + request->at,
                        read->length, read->offset, answered) == -1)
      answered (read, EIO);
  }
}

/* Begin as much of the queue as the window allows. */
static void
begin_queued (void *opaque)
{
  Pipeline *pipeline = opaque;

  for (guint i = 0; i < pipeline->n; i++) {
    PipelinePiece *piece = nth_piece (pipeline, i);
    if (pipeline->unanswered_bytes >= pipeline->window)
      return;
    if (piece->state == PIECE_WANTED)
      begin_piece (pipeline, piece);
  }
}

void
pipeline_init (Pipeline *pipeline, NbdPool *pool, guint32 piece_bytes)
{
  *pipeline = (Pipeline) { .pool = pool, .piece_bytes = piece_bytes };
  nbd_turns_init (&pipeline->turns, nbd_pool_life (pool));
  pipeline->turns.received = begin_queued;
  pipeline->turns.opaque = pipeline;
}

void
pipeline_push (Pipeline *pipeline, const PipelineRun *runs, guint n_runs)
{
  PipelinePiece *piece = nth_piece (pipeline, pipeline->n++);

  piece->pipeline = pipeline;
  piece->state = PIECE_WANTED;
  piece->done = false;
  piece->length = piece->taken = 0;
  piece->n_requests = n_runs;
  for (guint i = 0; i < n_runs; i++) {
    PipelineRequest *request = &piece->requests[i];
    request->piece = piece;
    request->at = piece->length;
    request->read.offset = runs[i].begin;
    request->read.length = (guint32) (runs[i].end - runs[i].begin);
    piece->length += request->read.length;
  }
  begin_queued (pipeline);
}

guint
pipeline_number (const Pipeline *pipeline, const PipelinePiece *piece)
{
  const guint at = (guint) (piece - pipeline->pieces);

  return (at + PIPELINE_PIECES - pipeline->first) % PIPELINE_PIECES;
}

const PipelinePiece *
pipeline_first_done (Pipeline *pipeline)
{
  const PipelinePiece *piece = nth_piece (pipeline, 0);

  return pipeline->n > 0 && piece->done && piece->takers == 0 ? piece : NULL;
}

void
pipeline_pop (Pipeline *pipeline)
{
  PipelinePiece *piece = nth_piece (pipeline, 0);

  if (piece->buffer)
    pipeline->spare[pipeline->n_spare++] = g_steal_pointer (&piece->buffer);
  pipeline->first = (pipeline->first + 1) % PIPELINE_PIECES;
  pipeline->n--;
}

/* Give the connection up.  Afterwards libnbd writes to no buffer.  Others may
 * take meanwhile, and are told that nothing comes.
 */
static void
end (Pipeline *pipeline)
{
  pipeline->ended = true;
  nbd_connect_drop (nbd_pool_life (pipeline->pool),
                    nbd_turns_take (&pipeline->turns));
  pipeline->unanswered = pipeline->unanswered_bytes = 0;
  for (guint i = 0; i < PIPELINE_PIECES; i++) {
    PipelinePiece *piece = &pipeline->pieces[i];
    if (piece->state == PIECE_READING)
      for (guint j = 0; j < piece->n_requests; j++)
        nbd_read_clear (&piece->requests[j].read);
    if (piece->state != PIECE_READY)
      piece->state = PIECE_FAILED;
    piece->done = true;
  }
}

bool
pipeline_receive (Pipeline *pipeline, int milliseconds)
{
  const int came
    = nbd_turns_receive (&pipeline->turns, milliseconds,
                         nbd_deadline_in (PIPELINE_TIMEOUT_MS));

  if (came == -1)
    end (pipeline);
  return came > 0;
}

/* Wait for something, but not beyond the deadline. */
static void
receive_until (Pipeline *pipeline, gint64 deadline)
{
  const gint64 left = deadline - g_get_monotonic_time ();

  if (left > 0)
    pipeline_receive (pipeline, (int) (left / G_TIME_SPAN_MILLISECOND + 1));
  else
    end (pipeline);
}

const PipelineRequest *
pipeline_find (Pipeline *pipeline, guint64 offset, guint32 *count)
{
  for (guint n = 0; n < pipeline->n; n++) {
    const PipelinePiece *piece = nth_piece (pipeline, n);
    for (guint i = 0; i < piece->n_requests; i++) {
      const NbdRead *read = &piece->requests[i].read;
      const guint64 end = read->offset + read->length;
      if (offset >= end)
        continue;
      const bool inside = offset >= read->offset;
      *count = (guint32) MIN (*count, (inside ? end : read->offset) - offset);
      return inside ? &piece->requests[i] : NULL;
    }
  }
  return NULL;
}

bool
pipeline_take (const PipelineRequest *request, void *buffer, guint32 count,
               guint64 offset, const NbdBudget *budget, gint64 *came)
{
  PipelinePiece *piece = request->piece;
  Pipeline *pipeline = piece->pipeline;
  const gint64 deadline = MIN (nbd_deadline_in (PIPELINE_TIMEOUT_MS),
                               budget->deadline);

  pipeline->takers++;
  piece->takers++;
  if (!piece->done
      && nbd_turns_wait (&pipeline->turns, &piece->done, deadline))
    end (pipeline);
  const bool ready = piece->state == PIECE_READY;
  *came = piece->came;
  if (ready) {
    g_mutex_unlock (&pipeline->turns.lock);
    memcpy (buffer, piece->buffer + request->at
            + (offset - request->read.offset), count);
    g_mutex_lock (&pipeline->turns.lock);
  }
  piece->taken += count;
  piece->takers--;
  pipeline->takers--;
  return ready;
}

bool
pipeline_drain (Pipeline *pipeline, int patience)
{
  const gint64 end = g_get_monotonic_time () + DRAIN_US;

  while (pipeline->unanswered > 0 && pipeline_receive (pipeline, patience)
         && g_get_monotonic_time () < end)
    ;
  return pipeline->unanswered == 0;
}

bool
pipeline_open (Pipeline *pipeline)
{
  /* Receiving what was dropped is the shortest way to read on. */
  if (pipeline->n == 0 && !pipeline_drain (pipeline, 1))
    return false;
  if (!pipeline->turns.nbd && !pipeline->ended) {
    pipeline->turns.nbd = nbd_pool_borrow (pipeline->pool);
    pipeline->turns.failure = 0;
  }
  return pipeline->turns.nbd && !pipeline->ended;
}

void
pipeline_rest (Pipeline *pipeline)
{
  if (pipeline->takers > 0)
    return;
  pipeline->n = 0;
  if (!pipeline_drain (pipeline, 0))
    return;
  if (pipeline->refused)
    end (pipeline);
  else if (pipeline->turns.nbd)
    nbd_pool_return (pipeline->pool, g_steal_pointer (&pipeline->turns.nbd));
  for (guint i = 0; i < PIPELINE_PIECES; i++)
    unmap_buffer (pipeline,
                  g_steal_pointer (&pipeline->pieces[i].buffer));
  while (pipeline->n_spare > 0)
    unmap_buffer (pipeline, pipeline->spare[--pipeline->n_spare]);
}

void
pipeline_close (Pipeline *pipeline, guint milliseconds)
{
  const gint64 deadline = nbd_deadline_in (
    nbd_life_is_over (nbd_pool_life (pipeline->pool))
    ? MIN (milliseconds, LIFE_OVER_MS) : milliseconds);

  pipeline->n = 0;
  while (pipeline->unanswered > 0)
    receive_until (pipeline, deadline);
  pipeline_rest (pipeline);
}

void
pipeline_clear (Pipeline *pipeline)
{
  nbd_turns_clear (&pipeline->turns);
}
