/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of what is told of a job of QEMU's as text: plans, names, the state of a
 * disk, and what is typed to end it.  (tests/test-qmp*.sh have a QEMU.)
 */
#include <config.h>

#include <string.h>

#include "qemu/fleece-kept.h"

#define MARK "nbdkit-checkpoint-0123456789abcdef"

static Fleece *
make_plan (void)
{
  Fleece *plan = fleece_new ();

  plan->mark = g_strdup (MARK);
  plan->folder = g_strdup ("/run/" MARK);
  plan->take_over = true;
  plan->create = g_strdup ("tuesday");
  FleeceDisk *disk = fleece_add_disk (plan, "vda", "#block\"1");
  disk->state = g_strdup ("#block1 4096\n monday 1 0\n");
  disk->folder = g_strdup ("/images");
  disk->size = G_GUINT64_CONSTANT (1) << 50;
  disk->since = g_strdup ("mönday");
  disk->record = true;
  g_autoptr (Layer) layer = layer_new ("/images/a");
  Bitmap *monday = bitmap_new ("monday");
  monday->granularity = 65536;
  g_ptr_array_add (layer->bitmaps, monday);
  fleece_add_bitmap (disk->bitmaps, &disk->granularity, "#block1", monday);
  monday->granularity = 4096;
  fleece_add_bitmap (disk->bitmaps, &disk->granularity, "below", monday);
  fleece_add_part (disk, "middle", 8192);
  FleecePart *part = fleece_add_part (disk, NULL, 4096);
  fleece_add_bitmap (part->bitmaps, &part->granularity, "lowest", monday);
  disk = fleece_add_disk (plan, "vdb", "vdb-node");
  disk->state = g_strdup ("");
  disk->folder = g_strdup ("/");
  return plan;
}

static void
test_text (void)
{
  g_autoptr (Fleece) plan = make_plan ();
  g_autofree char *text = fleece_format (plan);
  g_autoptr (Fleece) parsed = fleece_parse (text);
  g_autofree char *again = parsed ? fleece_format (parsed) : NULL;

  g_assert_cmpstr (text, ==, again);
  g_assert_null (parsed->document);
  g_assert_true (parsed->take_over);
  g_assert_cmpuint (parsed->disks->len, ==, 2);
  const FleeceDisk *disk = g_ptr_array_index (parsed->disks, 0);
  g_assert_cmpuint (disk->size, ==, G_GUINT64_CONSTANT (1) << 50);
  g_assert_cmpstr (disk->node, ==, "#block\"1");
  g_assert_cmpuint (disk->bitmaps->len, ==, 2);
  g_assert_cmpuint (disk->granularity, ==, 4096);
  g_assert_cmpuint (disk->parts->len, ==, 2);
  const FleecePart *part = g_ptr_array_index (disk->parts, 1);
  g_assert_null (part->node);
  g_assert_cmpuint (part->size, ==, 4096);
  g_assert_cmpuint (part->bitmaps->len, ==, 1);
  g_assert_true (disk->record);
  disk = g_ptr_array_index (parsed->disks, 1);
  g_assert_null (disk->since);
  g_assert_false (disk->record);
}

#define DISK(more) \
  "{\"mark\": \"" MARK "\", \"folder\": \"/run\", \"disks\": [{\"target\": \"vda\", " \
  "\"node\": \"n\", \"state\": \"\", \"folder\": \"/\", " more "}]}"

/* What tells nothing of what is dirty would call all of it clean.
 * The server may be another user's by the time that it says more. */
