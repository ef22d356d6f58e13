/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The <source> of a network disk, as a name that QEMU takes where it takes a
 * path.
 */
#pragma once

#include <libxml/tree.h>

/* One of
 *   nbd://HOST[:PORT]/EXPORT, nbd+unix:///EXPORT?socket=PATH,
 *   http, https, ftp, ftps://HOST[:PORT]/PATH[?QUERY],
 *   ssh://[USER@]HOST[:PORT]/PATH, iscsi://HOST[:PORT]/TARGET/LUN,
 *   rbd:POOL/IMAGE[@SNAPSHOT][:conf=FILE][:mon_host=HOST\:PORT\;…]
 * with what is special there escaped, by % or (rbd) by a backslash.  Returns a
 * new string.  NULL if there is none that would lead to the same bytes in the
 * same way: *unfollowed is "its <auth> …", a new string.
 */
char *network_source_name (const xmlNode *source, char **unfollowed);

/* The same for a LUN that an iSCSI pool has, by its <source>.  volume:
 * "unit:0:0:LUN", as such a pool names it.
 */
char *network_source_iscsi_volume (const xmlNode *pool_source,
                                   const char *volume, char **unfollowed);
