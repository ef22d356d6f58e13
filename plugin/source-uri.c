/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * uri=: an NBD export of a running QEMU: a libvirt pull-mode backup,
 * qemu-nbd or qemu-storage-daemon.
 *
 * NBD names the bitmaps it offers, but not whether they are complete; QEMU
 * refuses to export an inconsistent one, and the rest is trusted.  The first
 * connection is made at start-up and kept: qemu-nbd without --persistent
 * ends when its last client leaves.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <libnbd.h>

#include "nbd-connect.h"
#include "source.h"

typedef struct {
  Source source;
  char *uri;
  GMutex lock;                  /* guards: */
  struct nbd_handle *first;     /* connected, for the part that wants */
  char *first_bitmap;           /* this bitmap */
} UriSource;

static bool
is_wanted (const Settings *settings)
{
  return settings->uri != NULL;
}

/* The disk's name: what the user says, what the only disk of the tree is
 * called, the export's own name, or vda.
 */
static char *
choose_target (const Settings *settings, const Forest *tree,
               struct nbd_handle *nbd)
{
  if (settings->disk)
    return g_strdup (settings->disk);
  const Checkpoint *checkpoint = tree && settings->checkpoint
    ? forest_lookup (tree, settings->checkpoint) : NULL;
  if (checkpoint) {
    const CheckpointDisk *only = NULL;
    guint covered = 0;
    for (guint i = 0; i < checkpoint->disks->len; i++) {
      const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
      if (disk->covered) {
        only = disk;
        covered++;
      }
    }
    if (covered == 1)
      return g_strdup (only->name);
  }
  char *name = nbd_get_export_name (nbd);
  char *target = g_strdup (name && disk_target_is_valid (name) ? name : "vda");
  free (name);
  return target;
}

/* One checkpoint and its bitmap, with what the tree knows of it. */
static Forest *
single_checkpoint (const char *name, const char *target, const char *bitmap,
                   const Checkpoint *known)
{
  Forest *forest = forest_new ();
  Checkpoint *checkpoint = checkpoint_new (name);

  if (known) {
    checkpoint->has_creation_time = known->has_creation_time;
    checkpoint->creation_time = known->creation_time;
  }
  checkpoint_cover (checkpoint, target, bitmap);
  forest_add (forest, checkpoint, NULL);
  forest_link (forest);
  return forest;
}

/* bitmap= names the bitmap whatever the tree would say, as it must for
 * libvirt's backup-vda; checkpoint= is then what the view is called.  Without
 * it the tree decides, and without a tree the bitmaps offered are one.
 */
static Forest *
choose_forest (const Settings *settings, Forest *tree, const Disk *disk,
               GError **error)
{
  g_autoptr (Forest) owned_tree = tree;
  const char *checkpoint = settings->checkpoint;
  const Checkpoint *known
    = tree && checkpoint ? forest_lookup (tree, checkpoint) : NULL;

  if (tree && checkpoint && !known) {
    parts_unknown_checkpoint (tree, checkpoint, error);
    return NULL;
  }
  if (settings->bitmap)
    return single_checkpoint (checkpoint ? checkpoint : settings->bitmap,
                              disk->target, settings->bitmap, known);
  if (tree)
    return g_steal_pointer (&owned_tree);
  if (checkpoint && !layer_bitmap (disk_layer (disk, 0), checkpoint))
    return single_checkpoint (checkpoint, disk->target, checkpoint, NULL);

  g_autoptr (GPtrArray) disks = g_ptr_array_new ();
  g_ptr_array_add (disks, (gpointer) disk);
  return parts_flat_tree (disks);
}

