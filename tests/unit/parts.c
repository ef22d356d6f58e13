/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/parts/parts.c on models of disks; unit-parts-legacy.c and
 * unit-parts-simulation.c have more.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "parts-models.h"
#include "tree/roster.h"

/* libvirt's table of which layers have the bitmap; where libvirt gives up
 * because some layer lacks it, what is allocated there stands for it.
 */
static void
test_patterns (void)
{
  static const struct {
    const char *layers[MOST_LAYERS + 1], *expected;
  } cases[] = {
    { { "a" }, "0:a" },
    { { "a", "a" }, "0:a 1:a" },
    { { "a", "" }, "0:a" },
    { { "a", "a", "", "" }, "0:a 1:a" },
    { { "", "a" }, "0:- 1:a" },
    { { "", "", "a", "" }, "0:- 1:- 2:a" },
    { { "a", "", "a" }, "0:a 1:- 2:a" },
    { { "", "a", "", "a" }, "0:- 1:a 2:- 3:a" },
    { { "a", "a", "a", "a", "a" }, "0:a 1:a 2:a 3:a 4:a" },
    /* Others' bitmaps neither help nor harm. */
    { { "b a", "b" }, "0:a" },
    { { "b", "a b", "b" }, "0:- 1:a" },
    { { "a b!", "b!", "b-" }, "0:a" },
    { { "A aa a", "b" }, "0:a" },
  };
  g_autoptr (Forest) forest = tree ("a");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Disk) disk = disk_of ("vda", cases[i].layers);
    assert_plan (forest, disk, "a", cases[i].expected);
  }
}

/* All states of up to four layers, against the rule in plain words. */
static void
test_all_patterns (void)
{
  static const char *const states[] = { "", "a", "a-", "a!" };
  g_autoptr (Forest) forest = tree ("a");

  for (guint n = 1; n <= 4; n++)
    for (guint code = 0; code < 1u << (2 * n); code++) {
      const char *layers[MOST_LAYERS + 1] = { NULL };
      bool trusted = true;
      guint needed = 0;
      g_autoptr (GString) expected = g_string_new (NULL);

      for (guint i = 0; i < n; i++) {
        layers[i] = states[code >> (2 * i) & 3];
        if (*layers[i])
          needed = i + 1;
        trusted = trusted && strlen (layers[i]) < 2;
      }
      for (guint i = 0; i < needed; i++)
        g_string_append_printf (expected, "%s%u:%s", i ? " " : "", i,
                                *layers[i] ? "a" : "-");
      g_autoptr (Disk) disk = disk_of ("vda", layers);
      if (needed == 0)
        assert_refused (forest, disk, "a", ENOENT, NULL);
      else if (!trusted)
        assert_refused (forest, disk, "a", EIO, NULL);
      else
        assert_plan (forest, disk, "a", expected->str);
    }
}

/* Of a job that was planned for one view, each layer is a part, whatever the order;
 * the top one has the bytes, and is one if it has the bitmap.
 */
static void
test_planned (void)
{
  static const struct {
    const char *layers[MOST_LAYERS + 1], *expected;
  } cases[] = {
    { { "a", "", "" }, "0:a 1:- 2:-" },
    { { "a", "", "a" }, "0:a 1:- 2:a" },
    { { "", "", "a" }, "1:- 2:a" },
    { { "", "a", "" }, "1:a 2:-" },
  };
  g_autoptr (Forest) forest = tree ("a");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Disk) disk = disk_of ("vda", cases[i].layers);
    disk->planned = true;
    assert_plan (forest, disk, "a", cases[i].expected);
  }
}

/* Names of checkpoint and bitmap need not be the same. */
static void
test_bitmap_name (void)
{
  g_autoptr (Forest) forest = forest_new ();
  g_autoptr (Disk) disk = DISK ("a!", "x");
  g_autoptr (Disk) other = disk_of ("vdb", (const char *[]) { "y x", NULL });
  Checkpoint *checkpoint = add_checkpoint (forest, "a", NULL);

  checkpoint_cover (checkpoint, "vda", "x");
  checkpoint_cover (checkpoint, "vdb", "y");
  forest_link (forest);
  assert_plan (forest, disk, "a", "0:- 1:x");
  assert_plan (forest, other, "a", "0:y");
}

