/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * libvirt's schema of <domaincheckpoint>, which it holds against each document
 * that it is given: what somebody mistyped must not be left out in silence.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* Does the document conform to src/conf/schemas/domaincheckpoint.rng?  <domain>
 * is not looked at.  EINVAL, and what does not, and in which line; or as
 * checkpoint_parse.  What that takes and this does not are documents that were
 * stored before.
 */
bool schema_check (const char *text, gsize length, GError **error);
