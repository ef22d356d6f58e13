/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/parts/parts.c by a simulation of guests that write, of snapshots,
 * checkpoints and mishaps, whose truth every plan must contain: a dirty block
 * is never called clean.  Repeat a failure with the seed that is printed
 * first: --seed=.
 */
#include <config.h>

#include <string.h>

#include "parts-models.h"

/* 64 blocks, a bit each.
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