/* A document without disks and domain: any disk, by the checkpoint's name. */
static void
test_any_disk (void)
{
  g_autoptr (Forest) forest = forest_new ();
  g_autoptr (Disk) disk = DISK ("a-", "");
  g_autoptr (Disk) whole = DISK ("a- b", "");
  g_autoptr (Disk) later = DISK ("a", "");

  add_checkpoint (forest, "a", NULL)->covers_any_disk = true;
  add_checkpoint (forest, "b", "a")->covers_any_disk = true;
  forest_link (forest);
  assert_plan (forest, later, "a", "0:a");
  assert_plan (forest, whole, "a", "0:a 0:b");
  /* It may have covered this one: its bitmap must be there. */
  assert_refused (forest, disk, "a", ENOENT, "bitmap b", NULL);
}

static void
test_missing (void)
{
  g_autoptr (Forest) forest = tree ("monday");
  g_autoptr (Forest) named = forest_new ();
  g_autoptr (Disk) disk = DISK ("friday tuesday", "mondays");
  g_autoptr (Disk) none = DISK ("");
  Checkpoint *checkpoint = add_checkpoint (named, "monday", NULL);

  checkpoint_cover (checkpoint, "vda", "monday");
  checkpoint->domain_name = g_ref_string_new_intern ("web1");
  forest_link (named);
  assert_refused (forest, disk, "monday", ENOENT, "vda", "bitmap monday",
                  "/l0", "mondays", "full backup",
                  "virsh checkpoint-delete --metadata DOMAIN monday", NULL);
  assert_refused (named, disk, "monday", ENOENT,
                  "virsh checkpoint-delete --metadata web1 monday", NULL);
  assert_refused (forest, none, "monday", ENOENT, "none", NULL);
}

static void
test_unknown (void)
{
  g_autoptr (Forest) forest = tree ("friday monday sunday");
  g_autoptr (Forest) empty = forest_new ();
  g_autoptr (Disk) disk = DISK ("friday monday sunday mondy");

  forest_link (empty);
  assert_refused (forest, disk, "mondy", ENOENT, "mondy", "known",
                  "monday", "friday", NULL);
  assert_refused (forest, disk, "Sunday", ENOENT, "Sunday", "known",
                  "sunday", "friday", NULL);
  assert_refused (empty, disk, "monday", ENOENT, "nor any other", NULL);
  assert_refused (forest, disk, "", ENOENT, NULL);
}

static void
test_not_covered (void)
{
  g_autoptr (Forest) forest = tree ("a b<a/vdb c<b/vdb ba<c");
  /* That a bitmap of the name is there does not help. */
  g_autoptr (Disk) disk = DISK ("a b c ba");

  assert_refused (forest, disk, "b", ENOENT, "checkpoint b", "vda", ": ",
                  "a", "ba", NULL);
  assert_refused (forest, disk, "c", ENOENT, "checkpoint c", NULL);
  assert_plan (forest, disk, "a", "0:a");
}

static void
test_inconsistent (void)
{
  g_autoptr (Forest) forest = tree ("a b<a");
  static const struct {
    const char *layers[MOST_LAYERS + 1], *path;
  } cases[] = {
    { { "a!" }, "/l0" },
    { { "a!", "" }, "/l0" },
    { { "a!", "a" }, "/l0" },
    { { "a", "a!" }, "/l1" },
    { { "", "a!" }, "/l1" },
    { { "a", "", "a!" }, "/l2" },
    { { "a", "a", "a!", "a" }, "/l2" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Disk) disk = disk_of ("vda", cases[i].layers);
    assert_refused (forest, disk, "a", EIO, "vda", "bitmap a",
                    cases[i].path, "in-use", "full backup", NULL);
  }
  /* A disabled bitmap whose continuation is lost. */
  g_autoptr (Disk) lost = DISK ("b!", "a- b");
  assert_refused (forest, lost, "a", EIO, "bitmap b", "/l0", "in-use", NULL);
  assert_refused (forest, lost, "b", EIO, "bitmap b", "/l0", "in-use", NULL);
  /* The next one's is not needed as long as this one records. */
  g_autoptr (Disk) unneeded = DISK ("a b!", "b!");
  assert_plan (forest, unneeded, "a", "0:a");
}

/* Who does what a message says, all of it or only its beginning, must not
 * get a plan that overlooks a layer which the bitmap stood for before.
 */
