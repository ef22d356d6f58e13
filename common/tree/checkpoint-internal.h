/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What checkpoint.c and checkpoint-format.c share.  Not for other files: it
 * would make them depend on libxml2.
 */

#ifndef COMMON_TREE_CHECKPOINT_INTERNAL_H
#define COMMON_TREE_CHECKPOINT_INTERNAL_H

#include "tree/checkpoint.h"

#include <glib.h>
#include <libxml/tree.h>

/* Write an element with all it contains, laid out as it was, its attributes
 * in single quotes as libvirt writes them.  Namespaces that its parent
 * declares are declared again, so that the text stands alone.  Parsing and
 * writing the result again gives the same bytes.  Returns a new string. */
char *checkpoint_format_element (const xmlNode *element);

/* Add an entry to checkpoint->disks.  bitmap NULL: not covered. */
struct CheckpointDisk *checkpoint_add_disk (struct Checkpoint *checkpoint,
                                            const char *name,
                                            const char *bitmap);

/* Frees a DomainDisk; takes void * to serve as a GDestroyNotify. */
void checkpoint_domain_disk_free (void *disk);

#endif /* COMMON_TREE_CHECKPOINT_INTERNAL_H */
