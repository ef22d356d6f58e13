/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * uri=: an NBD export of a running QEMU: a libvirt pull-mode backup,
 * qemu-nbd or qemu-storage-daemon.  Several are the layers of one disk, top
 * first: the bytes are the first one's, the dirty bits each one's own.  Or a view
 * that our plugin shows, and then the only one.
 *
 * NBD names the bitmaps it offers, but not whether they are complete; QEMU
 * refuses to export an inconsistent one, and the rest is trusted.  The first
 * connection is made at start-up and kept: qemu-nbd without --persistent
 * ends when its last client leaves.
 */
#include <config.h>

#include <stdlib.h>
#include <libnbd.h>

#include "nbd/connect.h"
#include "source/catalogue.h"
#include "source/named-bitmaps.h"
#include "source/shown-view.h"

typedef struct {
  NbdLife *life;                /* borrowed */
  char *uri;
  struct nbd_handle *first;     /* connected, for the part that wants */
  char *first_context;          /* this context; NULL: nobody does */
  int sign;                     /* first's descriptor, known to life; or -1 */
} Server;

typedef struct {
  Source source;
  ShownView shown;              /* all zero: it is QEMU's export */
  GMutex lock;                  /* guards: */
  GPtrArray *servers;           /* of Server, one a layer */
} UriSource;

/* The disk's name: what the user says, what the only disk of the tree is
 * called, the export's own name, or vda.
 */
