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

#include "simulation.h"

/* Not simulated, for no image shows it afterwards: a bitmap removed by hand
 * from the lowest layer that has it; one disabled by hand, or a disabled
 * one's successor deleted, before the next checkpoint is made.
 */
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
