/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The parameter file=.
 */
#pragma once

#include "plugin/settings.h"

/* Add what file=VALUE (or VALUE alone) names to *member, a GPtrArray of
 * RequestedFile.  EINVAL if it is meant for another parameter, or is there
 * already.
 */
bool file_setting_add (void *member, const char *key, const char *value,
                       GError **error);
