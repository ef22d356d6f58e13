/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * In what respect a backup differs, what that means, and what to type.
 */
#pragma once

#include "tool/verify-report.h"

typedef struct {
  const char *code;             /* for programs; static */
  char *what;                   /* "512 bytes that changed since monday differ" */
  char *meaning, *command;      /* NULL */
  const Tally *tally;           /* where; NULL: nowhere; borrowed */
} VerifyFinding;

/* A new array of VerifyFinding: none, if it is equal. */
GPtrArray *verify_findings (const Verified *verified);
