/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Reading straight from image files, against what QEMU says they hold: random
 * chains of images made by qemu-img and qemu-io.  --seed=... as printed repeats
 * a failure.
 */
#include <config.h>

#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "image/chain.h"
#include "image/direct-read.h"
#include "qemu/storage-daemon.h"
#include "run-command.h"

#define KIB 1024
#define MAX_LAYERS 4

typedef struct {
  char *folder;
  char *top;
  guint64 size;
  gboolean others;              /* QEMU must read some: they are compressed, or
                                 * beyond the end of a data file */
} Chain;

/* How an image is to be made. */
typedef struct {
  const char *format;
  guint64 cluster;
  gboolean is_old, has_data_file, is_extended, is_allocated;
} Kind;

static char *
layer_path (const Chain *chain, guint layer)
{
  return g_strdup_printf ("%s/%u.img", chain->folder, layer);
}

/* Only a cluster that is not allocated can be compressed. */
static void
write_compressed (Chain *chain, const Kind *kind, GString *commands)
{
  const gint32 clusters = (gint32) (chain->size / kind->cluster);

  if (!g_str_equal (kind->format, "qcow2") || kind->has_data_file
      || kind->is_allocated || clusters == 0
      || g_test_rand_int_range (0, 4) != 0)
    return;
  g_string_append_printf (commands, " -c 'write -q -c -P 9 %" G_GUINT64_FORMAT
                          " %" G_GUINT64_FORMAT "'",
                          (guint64) g_test_rand_int_range (0, clusters)
                          * kind->cluster, kind->cluster);
  chain->others = TRUE;
}

/* Writes of every kind, of which none comes after what must be first. */
static void
write_randomly (const Chain *chain, const char *path, const Kind *kind,
                GString *commands)
{
  static const char *const kinds[] = {
    "write -q -P 7", "write -q -P 200", "write -q -z", "write -q -z -u",
    "discard -q",
  };

  for (gint i = g_test_rand_int_range (0, 12); i > 0; i--) {
    const guint64 start = (guint64) g_test_rand_int_range (
      0, (gint32) (chain->size / 512)) * 512;
    const guint64 length = (guint64) g_test_rand_int_range (1, 400) * 512;
    g_string_append_printf (commands, " -c '%s %" G_GUINT64_FORMAT " %"
                            G_GUINT64_FORMAT "'",
                            kinds[g_test_rand_int_range (
                              0, G_N_ELEMENTS (kinds))], start,
                            MIN (length, chain->size - start));
  }
  if (commands->len > 0)
    run ("qemu-io -f %s -d unmap%s %s", kind->format, commands->str, path);
}

/* Of an image with a snapshot, no entry has the flag that all is its own, until
 * that is written to again.
 */
static void
change_randomly (Chain *chain, const char *path, const Kind *kind)
{
  g_autoptr (GString) commands = g_string_new (NULL);

  write_compressed (chain, kind, commands);
  write_randomly (chain, path, kind, commands);
  if (!g_str_equal (kind->format, "qcow2") || kind->has_data_file
      || g_test_rand_int_range (0, 4) != 0)
    return;
  run ("qemu-img snapshot -q -c before %s", path);
  g_string_truncate (commands, 0);
  write_randomly (chain, path, kind, commands);
}

/* A raw data file is read as it is, so such an image can have none below it. */
static char *
data_file_options (Chain *chain, const char *path, const Kind *kind,
                   gboolean bottom)
{
  chain->others |= chain->size % kind->cluster != 0;
  return g_strdup_printf (",data_file=%s.data,data_file_raw=%s", path,
                          bottom && g_test_rand_bit () ? "on" : "off");
}

