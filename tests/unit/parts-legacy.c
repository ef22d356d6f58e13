/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/parts/parts.c on what libvirt before 6.5 left: bitmaps that are
 * disabled where the next checkpoint's goes on.  And on bitmaps that were named
 * by hand, and disks that can have none.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "parts-models.h"

static void
test_legacy (void)
{
  g_autoptr (Forest) chain = tree ("a b<a c<b d<c");
  g_autoptr (Disk) disk = DISK ("d c- b- a-");
  g_autoptr (Disk) mixed = DISK ("a- b c d");
  g_autoptr (Disk) ended = DISK ("a- b- c- d-");
  g_autoptr (Disk) hole = DISK ("a- c d");

  assert_plan (chain, disk, "a", "0:a 0:b 0:c 0:d");
  assert_plan (chain, disk, "b", "0:b 0:c 0:d");
  assert_plan (chain, disk, "c", "0:c 0:d");
  assert_plan (chain, disk, "d", "0:d");
  /* From b on, each is complete by itself. */
  assert_plan (chain, mixed, "a", "0:a 0:b");
  assert_plan (chain, mixed, "b", "0:b");
  for (const char *name = "a\0b\0c\0d\0"; *name; name += 2)
    assert_refused (chain, ended, name, EIO, "not recording", NULL);
  assert_refused (chain, hole, "a", ENOENT, "bitmap b", NULL);
  assert_plan (chain, hole, "c", "0:c");
}

static void
test_legacy_layers (void)
{
  g_autoptr (Forest) chain = tree ("a b<a c<b");
  g_autoptr (Disk) overlay = DISK ("b", "a- b");
  g_autoptr (Disk) bare = DISK ("", "a- b");
  g_autoptr (Disk) deeper = DISK ("c", "b-", "a-", "");
  g_autoptr (Disk) later = DISK ("a- c", "a b- c");

  assert_plan (chain, overlay, "a", "0:- 0:b 1:a 1:b");
  assert_plan (chain, overlay, "b", "0:b 1:b");
  assert_plan (chain, bare, "a", "0:- 1:a 1:b");
  /* What was written to a layer after its last bitmap was disabled is lost. */
  assert_refused (chain, deeper, "a", EIO, "in /l1", "not recording", NULL);
  assert_refused (chain, deeper, "b", EIO, "in /l1", "not recording", NULL);
  assert_plan (chain, later, "a", "0:a 0:- 0:c 1:a 1:b 1:c");
}

static void
test_legacy_other_disk (void)
{
  g_autoptr (Forest) chain = tree ("a b<a/vdb c<b d<c/vdb");
  g_autoptr (Disk) disk = DISK ("a- c");
  g_autoptr (Disk) ended = DISK ("a- c-");
  /* b is no checkpoint of vda, whatever this bitmap is. */
  g_autoptr (Disk) stray = DISK ("a- b c-");

  assert_plan (chain, disk, "a", "0:a 0:c");
  assert_refused (chain, ended, "a", EIO, "not recording", NULL);
  assert_refused (chain, stray, "a", EIO, "not recording", NULL);
}

/* Where the way to today is not known, none is guessed. */
static void
test_legacy_no_current (void)
{
  static const char *const trees[] = {
    "a b<a c<a", "a b", "a b<a c", "a b<gone", "a<b b<a", "a b<a c<gone",
  };
  g_autoptr (Disk) disk = DISK ("a- b c");
  g_autoptr (Disk) modern = DISK ("a b c");

  for (guint i = 0; i < G_N_ELEMENTS (trees); i++) {
    g_autoptr (Forest) forest = tree (trees[i]);
    g_test_message ("%s", trees[i]);
    assert_refused (forest, disk, "a", EIO, "not recording", NULL);
    /* A complete bitmap needs no tree. */
    assert_plan (forest, modern, "a", "0:a");
    assert_plan (forest, modern, "b", "0:b");
  }
}

/* libvirt gives a deleted checkpoint's children to its parent. */
static Forest *
tree_without (const char *const *chain, const char *gone)
{
  Forest *forest = forest_new ();
  const char *parent = NULL;

  for (guint i = 0; chain[i]; i++)
    if (strcmp (chain[i], gone) != 0) {
      checkpoint_cover (add_checkpoint (forest, chain[i], parent), "vda",
                        chain[i]);
      parent = chain[i];
    }
  forest_link (forest);
  return forest;
}

/* The bitmap of b, which goes on where that of a ends, is lost.  To forget b
 * would hide this: a and c would look complete.  So whoever does what the
 * messages say, one after another, may lose the checkpoint that was asked
 * for, but not be given a plan.
 */
