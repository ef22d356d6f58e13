/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * libvirt=: a guest as libvirt knows it.  Stopped, its images are opened as
 * file= does.  Running, a pull-mode backup job is begun for all wanted disks,
 * and ended with us; or, without checkpoint= and create=, nothing is begun
 * and only names are served.
 *
 * The job is begun while the user still sees what fails, by the keeper
 * (keeper.h), which lives on when nbdkit forks.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <libnbd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "error.h"
#include "nbd-connect.h"
#include "source-libvirt.h"

static bool
is_wanted (const Settings *settings)
{
  return settings->libvirt != NULL;
}

static void
libvirt_free (Source *source)
{
  LibvirtSource *self = (LibvirtSource *) source;

  g_clear_pointer (&self->first, g_hash_table_unref);
  g_autofree char *trouble = keeper_stop (self->keeper);
  if (trouble)
    nbdkit_error ("%s", trouble);
  g_mutex_clear (&self->lock);
  g_free (self->certificates);
  g_free (self->who);
  source_clear (source);
  g_free (self);
}

static const char missing_remedy[]
  = "without on-missing=full, which serves such disks whole";

static LibvirtSource *
libvirt_new (void)
{
  LibvirtSource *self = g_new0 (LibvirtSource, 1);

  source_init (&self->source, &source_libvirt_ops);
  self->source.missing_remedy = missing_remedy;
  g_mutex_init (&self->lock);
  self->first
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                             (GDestroyNotify) nbd_connect_close);
  return self;
}

static void
report_look (const GuestLook *look, Warn warn)
{
  const GPtrArray *problems = forest_problems (look->tree);

  for (guint i = 0; i < look->skipped->len; i++)
    warn (g_ptr_array_index (look->skipped, i));
  for (guint i = 0; i < problems->len; i++)
    warn (g_ptr_array_index (problems, i));
}

static Source *
libvirt_inspect (const Settings *settings, Forest *tree, Warn warn,
                 GError **error)
{
  const bool begins_job = settings->checkpoint || settings->create;
  g_auto (GuestLook) look = { 0 };
  LibvirtSource *self = libvirt_new ();
  Source *source = NULL;

  forest_free (tree);           /* settings_check refuses one */
  self->keeper = keeper_start (error);
  if (self->keeper
      && keeper_look (self->keeper, settings->libvirt, settings->domain,
                      begins_job, &look, error)) {
    self->who = g_strdup_printf ("guest %s (%s)", look.guest->name,
                                 settings->libvirt);
    report_look (&look, warn);
    if (!look.running)
      source = libvirt_open_stopped (settings, &look, self->who, warn,
                                     error);
    else if (begins_job
             ? libvirt_back_up (self, settings, &look, warn, error)
             : libvirt_look_only (self, &look, error)) {
      if (!begins_job)          /* all is known */
        keeper_stop (g_steal_pointer (&self->keeper));
      return &self->source;
    }
  }
  libvirt_free (&self->source);
  if (source)
    source->missing_remedy = missing_remedy;
  return source;
}

/* A tenth of the disks: a guest may write as much during its backup. */
static guint64
scratch_floor (const Source *source)
{
  guint64 sum = 0;

  for (guint i = 0; i < source->disks->len; i++)
    sum += disk_layer (g_ptr_array_index (source->disks, i), 0)->size;
  return sum / 10;
}

static void
on_event (void *opaque, const KeeperEvent *event)
{
  LibvirtSource *self = opaque;

  switch (event->kind) {
  case KEEPER_EVENT_LOST:
    g_atomic_int_set (&self->lost, 1);
    nbdkit_error ("%s: %s; the backup is over, and every read fails from "
                  "here on", self->who, event->text);
    break;
  case KEEPER_EVENT_ENDING:
    g_atomic_int_set (&self->lost, 1);
    break;
  case KEEPER_EVENT_WARNING:
    nbdkit_error ("warning: %s: %s", self->who, event->text);
    break;
  case KEEPER_EVENT_SCRATCH:
    if (!self->scratch_known && event->left < scratch_floor (&self->source))
      nbdkit_error ("warning: %s: only %" G_GUINT64_FORMAT " bytes are left "
                    "for scratch files, less than a tenth of the disks; when "
                    "they are full, the guest's own writes fail: see "
                    "scratch-dir=", self->who, event->left);
    nbdkit_debug ("%s: scratch files take %" G_GUINT64_FORMAT " bytes, %"
                  G_GUINT64_FORMAT " are left", self->who, event->used,
                  event->left);
    g_mutex_lock (&self->lock);
    self->scratch_used = event->used;
    self->scratch_left = event->left;
    self->scratch_known = true;
    g_mutex_unlock (&self->lock);
    break;
  }
}

static bool
libvirt_start (Source *source, GError **error)
{
  LibvirtSource *self = (LibvirtSource *) source;

  (void) error;
  if (!source->look_only)
    keeper_adopt (self->keeper, on_event, self);
  return true;
}

static bool
libvirt_endpoint (Source *source, const Disk *disk, const Part *part,
                  NbdEndpoint *endpoint, GError **error)
{
  LibvirtSource *self = (LibvirtSource *) source;
  const char *uri = disk_layer (disk, 0)->path;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  char *target = NULL;

  if (g_atomic_int_get (&self->lost))
    return error_set (error, EIO, "%s: the backup is over", self->who);
  endpoint->uri = g_strdup (uri);
  endpoint->full = part->full;
  if (part->bitmap)
    endpoint->bitmap_context
      = g_strconcat (NBD_CONTEXT_BITMAP, part->bitmap->name, NULL);
  endpoint->what = g_strdup_printf ("%s, disk %s (%s)", self->who,
                                    disk->target, uri);
  if (g_hash_table_steal_extended (self->first, disk->target,
                                   (gpointer *) &target,
                                   (gpointer *) &endpoint->first))
    g_free (target);
  return true;
}

/* From here on a client can have read, so its checkpoint is of use. */
static void
libvirt_served (Source *source)
{
  if (!source->look_only)
    keeper_served (((LibvirtSource *) source)->keeper);
}

static bool
libvirt_is_lost (Source *source)
{
  return g_atomic_int_get (&((LibvirtSource *) source)->lost) != 0;
}

static void
libvirt_describe (Source *source, GString *text)
{
  LibvirtSource *self = (LibvirtSource *) source;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (self->scratch_known)
    g_string_append_printf (text, "; scratch files take %" G_GUINT64_FORMAT
                            " bytes, %" G_GUINT64_FORMAT " are left",
                            self->scratch_used, self->scratch_left);
}

const SourceOps source_libvirt_ops = {
  .name      = "libvirt",
  .is_wanted = is_wanted,
  .inspect   = libvirt_inspect,
  .start     = libvirt_start,
  .endpoint  = libvirt_endpoint,
  .served    = libvirt_served,
  .is_lost   = libvirt_is_lost,
  .describe  = libvirt_describe,
  .free      = libvirt_free,
};
