/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See simulation.h.
 */
#include <config.h>

#include "simulation.h"

static guint64
rand64 (void)
{
  return (guint64) (guint32) g_test_rand_int () << 32
    | (guint32) g_test_rand_int ();
}

bool
one_in (int n)
{
  return g_test_rand_int_range (0, n) == 0;
}

SimLayer *
sim_top (Sim *sim)
{
  return &sim->layers[sim->n_layers - 1];
}

int
sim_lowest (const Sim *sim, int checkpoint)
{
  for (guint i = 0; i < sim->n_layers; i++)
    if (sim->layers[i].bitmaps[checkpoint].exists)
      return (int) i;
  return -1;
}

void
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

void
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

void
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

void
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

void
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

void
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

Forest *
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

Disk *
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

guint64
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
