/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Fuzz the parser of qcow2 headers, and that of the bitmap directory to which one
 * leads.  Whatever they accept must have names that can be shown and opened.  For
 * libFuzzer, or with replay.c for any compiler.
 */

#include <config.h>

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <glib.h>

#include "image/qcow2-bitmaps.h"

/* The header of version 3. */
#define LEAST 104
#define PATH_LIMIT 1024
#define FORMAT_LIMIT 16
#define DATA_LIMIT 4096
#define BITMAP_LIMIT 1024
/* An entry of the directory with a name of one byte. */
#define ENTRY_LEAST 32

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check_name (const char *what, const char *name, size_t limit)
{
  if (name != NULL && (*name == '\0' || strlen (name) >= limit))
    g_error ("accepted with a strange %s", what);
}

static void
check_header (const Qcow2Header *header)
{
  check_name ("path", header->backing_path, PATH_LIMIT);
  check_name ("format", header->backing_format, FORMAT_LIMIT);
  check_name ("data file", header->data_path, DATA_LIMIT);
  if (header->backing_format
      && !g_utf8_validate (header->backing_format, -1, NULL))
    g_error ("accepted with a format that is not UTF-8");
  if ((header->corrupt || header->external_data) && header->version != 3)
    g_error ("version %u has flags", header->version);
  if (header->version != 2 && header->version != 3
      && (header->encryption || header->backing_path != NULL
          || header->backing_format != NULL))
    g_error ("of version %u more than that is read", header->version);
}

static void
check_names (const uint8_t *data, size_t size, const Qcow2Header *header)
{
  const int fd = memfd_create ("image", MFD_CLOEXEC);

  if (fd < 0 || write (fd, data, size) != (ssize_t) size)
    g_error ("no memory for a file");
  g_autoptr (GPtrArray) names = qcow2_bitmap_names (fd, header);
  close (fd);
  if (names && (names->len != header->bitmap_count
                || names->len * (gsize) ENTRY_LEAST > size))
    g_error ("accepted with too many bitmaps");
  for (guint i = 0; names && i < names->len; i++) {
    const char *name = g_ptr_array_index (names, i);
    if (*name == '\0' || strlen (name) >= BITMAP_LIMIT)
      g_error ("accepted with a strange bitmap");
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  Qcow2Header header = { 0 };
  const char *why = NULL;
  gsize needed = 0;

  g_log_set_always_fatal (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
  if (qcow2_header_begins (data, size, &needed)
      && (needed < LEAST || needed > QCOW2_HEADER_MOST))
    g_error ("needs %" G_GSIZE_FORMAT " bytes", needed);
  /* It must not rely on the magic, either. */
  if (qcow2_header_parse (data, size, &header, &why)) {
    check_header (&header);
    check_names (data, size, &header);
  }
  else if (why == NULL || *why == '\0' || strpbrk (why, "\n\r") != NULL)
    g_error ("refused without one line saying why");
  qcow2_header_clear (&header);
  qcow2_header_clear (&header);
  if (header.backing_path != NULL || header.backing_format != NULL)
    g_error ("not cleared");
  return 0;
}
