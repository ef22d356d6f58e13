/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Read a qcow2 header, and stop where QEMU might read something else.
 */
#include <config.h>

#include <string.h>

#include "image/qcow2-format.h"
#include "image/qcow2-header.h"

#define DIRTY 1
#define CORRUPT 2
#define EXTERNAL_DATA 4
/* An autoclear bit: programs that do not know it clear it as they write. */
#define BITMAPS_KEPT 1
#define DATA_RAW 2

#define EXTENSIONS_END 0
#define BACKING_FORMAT 0xe2792acaU
#define BITMAPS 0x23852875U
#define DATA_FILE 0x44415441U
#define BITMAPS_LENGTH 24
/* QEMU's own limits, each with the final NUL. */
#define BACKING_PATH_MOST 1024
#define DATA_PATH_MOST 4096     /* QEMU has none; no file's name is longer */
#define BACKING_FORMAT_MOST 16

/* By crypt_method. */
static const char *const encryptions[] = { NULL, "aes", "luks" };

void
qcow2_header_clear (Qcow2Header *header)
{
  g_clear_pointer (&header->backing_path, g_free);
  g_clear_pointer (&header->backing_format, g_free);
  g_clear_pointer (&header->data_path, g_free);
}

bool
qcow2_header_begins (const guint8 *bytes, gsize length, gsize *needed)
{
  if (length < 8 || memcmp (bytes, QCOW2_MAGIC, QCOW2_MAGIC_LENGTH) != 0)
    return false;
  const guint64 cluster_bits
    = length >= QCOW2_LENGTH_2
    ? qcow2_number (bytes + QCOW2_AT_CLUSTER_BITS, 4) : 0;
  *needed = cluster_bits <= QCOW2_CLUSTER_BITS_MOST
    ? (gsize) 1 << cluster_bits : 0;
  *needed = MAX (*needed, QCOW2_LENGTH_3);
  return true;
}

/* QEMU reads text up to the first NUL.  NULL if that is nothing. */
static char *
text_at (const guint8 *bytes, gsize length)
{
  char *text = g_strndup ((const char *) bytes, length);

  if (!*text)
    g_clear_pointer (&text, g_free);
  return text;
}

static bool
read_backing_path (const guint8 *bytes, gsize length, Qcow2Header *header,
                   const char **why)
{
  const guint64 offset = qcow2_number (bytes + QCOW2_AT_BACKING_OFFSET, 8);
  const guint64 count = qcow2_number (bytes + QCOW2_AT_BACKING_LENGTH, 4);

  if (offset == 0)
    return true;
  *why = "its backing file's name is not in its first cluster";
  if (offset > length || count > length - offset)
    return false;
  *why = "its backing file's name is too long";
  if (count >= BACKING_PATH_MOST)
    return false;
  header->backing_path = text_at (bytes + offset, count);
  return true;
}

/* Why QEMU takes the bitmaps for lost and lists none of them (block/qcow2.c,
 * qcow2_read_extensions), or NULL.
 */
static const char *
void_bitmaps (const guint8 *bytes, guint32 version)
{
  if (version == 2)
    return "it is qcow2 version 2, in which nobody keeps them up to date";
  return qcow2_number (bytes + QCOW2_AT_AUTOCLEAR, 8) & BITMAPS_KEPT ? NULL
    : "a program that does not know bitmaps has written to it";
}

/* An extension that QEMU would not take leads to no directory. */
static void
read_bitmaps (const guint8 *bytes, gsize count, Qcow2Header *header)
{
  header->bitmaps = true;
  if (count != BITMAPS_LENGTH)
    return;
  header->bitmap_count = (guint32) qcow2_number (bytes, 4);
  header->directory_size = qcow2_number (bytes + 8, 8);
  header->directory_offset = qcow2_number (bytes + 16, 8);
}

