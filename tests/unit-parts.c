/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/parts.c: models of disks built by hand, and a simulation
 * of guests that write, of snapshots, checkpoints and mishaps, whose truth
 * every plan must contain: a dirty block is never called clean.  Repeat a
 * failure with the seed that is printed first: --seed=.
 *
 * In the tables, layers are given top first, and each is a list of bitmaps:
 * "a" records, "a-" is disabled, "a!" is inconsistent.  Layer 0 is the file
 * /l0 and so on.  Parts are written "0:a 1:-": bitmap a of layer 0 and what
 * is allocated in layer 1 or above.
 */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include <glib.h>

#include "error.h"
#include "parts.h"

#define MOST_LAYERS 5

static void
add_bitmap (Layer *layer, const char *text)
{
  g_autofree char *name = g_strdup (text);
  const gsize length = strlen (name);
  const char state = name[length - 1];

  if (state == '-' || state == '!')
    name[length - 1] = '\0';
  Bitmap *bitmap = bitmap_new (name);
  bitmap->granularity = 65536;
  bitmap->recording = state != '-';
  bitmap->inconsistent = state == '!';
  g_ptr_array_add (layer->bitmaps, bitmap);
}

static Disk *
disk_of (const char *target, const char *const *layers)
{
  Disk *disk = disk_new (target);

  for (guint i = 0; layers[i]; i++) {
    g_autofree char *path = g_strdup_printf ("/l%u", i);
    g_auto (GStrv) bitmaps = g_strsplit (layers[i], " ", -1);
    Layer *layer = layer_new (path);

    layer->format = g_strdup ("qcow2");
    layer->size = 1048576;
    for (guint j = 0; bitmaps[j]; j++)
      if (*bitmaps[j])
        add_bitmap (layer, bitmaps[j]);
    g_ptr_array_add (disk->layers, layer);
  }
  return disk;
}

#define DISK(...) disk_of ("vda", (const char *[]) { __VA_ARGS__, NULL })

static Checkpoint *
add_checkpoint (Forest *forest, const char *name, const char *parent)
{
  g_autoptr (GError) error = NULL;
  Checkpoint *checkpoint = checkpoint_new (name);

  checkpoint_set_parent_name (checkpoint, parent);
  g_assert_true (forest_add (forest, checkpoint, &error));
  g_assert_no_error (error);
  return checkpoint;
}

/* "a b<a c<b/vdb": a is a root, b its child, and c, child of b, covers vdb.
 * The others cover vda.  A bitmap is named like its checkpoint.
 */
static Forest *
tree (const char *text)
{
  g_auto (GStrv) items = g_strsplit (text, " ", -1);
  Forest *forest = forest_new ();

  for (guint i = 0; items[i]; i++) {
    char *target = strchr (items[i], '/');
    char *parent = strchr (items[i], '<');

    if (target)
      *target++ = '\0';
    if (parent)
      *parent++ = '\0';
    checkpoint_cover (add_checkpoint (forest, items[i], parent),
                      target ? target : "vda", items[i]);
  }
  forest_link (forest);
  return forest;
}

static char *
parts_text (const GPtrArray *parts)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < parts->len; i++) {
    const Part *part = g_ptr_array_index (parts, i);
    g_string_append_printf (text, "%s%u:%s", i ? " " : "", part->layer,
                            part->bitmap ? part->bitmap->name : "-");
  }
  return g_string_free (text, FALSE);
}

/* A plan's own rules: top first, each part once, and a bitmap that is that
 * layer's and can be trusted.
 */
static void
assert_plan_sane (const Disk *disk, const GPtrArray *parts)
{
  g_assert_cmpuint (parts->len, >, 0);
  for (guint i = 0; i < parts->len; i++) {
    const Part *part = g_ptr_array_index (parts, i);

    g_assert_cmpuint (part->layer, <, disk->layers->len);
    if (part->bitmap) {
      g_assert_true (part->bitmap
                     == layer_bitmap (disk_layer (disk, part->layer),
                                      part->bitmap->name));
      g_assert_false (part->bitmap->inconsistent);
    }
    for (guint j = 0; j < i; j++) {
      const Part *above = g_ptr_array_index (parts, j);
      g_assert_cmpuint (above->layer, <=, part->layer);
      g_assert_false (above->layer == part->layer
                      && above->bitmap == part->bitmap);
    }
  }
}

