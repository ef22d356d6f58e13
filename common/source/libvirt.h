/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The parts of the libvirt= source: for a guest that is stopped, for one that
 * is running, and for both.
 */
#pragma once

#include "libvirt/backup-xml.h"
#include "libvirt/guest.h"
#include "source/live.h"

/* Leave out these disks (target → why), unless disk= names one.  belong: as of
 * LeftOut.
 */
void libvirt_leave_out (Source *source, const SourceRequest *request,
                        GHashTable *why_not, bool belong);

/* The guest's disks, as nearest_names. */
char *libvirt_targets (const Guest *guest, const char *wanted);

/* Add the files of the guest's drives, except these disks' (Disk; or NULL). */
void libvirt_add_chains (Roster *roster, const Guest *guest,
                         const GPtrArray *but);

/* Open a stopped guest's images, as file= does.  Takes look->tree. */
Source *libvirt_open_stopped (const SourceRequest *request, GuestLook *look,
                              const char *who, const Reporter *reporter,
                              GError **error);

/* Names without content: what could be served.  Takes look->tree. */
bool libvirt_look_only (LiveSource *self, GuestLook *look, GError **error);

/* Add a disk with one layer, of which nothing is known yet but its size. */
Disk *libvirt_add_disk (Source *source, const char *target, const char *path,
                        guint64 size);

/* Begin a job, and connect to all of its disks.  Takes look->tree. */
bool libvirt_back_up (LiveSource *self, const SourceRequest *request,
                      GuestLook *look, GError **error);
