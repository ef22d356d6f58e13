/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What is said, a line each; errors with what to type.
 */
#pragma once

#include "base/remedy.h"
#include "base/reporter.h"

/* By Remedy. */
extern const char *const tool_remedies[REMEDY_COUNT];

/* Why the standard output refused what was written past stdio (errno), for main,
 * which tells of it at the end; 0: it has refused nothing.
 */
void note_refused (int why);
int why_refused (void);

/* On a line of the standard output; the name is made printable. */
void print_name (const char *name);

extern const Reporter tool_reporter;
/* For who completes a word: nobody would see it. */
extern const Reporter silent_reporter;
