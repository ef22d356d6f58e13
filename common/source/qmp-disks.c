/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "qemu/guest-disks.h"
#include "source/file-request.h"
#include "source/qmp-disks.h"

/* The topmost file that is known decides, as in roster.c. */
static const char *
target_in (const Forest *tree, const Disk *disk)
{
  const char *target = NULL;

  for (guint i = 0; !target && i < disk->layers->len; i++)
    target = file_request_known_target (tree, disk_layer (disk, i)->path);
  return target;
}

static bool
is_taken (const GPtrArray *disks, const Disk *but, const char *target)
{
  for (guint i = 0; i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    if (disk != but && strcmp (disk->target, target) == 0)
      return true;
  }
  return false;
}

static void
rename_disk (Disk *disk, const char *target)
{
  char *copy = g_strdup (target);

  g_free (disk->target);
  disk->target = copy;
}

/* Another disk may have that name by itself, and gives way.  Two that documents
 * know by the same name were exchanged, which the roster finds out.
 */
static void
name_as_in (const Forest *tree, const GPtrArray *disks)
{
  g_autoptr (GHashTable) given = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < disks->len; i++) {
    Disk *disk = g_ptr_array_index (disks, i);
    const char *target = target_in (tree, disk);
    if (!target || !g_hash_table_add (given, (gpointer) target))
      continue;
    for (guint j = 0; j < disks->len; j++) {
      Disk *other = g_ptr_array_index (disks, j);
      g_autofree char *away = g_strconcat (target, "-other", NULL);
      if (other != disk && strcmp (other->target, target) == 0
          && !is_taken (disks, other, away))
        rename_disk (other, away);
    }
    rename_disk (disk, target);
  }
}

GPtrArray *
qmp_disks_look (const SourceRequest *request, const Forest *tree,
                const Monitor *monitor, GError **error)
{
  GPtrArray *disks = guest_disks_look (monitor, error);

  if (!disks)
    return NULL;
  if (disks->len == 0) {
    g_ptr_array_unref (disks);
    return error_null (error, ENOENT, "the QEMU at %s has no disk that its "
                       "guest can write to", request->qmp);
  }
  if (tree)
    name_as_in (tree, disks);
  return disks;
}

GPtrArray *
qmp_disks_open (const SourceRequest *request, const Forest *tree,
                const NbdLife *life, Monitor **monitor, GError **error)
{
  g_autoptr (Monitor) opened = monitor_open (request->qmp, life, error);
  GPtrArray *disks
    = opened ? qmp_disks_look (request, tree, opened, error) : NULL;

  if (disks)
    *monitor = g_steal_pointer (&opened);
  return disks;
}

/* With -snapshot, QEMU writes to an image that has no name any more, and the names
 * that it had are of this kind (create_tmp_file of block.c).
 */
bool
qmp_disk_stays (const Disk *disk, GError **error)
{
  const char *path = disk_layer (disk, 0)->path;
  const char *name = strrchr (path, '/');

  return !name || !g_str_has_prefix (name, "/vl.")
    || g_file_test (path, G_FILE_TEST_EXISTS)
    || error_set (error, ENOTSUP, "disk %s: QEMU was started with -snapshot, so "
                  "all that is written to the disk, and a checkpoint of it, is "
                  "lost when QEMU ends; nothing was changed.  Start it without "
                  "-snapshot", disk->target);
}
