/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a keeper keeps: a job at a libvirt, or at a QEMU.  All is called in the
 * process of the keeper, in its main thread, and may wait as long as it takes
 * unless it says otherwise.
 */
#pragma once

#include "keeper/keeper.h"
#include "keeper/message.h"
#include "keeper/telling.h"

typedef void (*KeeperCallback) (void *opaque);

struct JobOps {
  const char *peer;             /* who is asked: "libvirt" */
  /* how many their messages have, at least */
  guint look_texts, begin_texts, change_texts;

  /* Returns a job that is not begun, for the life of the process; NULL if none
   * can be kept.  Borrows telling.
   */
  void *(*new) (Telling *telling);

  /* The loop, since a library may have its own.  Call heed when fd can be read
   * or has ended, or every so many milliseconds; do one turn of it, waiting for
   * one thing to happen.  False: that cannot be done.
   */
  bool (*add_fd) (int fd, KeeperCallback heed, void *opaque);
  bool (*add_clock) (int interval_ms, KeeperCallback heed, void *opaque);
  bool (*turn) (void);

  /* Find what a job may be begun of, and say all of it (KEEPER_LOOK), or why
   * not (telling_say_failed).  Ends the process rather than be silent for
   * longer than anybody waits (KEEPER_ANSWER_MS).
   */
  bool (*look) (void *job, const Message *message);

  /* Begin the job (KEEPER_BEGIN), and say so: KEEPER_BEGUN, and life
   * JOB_RUNNING.  JOB_BEGINNING comes before anything that would have to be
   * undone.  On failure all is undone, or the error tells what is not.
   * *broken: it is why, a text for KEEPER_BROKEN; g_free ().  error is not
   * NULL.
   */
  bool (*begin) (void *job, const Message *message, char **broken,
                 GError **error);

  /* Does what begin told of live?  The server is then told so (KEEPER_LIVES), or
   * why not, and cannot adopt it before; it may connect to it meanwhile.  It is
   * this that sets life to JOB_RUNNING, not begin.  NULL: begin has seen to both.
   */
  bool (*confirm) (void *job, GError **error);

  /* Does it live on the disk of that target?  Reads that were answered before
   * this was called are then of the time when it began.  *error: why not.
   */
  KeeperLife (*prove) (void *job, const char *target, GError **error);

  /* The proof failed: tell of the loss, with a better reason if one comes. */
  void (*doubt) (void *job, const char *why);

  /* A client can read: a checkpoint made with the job stays.  Once.  NULL: there
   * is nothing to do for that.
   */
  void (*served) (void *job);

  /* The clock has struck. */
  void (*look_after) (void *job);

  /* Does it still run?  If not, and nobody told of it, tell now. */
  void (*notice_loss) (void *job);

  /* End it if it is there and still ours, and undo all that was made, but the
   * checkpoint if that is to stay.  False with all that could not be done; to
   * be tried again then, if is_left.
   */
  bool (*end) (void *job, bool keep_checkpoint, GError **error);
  bool (*is_left) (const void *job);

  /* Change something for good (KEEPER_CHANGE), and begin no job; NULL: nothing
   * can be changed.  It is finished even if the server ends meanwhile.  What it
   * has to undo if it fails, end () undoes.
   */
  bool (*change) (void *job, const Message *message, GError **error);
};
