/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The front end, as far as others need to know it: what it is called, where it
 * says what is no error of a call, and what it has to say of remedies.
 */
#pragma once

#include <glib.h>

typedef struct {
  const char *name;             /* the program's, as users know it */
  /* Both take one printable line, which must not be kept.  Any thread. */
  void (*warn) (const char *line);  /* must be seen */
  void (*debug) (const char *line); /* for who looks for it; NULL: nobody */
  const char *const *remedies;  /* by Remedy (remedy.h); NULL: none */
} Reporter;

void reporter_warn (const Reporter *reporter, const char *format, ...)
  G_GNUC_PRINTF (2, 3);
/* Its error_line. */
void reporter_warn_error (const Reporter *reporter, const GError *error);
/* Each of these lines. */
void reporter_warn_all (const Reporter *reporter, const GPtrArray *lines);
void reporter_debug (const Reporter *reporter, const char *format, ...)
  G_GNUC_PRINTF (2, 3);