static Kind
choose_kind (guint layer, guint layers)
{
  static const guint64 clusters[] = { 512, 4096, 65536, 65536, 2048 * KIB };
  static const guint64 large[]
    = { 16 * KIB, 16 * KIB, 32 * KIB, 64 * KIB, 128 * KIB, 2048 * KIB };
  Kind kind = { .format = layer == 0 && layers > 1 && g_test_rand_bit ()
                ? "raw" : "qcow2" };
  const gboolean is_qcow2 = g_str_equal (kind.format, "qcow2");

  kind.cluster = clusters[g_test_rand_int_range (0, G_N_ELEMENTS (clusters))];
  kind.is_old = layer + 1 < layers && g_test_rand_int_range (0, 4) == 0;
  kind.has_data_file
    = is_qcow2 && !kind.is_old && g_test_rand_int_range (0, 3) == 0;
  kind.is_extended = is_qcow2 && !kind.is_old && g_test_rand_bit ();
  if (kind.is_extended)
    kind.cluster = large[g_test_rand_int_range (0, G_N_ELEMENTS (large))];
  /* Only with subclusters there can be both, clusters that are allocated and what
   * they show of the image below.
   */
  kind.is_allocated = is_qcow2 && (layer == 0 || kind.is_extended)
    && g_test_rand_int_range (0, 4) == 0;
  return kind;
}

/* For qemu-img, to begin with a comma. */
static char *
kind_options (Chain *chain, const char *path, const Kind *kind, gboolean bottom)
{
  g_autofree char *data = kind->has_data_file
    ? data_file_options (chain, path, kind, bottom) : g_strdup ("");

  return g_strconcat (kind->is_old ? ",compat=0.10" : "",
                      kind->is_extended ? ",extended_l2=on" : "",
                      kind->is_allocated ? ",preallocation=metadata" : "", data, NULL);
}

static Chain
make_chain (void)
{
  const guint layers = (guint) g_test_rand_int_range (1, MAX_LAYERS + 1);
  const char *below_format = NULL;
  Chain chain = { .folder = g_dir_make_tmp ("direct-read.XXXXXX", NULL) };

  g_assert_nonnull (chain.folder);
  chain.size = (guint64) g_test_rand_int_range (1, 4096) * KIB;
  for (guint i = 0; i < layers; i++) {
    g_autofree char *path = layer_path (&chain, i);
    g_autofree char *below = i > 0 ? layer_path (&chain, i - 1) : NULL;
    const Kind kind = choose_kind (i, layers);
    g_autofree char *backing = below
      ? g_strdup_printf ("-b %s -F %s", below, below_format) : g_strdup ("");
    if (g_test_rand_int_range (0, 3) == 0) /* larger, smaller */
      chain.size = (guint64) g_test_rand_int_range (1, 4096) * KIB;
    g_autofree char *more = kind_options (&chain, path, &kind, i == 0);
    if (g_str_equal (kind.format, "raw"))
      run ("qemu-img create -q -f raw %s %" G_GUINT64_FORMAT, path,
           chain.size);
    else
      run ("qemu-img create -q -f qcow2 -o cluster_size=%" G_GUINT64_FORMAT
           "%s %s %s %" G_GUINT64_FORMAT, kind.cluster,
           more, backing, path, chain.size);
    change_randomly (&chain, path, &kind);
    below_format = kind.format;
    g_free (chain.top);
    chain.top = g_steal_pointer (&path);
  }
  return chain;
}

static void
remove_chain (Chain *chain)
{
  run ("rm -rf %s", chain->folder);
  g_free (chain->folder);
  g_free (chain->top);
}

static Disk *
inspect (const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) disks = g_ptr_array_new ();
  Disk *disk = disk_new ("vda");

  g_ptr_array_add (disks, disk);
  g_ptr_array_unref (disk->layers);
  disk->layers = image_chain_inspect (&(ChainRequest) { .path = path }, &error);
  g_assert_no_error (error);
  NbdLife *life = nbd_life_new (NULL, 0);
  StorageDaemon *daemon = storage_daemon_start (life, disks, &error);
  g_assert_no_error (error);
  storage_daemon_open (daemon, disk, false, &error);
  g_assert_no_error (error);
  storage_daemon_stop (daemon);
  nbd_life_free (life);
  return disk;
}