static void
test_refuses (void)
{
  static const char *const bad[] = {
    "", "[]", "{}", "{\"disks\": []}",
    "{\"mark\": \"/etc\", \"folder\": \"/run\", \"disks\": []}",
    "{\"mark\": \"" MARK "\", \"disks\": []}",
    "{\"mark\": \"" MARK "\", \"folder\": \"/run\"}",
    "{\"mark\": \"" MARK "\", \"folder\": \"/run\", \"disks\": [{}]}",
    "{\"mark\": \"" MARK "\", \"folder\": \"/run\", \"disks\": [7]}",
    DISK ("\"since\": \"monday\""),
    DISK ("\"since\": \"monday\", \"parts\": []"),
    DISK ("\"since\": \"monday\", \"parts\": [{\"size\": 4096}]"),
  };
  static const char *const good[] = {
    DISK ("\"size\": 4096"),
    DISK ("\"since\": \"monday\", \"parts\": [{\"node\": \"a\"}]"),
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_null (fleece_parse (bad[i]));
  for (guint i = 0; i < G_N_ELEMENTS (good); i++) {
    g_autoptr (Fleece) plan = fleece_parse (good[i]);
    g_assert_nonnull (plan);
  }
}

static void
test_names (void)
{
  static const char *const others[] = {
    "", "nbdkit-", "nbdkit-0123456789abcdef", "nbdkit-0123456789abcdeg-0s",
    "nbdkit-0123456789abcde-0s", "libvirt-1-format", MARK, MARK "0-vda",
    "drive-virtio-disk0",
  };
  g_autofree char *node = fleece_node_name (MARK, 4095, FLEECE_NODE_FILTER);
  g_autofree char *id = fleece_id (MARK, "a-b.c");
  g_autoptr (Fleece) plan = make_plan ();
  g_autofree char *layer = fleece_part_node (plan, 0, 0);
  g_autofree char *bits = fleece_part_node (plan, 0, 1);
  g_autofree char *part_id = fleece_part_id (MARK, 0, 1);
  g_autofree char *of_part = fleece_mark_of_id (part_id);
  g_autofree char *of_node = fleece_mark_of_node (node);
  g_autofree char *of_id = fleece_mark_of_id (id);

  g_assert_cmpuint (strlen (node), <=, 31);
  g_assert_cmpstr (of_node, ==, MARK);
  g_assert_cmpstr (of_id, ==, MARK);
  g_assert_cmpstr (of_part, ==, MARK);
  g_assert_cmpstr (layer, ==, "middle");
  g_assert_cmpstr (bits, ==, "nbdkit-0123456789abcdef-0b");
  for (guint i = 0; i < G_N_ELEMENTS (others); i++) {
    g_assert_null (fleece_mark_of_node (others[i]));
    g_assert_null (fleece_mark_of_id (others[i]));
  }
}

static void
test_state (void)
{
  g_autoptr (Disk) disk = disk_new ("vda");
  Layer *layer = layer_new ("/a");
  Bitmap *monday = bitmap_new ("monday");
  Bitmap *sunday = bitmap_new ("sunday");

  layer->node = g_strdup ("top");
  g_ptr_array_add (disk->layers, layer);
  g_ptr_array_add (layer->bitmaps, sunday);
  g_ptr_array_add (layer->bitmaps, monday);
  g_autofree char *first = fleece_state (disk, NULL);
  /* QEMU tells of bitmaps in any order, and how many bits are set changes. */
  g_ptr_array_index (layer->bitmaps, 0) = monday;
  g_ptr_array_index (layer->bitmaps, 1) = sunday;
  monday->dirty_bytes = 65536;
  monday->busy = true;
  g_autofree char *second = fleece_state (disk, NULL);
  g_assert_cmpstr (first, ==, second);
  monday->recording = true;
  g_autofree char *third = fleece_state (disk, NULL);
  g_assert_cmpstr (first, !=, third);
  g_autofree char *fourth = fleece_state (disk, "monday");
  g_assert_null (strstr (fourth, "monday"));
}

static void
test_by_hand (void)
{
  g_autoptr (Fleece) plan = make_plan ();
  g_autofree char *text = fleece_end_by_hand ("/a b/it's", plan);
  const char *cancel = strstr (text, "job-cancel");
  const char *stop = strstr (text, "nbd-server-stop");
  const char *part = strstr (text, "\"" MARK "-0.1\", \"mode\": \"hard\"");
  const char *last = strstr (text, "\"" MARK "-vdb\", \"mode\": \"hard\"");
  const char *image = strstr (text, "nbdkit-0123456789abcdef-1s");
  const char *file = strstr (text, "nbdkit-0123456789abcdef-1f");
  const char *bits = strstr (text, "nbdkit-0123456789abcdef-0b");
  g_auto (GStrv) words = NULL;

  g_assert_true (cancel && stop && image && file && bits);
  g_assert_true (part && last && cancel < part && part < last && last < stop);
  g_assert_nonnull (strstr (last, "sleep 1"));
  g_assert_true (strstr (last, "sleep 1") < stop);
  g_assert_null (strstr (text, "middle"));
  g_assert_true (cancel < stop && stop < image && image < file);
  const char *socat = strstr (text, "socat");
  g_assert_true (g_shell_parse_argv (socat, NULL, &words, NULL));
  g_assert_cmpstr (words[2], ==, "UNIX-CONNECT:/a b/it's");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/fleece/text", test_text);
  g_test_add_func ("/fleece/refuses", test_refuses);
  g_test_add_func ("/fleece/names", test_names);
  g_test_add_func ("/fleece/state", test_state);
  g_test_add_func ("/fleece/by-hand", test_by_hand);
  return g_test_run ();
}
