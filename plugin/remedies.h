/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#pragma once

#include "base/remedy.h"

/* What nbdkit's user types against an error.  By Remedy. */
extern const char *const nbdkit_remedies[REMEDY_COUNT];
