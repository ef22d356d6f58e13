/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "check/internal.h"

static void
checked_view_free (gpointer data)
{
  CheckedView *view = data;

  g_free (view->disk);
  g_free (view->checkpoint);
  g_free (view);
}

void
check_note_view (Check *check, const char *disk, const char *checkpoint,
                 bool usable)
{
  CheckedView *view = g_new0 (CheckedView, 1);

  view->disk = g_strdup (disk);
  view->checkpoint = g_strdup (checkpoint);
  view->usable = usable;
  g_ptr_array_add (check->result->views, view);
  if (!usable)
    return;
  g_hash_table_add (check->usable,
                    g_strdup_printf ("%s/%s", disk, checkpoint));
  g_hash_table_add (check->usable, g_strdup_printf ("%s/", disk));
}

bool
check_is_usable (const Check *check, const char *disk, const char *checkpoint)
{
  g_autofree char *key
    = g_strdup_printf ("%s/%s", disk, checkpoint ? checkpoint : "");

  return g_hash_table_contains (check->usable, key);
}

bool
check_covers (const Check *check, const char *target)
{
  const Forest *forest = check->forest ? check->forest : check->loaded;
  const GPtrArray *all = forest ? forest_all (forest) : NULL;

  for (guint i = 0; all && i < all->len; i++)
    if (checkpoint_bitmap (g_ptr_array_index (all, i), target))
      return true;
  return false;
}

void
check_add (Check *check, Finding *taken)
{
  g_autoptr (Finding) finding = taken;
  g_autofree char *key = finding_key (finding);
  Finding *other = g_hash_table_lookup (check->found, key);

  for (guint i = 0; other && i < finding->checkpoints->len; i++)
    finding_add_checkpoint (other,
                            g_ptr_array_index (finding->checkpoints, i));
  if (other)
    return;
  g_hash_table_insert (check->found, g_steal_pointer (&key), finding);
  g_ptr_array_add (check->result->findings, g_steal_pointer (&finding));
}

/* Those that are equally bad stay in their order: parents first. */
static int
compare_findings (gconstpointer a, gconstpointer b)
{
  const Finding *left = *(Finding *const *) a, *right = *(Finding *const *) b;

  return (int) right->severity - (int) left->severity;
}

Severity
check_worst (const CheckResult *result)
{
  return result->findings->len == 0 ? SEVERITY_NOTE
    : ((const Finding *) g_ptr_array_index (result->findings, 0))->severity;
}

void
check_result_free (CheckResult *result)
{
  if (!result)
    return;
  g_ptr_array_unref (result->findings);
  g_ptr_array_unref (result->views);
  g_free (result);
}

/* Have the disks a bitmap of any of the checkpoints, in whatever state? */
static bool
are_related (const Check *check)
{
  const GPtrArray *all = forest_all (check->forest);

  if (!check->asked->tree || !check->source || all->len == 0
      || check->asked->request->libvirt)
    return true;
  for (guint i = 0; i < check->source->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (check->source->disks, i);
    for (guint j = 0; j < all->len * disk->layers->len; j++) {
      const char *name = checkpoint_bitmap (
        g_ptr_array_index (all, j % all->len), disk->target);
      if (name && layer_bitmap (disk_layer (disk, j / all->len), name))
        return true;
    }
  }
  return false;
}

/* Who names another guest's folder is not to change its documents. */
static void
doubt_documents (Check *check)
{
  check->result->are_related = check->asked->are_related
    || are_related (check);
  if (check->result->are_related)
    return;
  for (guint i = 0; i < check->result->findings->len; i++) {
    Finding *finding = g_ptr_array_index (check->result->findings, i);
    if (!finding->command || (finding->kind != FINDING_MISSING
                              && finding->kind != FINDING_ORPHAN))
      continue;
    g_autofree char *why = g_steal_pointer (&finding->why);
    finding->is_safe = false;
    finding->why = g_strconcat (
      why, "; if these documents are this guest's at all (no disk has any of "
      "their bitmaps)", NULL);
  }
}

static bool
run (Check *check, GError **error)
{
  bool running = false;

  if (check->asked->request->libvirt && !check_guest (check, &running, error))
    return false;
  if (!running && !check_open (check, error))
    return false;
  if (check->source)
    check_views (check);
  check_tree (check);
  if (check->source) {
    check_orphans (check);
    check_void (check);
    for (guint i = 0; i < check->source->disks->len; i++)
      check_scratch (check, disk_layer (g_ptr_array_index (
                                          check->source->disks, i), 0)->path);
  }
  doubt_documents (check);
  if (check->asked->request->libvirt)
    check_folders (check);
  check->result->checkpoints = forest_size (check->forest);
  g_ptr_array_sort (check->result->findings, compare_findings);
  return true;
}

CheckResult *
check_run (const CheckRequest *request, GError **error)
{
  g_autoptr (CheckResult) result = g_new0 (CheckResult, 1);
  Check check = { .asked = request, .result = result };

  result->findings
    = g_ptr_array_new_with_free_func ((GDestroyNotify) finding_free);
  result->views = g_ptr_array_new_with_free_func (checked_view_free);
  check.unseen
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  check.found
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  check.usable
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  check.needed
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  const bool ok = run (&check, error);
  check_close (&check);
  return ok ? g_steal_pointer (&result) : NULL;
}
