/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Whether anything is in the log only.  It is a ring of records, each sector of
 * which begins with the number of the round in which it was written; the last
 * record of a file system that was unmounted, or frozen, says so.
 */
#include <config.h>

#include "filesystem/xfs.h"

#define SECTOR 512
#define RECORD 0xfeedbabeU
#define UNMOUNTED 0x20          /* a flag of an operation */
#define HEADER_COVERS 32768     /* bytes of a record, for each header sector */
/* A record has at most 256 KiB, and its headers. */
#define SECTORS_BACK 600

typedef struct {
  Media *media;
  guint64 start, sectors;
  guint8 sector[SECTOR];        /* the last one that was read */
} Log;

static bool
read_sector (Log *self, guint64 number)
{
  return media_read (self->media, self->sector, SECTOR,
                     self->start + number % self->sectors * SECTOR, NULL);
}

static bool
round_of (Log *self, guint64 number, guint32 *round)
{
  if (!read_sector (self, number))
    return false;
  *round = number_be (self->sector, 4);
  if (*round == RECORD)
    *round = number_be (self->sector + 4, 4);
  return true;
}

/* Where the next record would be written: where another round begins. */
static bool
find_head (Log *self, guint64 *head)
{
  guint64 low = 0, high = self->sectors;
  guint32 first, round;

  if (!round_of (self, 0, &first))
    return false;
  while (high - low > 1) {
    const guint64 middle = low + (high - low) / 2;
    if (!round_of (self, middle, &round))
      return false;
    if (round == first)
      low = middle;
    else
      high = middle;
  }
  *head = high;
  return true;
}

bool
xfs_log_is_empty (const XfsLook *self)
{
  const XfsGeometry *geometry = &self->geometry;
  Log log = {
    .media = self->examination->media,
    .start = xfs_block_at (geometry, geometry->log_start),
    .sectors = ((guint64) geometry->log_blocks << geometry->block_log) / SECTOR,
  };
  guint64 head;

  if (geometry->log_start == 0 || log.start == G_MAXUINT64 || log.sectors == 0
      || !find_head (&log, &head))
    return false;
  for (guint64 back = 1; back <= MIN (SECTORS_BACK, log.sectors); back++) {
    const guint64 at = head + log.sectors - back;
    if (!read_sector (&log, at))
      return false;
    if (number_be (log.sector, 4) != RECORD)
      continue;
    const guint64 headers = number_be (log.sector + 320, 4) > HEADER_COVERS
      ? (number_be (log.sector + 320, 4) + HEADER_COVERS - 1) / HEADER_COVERS
      : 1;
    return number_be (log.sector + 40, 4) == 1
      && read_sector (&log, at + headers) && log.sector[9] & UNMOUNTED;
  }
  return false;
}
