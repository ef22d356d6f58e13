/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The backup job that a running guest needs: which disks, since what, with
 * which socket and scratch files, and with which next checkpoint.
 */
#pragma once

#include "libvirt/backup-xml.h"
#include "libvirt/guest.h"
#include "source/request.h"
#include "tree/roster.h"

typedef struct {
  const SourceRequest *request; /* borrowed, and so is look */
  GuestLook *look;
  char *mark;                   /* in all names that we make */
  char *folder;                 /* for the socket, to be made */
  Backup *backup;               /* as asked for */
  GPtrArray *unwanted;          /* of char *: targets that disk= leaves out */
  GPtrArray *refused;           /* of char *: targets without a record */
  Roster *roster;               /* where the guest's disks lie today */
  GHashTable *useless;          /* target → GError: why its record is of no
                                 * use, though libvirt would take it */
  GPtrArray *unseen;            /* of char *: warnings of what cannot be seen */
  Checkpoint *create;           /* or NULL */
} LivePlan;

void live_plan_clear (LivePlan *plan);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LivePlan, live_plan_clear)

/* Look at what is recorded, for live_plan_records. */
void live_plan_look (LivePlan *plan, GuestLook *look);

/* Is there a record of the disk since the checkpoint that can be believed, if
 * libvirt, which knows bitmaps, takes it?  False with why not, or with none: it
 * does not cover the disk.
 */
bool live_plan_records (const LivePlan *plan, const Checkpoint *since,
                        const char *target, GError **why);

/* Decide, and make nothing yet.  broken: target → why its record since the
 * checkpoint is of no use (NULL: none is known); such disks are served whole if
 * the request allows that, else refused.  EACCES with path and user if QEMU's
 * user cannot reach the folders.
 */
bool live_plan_make (LivePlan *plan, const SourceRequest *request,
                     GuestLook *look, GHashTable *broken, GError **error);

/* Begin the job.  *backup: what libvirt made of it; backup_free ().  *broken:
 * as of guest_begin_job.
 */
bool live_plan_begin (LivePlan *plan, Keeper *keeper, Backup **backup,
                      Checkpoint **broken, GError **error);