/* All of it, in pieces of random length. */
static guint64
compare (const DirectRead *direct, const char *truth, guint64 size)
{
  g_autofree guint8 *buffer = g_malloc (size);
  guint64 offset = 0, left_to_others = 0;

  while (offset < size) {
    const guint64 wanted = (guint64) g_test_rand_int_range (1, 1024 * KIB);
    const guint32 count = (guint32) MIN (size - offset, wanted);
    guint32 others;
    memset (buffer, 0x55, count);
    const guint32 done = direct_read (direct, buffer, count, offset, &others);
    g_assert_cmpuint (done, <=, count);
    g_assert_cmpuint (others, <=, count);
    g_assert_cmpuint (done > 0, !=, others > 0);
    if (memcmp (buffer, truth + offset, done) != 0)
      g_error ("other bytes than QEMU's in %u at %" G_GUINT64_FORMAT, done,
               offset);
    /* Nothing beyond what it says is touched, unless others write there. */
    for (guint32 i = done; done == 0 && others == 0 && i < count; i++)
      g_assert_cmpuint (buffer[i], ==, 0x55);
    left_to_others += others;
    offset += MAX (done, others);
  }
  return left_to_others;
}

static void
test_random (void)
{
  const guint rounds = g_test_slow () ? 400 : 40;

  for (guint i = 0; i < rounds; i++) {
    Chain chain = make_chain ();
    g_autofree char *raw = g_strconcat (chain.top, ".copy", NULL);
    g_autofree char *truth = NULL;
    gsize length;

    run ("qemu-img convert -f qcow2 -O raw %s %s", chain.top, raw);
    g_assert_true (g_file_get_contents (raw, &truth, &length, NULL));
    g_assert_cmpuint (length, ==, chain.size);
    g_autoptr (Disk) disk = inspect (chain.top);
    DropBehind *behind = g_test_rand_bit () ? drop_behind_new () : NULL;
    g_autoptr (DirectRead) direct = direct_read_open (disk, behind);
    g_assert_nonnull (direct);
    for (guint pass = 0; pass < 3; pass++) {
      const guint64 others = compare (direct, truth, length);
      if (!chain.others)
        g_assert_cmpuint (others, ==, 0);
    }
    drop_behind_free (behind);
    remove_chain (&chain);
  }
}

/* As QEMU reads it; returns how many bytes it must read itself. */
static guint64
compare_with_qemu (const char *path, guint64 size)
{
  g_autofree char *raw = g_strconcat (path, ".copy", NULL);
  g_autofree char *truth = NULL;
  gsize length;

  run ("qemu-img convert -f qcow2 -O raw %s %s", path, raw);
  g_assert_true (g_file_get_contents (raw, &truth, &length, NULL));
  g_assert_cmpuint (length, ==, size);
  g_autoptr (Disk) disk = inspect (path);
  g_autoptr (DirectRead) direct = direct_read_open (disk, NULL);
  g_assert_nonnull (direct);
  return compare (direct, truth, size);
}

/* The first cluster of a data file is at 0, which elsewhere means that there is
 * none: only a flag tells.
 */
static void
test_data_file (void)
{
  static const char *const raw[] = { "off", "on" };

  for (guint i = 0; i < G_N_ELEMENTS (raw); i++) {
    Chain chain = { .folder = g_dir_make_tmp ("direct-read.XXXXXX", NULL) };
    g_autofree char *path = layer_path (&chain, 0);

    run ("qemu-img create -q -f qcow2 -o data_file=%s.data,data_file_raw=%s %s "
         "1M", path, raw[i], path);
    run ("qemu-io -f qcow2 -c 'write -q -P 3 0 128k' -c 'write -q -P 4 512k "
         "64k' -c 'write -q -z 256k 64k' %s", path);
    g_assert_cmpuint (compare_with_qemu (path, 1024 * KIB), ==, 0);
    /* Without the flag there is none; elsewhere it does not matter. */
    run ("python3 -c 'import struct; f = open (\"%s\", \"r+b\"); f.seek (40); "
         "at, = struct.unpack (\">Q\", f.read (8)); f.seek (at); "
         "entry, = struct.unpack (\">Q\", f.read (8)); "
         "f.seek (entry & 0xfffffffffffe00); "
         "two = struct.unpack (\">2Q\", f.read (16)); "
         "two = [n & ~(1 << 63) for n in two]; "
         "f.seek (-16, 1); f.write (struct.pack (\">2Q\", *two))'", path);
    g_assert_cmpuint (compare_with_qemu (path, 1024 * KIB), ==, 0);
    remove_chain (&chain);
  }
}

