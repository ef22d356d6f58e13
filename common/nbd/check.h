/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Is an export one that we can read?  Looked at before anything is read.
 */
#ifndef COMMON_NBD_CHECK_H
#define COMMON_NBD_CHECK_H

#include <stdbool.h>
#include <libnbd.h>
#include <glib.h>

/* Why this thread's last call of libnbd failed with failure (an errno), in
 * libnbd's words without the name of its function, or else the errno's.  Static,
 * until the thread's next call of libnbd.
 */
const char *nbd_check_reason (int failure);

/* Is the export of a connection that has just been made one that can be read:
 * read-only, of a known size, and with the meta contexts that were asked for
 * (want_zeroes: base:allocation; dirty: NULL for none)?  what: for messages.
 * EPERM, EOVERFLOW (of the size, and only of that), ENOTSUP, ENOENT.
 */
bool nbd_check_export (struct nbd_handle *nbd, bool want_zeroes,
                       const char *dirty, const char *what, GError **error);

#endif /* COMMON_NBD_CHECK_H */
