/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A running QEMU without libvirt.  It is only looked at, unless it is going to be
 * read (qmp-running.c).
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "parts/parts.h"
#include "source/qmp-disks.h"
#include "source/qmp.h"

static void
qmp_source_free (Source *source)
{
  source_clear (source);
  g_free (source);
}

static const SourceOps look_ops;

static Source *
look_only (const SourceRequest *request, Forest *tree,
           const Reporter *reporter, GError **error)
{
  g_autoptr (Forest) forest = tree;
  g_autoptr (Monitor) monitor = NULL;
  Source *source = g_new0 (Source, 1);

  source_init (source, &look_ops, request, reporter);
  GPtrArray *disks = qmp_disks_open (request, forest, source->life, &monitor,
                                     error);
  if (!disks) {
    qmp_source_free (source);
    return NULL;
  }
  g_ptr_array_unref (source->disks);
  source->disks = disks;
  source->roster = qmp_roster (disks);
  source->offer = offer_new (forest ? g_steal_pointer (&forest)
                             : parts_flat_tree (disks), NULL, NULL);
  source_call_roll (source);
  if (!request->read)
    return source;
  error_set (&source->look_only, EPERM, "the guest of the QEMU at %s runs and no "
             "backup was begun, so only names can be had", request->qmp);
  error_advise (&source->look_only, REMEDY_BEGIN_BACKUP, NULL);
  return source;
}

static Source *
qmp_inspect (const SourceRequest *request, Forest *tree,
             const Reporter *reporter, GError **error)
{
  const bool begins = request->checkpoint || request->create
    || request->on_missing_full;

  return request->read && begins ? qmp_begin (request, tree, reporter, error)
    : look_only (request, tree, reporter, error);
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

static const SourceOps look_ops = {
  .name     = "qmp",
  .instant  = qmp_instant,
  .endpoint = qmp_endpoint,
  .free     = qmp_source_free,
};

/* The source that comes of it has its own. */
const SourceOps source_qmp_ops = {
  .name    = "qmp",
  .instant = qmp_instant,
  .inspect = qmp_inspect,
};
