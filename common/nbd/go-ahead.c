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
#define NBD_OPT_GO 7
#define NBD_OPT_SET_META_CONTEXT 10
#define NBD_INFO_BLOCK_SIZE 3

static guint32
read_32 (const guchar *bytes)
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

static guint32
option_of (const NbdGoAhead *ahead)
{
  return read_32 (ahead->header + 8);
}

static bool
begin_option (NbdGoAhead *ahead, GByteArray *sent)
{
  ahead->left = read_32 (ahead->header + 12);
  ahead->drops = ahead->is_ahead && option_of (ahead) == NBD_OPT_GO;
  if (ahead->is_ahead && !ahead->drops)
    return false;
  if (!ahead->drops)
    g_byte_array_append (sent, ahead->header, sizeof ahead->header);
  return true;
}

static void
end_option (NbdGoAhead *ahead, GByteArray *sent)
{
  ahead->had = 0;
  ahead->is_ahead
    = !ahead->drops && option_of (ahead) == NBD_OPT_SET_META_CONTEXT;
  if (ahead->is_ahead)
    append_go (sent, ahead->export_name);
}

bool
nbd_go_ahead (NbdGoAhead *ahead, const char *bytes, gsize length,
              GByteArray *sent)
{
  while (length > 0) {
    const bool in_header = ahead->had < sizeof ahead->header;
    const gsize n = MIN (length, in_header
                         ? sizeof ahead->header - ahead->had : ahead->left);
    if (in_header) {
      memcpy (ahead->header + ahead->had, bytes, n);
      ahead->had += n;
      if (ahead->had == sizeof ahead->header && !begin_option (ahead, sent))
        return false;
    }
    else {
      if (!ahead->drops)
        g_byte_array_append (sent, (const guint8 *) bytes, (guint) n);
      ahead->left -= n;
    }
    if (ahead->had == sizeof ahead->header && ahead->left == 0)
      end_option (ahead, sent);
    bytes += n;
    length -= n;
  }
  return true;
}