static bool
read_extensions (const guint8 *bytes, gsize begin, gsize end,
                 Qcow2Header *header, const char **why)
{
  gsize at = begin;

  while (at < end) {
    *why = "its header extensions do not fit into it";
    if (end - at < 8)
      return false;
    const guint32 type = (guint32) qcow2_number (bytes + at, 4);
    const gsize count = (gsize) qcow2_number (bytes + at + 4, 4);
    at += 8;
    if (count > end - at)
      return false;
    if (type == EXTENSIONS_END)
      return true;
    if (type == BITMAPS) {
      header->void_bitmaps = void_bitmaps (bytes, header->version);
      read_bitmaps (bytes + at, count, header);
    }
    if (type == DATA_FILE) {
      *why = "its data file's name is too long";
      if (count >= DATA_PATH_MOST)
        return false;
      g_free (header->data_path);
      header->data_path = text_at (bytes + at, count);
    }
    if (type == BACKING_FORMAT) {
      *why = "the format of its backing file has no known name";
      if (count >= BACKING_FORMAT_MOST)
        return false;
      g_free (header->backing_format);
      header->backing_format = text_at (bytes + at, count);
      if (header->backing_format
          && !g_utf8_validate (header->backing_format, -1, NULL))
        return false;
    }
    at += (count + 7) & ~(gsize) 7;
  }
  return true;
}

/* What every program needs, but version, which is known. */
static bool
read_numbers (const guint8 *bytes, gsize length, Qcow2Header *header,
              gsize *header_length, const char **why)
{
  const guint64 cluster_bits = qcow2_number (bytes + QCOW2_AT_CLUSTER_BITS, 4);
  const guint64 method = qcow2_number (bytes + QCOW2_AT_CRYPT_METHOD, 4);

  *header_length = QCOW2_LENGTH_2;
  if (header->version == 3) {
    if (length < QCOW2_LENGTH_3)
      return false;
    const guint64 features = qcow2_number (bytes + QCOW2_AT_INCOMPATIBLE, 8);
    const guint64 autoclear = qcow2_number (bytes + QCOW2_AT_AUTOCLEAR, 8);
    header->corrupt = features & CORRUPT;
    header->unclean = features & DIRTY;
    header->unknown_autoclear = autoclear & ~(BITMAPS_KEPT | DATA_RAW);
    header->external_data = features & EXTERNAL_DATA;
    header->data_raw = autoclear & DATA_RAW;
    *header_length = (gsize) qcow2_number (bytes + QCOW2_AT_HEADER_LENGTH, 4);
  }
  *why = "how it is encrypted has no known name";
  if (method >= G_N_ELEMENTS (encryptions))
    return false;
  header->encryption = encryptions[method];
  header->size = qcow2_number (bytes + QCOW2_AT_SIZE, 8);
  *why = "its header's numbers make no sense";
  if (cluster_bits < QCOW2_CLUSTER_BITS_LEAST
      || cluster_bits > QCOW2_CLUSTER_BITS_MOST)
    return false;
  header->cluster_size = (guint64) 1 << cluster_bits;
  return *header_length >= (header->version == 3 ? QCOW2_LENGTH_3
                            : QCOW2_LENGTH_2)
    && *header_length <= header->cluster_size;
}

bool
qcow2_header_parse (const guint8 *bytes, gsize length, Qcow2Header *header,
                    const char **why)
{
  gsize header_length;

  *why = "its header is cut off";
  if (length < QCOW2_LENGTH_2)
    return false;
  header->version = (guint32) qcow2_number (bytes + QCOW2_AT_VERSION, 4);
  if (header->version != 2 && header->version != 3)
    return true;
  if (!read_numbers (bytes, length, header, &header_length, why))
    return false;
  *why = "its header is cut off";
  length = MIN (length, header->cluster_size);
  if (header_length > length
      || !read_backing_path (bytes, length, header, why))
    return false;
  /* The name, if there is one, comes after the extensions. */
  const guint64 backing_offset
    = qcow2_number (bytes + QCOW2_AT_BACKING_OFFSET, 8);
  const gsize end = backing_offset ? (gsize) backing_offset : length;
  return read_extensions (bytes, header_length, end, header, why);
}
