/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * libvirt's <domainbackup mode='pull'> document, both ways: the request for
 * virDomainBackupBegin, and what virDomainBackupGetXMLDesc tells of a job,
 * ours or another program's.  Sources: libvirt's docs/formatbackup.rst,
 * src/conf/schemas/domainbackup.rng, src/conf/backup_conf.c and
 * src/qemu/qemu_backup.c.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* Longer documents are refused: 1 KiB for each of CHECKPOINT_MAX_DISKS. */
#define BACKUP_MAX_BYTES (4 * 1024 * 1024)

/* Strings are the Backup's own (g_free), UTF-8. */
typedef struct {
  char *target;                 /* "vda": disk_target_is_valid () */
  char *incremental;            /* since this checkpoint; NULL: full */
  char *scratch;                /* absolute path: in a request a file's, else
                                 * a file's or a device's; NULL: libvirt
                                 * chooses */
  char *export_name;            /* NULL in a request: the target */
  char *export_bitmap;          /* NULL for full; NULL in a request:
                                 * "backup-TARGET" */
} BackupDisk;

typedef struct {
  char *socket;                 /* Unix: absolute path; else NULL */
  char *host;                   /* TCP; NULL with socket */
  guint port;                   /* TCP; 0 with socket */
  bool tls;
  GPtrArray *disks;             /* of BackupDisk: those with backup='yes' */
} Backup;

/* An empty one, to be filled. */
Backup *backup_new (void);

/* Add a disk: a full backup, all else NULL.  Borrowed; target is copied. */
BackupDisk *backup_add_disk (Backup *backup, const char *target);

/* The disk of that target, or NULL.  Borrowed. */
const BackupDisk *backup_disk (const Backup *backup, const char *target);

/* The request for virDomainBackupBegin; it conforms to libvirt's schema.
 *
 * backup: with one disk or more, for libvirt takes none for all.
 * left_out: const char *, targets of disks that get backup='no'; NULL: none.
 *
 * What is not UTF-8 or no XML character becomes U+FFFD.  Returns a new
 * string; g_free (). */
char *backup_format (const Backup *backup, const GPtrArray *left_out);

/* Parse a job's description: length bytes of UTF-8, need not end in NUL.
 *
 * What a version of libvirt leaves out is filled in with what it does then
 * (formatbackup.rst): transport tcp, backup='yes', the target as the export's
 * name, "backup-TARGET" as the bitmap of an incremental disk, and the
 * document's <incremental> for a disk that says neither "full" nor since when.
 *
 * Returns a new backup (backup_free), or NULL with ENOTSUP (not pull mode, push
 * being the default, or another transport than tcp and unix), EFBIG (over
 * BACKUP_MAX_BYTES, CHECKPOINT_MAX_DISKS or XML_MAX_NODES), ENOMEM, or else
 * EINVAL.  Any thread. */
Backup *backup_parse (const char *text, gsize length, GError **error);

/* NULL is fine. */
void backup_free (Backup *backup);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Backup, backup_free)