static void
test_legacy_remedy (void)
{
  static const char *const chain[] = { "a", "b", "c", NULL };
  static const char *const cases[] = { "a- c", "a- b! c" };
  static const char metadata[] = "checkpoint-delete --metadata DOMAIN ";

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Forest) forest = tree_without (chain, "");
    g_autoptr (Disk) disk = DISK (cases[i]);
    g_autoptr (GError) error = NULL;

    g_assert_null (parts_plan (forest, disk, "a", &error));
    while (obey (disk, error)) {
      g_clear_error (&error);
      g_assert_null (parts_plan (forest, disk, "a", &error));
    }
    g_autofree char *line = error_line (error, nbdkit_remedies);
    const char *advice = strstr (line, metadata);
    if (!advice)
      continue;
    g_auto (GStrv) words = g_strsplit_set (advice + strlen (metadata),
                                           " ,;", 2);
    g_autoptr (Forest) after = tree_without (chain, words[0]);
    g_autoptr (GPtrArray) parts = parts_plan (after, disk, "a", NULL);
    if (parts) {
      g_autofree char *text = parts_text (parts);
      g_error ("\"%s\": after checkpoint %s was forgotten, as told, a is "
               "served from %s", cases[i], words[0], text);
    }
  }
}

/* Bitmaps that were named by hand prove nothing of what came later.  All else
 * holds.
 */
static void
test_named_by_hand (void)
{
  g_autoptr (Forest) forest = tree ("a");
  g_autoptr (Disk) disk = DISK ("", "b-", "a-", "b");
  g_autoptr (Disk) broken = DISK ("a-", "a!");
  g_autoptr (Disk) none = DISK ("b", "c-");

  assert_refused (forest, disk, "a", EIO, "not recording", NULL);
  disk->as_it_stood = broken->as_it_stood = none->as_it_stood = true;
  assert_plan (forest, disk, "a", "0:- 1:- 2:a");
  assert_refused (forest, broken, "a", EIO, "inconsistent", NULL);
  assert_refused (forest, none, "a", ENOENT, "bitmap a", "there are: b, c",
                  NULL);

  g_autoptr (GPtrArray) parts = parts_plan (forest, disk, "a", NULL);
  g_assert_true (part_as_it_stood (disk, g_ptr_array_index (parts, 2)));
  g_assert_false (part_as_it_stood (disk, g_ptr_array_index (parts, 1)));

  /* The layer below may have held more of either. */
  disk->also = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (disk->also, g_strdup ("b"));
  assert_plan (forest, disk, "a", "0:- 1:- 1:b 2:a 2:- 3:b");
  g_ptr_array_set_size (disk_layer (disk, 3)->bitmaps, 0);
  Layer *lowest = g_ptr_array_index (disk->layers, 3);
  lowest->void_bitmaps = "why";
  for (const char *name = "a\0b\0"; *name; name += 2) {
    lowest->void_names = g_ptr_array_new ();
    g_ptr_array_add (lowest->void_names, (char *) name);
    assert_refused (forest, disk, "a", EIO, "void", NULL);
    g_clear_pointer (&lowest->void_names, g_ptr_array_unref);
  }
}

static void
test_raw (void)
{
  g_autoptr (Forest) forest = tree ("a");
  g_autoptr (Disk) disk = DISK ("a");
  g_autoptr (GError) error = NULL;
  Layer *layer = g_ptr_array_index (disk->layers, 0);

  g_assert_true (parts_can_record (disk, &error));
  g_free (layer->format);
  layer->format = g_strdup ("raw");
  assert_refused (forest, disk, "a", ENOENT, "/l0 is raw", "on-missing=full",
                  NULL);
  g_assert_false (parts_nothing_recorded (disk, &error));
  g_assert_error (error, CHECKPOINT_ERROR, ENOENT);
  g_assert_nonnull (strstr (error->message, "is raw"));
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/parts/legacy/chain", test_legacy);
  g_test_add_func ("/parts/legacy/layers", test_legacy_layers);
  g_test_add_func ("/parts/legacy/other-disk", test_legacy_other_disk);
  g_test_add_func ("/parts/legacy/no-current", test_legacy_no_current);
  g_test_add_func ("/parts/legacy/remedy", test_legacy_remedy);
  g_test_add_func ("/parts/named-by-hand", test_named_by_hand);
  g_test_add_func ("/parts/raw", test_raw);
  return g_test_run ();
}
