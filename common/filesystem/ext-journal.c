/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The journal of a file system that is mounted, or was not unmounted, has what is
 * not in its place yet: without it, a file that was written a moment ago is not
 * in its directory, and lies in free blocks.  It is not replayed, as nothing is
 * written, but read in place of what it would replace.
 *
 * The format: the kernel's Documentation/filesystems/ext4/journal.rst.
 */
#include <config.h>

#include <string.h>

#include "filesystem/ext.h"

#define MARK 0xc03b3998U
#define HEADER 12

enum { DESCRIPTOR = 1, COMMIT = 2, REVOKE = 5 };
enum { HAS_64BIT = 0x2, HAS_CSUM_V2 = 0x8, HAS_CSUM_V3 = 0x10,
       HAS_FAST_COMMIT = 0x20 };
#define KNOWN_FEATURES 0x3f
enum { TAG_ESCAPED = 1, TAG_SAME_UUID = 2, TAG_LAST = 8 };

/* Of one transaction; and of the whole journal. */
#define BLOCKS_MAX (4 * 1024 * 1024)

typedef struct {
  ext2_filsys fs;
  guint8 *block;
  guint32 features, first, end; /* end: the first block that is not used */
  guint32 sequence;
  GArray *tags;                 /* of ExtReplayed, of this transaction */
  GArray *revoked;              /* of ExtReplayed, of this one */
  GHashTable *blocks;           /* of ExtReplayed */
  GHashTable *revocations;      /* of ExtReplayed */
} Log;

static guint
hash_block (const void *key)
{
  return g_int64_hash (&((const ExtReplayed *) key)->block);
}

static gboolean
equal_blocks (const void *a, const void *b)
{
  return ((const ExtReplayed *) a)->block == ((const ExtReplayed *) b)->block;
}

static GHashTable *
new_table (void)
{
  return g_hash_table_new_full (hash_block, equal_blocks, g_free, NULL);
}

/* Where a block of the journal lies. */
static bool
find_block (const Log *log, guint32 number, guint64 *at)
{
  blk64_t found;

  if (ext2fs_bmap2 (log->fs, log->fs->super->s_journal_inum, NULL, NULL, 0,
                    number, NULL, &found) || found == 0)
    return false;
  *at = found;
  return true;
}

static bool
read_block (const Log *log, guint32 number)
{
  guint64 at;

  return find_block (log, number, &at)
    && io_channel_read_blk64 (log->fs->io, at, 1, log->block) == 0;
}

static guint32
next_of (const Log *log, guint32 number)
{
  return number + 1 >= log->end ? log->first : number + 1;
}

static guint
tag_size (const Log *log)
{
  if (log->features & HAS_CSUM_V3)
    return 16;
  return (log->features & HAS_64BIT ? 12 : 8)
    + (log->features & HAS_CSUM_V2 ? 2 : 0);
}

/* The blocks that a descriptor names follow it; *number is left behind them. */
static bool
read_descriptor (Log *log, guint32 *number)
{
  const guint size = tag_size (log);
  const guint end = log->fs->blocksize
    - (log->features & (HAS_CSUM_V2 | HAS_CSUM_V3) ? 4 : 0);
  guint flags = 0;

  for (guint at = HEADER; !(flags & TAG_LAST) && at + size <= end;
       at += size + (flags & TAG_SAME_UUID ? 0 : 16)) {
    const guint8 *tag = log->block + at;
    ExtReplayed replayed = { .block = number_be (tag, 4),
                             .sequence = log->sequence };
    flags = log->features & HAS_CSUM_V3 ? number_be (tag + 4, 4)
      : number_be (tag + 6, 2);
    if (log->features & HAS_64BIT)
      replayed.block |= number_be (tag + 8, 4) << 32;
    replayed.escaped = flags & TAG_ESCAPED;
    *number = next_of (log, *number);
    if (!find_block (log, *number, &replayed.from)
        || log->tags->len >= BLOCKS_MAX)
      return false;
    g_array_append_val (log->tags, replayed);
  }
  return true;
}

static void
read_revoke (Log *log)
{
  const guint width = log->features & HAS_64BIT ? 8 : 4;
  const guint end = MIN (number_be (log->block + HEADER, 4),
                         log->fs->blocksize);

  for (guint at = HEADER + 4; at + width <= end
       && log->revoked->len < BLOCKS_MAX; at += width) {
    const ExtReplayed revoked = { .block = number_be (log->block + at, width),
                                  .sequence = log->sequence };
    g_array_append_val (log->revoked, revoked);
  }
}

