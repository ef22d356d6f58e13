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
#include "source/libvirt.h"

/* So many at once, whatever libvirt says of disks: each takes two threads. */
#define AT_ONCE 16

typedef struct {
  LiveSource *self;
  const BackupDisk *disk;
  char *uri;
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
  g_free (one->uri);
  g_free (one);
}

static char *
export_uri (const LiveSource *self, const Backup *backup,
            const char *export_name)
{
  g_autofree char *name = g_uri_escape_string (export_name, NULL, FALSE);

  if (backup->socket) {
    g_autofree char *socket = g_uri_escape_string (backup->socket, "/", FALSE);
    return g_strdup_printf ("nbd+unix:///%s?socket=%s", name, socket);
  }
  g_autofree char *folder = self->certificates
    ? g_uri_escape_string (self->certificates, "/", FALSE) : NULL;
  const bool is_ipv6 = strchr (backup->host, ':') != NULL;
  return g_strdup_printf ("%s://%s%s%s:%u/%s%s%s",
                          backup->tls ? "nbds" : "nbd", is_ipv6 ? "[" : "",
                          backup->host, is_ipv6 ? "]" : "", backup->port,
                          name, folder ? "?tls-certificates=" : "",
                          folder ? folder : "");
}

/* See that all is there. */
static gpointer
connect_one (gpointer data)
{
  Connecting *one = data;
  const BackupDisk *disk = one->disk;
  NbdLife *life = one->self->source.life;
  g_autofree char *what = g_strdup_printf ("%s, disk %s (%s)", one->self->who,
                                           disk->target, one->uri);
  g_autofree char *context = disk->incremental
    ? g_strconcat (NBD_CONTEXT_BITMAP, disk->export_bitmap, NULL) : NULL;

  one->nbd = nbd_connect_look (life, one->uri, what, &one->error);
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

static void
add (LiveSource *self, Connecting *one)
{
  const BackupDisk *disk = one->disk;
  Disk *added
    = libvirt_add_disk (&self->source, disk->target, one->uri,
                        (guint64) nbd_get_size (one->nbd));

  live_add_disk (self, disk->target, g_steal_pointer (&one->nbd));
  added->full = !disk->incremental;
  if (disk->incremental)
    source_add_bitmap (added, disk->export_bitmap);
}

bool
libvirt_connect_disks (LiveSource *self, const Backup *backup, GError **error)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (connecting_free);

  for (guint i = 0; i < backup->disks->len; i++) {
    Connecting *one = g_new0 (Connecting, 1);
    one->self = self;
    one->disk = g_ptr_array_index (backup->disks, i);
    one->uri = export_uri (self, backup, one->disk->export_name);
    g_ptr_array_add (all, one);
  }
  for (guint begin = 0; begin < all->len; begin += AT_ONCE)
    if (!connect_some (all, begin, error))
      return false;
  for (guint i = 0; i < all->len; i++)
    add (self, g_ptr_array_index (all, i));
  return true;
}
