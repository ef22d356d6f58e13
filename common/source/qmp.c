/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A running QEMU without libvirt, to be looked at: its disks are not served.
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "parts/parts.h"
#include "source/qmp-disks.h"
#include "source/source.h"

static void
qmp_source_free (Source *source)
{
  source_clear (source);
  g_free (source);
}

static Source *
qmp_inspect (const SourceRequest *request, Forest *tree,
             const Reporter *reporter, GError **error)
{
  g_autoptr (Forest) forest = tree;
  g_autoptr (Monitor) monitor = NULL;
  Source *source = g_new0 (Source, 1);

  source_init (source, &source_qmp_ops, request, reporter);
  source->roster = roster_new (true);
  GPtrArray *disks = qmp_disks_open (request, forest, source->life, &monitor,
                                     error);
  if (!disks) {
    qmp_source_free (source);
    return NULL;
  }
  g_ptr_array_unref (source->disks);
  source->disks = disks;
  for (guint i = 0; i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    for (guint j = 0; j < disk->layers->len; j++)
      roster_add (source->roster, disk->target, disk_layer (disk, j)->path);
  }
  source->offer = offer_new (forest ? g_steal_pointer (&forest)
                             : parts_flat_tree (disks), NULL, NULL);
  source_call_roll (source);
  return source;
}

static bool
qmp_endpoint (Source *source G_GNUC_UNUSED, const Disk *disk,
              const Part *part G_GNUC_UNUSED,
              NbdEndpoint *endpoint G_GNUC_UNUSED, GError **error)
{
  return error_set (error, ENOTSUP, "disk %s: what is dirty lies in several "
                    "images or bitmaps, and to unite them, the guest's QEMU "
                    "would have to work; it is known once the guest is stopped",
                    disk->target);
}

static const char *
qmp_instant (const Disk *disk G_GNUC_UNUSED)
{
  return "as its QEMU has it at the moment";
}

const SourceOps source_qmp_ops = {
  .name     = "qmp",
  .instant  = qmp_instant,
  .inspect  = qmp_inspect,
  .endpoint = qmp_endpoint,
  .free     = qmp_source_free,
};
