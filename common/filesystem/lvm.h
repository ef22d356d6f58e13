/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * LVM's groups of volumes, on one disk or on several: linear and striped
 * volumes.  Of others (thin, mirrored, cached) it is said that they are such.
 */
#pragma once

#include "filesystem/volume.h"

typedef struct Lvm Lvm;

/* disks are borrowed. */
Lvm *lvm_new (GArray *disks);
void lvm_free (Lvm *lvm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Lvm, lvm_free)

/* Is the volume one of LVM's physical ones?  Then it is remembered, and must
 * stay.  False with an error: it cannot be read.
 */
bool lvm_look (Lvm *lvm, const Volume *volume, GError **error);

/* Add to volumes (of Volume) what all that were remembered consist of. */
void lvm_find (Lvm *lvm, GPtrArray *volumes);
