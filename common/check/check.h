/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Compare what tells of checkpoints: documents, the bitmaps in every layer, and
 * what libvirt thinks.  Nothing is changed.
 *
 * Whether a disk can be had since a checkpoint is not decided here: the catalogue
 * of views is asked, as a backup asks it, and its refusal is the finding.
 */
#pragma once

#include "base/reporter.h"
#include "check/finding.h"
#include "source/request.h"

/* Borrowed. */
typedef struct {
  const SourceRequest *request;
  const char *tree;             /* a folder of documents; NULL: none */
  /* How the front end was told of these, to be put in what is typed: quoted */
  const char *whose;
  const char *whose_bitmaps;    /* without the documents */
  bool are_related;             /* an earlier look found that they are */
  const Reporter *reporter;
} CheckRequest;

/* A disk since a checkpoint that covers it. */
typedef struct {
  char *disk, *checkpoint;
  bool usable;
} CheckedView;

typedef struct {
  GPtrArray *findings;          /* of Finding, the worst first */
  GPtrArray *views;             /* of CheckedView */
  guint disks;                  /* that were looked at */
  guint checkpoints;
  bool are_related;             /* documents and disks, as far as is known */
} CheckResult;

/* NULL: it could not be looked at all. */
CheckResult *check_run (const CheckRequest *request, GError **error);
void check_result_free (CheckResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CheckResult, check_result_free)

/* The worst there is; SEVERITY_NOTE also if there is nothing. */
Severity check_worst (const CheckResult *result);
