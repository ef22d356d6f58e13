/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What every parser's refusal must be.
 */
#pragma once

#include <string.h>

#include "base/error.h"
#include "plugin/remedies.h"

/* One line, with that errno, in which part stands, as nbdkit's users see it. */
static inline void
assert_refused (const GError *error, int code, const char *part)
{
  g_autofree char *line = error_line (error, nbdkit_remedies);

  g_assert_error (error, CHECKPOINT_ERROR, code);
  if (strstr (line, part) == NULL)
    g_error ("'%s' is not in: %s", part, line);
  g_assert_null (strpbrk (line, "\r\n"));
  g_test_message ("%s", line);
}