static void
test_remedy (void)
{
  static const char *const cases[][MOST_LAYERS + 1] = {
    { "a!" }, { "a!", "a" }, { "", "a!" }, { "a", "a!" }, { "a", "a!", "a" },
    { "a!", "a!" }, { "a", "a", "a!", "" }, { "a!", "", "a" },
  };
  g_autoptr (Forest) forest = tree ("a");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Disk) disk = disk_of ("vda", cases[i]);
    guint deepest = 0;

    for (guint j = 0; j < disk->layers->len; j++)
      if (layer_bitmap (disk_layer (disk, j), "a"))
        deepest = j;
    for (;;) {
      g_autoptr (GError) error = NULL;
      g_autoptr (GPtrArray) parts = parts_plan (forest, disk, "a", &error);
      if (parts) {
        const Part *last = g_ptr_array_index (parts, parts->len - 1);
        g_autofree char *text = parts_text (parts);
        if (last->layer < deepest)
          g_error ("case %u: after the remedy the plan is %s, without layer "
                   "%u", i, text, deepest);
        break;
      }
      if (!obey (disk, error))
        break;
    }
  }
}

static void
test_disabled (void)
{
  static const char *const refused[][MOST_LAYERS + 1] = {
    { "a-" }, { "", "a-" }, { "a-", "a" }, { "a", "a-" }, { "a-", "", "a-" },
    { "a", "a", "a-", "" },
  };
  g_autoptr (Forest) forest = tree ("a");
  g_autoptr (Forest) leaf = tree ("b a<b");
  g_autoptr (Forest) others = tree ("a b c");

  for (guint i = 0; i < G_N_ELEMENTS (refused); i++) {
    g_autoptr (Disk) disk = disk_of ("vda", refused[i]);
    assert_refused (forest, disk, "a", EIO, "vda", "checkpoint a", "in /l",
                    "not recording", "full backup", NULL);
    assert_refused (leaf, disk, "a", EIO, "not recording", NULL);
    assert_refused (others, disk, "a", EIO, "not recording", "tree=", NULL);
  }
  /* An ancestor's bitmap is no continuation. */
  g_autoptr (Disk) disk = DISK ("a- b");
  assert_refused (leaf, disk, "a", EIO, "not recording", NULL);
}

/* One bitmap under two checkpoints is one part. */
static void
test_each_once (void)
{
  g_autoptr (Forest) forest = forest_new ();
  g_autoptr (Disk) disk = DISK ("y", "x- y", "");

  checkpoint_cover (add_checkpoint (forest, "a", NULL), "vda", "x");
  checkpoint_cover (add_checkpoint (forest, "b", "a"), "vda", "x");
  checkpoint_cover (add_checkpoint (forest, "c", "b"), "vda", "y");
  forest_link (forest);
  assert_plan (forest, disk, "a", "0:- 0:y 1:x 1:y");
}

static Disk *
nbd_disk (const char *bitmaps)
{
  Disk *disk = DISK (bitmaps);
  Layer *layer = g_ptr_array_index (disk->layers, 0);

  g_clear_pointer (&layer->format, g_free);
  layer->is_nbd = true;
  g_free (layer->path);
  layer->path = g_strdup ("nbd://host/vda");
  return disk;
}

static void
test_uri (void)
{
  g_autoptr (Forest) forest = tree ("monday");
  g_autoptr (Disk) there = nbd_disk ("backup-vda monday");
  g_autoptr (Disk) pull = nbd_disk ("backup-vdb backup-vda other");
  g_autoptr (Disk) alias = nbd_disk ("other backup-x");
  g_autoptr (Disk) others = nbd_disk ("tuesday sunday");
  g_autoptr (Disk) none = nbd_disk ("");

  assert_plan (forest, there, "monday", "0:monday");
  assert_refused (forest, pull, "monday", ENOENT, "vda", "nbd://host/vda",
                  "bitmap monday", "since monday", "bitmap=backup-vda",
                  NULL);
  assert_refused (forest, alias, "monday", ENOENT, "bitmap=backup-x", NULL);
  assert_refused (forest, others, "monday", ENOENT, "nbd://host/vda",
                  "bitmap monday", "offers", "sunday", "tuesday", NULL);
  assert_refused (forest, none, "monday", ENOENT, "none", NULL);
}

static void
set_void (Disk *disk, guint layer)
{
  ((Layer *) g_ptr_array_index (disk->layers, layer))->void_bitmaps = "why";
}

