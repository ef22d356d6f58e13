/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A passphrase of an encrypted image, byte by byte.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* What cryptsetup takes for a key file by default is 8 MiB; nobody types it. */
#define SECRET_MOST (64 * 1024)

typedef struct Secret Secret;

/* Read it whole from the file at path, or if that is "-" and a number, from that
 * file descriptor, which is closed then.  NULL if it cannot be read (the errno
 * of that), is empty (EINVAL), longer than SECRET_MOST (EFBIG), or not UTF-8 or
 * with a NUL in it (EILSEQ; qcrypto_secret_lookup_as_utf8).  A newline at
 * its end belongs to it, as for QEMU's secret objects (crypto/secret.c).
 */
Secret *secret_read (const char *path, GError **error);

/* With the last, no process has it any more but those that have read it. */
Secret *secret_ref (Secret *secret);
void secret_unref (Secret *secret);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Secret, secret_unref)

/* A descriptor of a file with the secret, which a child gets as daemon_fd;
 * borrowed.
 */
int secret_pass (Secret *secret, int daemon_fd);
/* What the last child has it as. */
int secret_daemon_fd (const Secret *secret);

/* Does it end in a newline?  Then that may be why it is wrong. */
bool secret_has_newline (const Secret *secret);
