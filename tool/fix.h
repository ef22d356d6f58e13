/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What check found is mended by what it prints.
 */
#pragma once

#include <stdbool.h>

#include "check/check.h"

/* Type the commands that are safe and not in typed yet, which they join, once they
 * are granted: on the terminal, unless is_granted.  How many were typed.
 */
guint fix_all (const CheckResult *result, GHashTable *typed, bool is_granted);
