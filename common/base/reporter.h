/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Where that is said which is no error of a call: the front end's log.
 */
#ifndef COMMON_BASE_REPORTER_H
#define COMMON_BASE_REPORTER_H

#include <glib.h>

/* Both take one printable line, which must not be kept.  Any thread. */
typedef struct {
  void (*warn) (const char *line);  /* must be seen */
  void (*debug) (const char *line); /* for who looks for it; NULL: nobody */
} Reporter;

void reporter_warn (const Reporter *reporter, const char *format, ...)
  G_GNUC_PRINTF (2, 3);
/* Each of these lines. */
void reporter_warn_all (const Reporter *reporter, const GPtrArray *lines);
void reporter_debug (const Reporter *reporter, const char *format, ...)
  G_GNUC_PRINTF (2, 3);

#endif /* COMMON_BASE_REPORTER_H */
