/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Whose checkpoints were meant, to be typed again.
 */
#pragma once

#include "tool/options.h"

/* "--file=vda:/disk.qcow2 --tree=/tree", with absolute paths, quoted.  A new
 * string; g_free ().
 */
char *whose_text (const Options *options);

/* The same without documents: each bitmap is a checkpoint. */
char *whose_bitmaps_text (const Options *options);

/* The same as parameters of nbdkit's plugin. */
char *whose_parameters (const Options *options);
