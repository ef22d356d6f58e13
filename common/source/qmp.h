/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The parts of the qmp= source: to look only, and to read by a job.
 */
#pragma once

#include "qemu/fleece.h"
#include "source/live.h"

/* The job that a running QEMU's disks need: which, since what, and with which next
 * checkpoint.
 */
typedef struct {
  const SourceRequest *request; /* borrowed, and so are these */
  const Forest *tree;           /* checkpoints that are known */
  const GPtrArray *disks;       /* of Disk, as they were looked at */
  Fleece *fleece;
  Checkpoint *create;           /* or NULL */
  GHashTable *useless;          /* target → GError: why its record is of no
                                 * use */
  GPtrArray *refused;           /* of char *: targets that are left out for that;
                                 * borrowed */
} QmpPlan;

void qmp_plan_clear (QmpPlan *plan);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (QmpPlan, qmp_plan_clear)

/* Decide, and make nothing yet.  has_documents: they made the tree. */
bool qmp_plan_make (QmpPlan *plan, const SourceRequest *request,
                    const Forest *tree, bool has_documents,
                    const GPtrArray *disks, GError **error);

/* Where a guest's disks lie: a new roster. */
Roster *qmp_roster (const GPtrArray *disks);

/* SourceOps.inspect, for who is going to read.  tree: taken; may be NULL. */
Source *qmp_begin (const SourceRequest *request, Forest *tree,
                   const Reporter *reporter, GError **error);
