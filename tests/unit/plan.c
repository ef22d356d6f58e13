/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/record/plan.c on models of disks.  Changes are written
 * "+0:a" (add, recording), "+0:a-" (add, disabled), "0:a<1:b" (merge layer 1's b
 * into layer 0's a), "!0:a" (enable), "-0:a" (remove).
 */
#include <config.h>

#include <errno.h>

#include "parts-models.h"
#include "record/plan.h"

static char *
changes_text (const GPtrArray *changes)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < changes->len; i++) {
    const BitmapChange *change = g_ptr_array_index (changes, i);
    const char *space = i ? " " : "";
    switch (change->action) {
    case BITMAP_ADD:
      g_string_append_printf (text, "%s+%u:%s%s", space, change->layer,
                              change->name, change->recording ? "" : "-");
      break;
    case BITMAP_MERGE:
      g_string_append_printf (text, "%s%u:%s<%u:%s", space, change->layer,
                              change->name, change->from_layer, change->from);
      break;
    case BITMAP_ENABLE:
    case BITMAP_REMOVE:
      g_string_append_printf (text, "%s%c%u:%s", space,
                              change->action == BITMAP_ENABLE ? '!' : '-',
                              change->layer, change->name);
      break;
    }
  }
  return g_string_free (text, FALSE);
}

static GPtrArray *
list_of (Disk *disk, Disk *other)
{
  GPtrArray *disks = g_ptr_array_new ();

  g_ptr_array_add (disks, disk);
  if (other)
    g_ptr_array_add (disks, other);
  return disks;
}

/* expected: NULL: refused with that errno, and these words. */
static void
check_delete (const Forest *forest, Disk *disk, const char *name,
              DeleteScope scope, const char *expected, int errnum,
              const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) disks = list_of (disk, NULL);
  g_autoptr (GPtrArray) doomed
    = plan_doomed (forest, forest_lookup (forest, name), scope);
  g_autoptr (GPtrArray) changes = plan_delete (forest, disks, doomed, &error);

  if (expected) {
    g_assert_no_error (error);
    g_autofree char *text = changes_text (changes);
    g_assert_cmpstr (text, ==, expected);
    return;
  }
  if (changes) {
    g_autofree char *text = changes_text (changes);
    g_error ("not refused: %s", text);
  }
  g_assert_error (error, CHECKPOINT_ERROR, errnum);
  if (!strstr (error->message, words))
    g_error ("\"%s\" is not in \"%s\"", words, error->message);
}

static void
test_create (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (Disk) vda = DISK ("a", "a");
  g_autoptr (Disk) vdb = disk_of ("vdb", (const char *[]) { "", "b", NULL });
  g_autoptr (GPtrArray) disks = list_of (vda, vdb);
  g_autoptr (Checkpoint) checkpoint = checkpoint_new ("c");
  g_autoptr (Checkpoint) taken = checkpoint_new ("b");

  checkpoint_cover (checkpoint, "vda", "c");
  checkpoint_cover (checkpoint, "vdb", "c");
  g_autoptr (GPtrArray) changes = plan_create (disks, checkpoint, &error);
  g_assert_no_error (error);
  g_autofree char *text = changes_text (changes);
  g_assert_cmpstr (text, ==, "+0:c +0:c");
  /* Below the top, too: it would be taken for a part of the record. */
  checkpoint_cover (taken, "vda", "b");
  g_autoptr (GPtrArray) free = plan_create (disks, taken, &error);
  g_assert_no_error (error);
  checkpoint_cover (taken, "vdb", "b");
  g_assert_null (plan_create (disks, taken, &error));
  g_assert_error (error, CHECKPOINT_ERROR, EEXIST);
  g_assert_nonnull (strstr (error->message, "/l1"));
}

/* Each is complete by itself. */
static void
test_modern (void)
{
  g_autoptr (Forest) chain = tree ("a b<a c<b d<c/vdb");
  g_autoptr (Disk) disk = DISK ("a b c", "a b");
  g_autoptr (Disk) lost = DISK ("a b! c", "a b!");
  g_autoptr (Disk) gap = DISK ("a b", "", "a b c");

  check_delete (chain, disk, "b", DELETE_ONE, "-0:b -1:b", 0, NULL);
  check_delete (chain, disk, "c", DELETE_ONE, "-0:c", 0, NULL);
  check_delete (chain, disk, "a", DELETE_WITH_DESCENDANTS,
                "-0:a -1:a -0:b -1:b -0:c", 0, NULL);
  check_delete (chain, disk, "a", DELETE_DESCENDANTS, "-0:b -1:b -0:c", 0,
                NULL);
  check_delete (chain, lost, "b", DELETE_ONE, "-0:b -1:b", 0, NULL);
  check_delete (chain, gap, "c", DELETE_ONE, "-2:c", 0, NULL);
  /* Another disk's. */
  check_delete (chain, disk, "d", DELETE_ONE, "", 0, NULL);
}