/* The bitmap that the empty export name will want, or NULL. */
static const char *
default_bitmap (const Source *source, const Settings *settings)
{
  const Disk *disk = g_ptr_array_index (source->disks, 0);
  const char *checkpoint = settings->checkpoint;

  if (!checkpoint && forest_size (source->forest) == 1)
    checkpoint = ((const Checkpoint *)
                  g_ptr_array_index (forest_all (source->forest), 0))->name;
  if (!checkpoint)
    return NULL;
  g_autoptr (GPtrArray) parts
    = parts_plan (source->forest, disk, checkpoint, NULL);
  return parts && parts->len == 1
    ? ((const Part *) g_ptr_array_index (parts, 0))->bitmap->name : NULL;
}

static void
uri_free (Source *source)
{
  UriSource *self = (UriSource *) source;

  nbd_connect_close (self->first);
  g_free (self->first_bitmap);
  g_free (self->uri);
  g_mutex_clear (&self->lock);
  source_clear (source);
  g_free (self);
}

/* Look at the export and make the first connection to it. */
static bool
look (UriSource *self, const Settings *settings, Forest *tree, GError **error)
{
  Source *source = &self->source;
  g_autoptr (Forest) owned_tree = tree;

  g_autofree char *what = g_strconcat ("uri=", self->uri, NULL);
  self->first = nbd_connect_look (self->uri, what, error);
  if (!self->first)
    return false;
  g_autoptr (GPtrArray) names
    = nbd_connect_bitmaps (self->first, what, error);
  if (!names)
    return false;

  g_autofree char *target = choose_target (settings, tree, self->first);
  Disk *disk = disk_new (target);
  g_ptr_array_add (source->disks, disk);
  Layer *layer = layer_new (self->uri);
  g_ptr_array_add (disk->layers, layer);
  for (guint i = 0; i < names->len; i++) {
    Bitmap *bitmap = bitmap_new (g_ptr_array_index (names, i));
    bitmap->recording = true;
    g_ptr_array_add (layer->bitmaps, bitmap);
  }
  source->forest = choose_forest (settings, g_steal_pointer (&owned_tree),
                                  disk, error);
  if (!source->forest)
    return false;

  const char *bitmap = default_bitmap (source, settings);
  g_autofree char *context
    = bitmap ? g_strconcat (NBD_CONTEXT_BITMAP, bitmap, NULL) : NULL;
  if (!nbd_connect_go (self->first, context, self->uri, error))
    return false;
  self->first_bitmap = g_strdup (bitmap);
  layer->size = (guint64) nbd_get_size (self->first);
  return true;
}

static Source *
uri_inspect (const Settings *settings, Forest *tree, Warn warn,
             GError **error)
{
  UriSource *self = g_new0 (UriSource, 1);

  source_init (&self->source, &source_uri_ops);
  self->source.connects_early = true;
  self->uri = g_strdup (settings->uri);
  (void) warn;
  g_mutex_init (&self->lock);
  if (!look (self, settings, tree, error)) {
    uri_free (&self->source);
    return NULL;
  }
  return &self->source;
}

static bool
uri_start (Source *source, GError **error)
{
  (void) source;
  (void) error;
  return true;
}

static bool
uri_endpoint (Source *source, const Disk *disk, const Part *part,
              NbdEndpoint *endpoint, GError **error)
{
  UriSource *self = (UriSource *) source;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  (void) error;
  endpoint->uri = g_strdup (self->uri);
  endpoint->bitmap_context
    = g_strconcat (NBD_CONTEXT_BITMAP, part->bitmap->name, NULL);
  endpoint->what = g_strdup_printf ("disk %s (%s, bitmap %s)", disk->target,
                                    self->uri, part->bitmap->name);
  if (self->first_bitmap && strcmp (self->first_bitmap,
                                    part->bitmap->name) == 0) {
    endpoint->first = g_steal_pointer (&self->first);
    g_clear_pointer (&self->first_bitmap, g_free);
  }
  return true;
}

const SourceOps source_uri_ops = {
  .name      = "uri",
  .is_wanted = is_wanted,
  .inspect   = uri_inspect,
  .start     = uri_start,
  .endpoint  = uri_endpoint,
  .free      = uri_free,
};
