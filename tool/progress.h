/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A line on the terminal that says how far a long command is.  There is none
 * where standard error is no terminal, or another job has it.
 */
#pragma once

#include <glib.h>

typedef struct Progress Progress;

/* doing: "verifying"; static.  total: bytes; 0 if that is not known.  One at a
 * time in a process.  It starts a thread.
 */
Progress *progress_new (const char *doing, guint64 total);
/* Takes the line away.  NULL is fine. */
void progress_free (Progress *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Progress, progress_free)

/* So many more bytes are done.  Any thread; costs as much as a counter.  NULL is
 * fine.
 */
void progress_add (Progress *self, guint64 bytes);

/* Work that tells how far it has come, and not by how much: of opaque, which is a
 * ProgressPart, so many bytes are done.  One thread.
 */
typedef struct {
  Progress *progress;
  guint64 done;                 /* 0 at first */
} ProgressPart;

void progress_reach (void *opaque, guint64 done);

/* Take the line away, as something else is going to be printed on the terminal, on
 * either stream: it comes back by itself.  tool_reporter does so before it says
 * something.  Any thread, and also if there is none.
 */
void progress_make_room (void);
