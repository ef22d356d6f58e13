/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The first connection to each disk of a job.  Each takes several round trips,
 * so all are made at once.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <libnbd.h>

#include "base/error.h"
#include "nbd/connect.h"
#include "source/live.h"

/* So many at once, whatever there is of disks: each takes two threads. */
#define AT_ONCE 16

typedef struct {
  LiveSource *self;
  const LiveExport *export;
  GThread *thread;
  struct nbd_handle *nbd;       /* NULL: it failed, or is given away */
  GError *error;
} Connecting;

static void
connecting_free (gpointer data)
{
  Connecting *one = data;

  if (one->nbd)
    nbd_connect_drop (one->self->source.life, one->nbd);
  g_clear_error (&one->error);
  g_free (one);
}

/* See that all is there. */
static gpointer
connect_one (gpointer data)
{
  Connecting *one = data;
  const LiveExport *export = one->export;
  NbdLife *life = one->self->source.life;
  g_autofree char *what = g_strdup_printf ("%s, disk %s (%s)", one->self->who,
                                           export->target, export->uri);
  g_autofree char *context = export->bitmap
    ? g_strconcat (NBD_CONTEXT_BITMAP, export->bitmap, NULL)
    : export->is_part ? g_strdup (NBD_CONTEXT_DEPTH) : NULL;

  one->nbd = nbd_connect_look (life, export->uri, what, &one->error);
  if (one->nbd
      && !nbd_connect_go (life, one->nbd, context, what, &one->error))
    nbd_connect_drop (life, g_steal_pointer (&one->nbd));
  return NULL;
}

/* Where there are too few threads or descriptors for all at once, one after the
 * other may do.
 */
static bool
connect_alone (Connecting *one)
{
  const int failure = one->nbd ? 0 : one->error->code;

  if (failure == EAGAIN || failure == EMFILE) {
    g_clear_error (&one->error);
    connect_one (one);
  }
  return one->nbd != NULL;
}

/* From begin on; up to the first that fails. */
static bool
connect_some (GPtrArray *all, guint begin, GError **error)
{
  const guint end = MIN (begin + AT_ONCE, all->len);

  for (guint i = begin; i < end; i++) {
    Connecting *one = g_ptr_array_index (all, i);
    one->thread = g_thread_try_new ("connect", connect_one, one, NULL);
    if (!one->thread)
      connect_one (one);
  }
  for (guint i = begin; i < end; i++) {
    Connecting *one = g_ptr_array_index (all, i);
    if (one->thread)
      g_thread_join (one->thread);
  }
  for (guint i = begin; i < end; i++) {
    Connecting *one = g_ptr_array_index (all, i);
    if (!connect_alone (one)) {
      g_propagate_error (error, g_steal_pointer (&one->error));
      return false;
    }
  }
  return true;
}

static Disk *
add_disk (LiveSource *self, const LiveExport *export)
{
  Disk *disk = disk_new (export->target);

  disk->full = !export->bitmap;
  g_ptr_array_add (self->source.disks, disk);
  live_add_witness (self, export->target);
  return disk;
}

static void
add (LiveSource *self, Connecting *one)
{
  const LiveExport *export = one->export;
  const GPtrArray *disks = self->source.disks;
  Disk *disk = export->is_part ? g_ptr_array_index (disks, disks->len - 1)
    : add_disk (self, export);

  source_add_export (disk, export->uri)->size
    = (guint64) nbd_get_size (one->nbd);
  if (export->bitmap)
    source_add_bitmap (disk, export->bitmap);
  if (export->is_part) {
    disk->planned = true;
    disk->full = false;
  }
  live_add_first (self, export->uri, g_steal_pointer (&one->nbd));
}

static void
export_free (gpointer data)
{
  LiveExport *export = data;

  g_free (export->target);
  g_free (export->uri);
  g_free (export->bitmap);
  g_free (export);
}

GPtrArray *
live_exports_new (void)
{
  return g_ptr_array_new_with_free_func (export_free);
}

void
live_exports_add (GPtrArray *exports, const char *target, const char *uri,
                  const char *bitmap)
{
  LiveExport *export = g_new0 (LiveExport, 1);

  export->target = g_strdup (target);
  export->uri = g_strdup (uri);
  export->bitmap = g_strdup (bitmap);
  g_ptr_array_add (exports, export);
}

void
live_exports_add_part (GPtrArray *exports, const char *target,
                       const char *uri, const char *bitmap)
{
  live_exports_add (exports, target, uri, bitmap);
  ((LiveExport *) g_ptr_array_index (exports, exports->len - 1))->is_part
    = true;
}

char *
live_unix_uri (const char *socket, const char *export_name)
{
  g_autofree char *name = g_uri_escape_string (export_name, NULL, FALSE);
  g_autofree char *path = g_uri_escape_string (socket, "/", FALSE);

  return g_strdup_printf ("nbd+unix:///%s?socket=%s", name, path);
}

bool
live_connect (LiveSource *self, const GPtrArray *exports, GError **error)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (connecting_free);

  for (guint i = 0; i < exports->len; i++) {
    Connecting *one = g_new0 (Connecting, 1);
    one->self = self;
    one->export = g_ptr_array_index (exports, i);
    g_ptr_array_add (all, one);
  }
  for (guint begin = 0; begin < all->len; begin += AT_ONCE)
    if (!connect_some (all, begin, error))
      return false;
  for (guint i = 0; i < all->len; i++)
    add (self, g_ptr_array_index (all, i));
  return true;
}
