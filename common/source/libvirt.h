/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The parts of the libvirt= source: one file each for a guest that is
 * stopped, and for one that is running.  Used by source-libvirt*.c only.
 */
#ifndef COMMON_SOURCE_LIBVIRT_H
#define COMMON_SOURCE_LIBVIRT_H

#include "libvirt/client.h"
#include "source/source.h"

typedef struct LibvirtSource LibvirtSource;
struct LibvirtSource {
  Source source;
  Keeper *keeper;
  char *who;                    /* "guest web1 (qemu:///system)" */
  char *certificates;           /* folder, or NULL */
  GHashTable *witnesses;        /* target → Witness; constant when serving */
  GMutex lock;                  /* guards what follows */
  GHashTable *first;            /* target → connected struct nbd_handle * */
  guint64 scratch_used, scratch_left;
  bool scratch_known;
};

/* Who proves that the job lives on a disk. */
typedef struct {
  LibvirtSource *source;
  char *target;
  NbdWitness *witness;
} Witness;

/* Tell of disks that are not served (target → why), unless disk= names another.
 * belong: as of LeftOut.
 */
void libvirt_leave_out (Source *source, const SourceRequest *request,
                        GHashTable *why_not, bool belong);

/* For each disk of the job. */
void libvirt_add_witness (LibvirtSource *self, const char *target);

/* Open a stopped guest's images: a source of the kind file=, the caller's.
 * Takes look->tree.
 */
Source *libvirt_open_stopped (const SourceRequest *request, GuestLook *look,
                              const char *who,
                              const Reporter *reporter, GError **error);

/* Names without content: what could be served.  Takes look->tree. */
bool libvirt_look_only (LibvirtSource *self, GuestLook *look, GError **error);

/* Begin a job, and connect to all of its disks.  Takes look->tree. */
bool libvirt_back_up (LibvirtSource *self, const SourceRequest *request,
                      GuestLook *look, GError **error);

#endif /* COMMON_SOURCE_LIBVIRT_H */
