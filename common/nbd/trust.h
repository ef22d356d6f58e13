/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Sees to it that libnbd verifies the certificate of a server.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>
#include <libnbd.h>
#include <libxml/uri.h>

typedef xmlURI ParsedUri;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ParsedUri, xmlFreeURI)

/* To be called before nbd connects to uri.  False (ENOENT, or the errno of what
 * was tried) if its certificate can be verified, but would not be.  It can with
 * nbds: over TCP without a pre-shared key.  what: how messages call the server.
 * A URI that cannot be read is left to libnbd, which says so.
 */
bool nbd_trust_check (struct nbd_handle *nbd, const char *uri,
                      const char *what, GError **error);

/* The last value of a parameter in the query of a URI (as it stands there, or
 * NULL), as libnbd takes it.  Returns a new string; g_free ().  NULL: none.
 */
char *nbd_trust_parameter (const char *query, const char *name);
