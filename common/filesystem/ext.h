/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * ext2, ext3 and ext4, read by libext2fs.
 */
#pragma once

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>

#include "filesystem/names.h"

/* What libext2fs reads from: the media, but for blocks that the journal has newer.
 */
typedef struct {
  Media *media;
  guint block_size;             /* of those */
  GHashTable *replayed;         /* of ExtReplayed, by itself (block first) */
} ExtReader;

typedef struct {
  guint64 block;
  guint64 from;                 /* the block of the journal where it is */
  guint32 sequence;
  bool escaped;                 /* its first bytes were the journal's mark */
} ExtReplayed;

void ext_reader_clear (ExtReader *reader);

/* Open it, to read only.  0, or libext2fs's error. */
errcode_t ext_reader_open (ExtReader *reader, ext2_filsys *fs);

/* Have the reader show all that the journal would bring when it is mounted next.
 * *note: what is not known of it; NULL: all is.  Static.  False: nothing was
 * found.
 */
bool ext_journal_replay (ext2_filsys fs, ExtReader *reader, const char **note);

/* Read all directories. */
void ext_names_find (ext2_filsys fs, Names *names);
