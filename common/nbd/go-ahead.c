/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * An option is eight bytes IHAVEOPT, its number, the length of its data, and those
 * (NBD's doc/proto.md, "Fixed newstyle negotiation").
 */
#include <config.h>

#include <string.h>

#include "nbd/go-ahead.h"

#define MAGIC "IHAVEOPT"
#define HEADER_BYTES 16
/* A name has 4096 bytes at most, and two contexts are asked for. */
#define OPTION_MAX_BYTES 65536
#define NBD_OPT_GO 7
#define NBD_OPT_SET_META_CONTEXT 10
#define NBD_INFO_BLOCK_SIZE 3

static guint32
read_32 (const guint8 *bytes)
{
  guint32 value;

  memcpy (&value, bytes, sizeof value);
  return GUINT32_FROM_BE (value);
}

static void
append_32 (GByteArray *sent, gsize value)
{
  const guint32 wire = GUINT32_TO_BE ((guint32) value);

  g_byte_array_append (sent, (const guint8 *) &wire, sizeof wire);
}

static void
append_16 (GByteArray *sent, guint16 value)
{
  const guint16 wire = GUINT16_TO_BE (value);

  g_byte_array_append (sent, (const guint8 *) &wire, sizeof wire);
}

/* As libnbd does, with the block sizes; what a server tells beyond that is heeded. */
static void
append_go (GByteArray *sent, const char *name)
{
  const gsize length = strlen (name);

  g_byte_array_append (sent, (const guint8 *) MAGIC, strlen (MAGIC));
  append_32 (sent, NBD_OPT_GO);
  append_32 (sent, 4 + length + 2 + 2);
  append_32 (sent, length);
  g_byte_array_append (sent, (const guint8 *) name, (guint) length);
  append_16 (sent, 1);
  append_16 (sent, NBD_INFO_BLOCK_SIZE);
}

/* 0: it is not whole yet. */
static gsize
option_bytes (const GByteArray *option)
{
  const gsize size = option->len < HEADER_BYTES
    ? 0 : HEADER_BYTES + (gsize) read_32 (option->data + 12);

  return size <= option->len ? size : 0;
}

static bool
take_option (NbdGoAhead *ahead, gsize size, GByteArray *sent)
{
  const guint32 number = read_32 (ahead->option->data + 8);
  const bool is_sent = ahead->is_ahead && number == NBD_OPT_GO;

  if (ahead->is_ahead && !is_sent)
    return false;
  if (!is_sent)
    g_byte_array_append (sent, ahead->option->data, (guint) size);
  ahead->is_ahead = ahead->export_name && number == NBD_OPT_SET_META_CONTEXT;
  if (ahead->is_ahead)
    append_go (sent, ahead->export_name);
  g_byte_array_remove_range (ahead->option, 0, (guint) size);
  return true;
}

bool
nbd_go_ahead (NbdGoAhead *ahead, const char *bytes, gsize length,
              GByteArray *sent)
{
  gsize size;

  if (length > OPTION_MAX_BYTES
      || ahead->option->len > OPTION_MAX_BYTES - length)
    return false;
  g_byte_array_append (ahead->option, (const guint8 *) bytes, (guint) length);
  while ((size = option_bytes (ahead->option)) > 0)
    if (!take_option (ahead, size, sent))
      return false;
  return true;
}
