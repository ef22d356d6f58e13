/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/record/plan.c on simulated guests: checkpoints are deleted as it
 * plans, in chains of today and of libvirt before 6.5, in branches, with overlays
 * and mishaps.  Then no view has lost a block, and none that is served lacks
 * one.  Repeat a failure with the seed that is printed first: --seed=.
 */
#include <config.h>

#include "record/plan.h"
#include "simulation.h"

static int
number_of (const char *name)
{
  return name[1] - '0';
}

static void
apply (Sim *sim, const BitmapChange *change)
{
  SimLayer *layer = &sim->layers[sim->n_layers - 1 - change->layer];
  SimBitmap *bitmap = &layer->bitmaps[number_of (change->name)];

  g_assert_cmpint (bitmap->exists, ==, change->action != BITMAP_ADD);
  switch (change->action) {
  case BITMAP_ADD:
    *bitmap = (SimBitmap) { .exists = true, .recording = change->recording };
    break;
  case BITMAP_MERGE: {
    const SimBitmap *from = &sim->layers[sim->n_layers - 1
                                         - change->from_layer]
      .bitmaps[number_of (change->from)];
    g_assert_true (from->exists && !from->inconsistent);
    g_assert_false (bitmap->inconsistent);
    bitmap->bits |= from->bits;
    break;
  }
  case BITMAP_ENABLE:
    bitmap->recording = true;
    break;
  case BITMAP_REMOVE:
    *bitmap = (SimBitmap) { .exists = false };
    break;
  }
}

/* Its document: children get the parent's parent. */
static void
forget (Sim *sim, int at)
{
  SimCheckpoint *checkpoint = &sim->checkpoints[at];

  for (int i = 0; i < CHECKPOINTS; i++)
    if (sim->checkpoints[i].made && sim->checkpoints[i].parent == at)
      sim->checkpoints[i].parent = checkpoint->parent;
  if (sim->current == at)
    sim->current = checkpoint->parent;
  checkpoint->made = false;
}

typedef struct {
  bool served[CHECKPOINTS];
  guint64 dirty[CHECKPOINTS];
} Views;

/* What views there are; each that is served has all that was written. */
static void
look (const Sim *sim, Views *views)
{
  g_autoptr (Forest) forest = sim_forest (sim, false);
  g_autoptr (Disk) disk = sim_disk (sim);

  *views = (Views) { .served = { false } };
  for (int i = 0; i < CHECKPOINTS; i++) {
    g_autofree char *name = g_strdup_printf ("c%d", i);
    g_autoptr (GPtrArray) parts = parts_plan (forest, disk, name, NULL);
    if (!parts)
      continue;
    views->served[i] = true;
    views->dirty[i] = sim_dirty (sim, parts);
    const guint64 lost = sim->checkpoints[i].written & ~views->dirty[i];
    if (lost)
      g_error ("%sblocks %016" G_GINT64_MODIFIER "x, written since c%d, are "
               "called clean", sim->story->str, lost, i);
  }
}

static void
compare (const Sim *sim, const Views *before, const Views *after)
{
  for (int i = 0; i < CHECKPOINTS; i++) {
    if (!sim->checkpoints[i].made || !before->served[i])
      continue;
    if (!after->served[i])
      g_error ("%sc%d is not served any more", sim->story->str, i);
    if (before->dirty[i] & ~after->dirty[i])
      g_error ("%sblocks %016" G_GINT64_MODIFIER "x are lost since c%d",
               sim->story->str, before->dirty[i] & ~after->dirty[i], i);
  }
}

typedef struct {
  guint deleted, merged, refused, kept; /* kept: by plan_forget */
} Seen;

static void
do_delete (Sim *sim, GPtrArray *doomed, const GPtrArray *changes, Seen *seen)
{
  for (guint i = 0; i < changes->len; i++) {
    const BitmapChange *change = g_ptr_array_index (changes, i);
    seen->merged += change->action == BITMAP_MERGE;
    apply (sim, change);
  }
  for (guint i = doomed->len; i > 0; i--)
    forget (sim, number_of (((const Checkpoint *) g_ptr_array_index (
                               doomed, i - 1))->name));
  seen->deleted++;
}

