/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A guest of libvirt's that runs.  QEMU has its bitmaps; of each checkpoint,
 * libvirt tells how much is dirty on the disks that have a bitmap which it would
 * take, and so which have none.  Its monitor, which would tell of all bitmaps, is
 * not used: libvirt calls a guest tainted for that.  Names of bitmaps are read from
 * the images, as they were when QEMU opened them.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "check/internal.h"
#ifdef HAVE_LIBVIRT
#include "base/own-folder.h"
#include "image/layer.h"
#include "image/unlocked.h"
#include "libvirt/guest.h"
#include "source/live-plan.h"
#include "tree/load.h"
#include "tree/redefine.h"

#endif

bool
check_is_saved (const Check *check, const char *checkpoint)
{
  return check->saved && forest_lookup (check->saved, checkpoint);
}

#ifdef HAVE_LIBVIRT
/* Why the disk cannot be had since the checkpoint; NULL: it can.  (While a job
 * runs, libvirt says of no bitmap whether it would take it.)
 */
static GError *
why_not (const LivePlan *plan, const Checkpoint *checkpoint,
         const CheckpointDisk *covered)
{
  GError *why = NULL;

  if (!live_plan_records (plan, checkpoint, covered->name, &why))
    return why;
  if (covered->has_size || plan->look->job)
    return NULL;
  error_set (&why, EIO, "disk %s: libvirt finds no bitmap %s that it could "
             "take: it is missing in the image on top or in one above others "
             "that have it, or is inconsistent or disabled", covered->name,
             covered->bitmap);
  return why;
}

/* An older checkpoint of no use while the guest runs, whose record may end, and go
 * on in this one's, as libvirt before 6.5 left them: without this one, it would look
 * complete once the guest is off.  NULL: there is none.
 */
static const Checkpoint *
find_continued (const Check *check, const GuestLook *look,
                const Checkpoint *checkpoint, const char *target)
{
  const GuestChain *chain = guest_chain (look->guest, target);
  const Checkpoint *older = checkpoint->parent;
  bool ended = false;

  while (older && (!checkpoint_bitmap (older, target)
                   || check_is_usable (check, target, older->name)))
    older = older->parent;
  for (guint i = 0; older && !look->host && chain && i < chain->images->len;
       i++) {
    const char *path = guest_chain_image (chain, i)->key;
    g_autoptr (GPtrArray) names
      = *path == '/' ? image_bitmap_names (path, &ended) : NULL;
  }
  return ended ? older : NULL;
}

static void
add_refusal (Check *check, const LivePlan *plan,
             const Checkpoint *checkpoint, const char *target,
             const GError *why)
{
  Finding *finding = finding_new (check_kind (why, FINDING_BROKEN));
  const Checkpoint *older
    = find_continued (check, plan->look, checkpoint, target);

  finding->severity = SEVERITY_PROBLEM;
  finding_add_disk (finding, target);
  finding_add_checkpoint (finding, checkpoint->name);
  finding->file = g_strdup (error_file (why));
  finding->why = !older ? g_strdup (why->message)
    : g_strdup_printf ("%s; the older checkpoint %s may need what it has, as "
                       "records end in the images: look again once the guest "
                       "is off", why->message, older->name);
  if (older)
    finding->is_safe = false;
  else if (error_reason (why) == REASON_OTHER_DISK)
    finding->command = mend_exchanged (check, plan->roster, target, checkpoint);
  else
    finding->command = mend_record (check, NULL, target, checkpoint,
                                    &finding->is_safe);
  check_add (check, finding);
}

static void
add_gone (Check *check, const Checkpoint *checkpoint, const char *target)
{
  Finding *finding = finding_new (FINDING_NOT_THERE);

  finding_add_disk (finding, target);
  finding_add_checkpoint (finding, checkpoint->name);
  finding->why = g_strdup_printf ("guest %s has no disk %s any more",
                                  check->guest, target);
  check_add (check, finding);
}

/* note: which can be had; else why others cannot, as what is typed against one
 * depends on all.
 */
