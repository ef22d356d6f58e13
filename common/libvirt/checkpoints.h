/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The documents of a guest's checkpoints, as libvirt has them.
 */
#pragma once

#include "libvirt/at-once.h"
#include "libvirt/kept.h"

/* Which checkpoints the guest has.  { 0 } is none. */
typedef struct {
  virDomainCheckpointPtr *all;
  int count;
  GError *failure;              /* they cannot be listed */
} CheckpointList;

void checkpoint_list_clear (CheckpointList *list);

/* Ask libvirt; for any thread.  What fails, checkpoint_list_tell reports. */
void checkpoint_list_ask (CheckpointList *list, const Hypervisor *hypervisor);

/* Have each document heeded, with fd, in no order that means anything; one that
 * was deleted since it was listed is left out.  flags: of
 * virDomainCheckpointGetXMLDesc.  beside: is asked at once with the last of them.
 * False with an error: not all can be had, or heed said so.
 */
typedef bool (*CheckpointHeed) (int fd, const char *document, GError **error);
bool checkpoint_list_tell (CheckpointList *list, const Hypervisor *hypervisor,
                           guint flags, const AtOnce *beside,
                           CheckpointHeed heed, int fd, GError **error);
