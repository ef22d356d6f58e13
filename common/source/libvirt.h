/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The parts of the libvirt= source: one file each for a guest that is
 * stopped, and for one that is running.  Used by libvirt*.c only.
 */
#pragma once

#include "libvirt/client.h"
#include "source/live.h"

/* Tell of disks that are not served (target → why), unless disk= names another.
 * belong: as of LeftOut.
 */
void libvirt_leave_out (Source *source, const SourceRequest *request,
                        GHashTable *why_not, bool belong);

/* The targets of the guest's disks, those most like the wanted one first.  Returns
 * a new string; g_free ().
 */
char *libvirt_targets (const Guest *guest, const char *wanted);

/* Add the files of the guest's drives, except of these disks
 * (Disk; NULL: no exception).
 */
void libvirt_add_chains (Roster *roster, const Guest *guest,
                         const GPtrArray *but);

/* Open a stopped guest's images: a source of the kind file=.
 * Takes look->tree.
 */
Source *libvirt_open_stopped (const SourceRequest *request, GuestLook *look,
                              const char *who,
                              const Reporter *reporter, GError **error);

/* Names without content: what could be served.  Takes look->tree. */
bool libvirt_look_only (LiveSource *self, GuestLook *look, GError **error);

/* Begin a job, and connect to all of its disks.  Takes look->tree. */
bool libvirt_back_up (LiveSource *self, const SourceRequest *request,
                      GuestLook *look, GError **error);