static void
test_missing (void)
{
  g_autoptr (Forest) chain = tree ("a b<a");
  g_autoptr (Forest) any = forest_new ();
  g_autoptr (Disk) disk = DISK ("a", "a");

  check_delete (chain, disk, "b", DELETE_ONE, NULL, ENOENT, "no layer");
  check_delete (chain, disk, "a", DELETE_WITH_DESCENDANTS, NULL, ENOENT,
                "bitmap b");
  /* It may not have covered this one. */
  add_checkpoint (any, "z", NULL)->covers_any_disk = true;
  forest_link (any);
  check_delete (any, disk, "z", DELETE_ONE, "", 0, NULL);
}

/* One layer, and only the newest records. */
static void
test_legacy (void)
{
  g_autoptr (Forest) chain = tree ("a b<a c<b d<c");
  g_autoptr (Disk) disk = DISK ("a- b- c- d");
  g_autoptr (Disk) mixed = DISK ("a- b c d");

  check_delete (chain, disk, "a", DELETE_ONE, "-0:a", 0, NULL);
  check_delete (chain, disk, "b", DELETE_ONE, "0:a<0:b -0:b", 0, NULL);
  check_delete (chain, disk, "c", DELETE_ONE, "0:b<0:c -0:c", 0, NULL);
  check_delete (chain, disk, "d", DELETE_ONE, "0:c<0:d !0:c -0:d", 0, NULL);
  check_delete (chain, disk, "c", DELETE_WITH_DESCENDANTS,
                "0:b<0:c 0:b<0:d !0:b -0:c -0:d", 0, NULL);
  check_delete (chain, disk, "b", DELETE_DESCENDANTS,
                "0:b<0:c 0:b<0:d !0:b -0:c -0:d", 0, NULL);
  check_delete (chain, disk, "a", DELETE_WITH_DESCENDANTS,
                "-0:a -0:b -0:c -0:d", 0, NULL);
  /* b is complete, but a's record goes on in it, and then in c. */
  check_delete (chain, mixed, "b", DELETE_ONE, "0:a<0:b -0:b", 0, NULL);
  check_delete (chain, mixed, "c", DELETE_ONE, "-0:c", 0, NULL);
}

/* The nearest that covers the disk is the heir. */
static void
test_legacy_other_disk (void)
{
  g_autoptr (Forest) chain = tree ("a b<a/vdb c<b d<c/vdb");
  g_autoptr (Disk) disk = DISK ("a- c");

  check_delete (chain, disk, "c", DELETE_ONE, "0:a<0:c !0:a -0:c", 0, NULL);
  check_delete (chain, disk, "b", DELETE_WITH_DESCENDANTS,
                "0:a<0:c !0:a -0:c", 0, NULL);
}

static void
test_legacy_layers (void)
{
  g_autoptr (Forest) chain = tree ("a b<a c<b");
  /* A snapshot, which carries on what records. */
  g_autoptr (Disk) overlay = DISK ("b", "a- b");
  g_autoptr (Disk) both = DISK ("c", "b- c", "a- b-");
  g_autoptr (Disk) whole = DISK ("a- b", "a- b-");
  g_autoptr (Disk) odd = DISK ("a- b", "b-");
  g_autoptr (Forest) pair = tree ("a b<a");

  check_delete (pair, overlay, "b", DELETE_ONE,
                "1:a<0:b 1:a<1:b !1:a -0:b -1:b", 0, NULL);
  check_delete (pair, whole, "b", DELETE_ONE,
                "0:a<0:b !0:a 1:a<1:b -0:b -1:b", 0, NULL);
  /* a is not in a layer that is older, as b says, than b. */
  check_delete (pair, odd, "b", DELETE_ONE,
                "0:a<0:b !0:a +1:a- 1:a<1:b -0:b -1:b", 0, NULL);
  check_delete (chain, both, "b", DELETE_ONE,
                "2:a<1:b 2:a<2:b -1:b -2:b", 0, NULL);
}

static void
test_legacy_sizes (void)
{
  g_autoptr (Forest) pair = tree ("a b<a");
  g_autoptr (Disk) grown = DISK ("b", "a- b");

  ((Layer *) g_ptr_array_index (grown->layers, 0))->size *= 2;
  check_delete (pair, grown, "b", DELETE_ONE, NULL, EIO, "another size");
}