static void
look_at_checkpoints (Check *check, const LivePlan *plan, bool note)
{
  const GPtrArray *all = forest_all (check->forest);

  for (guint i = 0; i < all->len; i++) {
    const Checkpoint *checkpoint = g_ptr_array_index (all, i);
    for (guint j = 0; j < checkpoint->disks->len; j++) {
      const CheckpointDisk *covered = g_ptr_array_index (checkpoint->disks, j);
      const bool is_there = guest_disk (plan->look->guest, covered->name);
      if (!covered->bitmap)
        continue;
      g_autoptr (GError) why
        = is_there ? why_not (plan, checkpoint, covered) : NULL;
      if (note && is_there)
        check_note_view (check, covered->name, checkpoint->name, !why);
      else if (!note && why)
        add_refusal (check, plan, checkpoint, covered->name, why);
      else if (!note && !is_there)
        add_gone (check, checkpoint, covered->name);
    }
  }
}

/* ── Disks ── */

static void
look_at_disk (Check *check, const GuestLook *look, const GuestDisk *disk)
{
  const bool is_qcow2 = g_strcmp0 (disk->format, "qcow2") == 0;
  const bool is_old = is_qcow2 && !look->host && disk->source
    && image_is_version_2 (disk->source);

  if (!look->host && disk->source)
    check_scratch (check, disk->source);
  if (!is_old && check_covers (check, disk->target))
    return;
  Finding *finding = finding_new (is_old ? FINDING_VERSION_2
                                  : FINDING_NOT_QCOW2);
  finding_add_disk (finding, disk->target);
  finding->file = g_strdup (disk->source);
  if (is_old) {
    finding->why = g_strdup_printf ("%s is qcow2 version 2, which can hold no "
                                    "bitmap; once the guest is off, that can "
                                    "be changed", disk->source);
    finding->command = mend_image (IMAGE_CHANGE_VERSION, disk->source);
  }
  else
    finding->why = g_strdup_printf (is_qcow2
      ? "no checkpoint covers disk %s" : "disk %s is %s, and only qcow2 holds "
      "dirty bitmaps", disk->target, disk->format ? disk->format : "raw");
  check_add (check, finding);
}

/* ── Bitmaps of no checkpoint ── */

/* Of the images below that can be looked at. */
static void
look_below (const GuestChain *chain, bool *ended)
{
  for (guint i = 1; chain && i < chain->images->len; i++) {
    const char *path = guest_chain_image (chain, i)->key;
    g_autoptr (GPtrArray) names
      = *path == '/' ? image_bitmap_names (path, ended) : NULL;
  }
}

/* name → targets, of those in the images' directories that no checkpoint has.
 * *ended: one of all does not record any more.
 */
static GHashTable *
find_orphans (const Check *check, const GuestLook *look, GPtrArray *names,
              bool *ended)
{
  GHashTable *found
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                             (GDestroyNotify) g_ptr_array_unref);

  for (guint i = 0; !look->host && i < look->guest->disks->len; i++) {
    const GuestDisk *disk = g_ptr_array_index (look->guest->disks, i);
    g_autoptr (GPtrArray) bitmaps
      = disk->source && g_strcmp0 (disk->format, "qcow2") == 0
      ? image_bitmap_names (disk->source, ended) : NULL;
    look_below (guest_chain (look->guest, disk->target), ended);
    for (guint j = 0; bitmaps && j < bitmaps->len; j++) {
      const char *name = g_ptr_array_index (bitmaps, j);
      if (forest_lookup (check->forest, name) || !checkpoint_name_valid (name)
          || g_str_has_prefix (name, "libvirt-tmp-"))
        continue;
      GPtrArray *targets = g_hash_table_lookup (found, name);
      if (!targets) {
        targets = g_ptr_array_new ();
        g_hash_table_insert (found, g_strdup (name), targets);
        g_ptr_array_add (names, g_strdup (name));
      }
      g_ptr_array_add (targets, disk->target);
    }
  }
  return found;
}