/* A layer that may have held the record, and has lost all bitmaps. */
static void
test_void (void)
{
  g_autoptr (Forest) forest = tree ("m");

  for (guint layers = 1; layers < 4; layers++)
    for (guint good = 0; good < 8; good++)
      for (guint lost = 0; lost < layers; lost++) {
        const char *texts[] = { NULL, NULL, NULL, NULL };
        guint deepest = layers;
        for (guint i = 0; i < layers; i++) {
          const bool has = (good >> i & 1) != 0 && i != lost;
          texts[i] = has ? "m" : "";
          deepest = has ? i : deepest;
        }
        g_autoptr (Disk) disk = disk_of ("vda", texts);
        set_void (disk, lost);
        g_autofree char *path = g_strdup_printf ("/l%u", lost);
        if (deepest == layers || lost > deepest) {
          assert_refused (forest, disk, "m", EIO, "vda", path, "void (why)",
                          "full backup", NULL);
          continue;
        }
        /* Above a good record: what is allocated there is dirty. */
        g_autoptr (GPtrArray) parts = parts_plan (forest, disk, "m", NULL);
        g_assert_nonnull (parts);
        g_assert_cmpint (((const Part *) g_ptr_array_index (parts, lost))->kind,
                         ==, PART_ALLOCATION);
      }
}

/* A layer whose void bitmaps had other names has lost nothing of this one. */
static void
test_void_of_others (void)
{
  static const char *const names[][3]
    = { { NULL }, { "o", NULL }, { "o", "m", NULL }, { "m", "o", NULL } };
  g_autoptr (Forest) forest = tree ("m");

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    for (guint lost = 0; lost < 2; lost++) {
      g_autoptr (Disk) disk = lost ? DISK ("m", "") : DISK ("", "m");
      Layer *layer = g_ptr_array_index (disk->layers, lost);
      set_void (disk, lost);
      layer->void_names = g_ptr_array_new_with_free_func (g_free);
      for (guint j = 0; names[i][j]; j++)
        g_ptr_array_add (layer->void_names, g_strdup (names[i][j]));
      if (lost == 0)
        assert_plan (forest, disk, "m", "0:- 1:m");
      else if (i < 2)
        assert_plan (forest, disk, "m", "0:m");
      else
        assert_refused (forest, disk, "m", EIO, "/l1", "void (why)",
                        "qemu-img bitmap --remove /l0 m && qemu-img check "
                        "-r leaks /l1", NULL);
    }
}

/* The place of the file that the disk was at the checkpoint: it must have the
 * bitmap, and what is void below it is no older for that.
 */
static void
test_void_below (void)
{
  for (guint then = 0; then < 3; then++) {
    g_autoptr (Forest) forest = forest_new ();
    Checkpoint *checkpoint = add_checkpoint (forest, "m", NULL);
    g_autofree char *source = g_strdup_printf ("/l%u", then);
    DomainDisk domain_disk = { .target = g_ref_string_new_intern ("vda"),
                               .source = g_ref_string_new_intern (source) };

    checkpoint_cover (checkpoint, "vda", "m");
    checkpoint->domain_disks = g_ptr_array_new ();
    g_ptr_array_add (checkpoint->domain_disks, &domain_disk);
    forest_link (forest);
    for (guint lost = 0; lost < 3; lost++) {
      g_autoptr (Disk) disk = DISK ("m", "", "");
      g_autoptr (Roster) roster = roster_new (false);
      for (guint i = 0; i < 3; i++)
        roster_add (roster, "vda", disk_layer (disk, i)->path);
      roster_learn (roster, forest);
      disk->roster = roster;
      if (lost > 0)
        set_void (disk, lost);
      g_autoptr (GPtrArray) parts = parts_plan (forest, disk, "m", NULL);
      g_assert_cmpint (parts != NULL, ==, lost == 0 && then == 0);
    }
    g_ref_string_release (domain_disk.target);
    g_ref_string_release (domain_disk.source);
  }
}

