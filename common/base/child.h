/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Another program that runs beside us, and can neither hang us, flood us, nor
 * outlive us.
 */
#ifndef COMMON_BASE_CHILD_H
#define COMMON_BASE_CHILD_H

#include <stdbool.h>
#include <glib.h>

/* in and out are our ends of its standard input and output, the others are for
 * this module; -1 when closed.
 */
typedef struct {
  GPid pid;
  int in;
  int out;
  int err;
  int guard;
} Child;

#define CHILD_INIT { 0, -1, -1, -1, -1 }

/* Start argv (found on PATH) in the C locale, with pass_fd as its file
 * descriptor 3 (-1: none).  False with errno ENOENT (not installed) or that of
 * the failed call.
 *
 * The child is in a process group of its own (a Ctrl-C meant for us does not
 * reach it), creates files only for its own user, stands in no folder that
 * somebody may want to unmount, and holds no terminal.  When the last process
 * that holds *child has ended, however it did, the kernel sends it SIGKILL
 * (fcntl (2), F_SETSIG, Linux): so it may be started before nbdkit forks into
 * the background, and by any thread.  It must have nothing to save.
 */
bool child_start (const char *const *argv, int pass_fd, Child *child,
                  GError **error);

/* What it has written to its standard error since it was last asked, as one
 * line; NULL if nothing.  The caller's.  What nobody asks for is dropped at
 * 64 KiB, and does not stop the child.
 */
char *child_says (Child *child);

/* End the child, which need not be one of this process any more: SIGTERM, then
 * SIGKILL after grace_ms.  Closes the pipes and reaps; waits two seconds more
 * than that at most.  Nothing happens when it
 * was never started or is stopped.
 */
void child_stop (Child *child, unsigned grace_ms);

/* In a process that has forked and will not stop the child: hold it no longer, so
 * that it ends with the other one.  Nothing happens when it was never started.
 */
void child_disown (Child *child);

#endif /* COMMON_BASE_CHILD_H */
