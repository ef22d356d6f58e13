/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Sees to it that libnbd verifies the certificate of a server.
 */
#ifndef COMMON_NBD_TRUST_H
#define COMMON_NBD_TRUST_H

#include <stdbool.h>
#include <glib.h>
#include <libnbd.h>

/* Before nbd connects to uri: see that its certificate will be verified, where
 * it can be (nbds: over TCP without a pre-shared key).  False with errno ENOENT,
 * or that of what was tried.  what: of messages.
 *
 * A URI that cannot be read is left to libnbd, which says so.
 */
bool nbd_trust_check (struct nbd_handle *nbd, const char *uri,
                      const char *what, GError **error);

/* The last value of a parameter in the query of a URI, as libnbd takes it, to
 * be freed; NULL: none.  query: as it stands in the URI, NULL for none.
 */
char *nbd_trust_parameter (const char *query, const char *name);

#endif /* COMMON_NBD_TRUST_H */