/* NBD does not tell that a layer is older. */
static void
test_not_offered (void)
{
  g_autoptr (Forest) forest = tree ("m");
  g_autoptr (Disk) both = DISK ("m", "m");
  g_autoptr (Disk) gap = DISK ("m", "", "m");
  g_autoptr (Disk) top = DISK ("m", "");

  for (guint i = 0; i < 3; i++) {
    ((Layer *) g_ptr_array_index (gap->layers, i))->is_nbd = true;
    if (i < 2) {
      ((Layer *) g_ptr_array_index (both->layers, i))->is_nbd = true;
      ((Layer *) g_ptr_array_index (top->layers, i))->is_nbd = true;
    }
  }
  assert_plan (forest, both, "m", "0:m 1:m");
  assert_plan (forest, gap, "m", "0:m 1:- 2:m");
  assert_refused (forest, top, "m", ENOENT, "/l1", "does not offer bitmap m",
                  NULL);
}

/* Nor do later bitmaps, or those beside it, leave out a layer that has it. */
static void
test_later_not_offered (void)
{
  static const char *const layers[][3] = {
    { "m t", "m t", "0:m 0:t 1:m 1:t" }, { "m t", "m", NULL },
    { "m", "m t", "0:m 0:- 1:m 1:t" }, { "m", "m", "0:m 1:m" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (layers); i++)
    for (guint beside = 0; beside < 2; beside++) {
      g_autoptr (Forest) forest = beside ? tree ("m") : tree ("m t<m");
      g_autoptr (Disk) disk = DISK (layers[i][0], layers[i][1]);
      for (guint j = 0; j < 2; j++)
        ((Layer *) g_ptr_array_index (disk->layers, j))->is_nbd = true;
      disk->recording_untold = true;
      if (beside) {
        if (i == 3)
          continue;             /* it is in none: refused as missing */
        disk->also = g_ptr_array_new ();
        g_ptr_array_add (disk->also, (char *) "t");
      }
      if (layers[i][2])
        assert_plan (forest, disk, "m", layers[i][2]);
      else
        assert_refused (forest, disk, "m", ENOENT, "/l1",
                        "does not offer bitmap t", NULL);
    }
}

/* The key of what is kept of a part is all of it. */
static void
test_equal (void)
{
  const Bitmap a = { .name = NULL }, b = { .name = NULL };
  const Part parts[] = {
    { PART_WHOLE, 0, NULL }, { PART_ALLOCATION, 0, NULL },
    { PART_ALLOCATION, 1, NULL }, { PART_BITMAP, 0, &a },
    { PART_BITMAP, 1, &a }, { PART_BITMAP, 0, &b },
  };

  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    for (guint j = 0; j < G_N_ELEMENTS (parts); j++)
      g_assert_cmpint (part_equal (&parts[i], &parts[j]), ==, i == j);
}

/* Names go into messages; they may hold anything. */
static void
test_nasty_names (void)
{
  g_autoptr (Forest) forest = forest_new ();
  g_autoptr (Disk) disk = DISK ("x%s\n!");

  checkpoint_cover (add_checkpoint (forest, "%n\nx", NULL), "vda",
                    "%s%n\r");
  checkpoint_cover (add_checkpoint (forest, "y", NULL), "vda", "x%s\n");
  forest_link (forest);
  assert_refused (forest, disk, "%n\nx", ENOENT, "%s%n", NULL);
  assert_refused (forest, disk, "y", EIO, "x%s", NULL);
  assert_refused (forest, disk, "%d\n", ENOENT, "%d", NULL);
}

static void
test_flat_tree (void)
{
  g_autoptr (GPtrArray) disks
    = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);
  Disk *vda = DISK ("b a- libvirt-tmp-activewrite", "a c!",
                    "d libvirt-tmp-size-xml");
  Disk *vdb = disk_of ("vdb", (const char *[]) {
    "a libvirt-tmp", "xlibvirt-tmp-x", NULL });

  g_ptr_array_add (disks, vda);
  g_ptr_array_add (disks, vdb);
  g_autoptr (Forest) forest = parts_flat_tree (disks);
  g_autoptr (GPtrArray) names = forest_names (forest);
  g_autoptr (GString) joined = g_string_new (NULL);
  for (guint i = 0; i < names->len; i++)
    g_string_append_printf (joined, "%s ",
                            (char *) g_ptr_array_index (names, i));
  g_assert_cmpstr (joined->str, ==, "a b c d libvirt-tmp xlibvirt-tmp-x ");
  g_autoptr (GPtrArray) roots = forest_roots (forest);
  g_assert_cmpuint (roots->len, ==, 6);
  g_assert_cmpuint (forest_problems (forest)->len, ==, 0);
  g_assert_null (forest_current (forest));

  assert_plan (forest, vda, "b", "0:b");
  assert_plan (forest, vda, "d", "0:- 1:- 2:d");
  assert_plan (forest, vdb, "a", "0:a");
  assert_plan (forest, vdb, "xlibvirt-tmp-x", "0:- 1:xlibvirt-tmp-x");
  assert_refused (forest, vda, "a", EIO, "not recording", "tree=", NULL);
  assert_refused (forest, vda, "c", EIO, "in-use", NULL);
  assert_refused (forest, vda, "libvirt-tmp", ENOENT, "does not cover",
                  NULL);
  assert_refused (forest, vdb, "b", ENOENT, "does not cover", "a", NULL);
  assert_refused (forest, vda, "libvirt-tmp-activewrite", ENOENT,
                  "no checkpoint", NULL);
}

