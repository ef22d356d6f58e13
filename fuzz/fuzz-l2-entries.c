/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Fuzz reading straight from a qcow2 image: the input is its L2 table.  What it
 * means is worked out a second time here, sector by sector, as qcow2 has it; what
 * is read must be that, and what is left to QEMU must be what is odd, all of it.
 * For libFuzzer, or with replay.c for any compiler.
 */

#include <config.h>

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <glib.h>

#include "image/direct-read.h"
#include "image/qcow2-format.h"

/* The input begins with how the image is, and where its file ends. */
#define HEAD 2
#define EXTENDED 1
#define DATA_FILE 2
#define VERSION_2 4
#define ENTRIES_MOST 12
/* Clusters of the file: header, L1, L2 and what follows. */
#define FILE_CLUSTERS 16
#define SECTOR 512
#define BYTE_BELOW 255          /* byte_at is less */

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

typedef struct {
  bool extended, data_file, version_2;
  guint cluster_bits;
  guint64 cluster, disk, file;  /* bytes: of one, of the disk, of the file */
  const uint8_t *table;
  guint count;                  /* of entries */
} Image;

typedef enum { DATA, ZEROES, BELOW, ODD } Sector;

/* Of the file that has the data. */
static guint8
byte_at (guint64 offset)
{
  return (guint8) (1 + offset / SECTOR % 250);
}

static guint32
rest_of_sector (guint64 offset, guint64 end)
{
  return (guint32) (MIN (end, offset / SECTOR * SECTOR + SECTOR) - offset);
}

/* As docs/interop/qcow2.txt has it: of one sector, from all that is said of it. */
static Sector
sector_at (const Image *image, guint64 offset, guint64 *host)
{
  const guint64 number = offset / image->cluster;
  const guint8 *at = image->table + number * (image->extended ? 16 : 8);

  if (number >= image->count)
    return BELOW;
  const guint64 entry = qcow2_number (at, 8);
  const guint64 base = entry & G_GUINT64_CONSTANT (0xfffffffffffe00);
  if (entry >> 62 & 1 || (entry & G_GUINT64_CONSTANT (0x3f000000000001fe))
      || base % image->cluster)
    return ODD;
  *host = base + offset % image->cluster;
  const bool zero = entry & 1, own = entry >> 63;
  if (zero && (image->extended || image->version_2))
    return ODD;
  /* An offset of 0 is one only in a data file, with the flag. */
  const bool somewhere = base || (image->data_file && own && !zero);
  if (image->data_file && somewhere && base != number * image->cluster)
    return ODD;
  if (!image->extended) {
    if (zero)
      return ZEROES;
    if (!somewhere)
      return BELOW;
    return base + image->cluster > image->file ? ODD : DATA;
  }
  const guint64 bitmap = qcow2_number (at + 8, 8);
  for (guint i = 0; i < 32; i++)
    if ((bitmap >> i & 1) && (!somewhere || (bitmap >> (32 + i) & 1)))
      return ODD;
  if (!somewhere && own)
    return ODD;
  const guint64 part = image->cluster / 32;
  const guint64 index = offset % image->cluster / part;
  if (bitmap >> (32 + index) & 1)
    return ZEROES;
  if (!(bitmap >> index & 1))
    return BELOW;
  return base + (index + 1) * part > image->file ? ODD : DATA;
}

static void
put (guint8 *bytes, guint length, guint64 number)
{
  for (guint i = 0; i < length; i++)
    bytes[i] = (guint8) (number >> 8 * (length - 1 - i));
}

static ImageFile *
make_file (guint64 length)
{
  ImageFile *file = g_new0 (ImageFile, 1);

  file->path = g_strdup ("image");
  file->fd = memfd_create ("image", MFD_CLOEXEC);
  if (file->fd < 0 || ftruncate (file->fd, (off_t) length) != 0
      || fstat (file->fd, &file->stamp) != 0)
    g_error ("no memory for a file");
  return file;
}

static void
put_into (const ImageFile *file, const void *bytes, gsize count, guint64 offset)
{
  if (pwrite (file->fd, bytes, count, (off_t) offset) != (ssize_t) count)
    g_error ("no memory for a file");
}

/* Each sector of it has its own byte. */
static void
fill (const ImageFile *file, guint64 from, guint64 to)
{
  g_autofree guint8 *bytes = g_malloc (MAX (to, from) - from + 1);

  for (guint64 at = from; at < to; at += rest_of_sector (at, to))
    memset (bytes + (at - from), byte_at (at), rest_of_sector (at, to));
  if (to > from)
    put_into (file, bytes, to - from, from);
}

