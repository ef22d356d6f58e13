/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A disk's <source>, of whatever kind, as a text that is the same for the same
 * source only.
 */
#pragma once

#include <libxml/tree.h>

/* The source of a <disk> or <backingStore>, a new string.  Of a file, block
 * device or folder its path as it is written; of all else a text that does not
 * begin with / and has all by which libvirt finds it (protocol, name, hosts,
 * pool, volume, address…), also fit for a message.  NULL without a source, or
 * for a local one without a path.  Source: src/conf/schemas/domaincommon.rng of
 * libvirt 11.3, diskSource.
 */
char *source_key (const xmlNode *disk);
