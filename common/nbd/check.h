/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Whether an export can be read, and what libnbd says of a failure.
 */
#pragma once

#include <stdbool.h>
#include <libnbd.h>
#include <glib.h>

/* The errno of this thread's last call of libnbd, which has failed, or
 * `otherwise` if libnbd tells none.
 */
static inline int
nbd_errno (int otherwise)
{
  const int errnum = nbd_get_errno ();

  return errnum ? errnum : otherwise;
}

/* Why this thread's last call of libnbd failed with failure (an errno), in
 * libnbd's words without the name of its function, or else the errno's.
 * Static, until the thread's next call of libnbd.
 */
const char *nbd_check_reason (int failure);

/* Is the export that was just connected to read-only, of a known size, and with
 * the meta contexts that were asked for (want_zeroes: base:allocation; dirty:
 * NULL for none)?  what: for messages.  EPERM, EOVERFLOW (of the size, and only
 * of that), ENOTSUP, ENOENT.
 */
bool nbd_check_export (struct nbd_handle *nbd, bool want_zeroes,
                       const char *dirty, const char *what, GError **error);
