/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What is the same for each job of a running guest.  It is begun while the user
 * still sees what fails, by the keeper, which lives on when nbdkit forks.
 */
#include <config.h>

#include <errno.h>
#include <libnbd.h>

#include "base/error.h"
#include "nbd/connect.h"
#include "source/live.h"

/* Who proves that the job lives on a disk. */
typedef struct {
  LiveSource *source;
  char *target;
  NbdWitness *witness;
} Witness;

/* What no client has come for. */
static void
close_first (LiveSource *self)
{
  GHashTableIter iter;
  gpointer nbd;

  g_hash_table_iter_init (&iter, self->first);
  while (g_hash_table_iter_next (&iter, NULL, &nbd))
    nbd_connect_close (self->source.life, nbd);
  g_hash_table_unref (self->first);
}

static void
witness_free (gpointer data)
{
  Witness *witness = data;

  nbd_witness_free (witness->witness);
  g_free (witness->target);
  g_free (witness);
}

/* An NbdWitnessLook. */
static void
look_for_life (void *opaque)
{
  const Witness *witness = opaque;

  if (!keeper_look_for_life (witness->source->keeper, witness->target))
    nbd_witness_told (witness->witness, NBD_WITNESS_UNKNOWN);
}

void
live_add_witness (LiveSource *self, const char *target)
{
  Witness *witness = g_new0 (Witness, 1);

  witness->source = self;
  witness->target = g_strdup (target);
  witness->witness
    = nbd_witness_new (self->source.life, look_for_life, witness);
  g_hash_table_insert (self->witnesses, witness->target, witness);
}

void
live_stop (Source *source)
{
  LiveSource *self = (LiveSource *) source;
  g_autofree char *trouble = keeper_end (self->keeper);

  if (trouble)
    reporter_warn (self->source.reporter, "%s", trouble);
}

void
live_disown (Source *source)
{
  keeper_disown (((LiveSource *) source)->keeper);
}

void
live_free (Source *source)
{
  LiveSource *self = (LiveSource *) source;

  live_stop (source);
  close_first (self);
  keeper_free (self->keeper);
  g_hash_table_unref (self->witnesses);
  g_mutex_clear (&self->lock);
  g_free (self->certificates);
  g_free (self->who);
  source_clear (source);
  g_free (self);
}

static const NbdHolder holder = { keeper_hold, keeper_settle, keeper_let_go };

LiveSource *
live_new (const SourceOps *ops, const JobOps *jobs,
          const SourceRequest *request, const Reporter *reporter,
          GError **error)
{
  Keeper *keeper = keeper_start (jobs, reporter, error);
  if (!keeper)
    return NULL;
  LiveSource *self = g_new0 (LiveSource, 1);

  self->keeper = keeper;
  source_init (&self->source, ops, request, reporter);
  nbd_life_set_holder (self->source.life, &holder, keeper);
  g_mutex_init (&self->lock);
  self->first
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->witnesses
    = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, witness_free);
  return self;
}