/* QEMU takes an entry that leads to another's place in a data file for damage,
 * and so must not be passed by.
 */
static void
test_displaced (void)
{
  Chain chain = { .folder = g_dir_make_tmp ("direct-read.XXXXXX", NULL) };
  g_autofree char *path = layer_path (&chain, 0);
  guint8 buffer[64 * KIB];
  guint32 others;

  run ("qemu-img create -q -f qcow2 -o data_file=%s.data %s 1M", path, path);
  run ("qemu-io -f qcow2 -c 'write -q -P 3 0 192k' %s", path);
  /* The second leads to the place of the third. */
  run ("python3 -c 'import struct; f = open (\"%s\", \"r+b\"); f.seek (40); "
       "at, = struct.unpack (\">Q\", f.read (8)); f.seek (at); "
       "entry, = struct.unpack (\">Q\", f.read (8)); "
       "at = entry & 0xfffffffffffe00; f.seek (at + 16); third = f.read (8); "
       "f.seek (at + 8); f.write (third)'", path);
  g_autoptr (Disk) disk = inspect (path);
  g_autoptr (DirectRead) direct = direct_read_open (disk, NULL);
  g_assert_nonnull (direct);
  for (guint i = 0; i < 3; i++) {
    const guint32 done = direct_read (direct, buffer, sizeof buffer,
                                      i * sizeof buffer, &others);
    g_assert_cmpuint (done, ==, i == 1 ? 0 : sizeof buffer);
    g_assert_cmpuint (others, ==, sizeof buffer - done);
  }
  remove_chain (&chain);
}

/* What is not understood is not read. */
static void
test_refuses (void)
{
  Chain chain = { .folder = g_dir_make_tmp ("direct-read.XXXXXX", NULL) };
  g_autofree char *path = layer_path (&chain, 0);

  run ("qemu-img create -q -f qcow2 %s 1M", path);
  g_autoptr (Disk) disk = inspect (path);
  g_autoptr (DirectRead) direct = direct_read_open (disk, NULL);
  g_assert_nonnull (direct);
  /* Nobody can write meanwhile, but read. */
  run ("sh -c '! qemu-io -f qcow2 -c \"write 0 512\" %s'", path);
  run ("qemu-io -r -f qcow2 -c 'read 0 512' %s", path);
  g_clear_pointer (&direct, direct_read_free);
  g_clear_pointer (&disk, disk_free);
  /* An L2 table that is not where one can be: L1 has a cluster of its own. */
  run ("qemu-io -f qcow2 -c 'write -q 0 64k' %s", path);
  run ("python3 -c 'import struct; f = open (\"%s\", \"r+b\"); f.seek (40); "
       "at, = struct.unpack (\">Q\", f.read (8)); f.seek (at); "
       "entry, = struct.unpack (\">Q\", f.read (8)); f.seek (at); "
       "f.write (struct.pack (\">Q\", entry + 512))'", path);
  disk = inspect (path);
  g_assert_null (direct_read_open (disk, NULL));
  remove_chain (&chain);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/direct-read/random", test_random);
  g_test_add_func ("/direct-read/data-file", test_data_file);
  g_test_add_func ("/direct-read/displaced", test_displaced);
  g_test_add_func ("/direct-read/refuses", test_refuses);
  return g_test_run ();
}
