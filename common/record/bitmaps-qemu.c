/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Bitmaps of a running QEMU, by its monitor, which is ours alone until we are
 * done.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "qemu/agent.h"
#include "qemu/guest-disks.h"
#include "qemu/reopen.h"
#include "record/apart.h"
#include "record/bitmap-transaction.h"
#include "source/qmp-disks.h"

typedef struct {
  Bitmaps bitmaps;
  const Reporter *reporter;     /* borrowed */
  NbdLife *life;
  Monitor *monitor;
  GPtrArray *seen;              /* of Disk, as they are after what we changed;
                                 * NULL: as in bitmaps */
  char *agent_path;
  Agent *agent;                 /* NULL: nothing is frozen */
} QemuBitmaps;

/* ── Is all as it was looked at? ── */

static bool
is_same_layer (const Layer *a, const Layer *b)
{
  if (a->read_only != b->read_only || a->size != b->size || a->bitmaps->len != b->bitmaps->len)
    return false;
  for (guint i = 0; i < a->bitmaps->len; i++) {
    const Bitmap *one = g_ptr_array_index (a->bitmaps, i);
    const Bitmap *other = layer_bitmap (b, one->name);
    if (!other || one->recording != other->recording
        || one->inconsistent != other->inconsistent)
      return false;
  }
  return true;
}

static bool
is_same_disk (const Disk *a, const Disk *b)
{
  for (guint i = 0; i < a->layers->len; i++)
    if (!is_same_layer (disk_layer (a, i), disk_layer (b, i)))
      return false;
  return true;
}

static bool
has_same_nodes (const Disk *a, const Disk *b)
{
  if (a->layers->len != b->layers->len)
    return false;
  for (guint i = 0; i < a->layers->len; i++)
    if (g_strcmp0 (disk_layer (a, i)->node, disk_layer (b, i)->node) != 0)
      return false;
  return true;
}

/* The disk that stands on the same nodes, or NULL. */
static const Disk *
find_disk (const GPtrArray *disks, const Disk *disk)
{
  for (guint i = 0; i < disks->len; i++)
    if (has_same_nodes (disk, g_ptr_array_index (disks, i)))
      return g_ptr_array_index (disks, i);
  return NULL;
}

static bool
check_bitmap (const Disk *disk, const Disk *now, guint layer, const char *name,
              GError **error)
{
  const Layer *at = disk_layer (now, layer);
  const Bitmap *bitmap = name ? layer_bitmap (at, name) : NULL;

  return !bitmap || !bitmap->busy
    || error_set (error, EBUSY, "disk %s: bitmap %s of %s is in use by a backup "
                  "or an export of its QEMU's; nothing was changed.  Wait until "
                  "that has ended, or end it (QMP: block-job-cancel, "
                  "block-export-del), and try again", disk->target, name,
                  at->path);
}

static bool
check_change (const QemuBitmaps *self, const BitmapChange *change,
              const GPtrArray *now, GError **error)
{
  const Disk *disk = change->disk;
  const Disk *seen = find_disk (self->seen ? self->seen : self->bitmaps.disks,
                                disk);
  const Disk *found = find_disk (now, disk);

  if (!seen || !found || !is_same_disk (seen, found))
    return error_set (error, EAGAIN, "disk %s: its images or bitmaps have "
                      "changed since they were looked at, by a snapshot or by "
                      "another program; nothing was changed, try again",
                      disk->target);
  if (found->job)
    return error_set (error, EBUSY, "disk %s: %s works on it, and bitmaps go "
                      "over from image to image with such jobs; nothing was "
                      "changed.  Wait until it has ended, or end it (QMP: "
                      "block-job-cancel), and try again", disk->target,
                      found->job);
  return (change->action != BITMAP_ADD || qmp_disk_stays (disk, error))
    && check_bitmap (disk, found, change->layer, change->name, error)
    && check_bitmap (disk, found, change->from_layer, change->from, error);
}

static bool
check_unchanged (const QemuBitmaps *self, const GPtrArray *changes,
                 GError **error)
{
  g_autoptr (GPtrArray) now = guest_disks_look (self->monitor, error);

  for (guint i = 0; now && i < changes->len; i++)
    if (!check_change (self, g_ptr_array_index (changes, i), now, error))
      return false;
  return now != NULL;
}

/* ── Changes ── */

static char *
node_name (void *opaque G_GNUC_UNUSED, const Disk *disk, guint layer)
{
  return g_strdup (disk_layer (disk, layer)->node);
}

/* The nodes of changes that QEMU has open read-only, each once, borrowed.  A bitmap
 * of one can be enabled, but that would not be stored.
 */
