/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Extended L2 entries as no QEMU writes them: what qcow2 calls invalid is left to
 * QEMU, and whatever is read is what QEMU reads there, which refuses some of them.
 * --seed=... as printed repeats a failure.
 */
#include <config.h>

#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <glib/gstdio.h>

#include "image/chain.h"
#include "image/direct-read.h"
#include "image/qcow2-format.h"
#include "qcow2-put.h"
#include "run-command.h"

#define CLUSTER (16 * 1024)
#define CLUSTERS 8
#define SIZE (CLUSTERS * CLUSTER)
#define CHANGED 3               /* the cluster whose entry is changed */
#define SUBCLUSTER (CLUSTER / 32)

#define COPIED (G_GUINT64_CONSTANT (1) << 63)
#define COMPRESSED (G_GUINT64_CONSTANT (1) << 62)
#define ALL_HERE G_GUINT64_CONSTANT (0x00000000ffffffff)
#define ALL_ZERO G_GUINT64_CONSTANT (0xffffffff00000000)

typedef struct {
  char *folder, *path;
  guint64 at;                   /* of the L2 table */
  guint64 entry;                /* the one to be changed, as it was */
} Image;

static guint64
number_at (const Image *image, guint64 at)
{
  guint8 bytes[8];
  const int fd = g_open (image->path, O_RDONLY | O_CLOEXEC);

  g_assert_cmpint (pread (fd, bytes, sizeof bytes, (off_t) at), ==, 8);
  close (fd);
  return qcow2_number (bytes, 8);
}

/* The entry and bitmap of the cluster that is changed. */
static void
set_entry (const Image *image, guint64 entry, guint64 bitmap)
{
  guint8 bytes[16];
  const int fd = g_open (image->path, O_WRONLY | O_CLOEXEC);

  put (bytes, 8, entry);
  put (bytes + 8, 8, bitmap);
  g_assert_cmpint (pwrite (fd, bytes, sizeof bytes,
                           (off_t) (image->at + 16 * CHANGED)), ==, 16);
  close (fd);
}

/* All of it random bytes, over other ones. */
static Image
make_image (gboolean has_data_file)
{
  Image image = { .folder = g_dir_make_tmp ("direct-entries.XXXXXX", NULL) };
  g_autofree guint8 *bytes = g_malloc (2 * SIZE);
  g_autofree char *name = g_build_filename (image.folder, "bytes", NULL);
  g_autofree char *base = g_build_filename (image.folder, "base", NULL);

  image.path = g_build_filename (image.folder, "image", NULL);
  for (guint i = 0; i < 2 * SIZE; i++)
    bytes[i] = (guint8) g_test_rand_int ();
  g_assert_true (g_file_set_contents (base, (char *) bytes, SIZE, NULL));
  g_assert_true (g_file_set_contents (name, (char *) bytes + SIZE, SIZE, NULL));
  g_autofree char *data = has_data_file
    ? g_strdup_printf (",data_file=%s.data", image.path) : g_strdup ("");
  run ("qemu-img create -q -f qcow2 -o extended_l2=on,cluster_size=16k%s -b %s "
       "-F raw %s", data, base, image.path);
  run ("qemu-io -f qcow2 -c 'write -q -s %s 0 %u' %s", name, SIZE, image.path);
  const guint64 l1 = number_at (&image, QCOW2_AT_L1_OFFSET);
  image.at = number_at (&image, l1) & ~COPIED;
  image.entry = number_at (&image, image.at + 16 * CHANGED);
  g_assert_cmpuint (image.entry & COPIED, !=, 0);
  g_assert_cmpuint (number_at (&image, image.at + 16 * CHANGED + 8), ==,
                    ALL_HERE);
  return image;
}

static void
remove_image (Image *image)
{
  run ("rm -rf %s", image->folder);
  g_free (image->folder);
  g_free (image->path);
}

