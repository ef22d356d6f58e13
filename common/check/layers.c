/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What is odd about the layers of a disk that can be had all the same.
 */
#include <config.h>

#include "parts/refuse.h"
#include "check/internal.h"

static Finding *
finding_of (const DiskView *view, FindingKind kind, const Layer *layer)
{
  Finding *finding = finding_new (kind);

  finding_add_disk (finding, view->disk->target);
  finding_add_checkpoint (finding, view->checkpoint->name);
  finding->file = layer ? g_strdup (layer->path) : NULL;
  return finding;
}

/* A running QEMU merges bitmaps of one size only (dirty-bitmap.c). */
static void
look_at_size (Check *check, const DiskView *view, const Layer *layer)
{
  const Layer *top = disk_layer (view->disk, 0);

  if (layer->size == top->size)
    return;
  Finding *finding = finding_of (view, FINDING_SIZE, layer);
  finding->why = g_strdup_printf (
    "the bitmap in %s is of a disk of %" G_GUINT64_FORMAT " bytes, and %s has "
    "%" G_GUINT64_FORMAT ", so QEMU cannot unite them", layer->path,
    layer->size, top->path, top->size);
  if (layer->size < top->size && !check->runs) {
    g_autofree char *word = error_shell_word (layer->path);
    finding->command = g_strdup_printf (
      "qemu-img resize -f qcow2 %s %" G_GUINT64_FORMAT, word, top->size);
  }
  check_add (check, finding);
}

/* libvirt takes a bitmap that the layers have without a gap from the top one down
 * (qemuBlockBitmapChainIsValid).
 */
static void
look_at_gap (Check *check, const DiskView *view, const Layer *layer)
{
  Finding *finding = finding_of (view, FINDING_GAP, layer);

  finding->why = g_strdup_printf (
    "%s has no bitmap %s, and a layer below it has, so all that was written to "
    "it counts as changed; make a full backup with a new checkpoint before "
    "you type this", layer->path,
    checkpoint_bitmap (view->checkpoint, view->disk->target));
  finding->command = mend_delete (check, view->checkpoint->name);
  check_add (check, finding);
}

static void
look_at_part (Check *check, const DiskView *view, const Part *part,
              const char *bitmap)
{
  const Layer *layer = disk_layer (view->disk, part->layer);
  const Bitmap *own = layer_bitmap (layer, bitmap);

  if (part->kind == PART_ALLOCATION)
    look_at_gap (check, view, layer);
  else if (part->kind == PART_BITMAP && own == part->bitmap) {
    look_at_size (check, view, layer);
    if (own->recording)
      return;
    Finding *finding = finding_of (view, FINDING_CONTINUED, layer);
    finding->why = g_strdup_printf (
      "bitmap %s in %s is disabled, as libvirt before 6.5 left them, and a "
      "later checkpoint's goes on", bitmap, layer->path);
    check_add (check, finding);
  }
}

void
check_layers (Check *check, const DiskView *view)
{
  const char *target = view->disk->target;
  const char *bitmap = checkpoint_bitmap (view->checkpoint, target);
  const char *strayed
    = roster_strayed (view->disk->roster, view->checkpoint, target);

  for (guint i = 0; i < view->parts->len; i++)
    look_at_part (check, view, g_ptr_array_index (view->parts, i), bitmap);
  if (!strayed)
    return;
  Finding *finding = finding_of (view, FINDING_STRAYED, NULL);
  g_autofree char *who = g_strdup_printf ("the document of checkpoint %s",
                                          view->checkpoint->name);
  finding->file = g_strdup (strayed);
  finding->why = parts_strayed (who, strayed);
  finding->command = mend_delete (check, view->checkpoint->name);
  check_add (check, finding);
}

static bool
is_void_found (const Check *check, const char *target)
{
  const GPtrArray *findings = check->result->findings;

  for (guint i = 0; i < findings->len; i++) {
    const Finding *finding = g_ptr_array_index (findings, i);
    if (finding->kind == FINDING_VOID
        && g_ptr_array_find_with_equal_func (finding->disks, target,
                                             g_str_equal, NULL))
      return true;
  }
  return false;
}

/* QEMU lists none of them, so without documents nothing asks for them. */
static void
look_at_void (Check *check, const Disk *disk, const Layer *layer)
{
  const bool is_lost = !check_is_usable (check, disk->target, NULL);
  Finding *finding
    = finding_new (is_lost ? FINDING_VOID : FINDING_VOID_UNNEEDED);

  finding_add_disk (finding, disk->target);
  for (guint i = 0; layer->void_names && i < layer->void_names->len; i++)
    finding_add_checkpoint (finding,
                            g_ptr_array_index (layer->void_names, i));
  finding->file = g_strdup (layer->path);
  finding->why = g_strdup_printf ("all bitmaps of %s are void (%s)",
                                  layer->path, layer->void_bitmaps);
  if (is_lost)
    finding->command = mend_void (check, disk, &finding->is_safe);
  check_add (check, finding);
}

void
check_void (Check *check)
{
  for (guint i = 0; i < check->source->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (check->source->disks, i);
    if (is_void_found (check, disk->target))
      continue;
    for (guint j = 0; j < disk->layers->len; j++)
      if (disk_layer (disk, j)->void_bitmaps)
        look_at_void (check, disk, disk_layer (disk, j));
  }
}