void
live_add_first (LiveSource *self, const char *uri, struct nbd_handle *nbd)
{
  g_hash_table_insert (self->first, g_strdup (uri), nbd);
  nbd_life_add_sign (self->source.life, nbd_aio_get_fd (nbd));
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
warn_of_scratch (const LiveSource *self, guint64 left)
{
  g_autoptr (GError) warning = NULL;

  error_set (&warning, ENOSPC, "%s: only %" G_GUINT64_FORMAT " bytes are left "
             "for scratch files, less than a tenth of the disks; when they are "
             "full, the guest's own writes fail", self->who, left);
  error_advise (&warning, REMEDY_SCRATCH_DIR, NULL);
  reporter_warn_error (self->source.reporter, warning);
}

static void
heed_life (LiveSource *self, const KeeperEvent *event)
{
  const Witness *witness = g_hash_table_lookup (self->witnesses, event->text);

  if (witness)
    nbd_witness_told (witness->witness,
                      event->life == KEEPER_ALIVE ? NBD_WITNESS_ALIVE
                      : event->life == KEEPER_DEAD ? NBD_WITNESS_DEAD
                      : NBD_WITNESS_UNKNOWN);
}

static bool
on_event (void *opaque, const KeeperEvent *event)
{
  LiveSource *self = opaque;
  const Reporter *reporter = self->source.reporter;

  switch (event->kind) {
  case KEEPER_EVENT_LIFE:
    heed_life (self, event);
    break;
  case KEEPER_EVENT_LOST:
    nbd_life_end (self->source.life);
    reporter_warn (reporter, "%s: %s; the backup is over, and every read fails "
                   "from here on%s%s", self->who, event->text,
                   event->advice ? "; " : "",
                   event->advice ? event->advice : "");
    break;
  case KEEPER_EVENT_ENDING:
    return nbd_life_end_calmly (self->source.life, KEEPER_CALM_MS);
  case KEEPER_EVENT_WARNING:
    reporter_warn (reporter, "%s: %s", self->who, event->text);
    break;
  case KEEPER_EVENT_SCRATCH:
    if (!self->scratch_known && event->left < scratch_floor (&self->source))
      warn_of_scratch (self, event->left);
    reporter_debug (reporter, "%s: scratch files take %" G_GUINT64_FORMAT
                    " bytes, %" G_GUINT64_FORMAT " are left", self->who,
                    event->used, event->left);
    g_mutex_lock (&self->lock);
    self->scratch_used = event->used;
    self->scratch_left = event->left;
    self->scratch_known = true;
    g_mutex_unlock (&self->lock);
    break;
  }
  return true;
}

void
live_warn_unrecorded (const Source *source, const char *target,
                      const char *checkpoint)
{
  g_autoptr (GError) warning = NULL;

  error_set (&warning, ENOTSUP, "disk %s is copied whole, but checkpoint %s "
             "does not record it, for it is not qcow2 of version 3", target,
             checkpoint);
  error_advise (&warning, REMEDY_UNRECORDED, checkpoint, NULL);
  reporter_warn_error (source->reporter, warning);
}

bool
live_start (Source *source, GError **error G_GNUC_UNUSED)
{
  LiveSource *self = (LiveSource *) source;

  if (!source->look_only)
    keeper_adopt (self->keeper, on_event, self);
  return true;
}

/* Under the lock.  Of an export of the disk's. */
static void
fill_endpoint (LiveSource *self, const Disk *disk, guint layer,
               NbdEndpoint *endpoint)
{
  Source *source = &self->source;
  const char *uri = disk_layer (disk, layer)->path;
  char *known = NULL;
  const Witness *witness = g_hash_table_lookup (self->witnesses, disk->target);

  endpoint->life = source->life;
  endpoint->witness = witness ? witness->witness : NULL;
  endpoint->uri = g_strdup (uri);
  endpoint->reporter = source->reporter;
  endpoint->what = g_strdup_printf ("%s, disk %s (%s)", self->who,
                                    disk->target, uri);
  if (g_hash_table_steal_extended (self->first, uri, (gpointer *) &known,
                                   (gpointer *) &endpoint->first)) {
    nbd_life_remove_sign (source->life, nbd_aio_get_fd (endpoint->first));
    g_free (known);
  }
}

/* The disk is read through its first part.  Others ask there only for zeroes, and
 * take little of the guest's QEMU, which may have few descriptors.
 */
static bool
reads_disk (const Disk *disk, const Part *part)
{
  return part->layer == 0
    || (part->layer == 1 && disk_layer (disk, 0)->bitmaps->len == 0);
}

bool
live_endpoint (Source *source, const Disk *disk, const Part *part,
               NbdEndpoint *endpoint, GError **error)
{
  LiveSource *self = (LiveSource *) source;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  NbdEndpoint *tells = endpoint;

  if (nbd_life_is_over (source->life))
    return error_set (error, EIO, "%s: the backup is over", self->who);
  fill_endpoint (self, disk, 0, endpoint);
  if (part->layer > 0) {
    tells = endpoint->bits = g_new0 (NbdEndpoint, 1);
    fill_endpoint (self, disk, part->layer, tells);
    tells->single = true;
    endpoint->single = !reads_disk (disk, part);
  }
  source_set_dirty (tells, part, 1, NBD_TOLD_TO_THE_END);
  return true;
}

/* From here on a client can have read, so its checkpoint is of use. */
void
live_served (Source *source)
{
  if (!source->look_only)
    keeper_served (((LiveSource *) source)->keeper);
}

void
live_describe (Source *source, GString *text)
{
  LiveSource *self = (LiveSource *) source;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (self->scratch_known)
    g_string_append_printf (text, "; scratch files take %" G_GUINT64_FORMAT
                            " bytes, %" G_GUINT64_FORMAT " are left",
                            self->scratch_used, self->scratch_left);
}
