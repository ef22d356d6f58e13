/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What goes to the standard error: a line each, with what to type.
 */
#pragma once

#include "base/remedy.h"
#include "base/reporter.h"

/* By Remedy. */
extern const char *const tool_remedies[REMEDY_COUNT];

extern const Reporter tool_reporter;
/* For who completes a word: nobody would see it. */
extern const Reporter silent_reporter;
