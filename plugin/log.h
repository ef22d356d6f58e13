/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * nbdkit as a front end: its log, and what is typed against errors.
 */
#pragma once

#include "base/reporter.h"

extern const Reporter nbdkit_reporter;

/* Log an error and hand its errno to nbdkit.  Always -1.  Any thread. */
int log_failure (const GError *error);
