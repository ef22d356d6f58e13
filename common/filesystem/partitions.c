/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The formats: UEFI specification, chapter 5; MBR as Linux reads it
 * (block/partitions/msdos.c).
 */
#include <config.h>

#include <string.h>

#include "filesystem/partitions.h"

#define ENTRIES_MAX 1024
#define LOGICAL_MAX 256
#define GPT_ALIGN 512

typedef struct {
  GArray *disks;
  guint disk;
  VolumeDisk *on;
  GPtrArray *volumes;
  guint64 sector;
  GError **error;
} Search;

/* What of it is on the disk. */
static Volume *
add (Search *search, guint number, guint64 start, guint64 length)
{
  const VolumeDisk *on = search->on;
  const char *name = on->name;
  const bool digit = name[0] && g_ascii_isdigit (name[strlen (name) - 1]);
  g_autofree char *own
    = number == 0 ? g_strdup (name)
    : g_strdup_printf ("%s%s%u", name, digit ? "p" : "", number);
  Volume *volume = volume_new (search->disks, own);

  if (start < on->media->size)
    volume_add (volume, MIN (length, on->media->size - start), 0,
                &(VolumeArea) { search->disk, start }, 1);
  g_ptr_array_add (search->volumes, volume);
  return volume;
}

static void
add_table (Search *search, guint64 start, guint64 length)
{
  volume_set (add (search, 0, start, length), LINE_TABLE, "partition table");
}

/* Sectors into bytes, of which none are beyond what a guint64 holds. */
static guint64
bytes (const Search *search, guint64 sectors)
{
  return MIN (sectors, G_MAXINT64 / 2 / search->sector) * search->sector;
}

static bool
is_zero (const guint8 *data, gsize length)
{
  for (gsize i = 0; i < length; i++)
    if (data[i])
      return false;
  return true;
}

/* Entries of the header that is in that sector.  False: it is none. */
static bool
read_gpt (Search *search, guint64 at)
{
  Media *media = search->on->media;
  guint8 header[GPT_ALIGN];

  if (!media_read (media, header, sizeof header, bytes (search, at),
                   search->error)
      || memcmp (header, "EFI PART", 8) != 0
      || number_le (header + 24, 8) != at)
    return false;
  const guint64 entries = bytes (search, number_le (header + 72, 8));
  const guint count = number_le (header + 80, 4);
  const guint size = number_le (header + 84, 4);
  if (count == 0 || count > ENTRIES_MAX || size < 128 || size > 4096)
    return false;
  g_autofree guint8 *table = g_malloc ((gsize) count * size);
  if (!media_read (media, table, count * size, entries, search->error))
    return false;
  const guint64 other = bytes (search, number_le (header + 32, 8));
  const guint64 length
    = ((guint64) count * size + search->sector - 1) / search->sector
    * search->sector;
  add_table (search, 0, 2 * search->sector);
  add_table (search, entries, length);
  add_table (search, bytes (search, at), search->sector);
  add_table (search, other, search->sector);
  if (other >= length)
    add_table (search, other - length, length);
  for (guint i = 0; i < count; i++) {
    const guint8 *entry = table + (gsize) i * size;
    const guint64 first = number_le (entry + 32, 8);
    const guint64 last = number_le (entry + 40, 8);
    if (!is_zero (entry, 16) && first > 0 && last >= first)
      add (search, i + 1, bytes (search, first),
           bytes (search, last - first + 1));
  }
  return true;
}

/* Four of them, from here on. */
#define ENTRIES 446

typedef struct {
  guint type;
  guint64 start, length;        /* bytes */
} Entry;

static Entry
entry_of (const Search *search, const guint8 *sector, guint index)
{
  const guint8 *entry = sector + ENTRIES + 16 * index;

  return (Entry) { entry[4], bytes (search, number_le (entry + 8, 4)),
                   bytes (search, number_le (entry + 12, 4)) };
}

static bool
is_extended (guint type)
{
  return type == 0x05 || type == 0x0f || type == 0x85;
}

static bool
has_signature (const guint8 *sector)
{
  return sector[510] == 0x55 && sector[511] == 0xaa;
}

/* A chain of tables, each with one partition and the place of the next. */
static bool
read_logical (Search *search, const Entry *extended)
{
  guint64 at = extended->start;
  guint8 sector[512];
  guint number = 5;

  for (guint n = 0; n < LOGICAL_MAX; n++) {
    GError *failure = NULL;
    if (!media_read (search->on->media, sector, sizeof sector, at, &failure)) {
      if (failure)
        g_propagate_error (search->error, failure);
      return !failure;
    }
    if (!has_signature (sector))
      return true;
    add_table (search, at, search->sector);
    const Entry here = entry_of (search, sector, 0);
    const Entry next = entry_of (search, sector, 1);
    if (here.type && here.length > 0 && !is_extended (here.type))
      add (search, number++, at + here.start, here.length);
    if (!is_extended (next.type) || next.length == 0 || next.start == 0)
      return true;
    at = extended->start + next.start;
  }
  return true;
}

/* A boot sector of a file system has the signature, too, but no such entries. */
static bool
is_mbr (const Search *search, const guint8 *sector)
{
  bool any = false;

  if (!has_signature (sector))
    return false;
  for (guint i = 0; i < 4; i++) {
    const Entry entry = entry_of (search, sector, i);
    if (sector[ENTRIES + 16 * i] & 0x7f
        || (entry.type && entry.length > 0
            && (entry.start == 0 || entry.start >= search->on->media->size)))
      return false;
    any = any || (entry.type && entry.length > 0);
  }
  return any;
}

static bool
read_mbr (Search *search, const guint8 *sector)
{
  add_table (search, 0, search->sector);
  for (guint i = 0; i < 4; i++) {
    const Entry entry = entry_of (search, sector, i);
    if (!entry.type || entry.length == 0)
      continue;
    if (!is_extended (entry.type))
      add (search, i + 1, entry.start, entry.length);
    else if (!read_logical (search, &entry))
      return false;
  }
  return true;
}

bool
partitions_find (GArray *disks, guint disk, GPtrArray *volumes, bool *found,
                 GError **error)
{
  VolumeDisk *on = &g_array_index (disks, VolumeDisk, disk);
  GError *failure = NULL;
  Search search = { disks, disk, on, volumes, 512, &failure };
  guint8 sector[512];

  *found = false;
  if (on->media->size < sizeof sector)
    return true;
  if (!on->media->read (on->media, sector, sizeof sector, 0, error))
    return false;
  const bool mbr = is_mbr (&search, sector);
  for (search.sector = 512; mbr && search.sector <= 4096 && !failure && !*found;
       search.sector *= 8)
    *found = read_gpt (&search, 1)
      || (!failure
          && read_gpt (&search, on->media->size / search.sector - 1));
  search.sector = 512;
  if (!failure && !*found && mbr) {
    *found = true;
    read_mbr (&search, sector);
  }
  if (failure)
    g_propagate_error (error, failure);
  return !failure;
}
