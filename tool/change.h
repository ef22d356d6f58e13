/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What the commands share that change something.
 */
#pragma once

#include "record/record.h"
#include "tool/command.h"

/* What the options name, to be changed. */
Record *change_open (const Options *options, GError **error);

/* The checkpoint of that name; NULL with ENOENT and those there are. */
const Checkpoint *change_checkpoint (const Record *record,
                                     const Options *options, const char *name,
                                     GError **error);

/* A file's text; "-" is the standard input.  A new string, of *length bytes and a
 * NUL; g_free ().  NULL with an errno of open (2) or read (2), or EFBIG: no
 * checkpoint's document is as long.
 */
char *change_read (const char *path, gsize *length, GError **error);