/* As long as the other says, but for its tables. */
static void
write_tables (const Image *image, const ImageFile *file)
{
  guint8 header[QCOW2_LENGTH_3] = QCOW2_MAGIC, l1[8];

  put (header + QCOW2_AT_VERSION, 4, image->version_2 ? 2 : 3);
  put (header + QCOW2_AT_CLUSTER_BITS, 4, image->cluster_bits);
  put (header + QCOW2_AT_SIZE, 8, image->disk);
  put (header + QCOW2_AT_L1_SIZE, 4, 1);
  put (header + QCOW2_AT_L1_OFFSET, 8, image->cluster);
  if (!image->version_2)
    put (header + QCOW2_AT_INCOMPATIBLE, 8,
         (image->data_file ? 4 : 0) | (image->extended ? 16 : 0));
  put (l1, 8, 2 * image->cluster);
  put_into (file, header, sizeof header, 0);
  put_into (file, l1, sizeof l1, image->cluster);
  put_into (file, image->table,
            image->count * (image->extended ? 16 : 8), 2 * image->cluster);
}

static Layer *
make_layer (const Image *image)
{
  Layer *layer = layer_new ("image");

  layer->format = g_strdup ("qcow2");
  layer->size = image->disk;
  layer->file = make_file (image->data_file ? 3 * image->cluster : image->file);
  if (image->data_file) {
    layer->data = make_file (image->file);
    fill (layer->data, 0, image->file);
  }
  else
    fill (layer->file, 3 * image->cluster, image->file);
  write_tables (image, layer->file);
  return layer;
}

static void
check_bytes (const Image *image, const guint8 *bytes, guint64 offset,
             guint32 count)
{
  const guint64 end = offset + count;

  for (guint32 part; offset < end; offset += part, bytes += part) {
    guint64 host = 0;
    const Sector sector = sector_at (image, offset, &host);
    const guint8 wanted = sector == DATA ? byte_at (host)
      : sector == BELOW ? BYTE_BELOW : 0;
    part = rest_of_sector (offset, end);
    if (sector == ODD)
      g_error ("read at %" G_GUINT64_FORMAT ", which is odd", offset);
    /* Nobody says that an entry must not lead to tables. */
    if (sector == DATA && !image->data_file && host < 3 * image->cluster)
      continue;
    for (guint32 i = 0; i < part; i++)
      if (bytes[i] != wanted)
        g_error ("another byte at %" G_GUINT64_FORMAT, offset + i);
  }
}

static void
check_left (const Image *image, guint64 offset, guint32 count)
{
  const guint64 end = offset + count;
  guint64 host = 0;

  for (; offset < end; offset += rest_of_sector (offset, end))
    if (sector_at (image, offset, &host) != ODD)
      g_error ("not read at %" G_GUINT64_FORMAT, offset);
}

static void
read_all (const Image *image, const DirectRead *direct, guint32 most)
{
  g_autofree guint8 *buffer = g_malloc (most);
  guint32 done, others;

  for (guint64 at = 0; at < image->disk; at += MAX (done, others)) {
    const guint32 count = (guint32) MIN (most, image->disk - at);
    done = direct_read (direct, buffer, count, at, &others);
    if (done > count || others > count || (done > 0) == (others > 0))
      g_error ("%u read, and %u left, of %u", done, others, count);
    check_bytes (image, buffer, at, done);
    check_left (image, at, others);
  }
}

static Layer *
make_base (const Image *image)
{
  Layer *layer = layer_new ("base");
  g_autofree guint8 *bytes = g_malloc (image->disk);

  memset (bytes, BYTE_BELOW, image->disk);
  layer->format = g_strdup ("raw");
  layer->size = image->disk;
  layer->file = make_file (image->disk);
  put_into (layer->file, bytes, image->disk, 0);
  return layer;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  if (size < HEAD)
    return 0;
  Image image = { .extended = data[0] & EXTENDED,
                  .data_file = data[0] & DATA_FILE,
                  .version_2 = data[0] & VERSION_2,
                  .table = data + HEAD };
  if (image.version_2)
    image.extended = image.data_file = false;
  image.cluster_bits = image.extended ? 14 + (data[0] >> 3) % 2
    : 9 + (data[0] >> 3) % 4;
  image.cluster = G_GUINT64_CONSTANT (1) << image.cluster_bits;
  image.count = (guint) MIN ((size - HEAD) / (image.extended ? 16 : 8),
                             ENTRIES_MOST);
  /* The last cluster is one that the table says nothing of, and cut. */
  image.disk = image.count * image.cluster + image.cluster / 2;
  image.file = 3 * image.cluster + data[1] * (FILE_CLUSTERS - 3)
    * image.cluster / 256;

  g_autoptr (Disk) disk = disk_new ("vda");
  g_ptr_array_add (disk->layers, make_layer (&image));
  g_ptr_array_add (disk->layers, make_base (&image));
  g_autoptr (DirectRead) direct = direct_read_open (disk, NULL);
  if (!direct)
    g_error ("not opened");
  read_all (&image, direct, 3 * SECTOR + 1);
  read_all (&image, direct, (guint32) (5 * image.cluster));
  return 0;
}