static GPtrArray *
nodes_to_reopen (const GPtrArray *changes)
{
  GPtrArray *nodes = g_ptr_array_new ();

  for (guint i = 0; i < changes->len; i++) {
    const BitmapChange *change = g_ptr_array_index (changes, i);
    const Layer *layer = disk_layer (change->disk, change->layer);
    if (layer->read_only
        && !g_ptr_array_find_with_equal_func (nodes, layer->node, g_str_equal,
                                              NULL))
      g_ptr_array_add (nodes, layer->node);
  }
  return nodes;
}

static bool
refuse_reopen (const GError *why, GError **error)
{
  return error_set (error, why->code, "bitmaps of backing images can be changed "
                    "only while QEMU has those open for writing, which it "
                    "refuses: %s.  Nothing was changed; another guest may use "
                    "the same backing image, or it was given to QEMU with "
                    "read-only=on: stop the guest, and name its images "
                    "instead", why->message);
}

static bool
refuse_transaction (const GError *why, GError **error)
{
  if (why->code != EINVAL)
    return error_set (error, why->code, "%s; whether the bitmaps were changed is "
                      "not known: look at them again once it answers",
                      why->message);
  return error_set (error, why->code, "QEMU refuses to change the bitmaps, and "
                    "has changed none: %s", why->message);
}

static bool
qemu_apply (Bitmaps *bitmaps, const GPtrArray *changes, GError **error)
{
  QemuBitmaps *self = (QemuBitmaps *) bitmaps;
  g_autoptr (GPtrArray) nodes = nodes_to_reopen (changes);
  g_autoptr (GError) why = NULL;
  g_autoptr (GError) left = NULL;
  Reopened *reopened = NULL;

  if (changes->len == 0)
    return true;
  if (!check_unchanged (self, changes, error))
    return false;
  if (nodes->len > 0
      && !reopen_for_writing (self->monitor, nodes, &reopened, &why))
    return refuse_reopen (why, error);
  const bool ok = bitmap_transaction_run (monitor_qmp (self->monitor), changes,
                                          node_name, NULL, &why);
  if (!reopen_read_only (reopened, &left))
    reporter_warn_error (self->reporter, left);
  g_clear_pointer (&self->seen, g_ptr_array_unref);
  if (ok)
    self->seen = guest_disks_look (self->monitor, NULL);
  return ok || refuse_transaction (why, error);
}

/* ── The guest's file systems ── */

static bool
qemu_freeze (Bitmaps *bitmaps, GError **error)
{
  QemuBitmaps *self = (QemuBitmaps *) bitmaps;

  if (!self->agent_path)
    return error_set (error, EINVAL, "file systems are frozen by the guest's "
                      "agent, and its socket is not named")
      || error_advise (error, REMEDY_NAME_AGENT, NULL);
  self->agent = agent_open (self->agent_path, error);
  if (self->agent && agent_freeze (self->agent, error))
    return true;
  g_clear_pointer (&self->agent, agent_free);
  return false;
}

static bool
qemu_thaw (Bitmaps *bitmaps, GError **error)
{
  QemuBitmaps *self = (QemuBitmaps *) bitmaps;
  const bool ok = !self->agent || agent_thaw (self->agent, error);

  g_clear_pointer (&self->agent, agent_free);
  return ok;
}

static void
qemu_free (Bitmaps *bitmaps)
{
  QemuBitmaps *self = (QemuBitmaps *) bitmaps;

  agent_free (self->agent);
  monitor_free (self->monitor);
  nbd_life_free (self->life);
  g_clear_pointer (&self->bitmaps.disks, g_ptr_array_unref);
  g_clear_pointer (&self->seen, g_ptr_array_unref);
  g_free (self->agent_path);
  g_free (self);
}

static const BitmapOps qemu_ops = {
  .apply  = qemu_apply,
  .freeze = qemu_freeze,
  .thaw   = qemu_thaw,
  .free   = qemu_free,
};

Bitmaps *
bitmaps_of_qemu (const SourceRequest *request, const Forest *tree,
                 const Reporter *reporter, GError **error)
{
  QemuBitmaps *self = g_new0 (QemuBitmaps, 1);

  self->bitmaps.ops = &qemu_ops;
  self->reporter = reporter;
  self->agent_path = g_strdup (request->agent);
  self->life = nbd_life_new (NULL, 0);
  self->bitmaps.disks = qmp_disks_open (request, tree, self->life,
                                        &self->monitor, error);
  if (self->bitmaps.disks)
    return &self->bitmaps;
  qemu_free (&self->bitmaps);
  return NULL;
}