static void
delete_some (Sim *sim, Seen *seen)
{
  static const char *const how[] = { "", " with its descendants",
    "'s descendants" };
  const int at = g_test_rand_int_range (0, CHECKPOINTS);
  const DeleteScope scope = g_test_rand_int_range (0, 3);
  const bool document_only = one_in (6);
  g_autofree char *name = g_strdup_printf ("c%d", at);
  g_autoptr (Forest) forest = sim_forest (sim, false);
  g_autoptr (Disk) disk = sim_disk (sim);
  g_autoptr (GPtrArray) disks = g_ptr_array_new ();
  g_autoptr (GPtrArray) none = g_ptr_array_new ();
  Views before, after;

  if (!sim->checkpoints[at].made)
    return;
  g_ptr_array_add (disks, disk);
  g_autoptr (GPtrArray) doomed
    = plan_doomed (forest, forest_lookup (forest, name), scope);
  g_autoptr (GPtrArray) changes = document_only ? NULL
    : plan_delete (forest, disks, doomed, NULL);
  if (document_only ? !plan_forget (forest, disks, doomed, NULL) : !changes) {
    *(document_only ? &seen->kept : &seen->refused) += 1;
    return;
  }
  look (sim, &before);
  g_string_append_printf (sim->story, "delete%s c%d%s\n",
                          document_only ? " the document of" : "", at,
                          how[scope]);
  do_delete (sim, doomed, changes ? changes : none, seen);
  look (sim, &after);
  compare (sim, &before, &after);
}

/* Redefining moves what is current: the next is made on another branch. */
static void
move_current (Sim *sim)
{
  const int at = g_test_rand_int_range (0, CHECKPOINTS);

  if (!sim->checkpoints[at].made)
    return;
  g_string_append_printf (sim->story, "c%d is current\n", at);
  sim->current = at;
}

typedef struct {
  bool legacy, branches, mishaps;
} Mode;

static void
step (Sim *sim, const Mode *mode, Seen *seen)
{
  Views views;

  switch (g_test_rand_int_range (0, mode->mishaps ? 14 : 11)) {
  case 0: case 1: case 2:
    sim_checkpoint (sim);
    break;
  case 3:
    sim_snapshot (sim);
    break;
  case 4: case 5:
    delete_some (sim, seen);
    break;
  case 6:
    if (mode->branches && one_in (3))
      move_current (sim);
    else if (one_in (10))
      sim->legacy = false;      /* libvirt is upgraded */
    break;
  case 11:
    if (one_in (3))
      sim_crash (sim);
    break;
  case 12:
    if (one_in (3))
      sim_remove (sim);
    break;
  case 13:
    sim_add_again (sim);
    break;
  default:
    sim_write (sim);
    look (sim, &views);
  }
}

static void
test_simulation (const void *data)
{
  const Mode *mode = data;
  Seen seen = { 0 };

  for (int run = 0; run < 4000; run++) {
    g_autoptr (GString) story = g_string_new ("\n");
    Sim sim = {
      .n_layers = 1, .current = -1, .legacy = mode->legacy, .story = story,
    };

    for (int steps = g_test_rand_int_range (5, 60); steps > 0; steps--)
      step (&sim, mode, &seen);
  }
  g_test_message ("%u deletions, %u merges, %u refused, %u documents kept",
                  seen.deleted, seen.merged, seen.refused, seen.kept);
  g_assert_cmpuint (seen.deleted, >, 1000);
  g_assert_cmpuint (seen.merged, >, mode->legacy ? 300 : 0);
}

int
main (int argc, char *argv[])
{
  static const Mode legacy = { true, false, false },
    branches = { true, true, false }, mishaps = { true, false, true },
    all = { true, true, true };

  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/plan/simulation/legacy", &legacy, test_simulation);
  g_test_add_data_func ("/plan/simulation/branches", &branches,
                        test_simulation);
  g_test_add_data_func ("/plan/simulation/mishaps", &mishaps,
                        test_simulation);
  g_test_add_data_func ("/plan/simulation/all", &all, test_simulation);
  return g_test_run ();
}
