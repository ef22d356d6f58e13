/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * libvirt's <domain> document (virDomainGetXMLDesc), as far as a backup needs
 * it: which disks it covers, and as which user QEMU runs.  Sources: libvirt's
 * docs/formatdomain.rst; src/conf/backup_conf.c, virDomainBackupAlignDisks;
 * src/util/virutil.c, virParseOwnershipIds.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <glib.h>

#include "libvirt/guest-image.h"

/* Longer documents are refused; libvirt's are some 10 KiB. */
#define GUEST_MAX_BYTES (16 * 1024 * 1024)

typedef struct {
  char *target;                 /* "vda": disk_target_is_valid () */
  char *type;                   /* "file", "block", "network", ... */
  char *source;                 /* path, for file and block; else NULL */
  char *format;                 /* "qcow2"; NULL if not said */
} GuestDisk;

/* The images of a drive: its source and those below it, all of a running guest,
 * and of a stopped one what its definition tells.
 */
typedef struct {
  char *target;
  GPtrArray *images;            /* of GuestImage, top first, one at least */
  bool ends;                    /* the definition says that nothing is below;
                                 * else it may just not tell */
} GuestChain;

typedef struct {
  char *name;
  char *uuid;                   /* as written there */
  bool running;                 /* libvirt writes an ID then */
  GPtrArray *disks;             /* of GuestDisk, in the document's order */
  GHashTable *left_out;         /* target → why (GError): hard disks with a
                                 * medium that no backup can cover */
  GPtrArray *chains;            /* of GuestChain, of all drives with a source */
  bool owner_known;             /* else owner and group are 0 */
  uid_t owner;                  /* QEMU's user and group, on QEMU's host */
  gid_t group;
} Guest;

/* Parse a <domain> document: length bytes of UTF-8, need not end in NUL.
 *
 * Disks are those that a backup can cover: hard disks (device 'disk', the
 * default, and 'lun') with a medium, not <readonly/>, for which QEMU can run
 * block jobs (libvirt refuses them for <transient/> and vhost disks).  Floppy
 * disks, which libvirt would cover, are left out too.
 *
 * The owner is that of <seclabel model='dac'>, which only a running guest has.
 * A label that is not understood, or whose names this system's user database
 * does not know (asking may take time), is no error: the owner is unknown.
 *
 * Returns a new guest (guest_free), or NULL with EFBIG (over GUEST_MAX_BYTES,
 * CHECKPOINT_MAX_DISKS or XML_MAX_NODES), ENOMEM, or else EINVAL. */
Guest *guest_parse (const char *text, gsize length, GError **error);

/* The chain, or disk, of that target, or NULL.  Borrowed. */
const GuestChain *guest_chain (const Guest *guest, const char *target);
/* The image at a place of a chain, 0 on top.  Borrowed. */
const GuestImage *guest_chain_image (const GuestChain *chain, guint place);
const GuestDisk *guest_disk (const Guest *guest, const char *target);

/* NULL is fine. */
void guest_free (Guest *guest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Guest, guest_free)
