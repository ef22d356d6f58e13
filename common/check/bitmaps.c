/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Bitmaps of which no checkpoint is known: forgotten ones, and what jobs left.
 */
#include <config.h>

#include <string.h>

#include "parts/refuse.h"
#include "check/internal.h"

/* libvirt's own, which it removes when its job ends (qemu_backup.c,
 * qemu_block.c, qemu_checkpoint.c).
 */
static bool
is_temporary (const char *name, const char *target)
{
  return g_str_has_prefix (name, "libvirt-tmp-")
    || (g_str_has_prefix (name, "backup-")
        && strcmp (name + strlen ("backup-"), target) == 0);
}

/* The names that checkpoints have for bitmaps of the disk, borrowed. */
static GHashTable *
known_bitmaps (const Forest *forest, const char *target)
{
  GHashTable *known = g_hash_table_new (g_str_hash, g_str_equal);
  const GPtrArray *all = forest_all (forest);

  for (guint i = 0; i < all->len; i++) {
    const char *name
      = checkpoint_bitmap (g_ptr_array_index (all, i), target);
    if (name)
      g_hash_table_add (known, (gpointer) name);
  }
  return known;
}

static const char *
first_file (const Disk *disk, const char *bitmap)
{
  for (guint i = 0; i < disk->layers->len; i++)
    if (layer_bitmap (disk_layer (disk, i), bitmap))
      return disk_layer (disk, i)->path;
  return NULL;
}

/* Without documents it is a checkpoint, as the plugin has it, unless libvirt names
 * nothing else so.
 */
static void
add_temporary (Check *check, const Disk *disk, const char *name)
{
  Finding *finding = finding_new (FINDING_TEMPORARY);

  finding_add_disk (finding, disk->target);
  finding->file = g_strdup (first_file (disk, name));
  finding->why = g_strdup_printf ("disk %s has the bitmap %s, as libvirt calls "
                                  "those of a job, and no job runs",
                                  disk->target, name);
  finding->is_safe = check->has_documents || name[0] == 'l';
  finding->command = mend_bitmap (check, disk, name, &finding->is_safe);
  check_add (check, finding);
}

/* A checkpoint whose record on the disk ends, or NULL. */
static const Checkpoint *
find_ended (const Check *check, const Disk *disk)
{
  const GPtrArray *all = forest_all (check->forest);

  for (guint i = 0; i < all->len; i++) {
    const Checkpoint *at = g_ptr_array_index (all, i);
    const char *name = checkpoint_bitmap (at, disk->target);
    for (guint j = 0; name && j < disk->layers->len; j++) {
      const Bitmap *bitmap = layer_bitmap (disk_layer (disk, j), name);
      if (bitmap && !bitmap->recording && !bitmap->inconsistent)
        return at;
    }
  }
  return NULL;
}

/* It may be what goes on for an older record, and is taken for that (parts.c). */
static void
add_between (Check *check, Finding *finding, const Checkpoint *older)
{
  g_autofree char *why = g_steal_pointer (&finding->why);

  finding->is_safe = false;
  finding->why = g_strdup_printf ("%s.  It may be of one that came after %s, "
                                  "and counts as such while it is there: "
                                  "delete %s before you remove it", why,
                                  older->name, older->name);
  check_add (check, finding);
}

/* Its record is of no use to anybody; or (disabled) nobody knows for whom. */
static void
add_useless (Check *check, const Disk *disk, const char *name,
             const GError *why)
{
  const Reason reason = error_reason (why);
  const bool ends = reason == REASON_DISABLED || reason == REASON_NO_WAY;
  const Checkpoint *older
    = check->has_documents ? find_ended (check, disk) : NULL;
  Finding *finding
    = finding_new (ends ? FINDING_ORPHAN : check_kind (why, FINDING_ORPHAN));

  finding->severity = SEVERITY_WARNING;
  finding_add_disk (finding, disk->target);
  finding_add_checkpoint (finding, name);
  finding->file = g_strdup (error_file (why));
  finding->why = g_strdup_printf ("no checkpoint %s %s, and %s", name,
                                  forest_lookup (check->forest, name)
                                  && check->has_documents
                                  ? "covers the disk" : "is known",
                                  why->message);
  if (older && reason != REASON_VOID) {
    add_between (check, finding, older);
    return;
  }
  finding->is_safe = !ends && reason != REASON_NONE;
  if (!check_is_needed (check, disk->target, name))
    finding->command = reason == REASON_VOID && !check->runs
      && !check_is_usable (check, disk->target, NULL)
      ? mend_void (check, disk, &finding->is_safe)
      : mend_bitmap (check, disk, name, &finding->is_safe);
  check_add (check, finding);
}

