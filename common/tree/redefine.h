/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What to type where libvirt has forgotten a checkpoint (migration, restore,
 * --metadata, transient guests) that images still have the bitmap of.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* The command that tells libvirt of the checkpoint again, as having a bitmap of
 * its name on each of targets (char *).  When it was made is not known, and
 * said to be in 1970.  validate: for a running guest; libvirt refuses unless
 * each disk has such a bitmap (--redefine-validate, libvirt 6.10).  Returns a
 * new string; g_free ().  Source: libvirt's formatcheckpoint.rst: <domain> is
 * optional there since 7.0.0.
 */
char *redefine_command (const char *uri, const char *guest,
                        const char *checkpoint, const GPtrArray *targets,
                        bool validate);

/* The document of such a checkpoint, on one line, below that parent (NULL: none).
 * Returns a new string; g_free ().
 */
char *redefine_document (const char *checkpoint, const char *parent,
                         const GPtrArray *targets);
