/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "parts/parts.h"
#include "record/redefine.h"

static bool
check_time (const Checkpoint *checkpoint, GError **error)
{
  if (!checkpoint->has_creation_time)
    return error_set (error, EINVAL, "the document of checkpoint %s has no "
                  "<creationTime>, which one that is redefined must have",
                  checkpoint->name);
  return checkpoint->creation_time <= G_MAXINT64
    || error_set (error, EINVAL, "the document of checkpoint %s has a "
                  "<creationTime> that libvirt cannot hold", checkpoint->name);
}

/* As virDomainCheckpointAlignDisks: the guest's definition in a document must
 * have the disks that it lists.  (Without one, libvirt does not look.)
 */
static bool
check_disks (const Checkpoint *checkpoint, GError **error)
{
  const GPtrArray *known = checkpoint->domain_disks;

  if (known && known->len == 0)
    return error_set (error, EINVAL, "the document of checkpoint %s has a "
                      "<domain> without a disk", checkpoint->name);
  for (guint i = 0; known && i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    const DomainDisk *found = NULL;
    for (guint j = 0; !found && j < known->len; j++) {
      const DomainDisk *other = g_ptr_array_index (known, j);
      found = other->target == disk->name ? other : NULL;
    }
    if (!found)
      return error_set (error, EINVAL, "the document of checkpoint %s lists disk "
                        "%s, which its <domain> has not", checkpoint->name,
                        disk->name);
    if (disk->bitmap && (found->read_only || !found->source))
      return error_set (error, EINVAL, "the document of checkpoint %s has a "
                        "bitmap on disk %s, which is empty or readonly in its "
                        "<domain>", checkpoint->name, disk->name);
  }
  return true;
}

static bool
check_alone (const Checkpoint *checkpoint, GError **error)
{
  return check_time (checkpoint, error) && check_disks (checkpoint, error);
}

bool
redefine_check (const Forest *forest, const Checkpoint *checkpoint,
                GError **error)
{
  g_autoptr (GError) why = NULL;

  if (!check_alone (checkpoint, error))
    return false;
  return forest_check_redefined (forest, checkpoint, &why)
    || error_set (error, EINVAL, "%s", why->message);
}

/* The tree as it would be: name → its parent's name, "" for a root. */
static GHashTable *
parents_of (const Forest *forest)
{
  GHashTable *parents = g_hash_table_new (g_str_hash, g_str_equal);
  const GPtrArray *all = forest_all (forest);

  for (guint i = 0; i < all->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (all, i);
    g_hash_table_insert (parents, checkpoint->name,
                         checkpoint->parent_name ? checkpoint->parent_name
                         : "");
  }
  return parents;
}

/* Parents can go round in a circle already, so no walk is longer than all. */
static bool
check_parent (GHashTable *parents, const Checkpoint *checkpoint,
              GError **error)
{
  const char *name = checkpoint->name, *parent = checkpoint->parent_name;
  guint left = g_hash_table_size (parents);

  if (!parent)
    return true;
  if (strcmp (parent, name) == 0)
    return error_set (error, EINVAL, "checkpoint %s cannot be its own parent",
                      name);
  if (!g_hash_table_contains (parents, parent))
    return error_set (error, EINVAL, "parent %s of checkpoint %s is not known; "
                      "redefine that first, or with it", parent, name);
  for (const char *at = parent; at && *at && left > 0; left--) {
    at = g_hash_table_lookup (parents, at);
    if (at && strcmp (at, name) == 0)
      return error_set (error, EINVAL, "checkpoint %s cannot have the parent "
                        "%s, which comes from it", name, parent);
  }
  return true;
}

bool
redefine_check_all (const Forest *forest, const GPtrArray *checkpoints,
                    GError **error)
{
  g_autoptr (GHashTable) parents = parents_of (forest);

  for (guint i = 0; i < checkpoints->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (checkpoints, i);
    if (!check_alone (checkpoint, error)
        || !check_parent (parents, checkpoint, error))
      return false;
    g_hash_table_insert (parents, checkpoint->name,
                         checkpoint->parent_name ? checkpoint->parent_name
                         : "");
  }
  return true;
}

/* By itself: a record that ends is none that records, whatever others go on, and
 * libvirt refuses it, too (qemuBlockBitmapChainIsValid).
 */
bool
redefine_validate (const Checkpoint *checkpoint, const GPtrArray *disks,
                   GError **error)
{
  g_autoptr (Forest) alone = forest_new ();
  Checkpoint *copy = checkpoint_new (checkpoint->name);

  copy->covers_any_disk = checkpoint->covers_any_disk;
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    checkpoint_add_disk (copy, disk->name, disk->bitmap);
  }
  forest_add (alone, copy, NULL);
  forest_link (alone);
  for (guint i = 0; i < disks->len; i++) {
    /* Whose disk it was is no question here. */
    Disk disk = *(const Disk *) g_ptr_array_index (disks, i);
    disk.roster = NULL;
    if (!checkpoint_bitmap (copy, disk.target))
      continue;
    g_autoptr (GPtrArray) parts = parts_plan (alone, &disk, copy->name, error);
    if (!parts)
      return false;
  }
  return true;
}

/* name → place + 1 */
static GHashTable *
places_of (const GPtrArray *checkpoints, GError **error)
{
  g_autoptr (GHashTable) places = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < checkpoints->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (checkpoints, i);
    if (!g_hash_table_insert (places, checkpoint->name,
                              GUINT_TO_POINTER (i + 1)))
      return error_null (error, EINVAL, "two of the documents are of "
                         "checkpoint %s; leave one out", checkpoint->name);
  }
  return g_steal_pointer (&places);
}

/* Ancestors that are not in order yet, then itself. */
static bool
append_with_ancestors (GArray *order, GHashTable *places, guint8 *done,
                       const GPtrArray *checkpoints, guint place,
                       GError **error)
{
  g_autoptr (GArray) way = g_array_new (FALSE, FALSE, sizeof (guint));

  while (!done[place]) {
    const Checkpoint *checkpoint = g_ptr_array_index (checkpoints, place);
    if (way->len >= checkpoints->len)
      return error_set (error, EINVAL, "checkpoint %s comes from itself, by "
                        "what the documents say of parents",
                        checkpoint->name);
    g_array_append_val (way, place);
    const guint next = checkpoint->parent_name ? GPOINTER_TO_UINT (
      g_hash_table_lookup (places, checkpoint->parent_name)) : 0;
    if (next == 0)
      break;
    place = next - 1;
  }
  for (guint i = way->len; i > 0; i--) {
    const guint at = g_array_index (way, guint, i - 1);
    done[at] = 1;
    g_array_append_val (order, at);
  }
  return true;
}

GArray *
redefine_order (const GPtrArray *checkpoints, GError **error)
{
  g_autoptr (GArray) order = g_array_new (FALSE, FALSE, sizeof (guint));
  g_autoptr (GHashTable) places = places_of (checkpoints, error);
  g_autofree guint8 *done = g_new0 (guint8, checkpoints->len);

  for (guint i = 0; places && i < checkpoints->len; i++)
    if (!append_with_ancestors (order, places, done, checkpoints, i, error))
      return NULL;
  return places ? g_steal_pointer (&order) : NULL;
}
