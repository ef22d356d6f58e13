/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What every parser's refusal must be.
 */
#ifndef TESTS_UNIT_REFUSED_H
#define TESTS_UNIT_REFUSED_H

#include <string.h>

#include "base/error.h"

/* One line, with that errno, in which part stands. */
static inline void
assert_refused (const GError *error, int code, const char *part)
{
  g_assert_error (error, CHECKPOINT_ERROR, code);
  if (strstr (error->message, part) == NULL)
    g_error ("'%s' is not in: %s", part, error->message);
  g_assert_null (strpbrk (error->message, "\r\n"));
  g_test_message ("%s", error->message);
}

#endif /* TESTS_UNIT_REFUSED_H */