/* targets: of the disks that have a good bitmap of that name.  *parent: the current
 * checkpoint, as another leaf would leave none; NULL: there is none.  ended: no
 * document can be made up.
 */
static void
add_forgotten (Check *check, const char *name, const GPtrArray *targets,
               const char **parent, bool ended)
{
  const bool is_guest = check->guest;
  Finding *finding
    = finding_new (is_guest ? FINDING_FORGOTTEN : FINDING_ORPHAN);
  const bool is_one = targets->len == 1;
  g_autoptr (GString) have = g_string_new (is_one ? "disk" : "disks");

  for (guint i = 0; i < targets->len; i++) {
    const char *target = g_ptr_array_index (targets, i);
    finding_add_disk (finding, target);
    g_string_append_printf (have, "%s %s", i ? "," : "", target);
  }
  g_string_append (have, is_one ? " has" : " have");
  finding_add_checkpoint (finding, name);
  finding->why = is_guest
    ? g_strdup_printf ("%s the bitmap %s, and libvirt knows no "
                       "checkpoint of that name (migration, restore, "
                       "--metadata, a guest defined anew)", have->str, name)
    : g_strdup_printf ("%s the bitmap %s, and there is no document of "
                       "a checkpoint of that name", have->str, name);
  if (forest_lookup (check->forest, name) || !checkpoint_name_valid (name)) {
    g_free (finding->why);
    finding->why = g_strdup_printf (
      "%s the bitmap %s, %s", have->str, name,
      checkpoint_name_valid (name) ? "and the checkpoint of that name does not "
      "cover it" : "which is no name of a checkpoint's, and so another "
      "program's");
    if (!checkpoint_name_valid (name))
      finding->severity = SEVERITY_NOTE;
  }
  else if (!ended || check_is_saved (check, name)) {
    finding->command = mend_forgotten (check, name, *parent, targets);
    finding->is_safe = true;
    *parent = name;
  }
  check_add (check, finding);
}

/* Those of one disk; good ones go into found: name → targets.  QEMU tells of the
 * newest first.
 */
static void
look_at_disk (Check *check, const Disk *disk, const Forest *flat,
              GPtrArray *names, GHashTable *found)
{
  g_autoptr (GHashTable) known = known_bitmaps (check->forest, disk->target);
  g_autoptr (GPtrArray) bitmaps = disk_bitmap_names (disk);

  for (guint i = bitmaps->len; i > 0; i--) {
    const char *name = g_ptr_array_index (bitmaps, i - 1);
    g_autoptr (GError) why = NULL;
    if (is_temporary (name, disk->target)
        && (!check->has_documents || !g_hash_table_contains (known, name))) {
      add_temporary (check, disk, name);
      continue;
    }
    if (g_hash_table_contains (known, name))
      continue;
    g_autoptr (GPtrArray) parts = parts_plan (flat, disk, name, &why);
    if (!parts) {
      add_useless (check, disk, name, why);
      continue;
    }
    GPtrArray *targets = g_hash_table_lookup (found, name);
    if (!targets) {
      targets = g_ptr_array_new ();
      g_hash_table_insert (found, (gpointer) name, targets);
      g_ptr_array_add (names, (gpointer) name);
    }
    g_ptr_array_add (targets, disk->target);
  }
}

/* Has a disk a bitmap that does not record any more?  One that a document is made
 * up for would be taken to go on from there, and nothing says that it does.
 */
static bool
has_ended (const Check *check)
{
  const GPtrArray *disks = check->source->disks;

  for (guint i = 0; i < disks->len; i++)
    if (disk_has_ended (g_ptr_array_index (disks, i)))
      return true;
  return false;
}

void
check_orphans (Check *check)
{
  const GPtrArray *disks = check->source->disks;
  const Checkpoint *current = forest_current (check->forest);
  const char *parent = current ? current->name : NULL;
  const bool ended = has_ended (check);
  g_autoptr (Forest) flat = parts_flat_tree (disks);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autoptr (GHashTable) found
    = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                             (GDestroyNotify) g_ptr_array_unref);

  for (guint i = 0; i < disks->len; i++)
    look_at_disk (check, g_ptr_array_index (disks, i), flat, names, found);
  for (guint i = 0; i < names->len; i++) {
    const char *name = g_ptr_array_index (names, i);
    add_forgotten (check, name, g_hash_table_lookup (found, name), &parent,
                   ended);
  }
}
