/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A process that looks into file systems, for what lies in them was written by
 * guests: one that is broken, or made to break who reads it, ends a process that
 * can open no file and has bounds of memory and time.  What it asks to read is
 * read for it.
 */
#pragma once

#include "filesystem/volume.h"

typedef struct Examiner Examiner;

/* Start it.  Once, while this process has no threads. */
Examiner *examiner_start (GError **error);

/* It ends; at once, also if this process is killed. */
void examiner_free (Examiner *examiner);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Examiner, examiner_free)

/* Whose are these dirty bytes (of Run) of the volume?  Adds to lines (of Line),
 * whose bytes are together as many; and to notes (of char *) what may be missing.
 * since: when the checkpoint was made; NULL: not known.  False: the volume cannot
 * be read.
 */
bool examiner_look (Examiner *examiner, Volume *volume, const GArray *runs,
                    const gint64 *since, GPtrArray *lines, GPtrArray *notes,
                    GError **error);
