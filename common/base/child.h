/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Runs another program that can neither hang us, flood us, nor outlive us.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* in and out are our ends of its standard input and output, -1 when closed; the
 * rest is for this module.
 */
typedef struct {
  GPid pid;
  int in, out, err, guard;
  bool saves;
} Child;

#define CHILD_INIT { 0, -1, -1, -1, -1, false }

/* What becomes of a child when the last process that holds it has ended in any
 * way, and of one that does not end in time.
 */
typedef enum {
  CHILD_KILLED,                 /* SIGKILL: it has nothing to save */
  CHILD_SAVES,                  /* SIGTERM, again and again, and never SIGKILL */
} ChildEnd;

/* The number under which a child has the descriptor at that index of those that
 * were passed to it.
 */
#define CHILD_FD(index) ((index) == 0 ? 3 : 4 + (int) (index))

/* Start argv (found on PATH) in the C locale, with count descriptors of ours as
 * its CHILD_FD.  False with errno ENOENT (not installed) or that of the failed
 * call.
 *
 * The child has a process group of its own (a Ctrl-C meant for us does not
 * reach it), creates files only for its own user, works in "/", and holds no
 * terminal.  It ends with the last process that holds *child.  Any thread, and
 * also before nbdkit forks into the background.
 */
bool child_start (const char *const *argv, const int *pass_fds, guint count,
                  ChildEnd end, Child *child, GError **error);

/* What it has written to its standard error since the last call, as one line;
 * g_free ().  NULL if nothing.  What does not fit into 64 KiB is lost, and does
 * not stop the child.
 */
char *child_says (Child *child);

/* Both do nothing if the child was not started, or is stopped. */

/* End the child, which need not be one of this process any more: SIGTERM, then
 * SIGKILL after grace_ms, unless it saves.  Reaps; waits two seconds more than
 * grace_ms at most.  False: it saves still, and ends by itself when it has.
 */
bool child_stop (Child *child, unsigned grace_ms);

/* Hold the child no longer, in a process that has forked and will not stop it,
 * so that it ends with the other.
 */
void child_disown (Child *child);