static void
assert_plan (const Forest *forest, const Disk *disk, const char *checkpoint,
             const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) parts = parts_plan (forest, disk, checkpoint, &error);

  g_assert_no_error (error);
  g_assert_nonnull (parts);
  g_autofree char *text = parts_text (parts);
  g_assert_cmpstr (text, ==, expected);
  assert_plan_sane (disk, parts);
}

/* The message has these pieces in this order. */
static void G_GNUC_NULL_TERMINATED
assert_refused (const Forest *forest, const Disk *disk,
                const char *checkpoint, int errnum, ...)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) parts = parts_plan (forest, disk, checkpoint, &error);
  const char *piece;
  va_list pieces;

  if (parts) {
    g_autofree char *text = parts_text (parts);
    g_error ("not refused: %s", text);
  }
  g_assert_error (error, CHECKPOINT_ERROR, errnum);
  g_assert_null (strpbrk (error->message, "\r\n"));
  const char *at = error->message;
  va_start (pieces, errnum);
  while ((piece = va_arg (pieces, const char *))) {
    const char *found = strstr (at, piece);
    if (!found)
      g_error ("\"%s\" is not in \"%s\"", piece, at);
    at = found + strlen (piece);
  }
  va_end (pieces);
  g_assert_null (parts_plan (forest, disk, checkpoint, NULL));
}

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
  assert_refused (forest, none, "monday", ENOENT, "(none)", NULL);
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
  assert_refused (empty, disk, "monday", ENOENT, "(none)", NULL);
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

