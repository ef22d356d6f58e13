/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/image/qcow2-bitmaps.c: directories made by hand, and one of QEMU's.
 */
#include <config.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "image/qcow2-bitmaps.h"
#include "qcow2-put.h"

#define PLACE 4096              /* where the directory is */
#define ENTRY 24

/* Fields of an entry. */
enum { TABLE = 0, TYPE = 16, GRANULARITY = 17, NAME_LENGTH = 18,
  EXTRA_LENGTH = 20 };

static gsize
padded (gsize length)
{
  return (length + 7) & ~(gsize) 7;
}

static GByteArray *
directory_of (const char *const *names, gsize extra)
{
  GByteArray *directory = g_byte_array_new ();

  for (guint i = 0; names[i]; i++) {
    const gsize at = directory->len, name = strlen (names[i]);
    g_byte_array_set_size (directory,
                           (guint) (at + padded (ENTRY + extra + name)));
    guint8 *entry = directory->data + at;
    memset (entry, 0, directory->len - at);
    put (entry + TABLE, 8, 1 << 16);
    put (entry + TYPE, 1, 1);
    put (entry + GRANULARITY, 1, 16);
    put (entry + NAME_LENGTH, 2, name);
    put (entry + EXTRA_LENGTH, 4, extra);
    memcpy (entry + ENTRY + extra, names[i], name);
  }
  return directory;
}

/* What is read of it, as "a b", or NULL. */
static char *
read_back (const GByteArray *directory, guint32 count, guint64 size,
           guint64 offset)
{
  const Qcow2Header header = { .bitmaps = true, .bitmap_count = count,
                               .directory_offset = offset,
                               .directory_size = size };
  const int fd = memfd_create ("image", MFD_CLOEXEC);

  g_assert_cmpint (pwrite (fd, directory->data, directory->len, PLACE), ==,
                   directory->len);
  g_autoptr (GPtrArray) names = qcow2_bitmap_names (fd, &header);
  close (fd);
  if (!names)
    return NULL;
  g_ptr_array_add (names, NULL);
  return g_strjoinv (" ", (char **) names->pdata);
}

static void
test_names (void)
{
  g_autofree char *most = g_strnfill (1023, 'x');
  const char *const names[] = { "m", "eight888", most, "é", NULL };
  g_autofree char *expected = g_strjoinv (" ", (char **) names);

  for (gsize extra = 0; extra < 20; extra++) {
    g_autoptr (GByteArray) directory = directory_of (names, extra);
    g_autofree char *read = read_back (directory, 4, directory->len, PLACE);
    g_assert_cmpstr (read, ==, expected);
    for (gsize cut = 1; cut <= directory->len; cut++) {
      g_autofree char *less
        = read_back (directory, 4, directory->len - cut, PLACE);
      g_assert_null (less);
    }
  }
}

/* What is no directory of that many bitmaps may have held any name. */
static void
test_strange (void)
{
  static const char *const names[] = { "monday", "tuesday", NULL };
  static const struct { guint at, length; guint64 number; } changes[] = {
    { TYPE, 1, 0 }, { TYPE, 1, 2 }, { GRANULARITY, 1, 8 },
    { GRANULARITY, 1, 32 }, { NAME_LENGTH, 2, 0 }, { NAME_LENGTH, 2, 1024 },
    { NAME_LENGTH, 2, 0xffff }, { EXTRA_LENGTH, 4, 0xffffffff },
    { EXTRA_LENGTH, 4, 64 }, { ENTRY + 2, 1, 0 },
  };
  g_autoptr (GByteArray) directory = directory_of (names, 0);
  const gsize size = directory->len;
  const gsize second = padded (ENTRY + strlen ("monday"));

  for (guint i = 0; i < G_N_ELEMENTS (changes); i++)
    for (gsize entry = 0; entry <= second; entry += second) {
      g_autoptr (GByteArray) changed = directory_of (names, 0);
      put (changed->data + entry + changes[i].at, changes[i].length,
           changes[i].number);
      g_autofree char *read = read_back (changed, 2, size, PLACE);
      g_assert_null (read);
    }
  for (guint32 count = 0; count < 5; count++) {
    g_autofree char *read = read_back (directory, count, size, PLACE);
    g_assert_cmpstr (read, ==, count == 2 ? "monday tuesday" : NULL);
  }
  const struct { guint64 size, offset; } places[] = {
    { size, 0 }, { size, PLACE + 8 }, { size, G_MAXUINT64 },
    { size, G_MAXINT64 }, { size + 8, PLACE }, { 0, PLACE },
    { G_MAXUINT64, PLACE }, { 1 << 30, PLACE },
  };
  for (guint i = 0; i < G_N_ELEMENTS (places); i++) {
    g_autofree char *read
      = read_back (directory, 2, places[i].size, places[i].offset);
    g_assert_null (read);
  }
}

static void
run (const char *command)
{
  g_autoptr (GError) error = NULL;
  int status = 0;

  g_spawn_command_line_sync (command, NULL, NULL, &status, &error);
  g_assert_no_error (error);
  g_assert_cmpint (status, ==, 0);
}

static void
test_qemu (void)
{
  g_autofree char *dir = g_dir_make_tmp ("checkpoint-unit-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (dir, "image", NULL);
  g_auto (Qcow2Header) header = { 0 };
  const char *why = "";

  g_assert_nonnull (dir);
  g_autofree char *create
    = g_strdup_printf ("qemu-img create -q -f qcow2 %s 1M", path);
  run (create);
  for (guint i = 0; i < 3; i++) {
    g_autofree char *add
      = g_strdup_printf ("qemu-img bitmap --add %s m%u", path, i);
    run (add);
  }
  const int fd = open (path, O_RDONLY | O_CLOEXEC);
  guint8 bytes[65536];
  g_assert_cmpint (pread (fd, bytes, sizeof bytes, 0), ==, sizeof bytes);
  g_assert_true (qcow2_header_parse (bytes, sizeof bytes, &header, &why));
  g_autoptr (GPtrArray) names = qcow2_bitmap_names (fd, &header);
  close (fd);
  g_unlink (path);
  g_rmdir (dir);
  g_assert_nonnull (names);
  g_assert_cmpuint (names->len, ==, 3);
  for (guint i = 0; i < 3; i++) {
    g_autofree char *name = g_strdup_printf ("m%u", i);
    g_assert_true (g_ptr_array_find_with_equal_func (names, name, g_str_equal,
                                                     NULL));
  }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/qcow2-bitmaps/names", test_names);
  g_test_add_func ("/qcow2-bitmaps/strange", test_strange);
  g_test_add_func ("/qcow2-bitmaps/qemu", test_qemu);
  return g_test_run ();
}
