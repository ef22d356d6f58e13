/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What QEMU is told of a server.  Whoever reads a name makes of it QEMU's flat
 * options ("server.host"), all of them text, as QEMU's own parsers do; here
 * they become what blockdev-add takes, which is nested, typed, and knows no old
 * words.
 */
#pragma once

#include <stdbool.h>

#include <json-glib/json-glib.h>

/* A new table of flat options, both key and value to be g_malloc'ed. */
GHashTable *flat_options_new (void);

/* Add one; false (EINVAL) if it is there. */
bool flat_options_add (GHashTable *options, const char *key, const char *value,
                       GError **error);

/* True if options can be made for the driver: it is a protocol that leads to
 * another machine, or to a server on this one. */
bool protocol_is_known (const char *driver);

/* The options of its node, with "driver", a new object; the flat ones are used
 * up.  NULL if one is missing or has a wrong value (EINVAL), or is not known here
 * (ENOTSUP): it might mean other bytes, a secret, or a file of the daemon's.
 */
JsonObject *protocol_options_make (const char *driver, GHashTable *options,
                                   GError **error);