static char *
choose_target (const SourceRequest *request, const Forest *tree,
               struct nbd_handle *nbd)
{
  if (request->disk)
    return g_strdup (request->disk);
  const Checkpoint *checkpoint = tree && request->checkpoint
    ? forest_lookup (tree, request->checkpoint) : NULL;
  if (checkpoint) {
    const CheckpointDisk *only = NULL;
    guint covered = 0;
    for (guint i = 0; i < checkpoint->disks->len; i++) {
      const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
      if (disk->bitmap) {
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

/* The server has chosen already: documents add what they know of that one. */
static Forest *
shown_tree (const ShownView *view, const Forest *tree, const GPtrArray *disks)
{
  const char *name = view->label.checkpoint;

  return name ? named_tree (name, name, disks,
                            tree ? forest_lookup (tree, name) : NULL)
    : parts_flat_tree (disks);
}

/* Bitmaps that are named go before what the tree would say, as they must for
 * libvirt's backup-vda.  Without them the tree (taken) decides, and without a
 * tree the bitmaps offered are one.
 */
static Forest *
choose_forest (const SourceRequest *request, Forest **tree,
               const ShownView *view, const GPtrArray *disks, GError **error)
{
  const char *checkpoint = request->checkpoint;
  const Disk *disk = g_ptr_array_index (disks, 0);

  if (view->label.view)
    return shown_tree (view, *tree, disks);
  if (request->bitmaps->len > 0)
    return named_bitmaps_tree (request, *tree, disks, error);
  if (*tree && checkpoint && !forest_lookup (*tree, checkpoint)) {
    parts_unknown_checkpoint (*tree, checkpoint, error);
    return NULL;
  }
  if (*tree)
    return g_steal_pointer (tree);
  if (checkpoint && !layer_bitmap (disk_layer (disk, 0), checkpoint))
    return named_tree (checkpoint, checkpoint, disks, NULL);
  return parts_flat_tree (disks);
}

static void
server_free (Server *server)
{
  if (server->first && server->sign >= 0)
    nbd_life_remove_sign (server->life, server->sign);
  nbd_connect_close (server->life, server->first);
  g_free (server->first_context);
  g_free (server->uri);
  g_free (server);
}

static void
uri_free (Source *source)
{
  UriSource *self = (UriSource *) source;

  g_ptr_array_unref (self->servers);
  shown_view_clear (&self->shown);
  g_mutex_clear (&self->lock);
  source_clear (source);
  g_free (self);
}

/* Connect as far as to see which bitmaps there are. */
static bool
look_at_server (UriSource *self, Disk *disk, const char *uri, GError **error)
{
  Server *server = g_new0 (Server, 1);

  server->life = self->source.life;
  server->sign = -1;
  server->uri = g_strdup (uri);
  g_ptr_array_add (self->servers, server);
  server->first = nbd_connect_look (server->life, uri, uri, error);
  if (!server->first)
    return false;
  g_autoptr (GPtrArray) names
    = nbd_connect_bitmaps (server->life, server->first, uri, error);
  if (!names)
    return false;
  source_add_export (disk, uri);
  for (guint i = 0; i < names->len; i++)
    source_add_bitmap (disk, g_ptr_array_index (names, i));
  return true;
}

static void
is_connected (Server *server, Layer *layer)
{
  server->sign = nbd_aio_get_fd (server->first);
  nbd_life_add_sign (server->life, server->sign);
  layer->size = (guint64) nbd_get_size (server->first);
}

/* An only server without bitmaps may show a view of ours: so its export is gone
 * on to at once.
 */
static bool
look_for_view (UriSource *self, const SourceRequest *request, Disk *disk,
               GError **error)
{
  Server *server = g_ptr_array_index (self->servers, 0);
  Layer *layer = g_ptr_array_index (disk->layers, 0);
  char *description;

  if (!request->takes_views || self->servers->len > 1
      || layer->bitmaps->len > 0)
    return true;
  if (!nbd_connect_describe (server->life, server->first, server->uri,
                             &description, error))
    return false;
  is_connected (server, layer);
  const bool ok = shown_view_read (&self->shown, description, layer->size,
                                   server->uri, error);
  free (description);
  if (!ok)
    return false;
  shown_view_fill (&self->shown, disk);
  if (self->shown.label.ended)
    reporter_warn (self->source.reporter, "disk %s: %s shows a bitmap as it "
                   "stood when it was disabled: what was written after that is "
                   "not in it", disk->target, server->uri);
  return true;
}

/* Go on to the export, with the context that the default view wants there. */
static bool
go_to_export (UriSource *self, guint index, const GPtrArray *parts,
              GError **error)
{
  Server *server = g_ptr_array_index (self->servers, index);
  Disk *disk = g_ptr_array_index (self->source.disks, 0);
  Layer *layer = g_ptr_array_index (disk->layers, index);

  if (server->sign >= 0)        /* look_for_view did */
    return true;
  for (guint i = 0; parts && !server->first_context && i < parts->len; i++) {
    const Part *part = g_ptr_array_index (parts, i);
    g_auto (NbdEndpoint) wanted = { 0 };
    if (part->layer != index)
      continue;
    source_set_dirty (&wanted, part, 1, NBD_TOLD_TO_THE_END);
    server->first_context = g_strdup (nbd_endpoint_dirty_context (&wanted));
  }
  if (!nbd_connect_go (server->life, server->first, server->first_context,
                       server->uri, error))
    return false;
  is_connected (server, layer);
  return true;
}

/* Look at the exports and make the first connection to each. */
static bool
look (UriSource *self, const SourceRequest *request, Forest **tree,
      GError **error)
{
  Source *source = &self->source;
  Disk *disk = disk_new ("");

  disk->recording_untold = true;
  g_ptr_array_add (source->disks, disk);
  for (guint i = 0; i < request->uris->len; i++)
    if (!look_at_server (self, disk, g_ptr_array_index (request->uris, i),
                         error))
      return false;
  if (!look_for_view (self, request, disk, error))
    return false;
  if (!self->shown.label.view) {
    g_free (disk->target);
    disk->target = choose_target (
      request, *tree, ((Server *) g_ptr_array_index (self->servers, 0))->first);
  }
  Forest *forest = choose_forest (request, tree, &self->shown, source->disks,
                                  error);
  if (!forest)
    return false;
  source->offer = offer_new (forest, NULL, NULL);

  /* What the empty export name will want is connected with its context. */
  g_autoptr (Catalogue) catalogue = catalogue_new (source, request);
  const DiskView *view = catalogue_lookup (catalogue, NULL, NULL, NULL);
  for (guint i = 0; i < self->servers->len; i++)
    if (!go_to_export (self, i, view ? view->parts : NULL, error))
      return false;
  return true;
}

static Source *
uri_inspect (const SourceRequest *request, Forest *tree,
             const Reporter *reporter, GError **error)
{
  g_autoptr (Forest) given = tree;
  UriSource *self = g_new0 (UriSource, 1);

  source_init (&self->source, &source_uri_ops, request, reporter);
  self->source.keeps_connections = true;
  self->servers
    = g_ptr_array_new_with_free_func ((GDestroyNotify) server_free);
  g_mutex_init (&self->lock);
  if (!look (self, request, &given, error)) {
    uri_free (&self->source);
    return NULL;
  }
  return &self->source;
}

/* No bitmap is asked for.  Of the disk itself nothing is told: holes are no zeroes
 * there, so it is all data.
 */
static void
say_shown (const ShownView *shown, const Part *part, NbdEndpoint *endpoint)
{
  g_clear_pointer (&endpoint->bitmap_context, g_free);
  endpoint->holes = shown->holes;
  if (part->kind == PART_DISK)
    return;
  endpoint->told_to = NBD_TOLD_TO_THE_END;
  endpoint->data = shown->data;
  endpoint->zeroes = shown->zeroes;
}

/* Where one layer's dirty bits are; and its bytes. */
static void
layer_endpoint (UriSource *self, const Disk *disk, const Part *part,
                NbdEndpoint *endpoint)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  Server *server = g_ptr_array_index (self->servers, part->layer);

  endpoint->uri = g_strdup (server->uri);
  endpoint->reporter = self->source.reporter;
  source_set_dirty (endpoint, part, 1, NBD_TOLD_TO_THE_END);
  if (self->shown.holes)
    say_shown (&self->shown, part, endpoint);
  endpoint->what = g_strdup_printf ("disk %s (%s, bitmap %s)", disk->target,
                                    server->uri, part->bitmap
                                    ? part->bitmap->name : "none");
  if (server->first
      && g_strcmp0 (server->first_context,
                    nbd_endpoint_dirty_context (endpoint)) == 0) {
    nbd_life_remove_sign (server->life, server->sign);
    endpoint->first = g_steal_pointer (&server->first);
    g_clear_pointer (&server->first_context, g_free);
  }
}

static bool
uri_endpoint (Source *source, const Disk *disk, const Part *part,
              NbdEndpoint *endpoint, GError **error G_GNUC_UNUSED)
{
  UriSource *self = (UriSource *) source;

  endpoint->life = source->life;
  if (part->layer == 0) {
    layer_endpoint (self, disk, part, endpoint);
    return true;
  }
  const Server *top = g_ptr_array_index (self->servers, 0);
  endpoint->uri = g_strdup (top->uri);
  endpoint->reporter = source->reporter;
  endpoint->what = g_strdup_printf ("disk %s (%s)", disk->target, top->uri);
  endpoint->bits = g_new0 (NbdEndpoint, 1);
  endpoint->bits->life = source->life;
  endpoint->bits->single = true;
  layer_endpoint (self, disk, part, endpoint->bits);
  return true;
}

static const char *
uri_instant (const Disk *disk G_GNUC_UNUSED)
{
  return "as its server shows it";
}

const SourceOps source_uri_ops = {
  .name     = "uri",
  .instant  = uri_instant,
  .inspect  = uri_inspect,
  .endpoint = uri_endpoint,
  .free     = uri_free,
};