/* Do the first thing the message says: "… --remove PATH BITMAP". */
static bool
obey (Disk *disk, const char *message)
{
  const char *at = strstr (message, "--remove ");

  if (!at)
    return false;
  g_auto (GStrv) words = g_strsplit_set (at + strlen ("--remove "), " ,;", 3);
  g_assert_cmpuint (g_strv_length (words), >=, 2);
  for (guint i = 0; i < disk->layers->len; i++) {
    Layer *layer = g_ptr_array_index (disk->layers, i);
    const Bitmap *bitmap = layer_bitmap (layer, words[1]);
    if (strcmp (layer->path, words[0]) == 0 && bitmap)
      return g_ptr_array_remove (layer->bitmaps, (gpointer) bitmap);
  }
  g_error ("there is no bitmap %s in %s", words[1], words[0]);
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
      if (!obey (disk, error->message))
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

/* libvirt before 6.5. */
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
    while (obey (disk, error->message)) {
      g_clear_error (&error);
      g_assert_null (parts_plan (forest, disk, "a", &error));
    }
    const char *advice = strstr (error->message, metadata);
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
  assert_refused (forest, none, "monday", ENOENT, "(none)", NULL);
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

/* From here on: the simulation.  64 blocks, a bit each.
 *
 * Not simulated, for no image shows it afterwards: a bitmap removed by hand
 * from the lowest layer that has it; one disabled by hand, or a disabled
 * one's successor deleted, before the next checkpoint is made.
 */
#define CHECKPOINTS 6

typedef struct {
  bool exists, recording, inconsistent;
  guint64 bits;
} SimBitmap;

typedef struct {
  guint64 allocated;
  SimBitmap bitmaps[CHECKPOINTS];
} SimLayer;

typedef struct {
  bool made, covers;
  int parent;                   /* -1: a root */
  guint64 written;              /* the truth: since it was made */
} SimCheckpoint;

typedef struct {
  SimLayer layers[MOST_LAYERS]; /* the oldest first */
  guint n_layers;
  SimCheckpoint checkpoints[CHECKPOINTS];
  guint n_checkpoints;          /* made so far, deleted ones included */
  int current;
  bool legacy;                  /* libvirt before 6.5 */
  bool mishaps;                 /* there may be reasons to refuse */
  bool exact;                   /* no layer has gaps */
  GString *story;
} Sim;

static guint64
rand64 (void)
{
  return (guint64) (guint32) g_test_rand_int () << 32
    | (guint32) g_test_rand_int ();
}

static bool
one_in (int n)
{
  return g_test_rand_int_range (0, n) == 0;
}

static SimLayer *
sim_top (Sim *sim)
{
  return &sim->layers[sim->n_layers - 1];
}

/* The lowest layer that has a checkpoint's bitmap, or -1. */
static int
sim_lowest (const Sim *sim, int checkpoint)
{
  for (guint i = 0; i < sim->n_layers; i++)
    if (sim->layers[i].bitmaps[checkpoint].exists)
      return (int) i;
  return -1;
}

static void
sim_write (Sim *sim)
{
  SimLayer *top = sim_top (sim);
  guint64 mask = 0;

  for (int n = g_test_rand_int_range (1, 4); n > 0; n--)
    mask |= G_GUINT64_CONSTANT (1) << g_test_rand_int_range (0, 64);
  g_string_append_printf (sim->story, "write %016" G_GINT64_MODIFIER "x\n",
                          mask);
  top->allocated |= mask;
  for (int i = 0; i < CHECKPOINTS; i++) {
    SimBitmap *bitmap = &top->bitmaps[i];
    if (bitmap->exists && bitmap->recording && !bitmap->inconsistent)
      bitmap->bits |= mask;
    sim->checkpoints[i].written |= mask;
  }
}

/* What libvirt before 6.5 did to the nearest ancestor on that disk: in the layer
 * that was being written to, where the new checkpoint's bitmap goes on.
 */
static void
sim_disable_ancestor (Sim *sim)
{
  int at = sim->current;

  while (at >= 0 && !sim->checkpoints[at].covers)
    at = sim->checkpoints[at].parent;
  if (at < 0)
    return;
  sim_top (sim)->bitmaps[at].recording = false;
  g_string_append_printf (sim->story, "  disables c%d\n", at);
}

static void
sim_checkpoint (Sim *sim)
{
  if (sim->n_checkpoints == CHECKPOINTS)
    return;
  const int at = (int) sim->n_checkpoints++;
  const bool covers = !one_in (8);

  g_string_append_printf (sim->story, "checkpoint c%d%s\n", at,
                          covers ? "" : " of another disk");
  if (covers && sim->legacy)
    sim_disable_ancestor (sim);
  if (covers)
    sim_top (sim)->bitmaps[at]
      = (SimBitmap) { .exists = true, .recording = true };
  sim->checkpoints[at] = (SimCheckpoint) {
    .made = true, .covers = covers, .parent = sim->current,
  };
  sim->current = at;
}

static void
sim_snapshot (Sim *sim)
{
  if (sim->n_layers == MOST_LAYERS)
    return;
  /* 0: as libvirt does; 1: by hand, without bitmaps; 2: with some. */
  const int mode = one_in (2) ? 0 : g_test_rand_int_range (1, 3);
  const SimLayer *below = sim_top (sim);

  sim->layers[sim->n_layers] = (SimLayer) { .allocated = 0 };
  sim->n_layers++;
  g_string_append (sim->story, "snapshot with");
  for (int i = 0; i < CHECKPOINTS; i++) {
    const SimBitmap *bitmap = &below->bitmaps[i];
    if (!bitmap->exists || !bitmap->recording || bitmap->inconsistent)
      continue;
    if (mode == 1 || (mode == 2 && one_in (2)))
      sim->exact = false;
    else {
      sim_top (sim)->bitmaps[i]
        = (SimBitmap) { .exists = true, .recording = true };
      g_string_append_printf (sim->story, " c%d", i);
    }
  }
  g_string_append (sim->story, "\n");
}

static void
sim_crash (Sim *sim)
{
  g_string_append (sim->story, "crash\n");
  for (int i = 0; i < CHECKPOINTS; i++) {
    SimBitmap *bitmap = &sim_top (sim)->bitmaps[i];
    if (bitmap->exists) {
      bitmap->inconsistent = true;
      bitmap->bits &= rand64 ();
      sim->mishaps = true;
    }
  }
}

/* By hand: out of one layer, but not the lowest, or out of all. */
static void
sim_remove (Sim *sim)
{
  const int at = g_test_rand_int_range (0, CHECKPOINTS);
  const int lowest = sim_lowest (sim, at);
  const bool all = one_in (4);

  if (lowest < 0)
    return;
  for (int i = all ? lowest : lowest + 1; i < (int) sim->n_layers; i++) {
    if (!all && one_in (2))
      continue;
    g_string_append_printf (sim->story, "remove c%d, the %dth from below\n",
                            at, i);
    sim->layers[i].bitmaps[at] = (SimBitmap) { .exists = false };
    sim->exact = false;
  }
  if (all)
    sim->mishaps = true;
}

/* By hand, in the top layer, over one that lacks it as well. */
static void
sim_add_again (Sim *sim)
{
  const int at = g_test_rand_int_range (0, CHECKPOINTS);

  if (sim->n_layers < 3 || sim_lowest (sim, at) < 0
      || sim_top (sim)->bitmaps[at].exists
      || sim->layers[sim->n_layers - 2].bitmaps[at].exists)
    return;
  g_string_append_printf (sim->story, "add c%d again\n", at);
  sim_top (sim)->bitmaps[at]
    = (SimBitmap) { .exists = true, .recording = true };
}

/* libvirt before 6.5 merged a bitmap into its ancestor's when its checkpoint
 * was deleted.
 */
static bool
sim_merge (Sim *sim, int from)
{
  int into = sim->checkpoints[from].parent;

  while (into >= 0 && !sim->checkpoints[into].covers)
    into = sim->checkpoints[into].parent;
  if (into < 0)
    return true;
  for (guint i = 0; i < sim->n_layers; i++) {
    const SimLayer *layer = &sim->layers[i];
    if (layer->bitmaps[from].exists
        && (!layer->bitmaps[into].exists || layer->bitmaps[from].inconsistent
            || layer->bitmaps[into].inconsistent))
      return false;
  }
  for (guint i = 0; i < sim->n_layers; i++) {
    SimLayer *layer = &sim->layers[i];
    if (!layer->bitmaps[from].exists)
      continue;
    layer->bitmaps[into].bits |= layer->bitmaps[from].bits;
    layer->bitmaps[into].recording = layer->bitmaps[from].recording;
  }
  return true;
}

static bool
sim_any_disabled (const Sim *sim)
{
  for (guint i = 0; i < sim->n_layers; i++)
    for (int j = 0; j < CHECKPOINTS; j++)
      if (sim->layers[i].bitmaps[j].exists
          && !sim->layers[i].bitmaps[j].recording)
        return true;
  return false;
}

static void
sim_delete (Sim *sim)
{
  const int at = g_test_rand_int_range (0, CHECKPOINTS);
  SimCheckpoint *checkpoint = &sim->checkpoints[at];

  if (!checkpoint->made)
    return;
  /* Without the bitmap, libvirt refuses unless only the document is to go;
   * see test_legacy_remedy.
   */
  if (checkpoint->covers && sim_lowest (sim, at) < 0)
    return;
  if (sim->legacy ? checkpoint->covers && !sim_merge (sim, at)
      : sim_any_disabled (sim))
    return;
  g_string_append_printf (sim->story, "delete c%d\n", at);
  /* After a merge, an ancestor may record again in some layers only. */
  sim->mishaps = sim->mishaps || sim->legacy;
  for (guint i = 0; i < sim->n_layers; i++)
    sim->layers[i].bitmaps[at] = (SimBitmap) { .exists = false };
  for (int i = 0; i < CHECKPOINTS; i++)
    if (sim->checkpoints[i].made && sim->checkpoints[i].parent == at)
      sim->checkpoints[i].parent = checkpoint->parent;
  if (sim->current == at)
    sim->current = checkpoint->parent;
  checkpoint->made = false;
}

static void
sim_step (Sim *sim, bool mishaps)
{
  switch (g_test_rand_int_range (0, mishaps ? 16 : 11)) {
  case 0: case 1:
    sim_checkpoint (sim);
    break;
  case 2:
    sim_snapshot (sim);
    break;
  case 11:
    sim_crash (sim);
    break;
  case 12:
    sim_remove (sim);
    break;
  case 13:
    sim_add_again (sim);
    break;
  case 14:
    sim_delete (sim);
    break;
  case 15:
    /* libvirt is upgraded. */
    sim->legacy = false;
    break;
  default:
    sim_write (sim);
  }
}

/* With branched, some checkpoint is not where it was made. */
static Forest *
sim_forest (const Sim *sim, bool branched)
{
  Forest *forest = forest_new ();
  const int odd = branched ? g_test_rand_int_range (1, CHECKPOINTS) : -1;

  for (int i = 0; i < CHECKPOINTS; i++) {
    const SimCheckpoint *at = &sim->checkpoints[i];
    g_autofree char *name = g_strdup_printf ("c%d", i);
    g_autofree char *parent = at->made && at->parent >= 0 && i != odd
      ? g_strdup_printf ("c%d", at->parent) : NULL;

    if (at->made)
      checkpoint_cover (add_checkpoint (forest, name, parent),
                        at->covers ? "vda" : "vdb", name);
  }
  forest_link (forest);
  return forest;
}

static Disk *
sim_disk (const Sim *sim)
{
  Disk *disk = disk_new ("vda");

  for (guint i = 0; i < sim->n_layers; i++) {
    const SimLayer *from = &sim->layers[sim->n_layers - 1 - i];
    g_autofree char *path = g_strdup_printf ("/l%u", i);
    Layer *layer = layer_new (path);

    layer->format = g_strdup ("qcow2");
    for (int j = 0; j < CHECKPOINTS; j++) {
      if (!from->bitmaps[j].exists)
        continue;
      g_autofree char *name = g_strdup_printf ("c%d", j);
      Bitmap *bitmap = bitmap_new (name);
      bitmap->recording = from->bitmaps[j].recording;
      bitmap->inconsistent = from->bitmaps[j].inconsistent;
      g_ptr_array_add (layer->bitmaps, bitmap);
    }
    g_ptr_array_add (disk->layers, layer);
  }
  return disk;
}

/* What a client that unites the parts sees. */
static guint64
sim_dirty (const Sim *sim, const GPtrArray *parts)
{
  guint64 dirty = 0;

  for (guint i = 0; i < parts->len; i++) {
    const Part *part = g_ptr_array_index (parts, i);
    const guint index = sim->n_layers - 1 - part->layer;

    if (part->bitmap)
      dirty |= sim->layers[index].bitmaps[part->bitmap->name[1] - '0'].bits;
    else
      for (guint j = index; j < sim->n_layers; j++)
        dirty |= sim->layers[j].allocated;
  }
  return dirty;
}

typedef struct {
  guint single, several, refused;
} Seen;

static void
sim_check (const Sim *sim, Seen *seen)
{
  const bool branched = sim->mishaps && one_in (4);
  g_autoptr (Forest) forest = sim_forest (sim, branched);
  g_autoptr (Disk) disk = sim_disk (sim);

  for (int i = 0; i < CHECKPOINTS; i++) {
    const SimCheckpoint *at = &sim->checkpoints[i];
    g_autofree char *name = g_strdup_printf ("c%d", i);
    g_autoptr (GError) error = NULL;
    g_autoptr (GPtrArray) parts = parts_plan (forest, disk, name, &error);

    if (!parts) {
      g_assert_true (error->domain == CHECKPOINT_ERROR);
      if (at->made && at->covers) {
        if (!sim->mishaps)
          g_error ("%sc%d refused for no reason: %s", sim->story->str, i,
                   error->message);
        seen->refused++;
      }
      else
        g_assert_error (error, CHECKPOINT_ERROR, ENOENT);
      continue;
    }
    g_assert_true (at->made && at->covers);
    assert_plan_sane (disk, parts);
    const guint64 dirty = sim_dirty (sim, parts);
    g_autofree char *text = parts_text (parts);
    if (at->written & ~dirty)
      g_error ("%sblocks %016" G_GINT64_MODIFIER "x, written since c%d, are "
               "called clean by %s", sim->story->str, at->written & ~dirty,
               i, text);
    if (sim->exact && at->written != dirty)
      g_error ("%sblocks %016" G_GINT64_MODIFIER "x, not written since c%d, "
               "are called dirty by %s", sim->story->str,
               dirty & ~at->written, i, text);
    *(parts->len > 1 ? &seen->several : &seen->single) += 1;
  }
}

typedef struct {
  bool legacy, mishaps;
} Mode;

static void
test_simulation (const void *data)
{
  const Mode *mode = data;
  Seen seen = { 0 };

  for (int run = 0; run < 3000; run++) {
    g_autoptr (GString) story = g_string_new ("\n");
    Sim sim = {
      .n_layers = 1, .current = -1, .legacy = mode->legacy, .exact = true,
      .story = story,
    };

    for (int step = g_test_rand_int_range (5, 60); step > 0; step--) {
      sim_step (&sim, mode->mishaps);
      if (one_in (8))
        sim_check (&sim, &seen);
    }
    sim_check (&sim, &seen);
  }
  /* It was about something. */
  g_test_message ("%u plans of one part, %u of several, %u refused",
                  seen.single, seen.several, seen.refused);
  g_assert_cmpuint (seen.single, >, 1000);
  g_assert_cmpuint (seen.several, >, 1000);
  if (mode->mishaps)
    g_assert_cmpuint (seen.refused, >, 1000);
  else
    g_assert_cmpuint (seen.refused, ==, 0);
}

int
main (int argc, char *argv[])
{
  static const Mode modern = { false, false }, modern_odd = { false, true };
  static const Mode legacy = { true, false }, legacy_odd = { true, true };

  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/parts/patterns", test_patterns);
  g_test_add_func ("/parts/all-patterns", test_all_patterns);
  g_test_add_func ("/parts/bitmap-name", test_bitmap_name);
  g_test_add_func ("/parts/any-disk", test_any_disk);
  g_test_add_func ("/parts/missing", test_missing);
  g_test_add_func ("/parts/unknown", test_unknown);
  g_test_add_func ("/parts/not-covered", test_not_covered);
  g_test_add_func ("/parts/inconsistent", test_inconsistent);
  g_test_add_func ("/parts/remedy", test_remedy);
  g_test_add_func ("/parts/disabled", test_disabled);
  g_test_add_func ("/parts/legacy/chain", test_legacy);
  g_test_add_func ("/parts/legacy/layers", test_legacy_layers);
  g_test_add_func ("/parts/legacy/other-disk", test_legacy_other_disk);
  g_test_add_func ("/parts/legacy/no-current", test_legacy_no_current);
  g_test_add_func ("/parts/legacy/remedy", test_legacy_remedy);
  g_test_add_func ("/parts/each-once", test_each_once);
  g_test_add_func ("/parts/uri", test_uri);
  g_test_add_func ("/parts/nasty-names", test_nasty_names);
  g_test_add_func ("/parts/flat-tree", test_flat_tree);
  g_test_add_func ("/parts/flat-tree/empty", test_flat_tree_empty);
  g_test_add_func ("/parts/long-chain", test_long_chain);
  g_test_add_data_func ("/parts/simulation/modern", &modern,
                        test_simulation);
  g_test_add_data_func ("/parts/simulation/modern-mishaps", &modern_odd,
                        test_simulation);
  g_test_add_data_func ("/parts/simulation/legacy", &legacy,
                        test_simulation);
  g_test_add_data_func ("/parts/simulation/legacy-mishaps", &legacy_odd,
                        test_simulation);
  return g_test_run ();
}
