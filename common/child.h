/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Other programs, started so that they can neither hang us, flood us,
 * nor outlive us.
 */
#ifndef COMMON_CHILD_H
#define COMMON_CHILD_H

#include <stdbool.h>
#include <glib.h>

/* What a program that ran to its end left behind.  Owned by the caller;
 * release with child_result_clear.
 */
typedef struct {
  char *out;                    /* standard output, NUL-terminated */
  gsize out_length;             /* bytes */
  char *err;                    /* standard error, one trimmed line */
  bool ok;                      /* it exited with status 0 */
} ChildResult;

void child_result_clear (ChildResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ChildResult, child_result_clear)

/* A program that shall run to its end. */
typedef struct {
  const char *program;          /* argv[0], borrowed */
  GPid pid;
  int out;
  int err;
} ChildRun;

/* Run argv (found on PATH) in the C locale.  False with errno ENOENT (not
 * installed) or that of the failed call.  What was begun must be ended.
 */
bool child_run_begin (const char *const *argv, ChildRun *run, GError **error);

/* Wait for it.  It is killed when it takes longer than timeout_ms from now on,
 * or writes more than limit bytes to one of its outputs.  False with errno
 * ETIMEDOUT, EFBIG or that of the failed call; a program that ran and failed is
 * true with result->ok false.  Not to be called by two threads for one result.
 */
bool child_run_end (ChildRun *run, unsigned timeout_ms, gsize limit,
                    ChildResult *result, GError **error);

/* A program that runs beside us.  in and out are our ends of its standard
 * input and output; -1 when closed.
 */
typedef struct {
  GPid pid;
  int in;
  int out;
} Child;

#define CHILD_INIT { 0, -1, -1 }

/* Start argv with pass_fd as its file descriptor 3 (-1: none).
 *
 * The child is in a process group of its own (a Ctrl-C meant for us does
 * not reach it), creates files only for its own user, and is sent SIGTERM
 * by the kernel when the calling *thread* ends (PR_SET_PDEATHSIG, Linux):
 * call this from the main thread of the process that will serve, hence
 * after nbdkit has forked into the background.
 */
bool child_start (const char *const *argv, int pass_fd, Child *child,
                  GError **error);

/* End the child: SIGTERM, then SIGKILL after grace_ms.  Closes the pipes
 * and reaps.  Nothing happens when it was never started or is stopped.
 */
void child_stop (Child *child, unsigned grace_ms);

#endif /* COMMON_CHILD_H */
