/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#ifndef PLUGIN_REMEDIES_H
#define PLUGIN_REMEDIES_H

#include "base/remedy.h"

/* What nbdkit's user types against an error.  By Remedy. */
extern const char *const nbdkit_remedies[REMEDY_COUNT];

#endif /* PLUGIN_REMEDIES_H */
