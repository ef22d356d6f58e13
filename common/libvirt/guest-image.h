/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * An image as a guest's definition tells it: a <disk>'s own, or one below it
 * (<backingStore>).  Source: libvirt's docs/formatdomain.rst;
 * src/conf/domain_conf.c, virDomainStorageSourceParse.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>
#include <libxml/tree.h>

typedef struct {
  char *key;                    /* as of source-key.h */
  char *name;                   /* by which QEMU would open it: a path, or a
                                 * name that leads elsewhere; NULL: there is
                                 * none, or (of a volume) only libvirt knows */
  char *format;                 /* "qcow2"; "luks" for a raw one that is
                                 * encrypted so; "": not told */
  char *data;                   /* the file of its data, as of source-key.h;
                                 * NULL: not told */
  char *pool, *volume;          /* of type 'volume'; else NULL */
  bool direct;                  /* that volume is read by QEMU itself, not
                                 * through a device of the host's */
  char *unfollowed;             /* "its <slices> …": why who opens that name
                                 * would not read what the guest reads, or why
                                 * there is no name; NULL: it would */
  char *missing;                /* why libvirt does not tell where a volume is,
                                 * and what to type against it; or NULL */
} GuestImage;

/* Of a <disk> or <backingStore>; format: the element whose type tells it, or
 * NULL.  Returns a new image; NULL without a source (as source_key).
 */
GuestImage *guest_image_new (const xmlNode *node, const xmlNode *format);
/* NULL is fine. */
void guest_image_free (GuestImage *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GuestImage, guest_image_free)
