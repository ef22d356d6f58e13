/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A guest of libvirt's, to be changed.
 */
#pragma once

#include "keeper/keeper.h"
#include "libvirt/guest.h"
#include "source/request.h"

/* Start a process that is connected to the request's libvirt, and may change
 * its guest.  look: of the guest; its tree is empty.  NULL: that cannot be
 * had, and nothing was changed.  Free it with libvirt_keeper_free.
 */
Keeper *libvirt_keeper (const SourceRequest *request, const Reporter *reporter,
                        GuestLook *look, GError **error);
void libvirt_keeper_free (Keeper *keeper);

/* guest_change.  If libvirt does not answer, the error says how to see what it
 * does.
 */
bool libvirt_keeper_change (Keeper *keeper, const GuestLook *look,
                            const GuestChange *change, GError **error);

/* Could libvirt keep that checkpoint's document?  It fails half-way where its
 * name makes no file's, and refuses another guest's.
 */
bool libvirt_keeper_fits (const GuestLook *look, const Checkpoint *checkpoint,
                          GError **error);