/* A lost record in between must go on being missed. */
static void
test_legacy_lost (void)
{
  g_autoptr (Forest) chain = tree ("a b<a c<b");
  g_autoptr (Disk) lost = DISK ("a- b! c");
  g_autoptr (Disk) useless = DISK ("a- b! c-");

  check_delete (chain, lost, "b", DELETE_ONE, NULL, EIO, "checkpoint a");
  check_delete (chain, lost, "a", DELETE_ONE, "-0:a", 0, NULL);
  check_delete (chain, lost, "c", DELETE_ONE, "-0:c", 0, NULL);
  /* Nobody can read a now; it must stay so. */
  check_delete (chain, useless, "b", DELETE_ONE, NULL, EIO, "checkpoint a");
  check_delete (chain, lost, "a", DELETE_WITH_DESCENDANTS, "-0:a -0:b -0:c",
                0, NULL);
}

/* Without a branch, a can be read: it must have what the branch recorded, and it
 * does not record itself, as the branch may have begun later than it ended.
 */
static void
test_legacy_branches (void)
{
  g_autoptr (Forest) forest = tree ("a b<a c<a");
  g_autoptr (Forest) deep = tree ("a b<a c<b d<a e<d");
  g_autoptr (Disk) disk = DISK ("a- b c");
  g_autoptr (Disk) lost = DISK ("a- b c!");
  g_autoptr (Disk) five = DISK ("a- b- c d- e");
  g_autoptr (Disk) ended = DISK ("a- b- c- d- e");

  check_delete (forest, disk, "c", DELETE_ONE, "0:a<0:c -0:c", 0, NULL);
  check_delete (forest, lost, "c", DELETE_ONE, NULL, EIO, "checkpoint a");
  check_delete (forest, lost, "b", DELETE_ONE, NULL, EIO, "checkpoint a");
  check_delete (deep, five, "d", DELETE_WITH_DESCENDANTS,
                "0:a<0:d 0:a<0:e -0:d -0:e", 0, NULL);
  check_delete (deep, five, "d", DELETE_ONE, "0:a<0:d -0:d", 0, NULL);
  /* What came after c, if anything did, nobody can tell from what came after d. */
  check_delete (deep, ended, "d", DELETE_WITH_DESCENDANTS, NULL, EIO,
                "checkpoint a");
}

static void
test_shared_bitmap (void)
{
  g_autoptr (Forest) forest = forest_new ();
  g_autoptr (Disk) disk = DISK ("x");

  checkpoint_cover (add_checkpoint (forest, "a", NULL), "vda", "x");
  checkpoint_cover (add_checkpoint (forest, "b", "a"), "vda", "x");
  forest_link (forest);
  check_delete (forest, disk, "a", DELETE_ONE, NULL, EIO, "checkpoint b");
  check_delete (forest, disk, "a", DELETE_WITH_DESCENDANTS, "-0:x", 0, NULL);
}

static void
check_forget (const Forest *forest, Disk *disk, const char *name, int errnum)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) disks = list_of (disk, NULL);
  g_autoptr (GPtrArray) doomed
    = plan_doomed (forest, forest_lookup (forest, name), DELETE_ONE);

  if (plan_forget (forest, disks, doomed, &error))
    g_assert_cmpint (errnum, ==, 0);
  else
    g_assert_error (error, CHECKPOINT_ERROR, errnum);
}

static void
test_forget (void)
{
  g_autoptr (Forest) chain = tree ("a b<a c<b");
  g_autoptr (Disk) modern = DISK ("a b c");
  g_autoptr (Disk) gone = DISK ("c");
  g_autoptr (Disk) legacy = DISK ("a- b- c");

  check_forget (chain, modern, "b", 0);
  check_forget (chain, gone, "b", 0);
  check_forget (chain, legacy, "a", 0);
  check_forget (chain, legacy, "b", EIO);
  check_forget (chain, legacy, "c", EIO);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plan/create", test_create);
  g_test_add_func ("/plan/modern", test_modern);
  g_test_add_func ("/plan/missing", test_missing);
  g_test_add_func ("/plan/legacy", test_legacy);
  g_test_add_func ("/plan/legacy/other-disk", test_legacy_other_disk);
  g_test_add_func ("/plan/legacy/layers", test_legacy_layers);
  g_test_add_func ("/plan/legacy/sizes", test_legacy_sizes);
  g_test_add_func ("/plan/legacy/lost", test_legacy_lost);
  g_test_add_func ("/plan/legacy/branches", test_legacy_branches);
  g_test_add_func ("/plan/shared-bitmap", test_shared_bitmap);
  g_test_add_func ("/plan/forget", test_forget);
  return g_test_run ();
}