/* libvirt refuses what is typed where a disk has no bitmap that it would take. */
static void
look_for_orphans (Check *check, const GuestLook *look)
{
  const Checkpoint *current = forest_current (check->forest);
  const char *parent = current ? current->name : NULL;
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  bool ended = false;
  g_autoptr (GHashTable) found = find_orphans (check, look, names, &ended);

  for (guint i = 0; i < names->len; i++) {
    const char *name = g_ptr_array_index (names, i);
    const GPtrArray *targets = g_hash_table_lookup (found, name);
    Finding *finding = finding_new (FINDING_FORGOTTEN);
    for (guint j = 0; j < targets->len; j++)
      finding_add_disk (finding, g_ptr_array_index (targets, j));
    finding_add_checkpoint (finding, name);
    finding->why = g_strdup_printf ("an image had a bitmap %s when QEMU opened "
                                    "it, and libvirt knows no checkpoint of "
                                    "that name (migration, restore, "
                                    "--metadata, a guest defined anew)", name);
    if (!ended || check_is_saved (check, name)) {
      finding->command = mend_forgotten (check, name, parent, targets);
      finding->is_safe = true;
      parent = name;
    }
    check_add (check, finding);
  }
  Finding *unseen = finding_new (FINDING_NOT_SEEN);
  unseen->why = g_strdup ("bitmaps of no checkpoint that were made since QEMU "
                          "was started are in its memory only, and are looked "
                          "for once the guest is off");
  check_add (check, unseen);
}

/* ── The job ── */

static void
look_at_job (Check *check, const GuestLook *look)
{
  const char *const *words;
  const char *uri = check->asked->request->libvirt;

  if (!look->job)
    return;
  Finding *finding = finding_new (check_kind (look->job, FINDING_JOB_OTHER));
  finding->why = g_strdup (look->job->message);
  error_remedy (look->job, &words);
  if (finding->kind == FINDING_JOB_LEFT && words[0] && words[1]) {
    g_autofree char *folder = error_shell_word (words[1]);
    finding->command = g_strdup_printf ("%s && rm -r %s", words[0], folder);
    finding->is_safe = true;
  }
  else if (finding->kind != FINDING_JOB_SERVED) {
    g_free (finding->why);
    finding->why = g_strconcat (look->job->message, "; if nobody needs it any "
                                "more, end it", NULL);
    finding->command = error_virsh (uri, "domjobabort", check->guest, NULL);
  }
  check_add (check, finding);

  Finding *unseen = finding_new (FINDING_NOT_SEEN);
  unseen->why = g_strdup ("while the job runs, libvirt cannot say which "
                          "bitmaps are whole");
  check_add (check, unseen);
}

static bool
load_saved (Check *check, GError **error)
{
  g_autoptr (GPtrArray) skipped = g_ptr_array_new_with_free_func (g_free);

  if (!check->asked->tree)
    return true;
  check->saved = tree_load (check->asked->tree, check->asked->request->domain,
                            skipped, error);
  return check->saved;
}

bool
check_guest (Check *check, bool *running, GError **error)
{
  const SourceRequest *request = check->asked->request;
  const GuestQuestion question = {
    .uri = request->libvirt, .domain = request->domain, .examine = true,
    .socket_dir = own_folder_place (),
  };
  g_auto (GuestLook) look = { 0 };
  g_auto (LivePlan) plan = { 0 };

  if (!load_saved (check, error)
      || !guest_look_once (&question, check->asked->reporter, &look, error))
    return false;
  *running = look.running;
  check->guest = g_strdup (look.guest->name);
  if (!look.running)
    return true;
  check->runs = check->has_documents = true;
  check->forest = look.tree;
  check->result->disks = look.guest->disks->len;
  live_plan_look (&plan, &look);
  look_at_job (check, &look);
  look_at_checkpoints (check, &plan, true);
  look_at_checkpoints (check, &plan, false);
  for (guint i = 0; i < look.guest->disks->len; i++)
    look_at_disk (check, &look, g_ptr_array_index (look.guest->disks, i));
  look_for_orphans (check, &look);
  check->loaded = g_steal_pointer (&look.tree);
  return true;
}
#else
/* source_choose says so. */
bool
check_guest (Check *check G_GNUC_UNUSED, bool *running,
             GError **error G_GNUC_UNUSED)
{
  *running = false;
  return true;
}
#endif
