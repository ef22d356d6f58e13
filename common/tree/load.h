/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Load a guest's checkpoints from a file or a directory in libvirt's layout,
 * /var/lib/libvirt/qemu/checkpoint/DOMAIN/NAME.xml, without libvirt.
 */

#pragma once

#include <glib.h>

#include "tree/forest.h"

/* More directory entries, bytes in all documents together, or time to read them
 * than this are refused: links make a folder large that takes no room, and a
 * part of a tree would lack checkpoints.  The time does not bound a read that
 * hangs.
 */
#define TREE_LOAD_MAX_FILES 1000000
#define TREE_LOAD_MAX_BYTES (256 * 1024 * 1024)
#define TREE_LOAD_MAX_SECONDS 30

/* Load and link a forest.
 *
 * path: one document, or a directory whose regular files (symbolic links are
 *   followed) are one document each, whatever their names, as libvirt's loader
 *   does it (qemuDomainCheckpointLoad).  Opening never blocks, also not on a
 *   FIFO.
 * domain: name or UUID of the guest, or NULL.  If path has a directory of that
 *   name, that is the one loaded.  Documents of other guests are left out;
 *   those that do not name their guest are taken.
 * skipped: takes a line (char *, g_strdup ()) for each file left out, with its
 *   name and the reason, in order of file names.
 *
 * In a directory, a file that cannot be read or parsed, is over 1 MiB, is of
 * another guest or repeats a name (the file whose name sorts first wins) is
 * left out.  A single file of such a kind is an error.
 *
 * Returns a new forest (forest_free ()), already linked: see also
 * forest_problems ().  NULL with
 *   ENOENT   no such path, or no checkpoint in the directory; the message
 *            names subdirectories that domain= could mean
 *   EINVAL   the single file is no checkpoint, or of another guest; or
 *            domain is NULL and there are checkpoints of several guests
 *   EFBIG    file too large; E2BIG: directory with too many files or bytes
 *   ETIMEDOUT
 *   other    from open (2), read (2) or readdir (3).
 *
 * Memory is about 1 KiB per checkpoint.  Any thread. */
Forest *tree_load (const char *path, const char *domain, GPtrArray *skipped,
                   GError **error);

/* The same, for who will write there: where there is no folder of that guest's yet,
 * or an empty one, the forest is empty.
 */
Forest *tree_load_or_new (const char *path, const char *domain,
                          GPtrArray *skipped, GError **error);

/* The document of a checkpoint that was loaded, as it is now: length bytes, and
 * a NUL; g_free ().  NULL with an error as of a single file above, or EAGAIN if
 * it is another checkpoint's by now.  Any thread.
 */
char *tree_load_document (const Checkpoint *checkpoint, gsize *length,
                          GError **error);

/* True if the document is that guest's, by name or UUID, or does not name its
 * guest.
 */
bool tree_is_of_guest (const Checkpoint *checkpoint, const char *domain);
