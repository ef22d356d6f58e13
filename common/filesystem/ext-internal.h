/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * One look into an ext4: shared by ext.c and ext-files.c.
 */
#pragma once

#include "filesystem/ext.h"

/* The first owners of its census; then follow its files. */
enum {
  EXT_SUPER,
  EXT_GROUPS,
  EXT_BITMAPS,
  EXT_INODES,
  EXT_BLOCK_MAPS,
  EXT_ATTRIBUTES,
  EXT_QUOTA,
  EXT_RESERVED,
  EXT_ORPHANS,
  EXT_JOURNAL,
  EXT_CLASSES
};

typedef struct {
  Examination *examination;
  ExtReader *reader;
  ext2_filsys fs;
  Census *census;
  GArray *files;                /* of NamedFile: the owners from EXT_CLASSES on */
} ExtLook;

void ext_claim_blocks (const ExtLook *self, guint owner, guint64 block,
                       guint64 count);

/* Claim what all inodes have. */
bool ext_files_find (ExtLook *self, GError **error);
