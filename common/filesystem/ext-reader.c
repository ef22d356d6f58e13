/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The table of functions by which libext2fs reads.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "filesystem/ext.h"

#define JOURNAL_MARK "\xc0\x3b\x39\x98"

/* Bytes of one block of the file system. */
static bool
read_block (const ExtReader *self, void *buffer, guint32 count, guint64 offset)
{
  const ExtReplayed key = { .block = offset / self->block_size };
  const guint32 within = offset % self->block_size;
  const ExtReplayed *replayed = g_hash_table_lookup (self->replayed, &key);

  if (!replayed)
    return media_read (self->media, buffer, count, offset, NULL);
  if (!media_read (self->media, buffer, count,
                   replayed->from * self->block_size + within, NULL))
    return false;
  if (replayed->escaped && within < 4)
    memcpy (buffer, &JOURNAL_MARK[within], MIN (count, 4 - within));
  return true;
}

static errcode_t
read_bytes (io_channel channel, guint64 offset, guint64 count, void *buffer)
{
  const ExtReader *self = channel->private_data;
  guint8 *to = buffer;

  if (offset > self->media->size || count > self->media->size - offset)
    return EXT2_ET_SHORT_READ;
  while (count > 0) {
    const guint32 most = self->replayed
      ? self->block_size - offset % self->block_size : 65536;
    const guint32 length = MIN (count, most);
    const bool ok = self->replayed ? read_block (self, to, length, offset)
      : media_read (self->media, to, length, offset, NULL);
    if (!ok)
      return EXT2_ET_SHORT_READ;
    to += length;
    offset += length;
    count -= length;
  }
  return 0;
}

static errcode_t
read_blocks (io_channel channel, unsigned long long block, int count,
             void *buffer)
{
  const guint64 size = channel->block_size;

  if (block > G_MAXINT64 / size)
    return EXT2_ET_SHORT_READ;
  return read_bytes (channel, block * size,
                     count < 0 ? (guint64) -(gint64) count : count * size,
                     buffer);
}

static errcode_t
read_blocks_32 (io_channel channel, unsigned long block, int count,
                void *buffer)
{
  return read_blocks (channel, block, count, buffer);
}

static errcode_t
write_blocks (io_channel channel G_GNUC_UNUSED,
              unsigned long long block G_GNUC_UNUSED,
              int count G_GNUC_UNUSED, const void *buffer G_GNUC_UNUSED)
{
  return EXT2_ET_RO_FILSYS;
}

static errcode_t
write_blocks_32 (io_channel channel G_GNUC_UNUSED,
                 unsigned long block G_GNUC_UNUSED, int count G_GNUC_UNUSED,
                 const void *buffer G_GNUC_UNUSED)
{
  return EXT2_ET_RO_FILSYS;
}

static errcode_t
set_block_size (io_channel channel, int size)
{
  channel->block_size = size;
  return 0;
}

static errcode_t
flush (io_channel channel G_GNUC_UNUSED)
{
  return 0;
}

static errcode_t
close_channel (io_channel channel)
{
  ext2fs_free_mem (&channel->name);
  ext2fs_free_mem (&channel);
  return 0;
}

/* The only word from who opens is a name, which is where the reader is. */
static errcode_t open_channel (const char *name, int flags,
                               io_channel *channel);

static struct struct_io_manager manager = {
  .magic = EXT2_ET_MAGIC_IO_MANAGER,
  .name = "what a checkpoint shows",
  .open = open_channel,
  .close = close_channel,
  .set_blksize = set_block_size,
  .read_blk = read_blocks_32,
  .write_blk = write_blocks_32,
  .flush = flush,
  .read_blk64 = read_blocks,
  .write_blk64 = write_blocks,
};

static errcode_t
open_channel (const char *name, int flags G_GNUC_UNUSED, io_channel *channel)
{
  const errcode_t failure
    = ext2fs_get_memzero (sizeof (struct struct_io_channel), channel);
  io_channel self = *channel;

  if (failure)
    return failure;
  self->magic = EXT2_ET_MAGIC_IO_CHANNEL;
  self->manager = &manager;
  self->block_size = 1024;
  self->refcount = 1;
  if (ext2fs_get_mem (strlen (name) + 1, &self->name) == 0)
    memcpy (self->name, name, strlen (name) + 1);
  return sscanf (name, "%p", &self->private_data) == 1
    ? 0 : EXT2_ET_BAD_DEVICE_NAME;
}

errcode_t
ext_reader_open (ExtReader *self, ext2_filsys *fs)
{
  char name[32];

  snprintf (name, sizeof name, "%p", (void *) self);
  return ext2fs_open2 (name, NULL, EXT2_FLAG_64BITS | EXT2_FLAG_SKIP_MMP
                       | EXT2_FLAG_IGNORE_CSUM_ERRORS, 0, 0, &manager, fs);
}

void
ext_reader_clear (ExtReader *self)
{
  g_clear_pointer (&self->replayed, g_hash_table_unref);
}