/* Only a transaction that was committed counts. */
static bool
commit (Log *log)
{
  for (guint i = 0; i < log->tags->len; i++)
    g_hash_table_add (log->blocks,
                      g_memdup2 (&g_array_index (log->tags, ExtReplayed, i),
                                 sizeof (ExtReplayed)));
  for (guint i = 0; i < log->revoked->len; i++)
    g_hash_table_add (log->revocations,
                      g_memdup2 (&g_array_index (log->revoked, ExtReplayed, i),
                                 sizeof (ExtReplayed)));
  g_array_set_size (log->tags, 0);
  g_array_set_size (log->revoked, 0);
  log->sequence++;
  return g_hash_table_size (log->blocks) < BLOCKS_MAX
    && g_hash_table_size (log->revocations) < BLOCKS_MAX;
}

static void
read_log (Log *log, guint32 number)
{
  for (guint32 n = 0; n < log->end; n++, number = next_of (log, number)) {
    if (!read_block (log, number)
        || number_be (log->block, 4) != MARK
        || number_be (log->block + 8, 4) != log->sequence)
      return;
    const guint kind = number_be (log->block + 4, 4);
    if (kind == REVOKE)
      read_revoke (log);
    else if (!(kind == DESCRIPTOR ? read_descriptor (log, &number)
               : kind == COMMIT && commit (log)))
      return;
  }
}

/* A revoked block is not brought back from that transaction, or one before. */
static gboolean
is_revoked (void *key, void *value G_GNUC_UNUSED, void *opaque)
{
  const ExtReplayed *replayed = key;
  const ExtReplayed *revocation
    = g_hash_table_lookup ((GHashTable *) opaque, replayed);

  return revocation
    && (gint32) (replayed->sequence - revocation->sequence) <= 0;
}

static bool
open_log (Log *log, guint32 *start, const char **note)
{
  const struct ext2_super_block *super = log->fs->super;

  *note = "its journal cannot be read: what was written last may be missing";
  if (super->s_journal_inum == 0) {
    *note = "its journal is on another disk: what was written last may be "
      "missing";
    return false;
  }
  if (!read_block (log, 0) || number_be (log->block, 4) != MARK)
    return false;
  const bool is_new = number_be (log->block + 4, 4) == 4;
  log->features = is_new ? number_be (log->block + 40, 4) : 0;
  log->end = number_be (log->block + 16, 4);
  log->first = number_be (log->block + 20, 4);
  log->sequence = number_be (log->block + 24, 4);
  *start = number_be (log->block + 28, 4);
  if (number_be (log->block + 12, 4) != log->fs->blocksize
      || log->features & ~KNOWN_FEATURES)
    return false;
  *note = NULL;
  if (log->features & HAS_FAST_COMMIT) {
    const guint32 fast = number_be (log->block + 84, 4);
    log->end -= MIN (log->end, fast ? fast : 256);
    *note = "it has fast commits, which are not read: what was written last may "
      "be missing";
  }
  return *start != 0 && log->first > 0 && log->first < log->end
    && *start < log->end;
}

bool
ext_journal_replay (ext2_filsys fs, ExtReader *reader, const char **note)
{
  g_autofree guint8 *block = g_malloc0 (fs->blocksize);
  g_autoptr (GArray) tags = g_array_new (FALSE, FALSE, sizeof (ExtReplayed));
  g_autoptr (GArray) revoked = g_array_new (FALSE, FALSE, sizeof (ExtReplayed));
  g_autoptr (GHashTable) blocks = new_table ();
  g_autoptr (GHashTable) revocations = new_table ();
  Log log = { .fs = fs, .block = block, .tags = tags, .revoked = revoked,
              .blocks = blocks, .revocations = revocations };
  guint32 start;

  if (!open_log (&log, &start, note))
    return false;
  read_log (&log, start);
  g_hash_table_foreach_remove (blocks, is_revoked, revocations);
  if (g_hash_table_size (blocks) == 0)
    return false;
  reader->block_size = fs->blocksize;
  reader->replayed = g_steal_pointer (&blocks);
  return true;
}
