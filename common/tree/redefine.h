/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What to type where libvirt has forgotten a checkpoint (migration, restore,
 * --metadata, transient guests) that images still have the bitmap of.
 */
#ifndef COMMON_TREE_REDEFINE_H
#define COMMON_TREE_REDEFINE_H

#include <glib.h>

/* Tell libvirt of the checkpoint again: it has a bitmap of its name on each of
 * targets (char *).  When it was made is not known, and said to be in 1970.
 * One command; the caller's.  Source: libvirt's formatcheckpoint.rst: <domain> is
 * optional there since 7.0.0.
 */
char *redefine_command (const char *uri, const char *guest,
                        const char *checkpoint, const GPtrArray *targets);

/* The same for a running guest; refused by libvirt unless each of targets has such
 * a bitmap (--redefine-validate, libvirt 6.10).
 */
char *redefine_checked (const char *uri, const char *guest,
                        const char *checkpoint, const GPtrArray *targets);

/* Rid a running guest of the bitmaps, on those of targets that have one: libvirt
 * deletes only what it knows, and refuses where one disk has none.  One command;
 * the caller's.
 */
char *redefine_and_delete (const char *uri, const char *guest,
                           const char *checkpoint, const GPtrArray *targets);

#endif /* COMMON_TREE_REDEFINE_H */