static void
test_flat_tree_empty (void)
{
  g_autoptr (GPtrArray) disks
    = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);
  g_autoptr (Forest) none = parts_flat_tree (disks);

  g_ptr_array_add (disks, DISK ("", ""));
  g_autoptr (Forest) no_bitmaps = parts_flat_tree (disks);
  g_assert_cmpuint (forest_size (none), ==, 0);
  g_assert_cmpuint (forest_size (no_bitmaps), ==, 0);

  /* Alone in its tree a bitmap is "current", but still not its own
   * continuation.
   */
  g_ptr_array_add (disks, disk_of ("vdb", (const char *[]) { "a-", NULL }));
  g_autoptr (Forest) one = parts_flat_tree (disks);
  g_assert_cmpuint (forest_size (one), ==, 1);
  assert_refused (one, g_ptr_array_index (disks, 1), "a", EIO,
                  "not recording", NULL);
}

/* Many checkpoints of a long life, one layer each, all disabled but one. */
static void
test_long_chain (void)
{
  const guint count = 1000;
  g_autoptr (Forest) forest = forest_new ();
  g_autoptr (Disk) disk = disk_new ("vda");
  g_autoptr (GError) error = NULL;
  Layer *layer = layer_new ("/l0");

  layer->format = g_strdup ("qcow2");
  g_ptr_array_add (disk->layers, layer);
  for (guint i = 0; i < count; i++) {
    g_autofree char *name = g_strdup_printf ("c%u", i);
    g_autofree char *parent = g_strdup_printf ("c%u", i - 1);
    g_autofree char *bitmap = g_strconcat (name, i + 1 < count ? "-" : "",
                                           NULL);
    checkpoint_cover (add_checkpoint (forest, name, i ? parent : NULL),
                      "vda", name);
    add_bitmap (layer, bitmap);
  }
  forest_link (forest);
  g_autoptr (GPtrArray) parts = parts_plan (forest, disk, "c0", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (parts->len, ==, count);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/parts/patterns", test_patterns);
  g_test_add_func ("/parts/all-patterns", test_all_patterns);
  g_test_add_func ("/parts/planned", test_planned);
  g_test_add_func ("/parts/bitmap-name", test_bitmap_name);
  g_test_add_func ("/parts/any-disk", test_any_disk);
  g_test_add_func ("/parts/missing", test_missing);
  g_test_add_func ("/parts/unknown", test_unknown);
  g_test_add_func ("/parts/not-covered", test_not_covered);
  g_test_add_func ("/parts/inconsistent", test_inconsistent);
  g_test_add_func ("/parts/remedy", test_remedy);
  g_test_add_func ("/parts/disabled", test_disabled);
  g_test_add_func ("/parts/each-once", test_each_once);
  g_test_add_func ("/parts/uri", test_uri);
  g_test_add_func ("/parts/nasty-names", test_nasty_names);
  g_test_add_func ("/parts/void", test_void);
  g_test_add_func ("/parts/void/of-others", test_void_of_others);
  g_test_add_func ("/parts/void/below", test_void_below);
  g_test_add_func ("/parts/later-not-offered", test_later_not_offered);
  g_test_add_func ("/parts/not-offered", test_not_offered);
  g_test_add_func ("/parts/equal", test_equal);
  g_test_add_func ("/parts/flat-tree", test_flat_tree);
  g_test_add_func ("/parts/flat-tree/empty", test_flat_tree_empty);
  g_test_add_func ("/parts/long-chain", test_long_chain);
  return g_test_run ();
}