/* What QEMU reads there; NULL if it refuses. */
static guint8 *
ask_qemu (const Image *image, guint64 offset, guint64 length)
{
  g_autofree char *to = g_build_filename (image->folder, "truth", NULL);
  g_autofree char *command = g_strdup_printf (
    "qemu-img convert -O raw --image-opts driver=raw,offset=%" G_GUINT64_FORMAT
    ",size=%" G_GUINT64_FORMAT ",file.driver=qcow2,file.file.filename=%s %s",
    offset, length, image->path, to);
  g_autofree char *err = NULL;
  char *truth = NULL;
  gsize count;
  int status;

  g_assert_true (g_spawn_command_line_sync (command, NULL, &err, &status,
                                            NULL));
  if (status != 0) {
    /* It has no other reason to. */
    g_assert_nonnull (strstr (err, "Input/output error"));
    return NULL;
  }
  g_assert_true (g_file_get_contents (to, &truth, &count, NULL));
  g_assert_cmpuint (count, ==, length);
  return (guint8 *) truth;
}

static Disk *
open_disk (const Image *image)
{
  g_autoptr (GError) error = NULL;
  Disk *disk = disk_new ("vda");

  g_ptr_array_unref (disk->layers);
  disk->layers
    = image_chain_inspect (&(ChainRequest) { .path = image->path }, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < disk->layers->len; i++)
    ((Layer *) g_ptr_array_index (disk->layers, i))->size = SIZE;
  return disk;
}

/* All, in pieces of random length; is_read has a flag for each byte. */
static void
read_directly (const Image *image, guint8 *buffer, gboolean *is_read)
{
  g_autoptr (Disk) disk = open_disk (image);
  g_autoptr (DirectRead) direct = direct_read_open (disk, NULL);
  guint32 done, others;

  g_assert_nonnull (direct);
  for (guint64 at = 0; at < SIZE; at += MAX (done, others)) {
    const guint32 count = (guint32) g_test_rand_int_range (1, 4 * CLUSTER);
    done = direct_read (direct, buffer + at,
                        MIN (count, (guint32) (SIZE - at)), at, &others);
    g_assert_cmpuint (done > 0, !=, others > 0);
    for (guint64 i = at; i < at + MAX (done, others); i++)
      is_read[i] = done > 0;
  }
}

/* What is read is right, the neighbours are, and where QEMU refuses nothing is.
 * Returns how much of the cluster that was changed is read.
 */
static guint
check (const Image *image, const guint8 *before, const char *what)
{
  g_autofree guint8 *buffer = g_malloc0 (SIZE);
  g_autofree gboolean *is_read = g_new0 (gboolean, SIZE);
  g_autofree guint8 *truth
    = ask_qemu (image, CHANGED * CLUSTER, CLUSTER);
  guint count = 0;

  read_directly (image, buffer, is_read);
  for (guint i = 0; i < SIZE; i++) {
    const gboolean is_changed = i / CLUSTER == CHANGED;
    const guint within = i % CLUSTER;
    if (!is_read[i] && is_changed)
      continue;
    if (!is_read[i])
      g_error ("%s: not read at %u, beside what was changed", what, i);
    if (is_changed && !truth)
      g_error ("%s: read at %u, where QEMU refuses", what, i);
    if (buffer[i] != (is_changed ? truth[within] : before[i]))
      g_error ("%s: another byte than QEMU's at %u", what, i);
    count += is_changed;
  }
  return count;
}

static guint64
random_number (void)
{
  return (guint64) (guint32) g_test_rand_int () << 32
    | (guint32) g_test_rand_int ();
}

/* Each subcluster is here, zero or below. */
static guint64
random_bitmap (void)
{
  const guint64 here = random_number () & ALL_HERE;

  return here | (random_number () & ALL_ZERO & ~(here << 32));
}

/* What qcow2 allows, and what it does not (docs/interop/qcow2.txt, Extended L2
 * Entries, and standard cluster descriptors).
 */
static void
check_cases (gboolean has_data_file)
{
  Image image = make_image (has_data_file);
  g_autofree guint8 *before = ask_qemu (&image, 0, SIZE);
  const guint64 entry = image.entry, host = entry & ~COPIED;
  const struct {
    const char *what;
    guint64 entry, bitmap;
    gboolean is_valid;
  } cases[] = {
    { "all here", entry, ALL_HERE, TRUE },
    { "shared with a snapshot", host, ALL_HERE, TRUE },
    { "all zero", entry, ALL_ZERO, TRUE },
    { "all zero, nowhere", 0, ALL_ZERO, TRUE },
    { "all below", entry, 0, TRUE },
    { "all below, nowhere", 0, 0, TRUE },
    { "some zero, nowhere", 0, random_number () & ALL_ZERO, TRUE },
    { "of each kind", entry, random_bitmap (), TRUE },
    { "the first here, all others zero", entry, 1 | (ALL_ZERO & ALL_ZERO << 1),
      TRUE },
    { "the last here", entry, 1U << 31, TRUE },
    { "the first zero", entry, G_GUINT64_CONSTANT (1) << 32, TRUE },
    { "the last zero", entry, G_GUINT64_CONSTANT (1) << 63, TRUE },
    { "one both", entry, 1 | G_GUINT64_CONSTANT (1) << 32, FALSE },
    { "the last both", entry, ALL_HERE | G_GUINT64_CONSTANT (1) << 63, FALSE },
    { "all both", entry, ALL_HERE | ALL_ZERO, FALSE },
    { "here, but nowhere", 0, 1, FALSE },
    { "here, but nowhere, and zero", 0, 1 | G_GUINT64_CONSTANT (2) << 32,
      FALSE },
    { "a flag of plain clusters", entry | 1, ALL_HERE, FALSE },
    { "that flag, nowhere", 1, 0, FALSE },
    { "that flag, and zero", entry | 1, ALL_ZERO, FALSE },
    { "a reserved bit", entry | 2, ALL_HERE, FALSE },
    { "the last reserved bit", entry | G_GUINT64_CONSTANT (1) << 61, ALL_HERE,
      FALSE },
    { "a reserved bit, nowhere", 2, 0, FALSE },
    { "beside its cluster", entry + 512, ALL_HERE, FALSE },
    { "beside its cluster, all below", entry + 512, 0, FALSE },
    { "compressed, it says", host | COMPRESSED, 0, FALSE },
    { "compressed, with subclusters", host | COMPRESSED, ALL_HERE, FALSE },
    { "compressed, with zeroes", COMPRESSED, ALL_ZERO, FALSE },
    { "beyond the file", G_GUINT64_CONSTANT (1) << 40, ALL_HERE, FALSE },
    /* Only in a data file there can be something at 0, and there only its
     * first cluster.
     */
    { "a flag, and nowhere", COPIED, 0, FALSE },
    { "a flag, and nowhere, zero", COPIED, ALL_ZERO, FALSE },
    { "a flag, and nowhere, here", COPIED, ALL_HERE, FALSE },
    /* A cluster that is not its own is valid but in a data file. */
    { "another's", entry + CLUSTER, ALL_HERE, !has_data_file },
    { "another's, zero", entry + CLUSTER, ALL_ZERO, !has_data_file },
    { "another's, all below", entry + CLUSTER, 0, !has_data_file },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    set_entry (&image, cases[i].entry, cases[i].bitmap);
    const guint count = check (&image, before, cases[i].what);
    if (count != (cases[i].is_valid ? CLUSTER : 0))
      g_error ("%s, %s data file: %u bytes are read", cases[i].what,
               has_data_file ? "a" : "no", count);
  }
  remove_image (&image);
}

static void
test_cases (void)
{
  check_cases (FALSE);
  check_cases (TRUE);
}

/* A compressed cluster is QEMU's to read, whatever its bitmap says. */
static void
test_compressed (void)
{
  static const guint64 bitmaps[] = { 0, 1, ALL_ZERO, ALL_HERE };
  Image image = make_image (FALSE);

  set_entry (&image, 0, 0);
  run ("qemu-io -f qcow2 -c 'write -q -c -P 9 %u %u' %s", CHANGED * CLUSTER,
       CLUSTER, image.path);
  g_autofree guint8 *before = ask_qemu (&image, 0, SIZE);
  const guint64 entry = number_at (&image, image.at + 16 * CHANGED);
  g_assert_cmpuint (entry & COMPRESSED, !=, 0);
  for (guint i = 0; i < G_N_ELEMENTS (bitmaps); i++) {
    set_entry (&image, entry, bitmaps[i]);
    g_assert_cmpuint (check (&image, before, "compressed"), ==, 0);
  }
  remove_image (&image);
}

/* Where the file ends within a cluster, what is in it is read, and no more. */
static void
test_cut (void)
{
  Image image = make_image (FALSE);
  g_autofree guint8 *before = ask_qemu (&image, 0, SIZE);
  const guint64 host = (image.entry & ~COPIED) + CLUSTER * CLUSTERS;

  for (guint i = 0; i < 4; i++) {
    const guint whole = (guint) g_test_rand_int_range (0, 32);
    const guint rest = i == 0 ? 0 : (guint) g_test_rand_int_range (0, SUBCLUSTER);
    const guint64 bitmap = i == 0 ? ALL_HERE : random_bitmap ();
    const guint cut = (guint32) bitmap & ~((1U << whole) - 1);
    g_assert_cmpint (truncate (image.path, (off_t) (host + whole * SUBCLUSTER
                                                    + rest)), ==, 0);
    set_entry (&image, host | COPIED, bitmap);
    g_assert_cmpuint (check (&image, before, "the end"), ==,
                      CLUSTER - SUBCLUSTER * (guint) __builtin_popcount (cut));
  }
  remove_image (&image);
}

/* QEMU has no subclusters of less than a sector. */
static void
test_small (void)
{
  Image image = make_image (FALSE);
  const int fd = g_open (image.path, O_WRONLY | O_CLOEXEC);
  guint8 bytes[4];

  g_autoptr (Disk) before = open_disk (&image);
  g_autoptr (DirectRead) direct = direct_read_open (before, NULL);
  g_assert_nonnull (direct);
  g_clear_pointer (&direct, direct_read_free);
  g_clear_pointer (&before, disk_free);
  put (bytes, sizeof bytes, 13);
  g_assert_cmpint (pwrite (fd, bytes, sizeof bytes, QCOW2_AT_CLUSTER_BITS), ==,
                   4);
  close (fd);
  run ("sh -c '! qemu-img info %s'", image.path);
  g_autoptr (Disk) disk = open_disk (&image);
  g_assert_null (direct_read_open (disk, NULL));
  remove_image (&image);
}

/* Near to what is valid, where most mistakes would be, and anywhere. */
static void
test_random (void)
{
  const guint rounds = g_test_slow () ? 1000 : 80;

  for (guint with_data_file = 0; with_data_file < 2; with_data_file++) {
    Image image = make_image (with_data_file);
    g_autofree guint8 *before = ask_qemu (&image, 0, SIZE);
    for (guint i = 0; i < rounds / 2; i++) {
      guint64 entry = g_test_rand_int_range (0, 4) ? image.entry : 0;
      guint64 bitmap = random_bitmap ();
      for (gint flips = g_test_rand_int_range (0, 3); flips > 0; flips--)
        entry ^= G_GUINT64_CONSTANT (1) << g_test_rand_int_range (0, 64);
      if (g_test_rand_bit ())
        bitmap ^= G_GUINT64_CONSTANT (1) << g_test_rand_int_range (0, 64);
      if (g_test_rand_int_range (0, 8) == 0)
        entry = random_number ();
      if (g_test_rand_int_range (0, 8) == 0)
        bitmap = random_number ();
      g_autofree char *what = g_strdup_printf (
        "%016" G_GINT64_MODIFIER "x %016" G_GINT64_MODIFIER "x", entry, bitmap);
      set_entry (&image, entry, bitmap);
      check (&image, before, what);
    }
    remove_image (&image);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/direct-entries/cases", test_cases);
  g_test_add_func ("/direct-entries/compressed", test_compressed);
  g_test_add_func ("/direct-entries/cut", test_cut);
  g_test_add_func ("/direct-entries/small", test_small);
  g_test_add_func ("/direct-entries/random", test_random);
  return g_test_run ();
}
