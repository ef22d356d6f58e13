/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What to type.  Of a guest of libvirt's, virsh changes documents.
 */
#include <config.h>

#include <string.h>

#include "parts/refuse.h"
#include "check/internal.h"
#include "tree/redefine.h"

#define DUMP "checkpoint-dumpxml --security-info"
#define REDEFINE "checkpoint-create --redefine"

static char *
virsh (const Check *check, const char *command, const char *name)
{
  return error_virsh (check->asked->request->libvirt, command, check->guest,
                      name);
}

/* What the front end has to say of a checkpoint or file. */
static char *
own_command_of (const Check *check, const char *whose, Remedy remedy,
                const char *name, const char *more)
{
  const char *const words[] = { whose, name, more, NULL };

  return remedy_text (check->asked->reporter->remedies, remedy, words);
}

static char *
own_command (const Check *check, Remedy remedy, const char *name,
             const char *more)
{
  return own_command_of (check, check->asked->whose, remedy, name, more);
}

/* Has another disk one of that name, which would be deleted with it? */
static bool
has_another (const Check *check, const Disk *disk, const char *bitmap)
{
  const GPtrArray *disks = check->source->disks;
  bool has = false;

  for (guint i = 0; i < disks->len; i++) {
    const Disk *other = g_ptr_array_index (disks, i);
    for (guint j = 0; other != disk && j < other->layers->len; j++) {
      const Bitmap *one = layer_bitmap (disk_layer (other, j), bitmap);
      has = has || (one && !one->inconsistent);
    }
  }
  return has;
}

/* libvirt's temporary ones are no checkpoints. */
char *
mend_bitmap (const Check *check, const Disk *disk, const char *bitmap,
             bool *is_safe)
{
  if (!check->runs)
    return mend_removal (check, disk, bitmap, is_safe);
  return g_str_has_prefix (bitmap, "libvirt-tmp-")
    || has_another (check, disk, bitmap) ? NULL
    : own_command_of (check, check->asked->whose_bitmaps, REMEDY_TYPE_DELETE,
                      bitmap, NULL);
}

char *
mend_image (const char *command, const char *path)
{
  g_autofree char *word = error_shell_word (path);

  return g_strdup_printf ("qemu-img %s %s", command, word);
}

char *
mend_delete (const Check *check, const char *checkpoint)
{
  return check->guest && !check->source
    ? virsh (check, "checkpoint-delete", checkpoint)
    : own_command (check, REMEDY_TYPE_DELETE, checkpoint, NULL);
}

char *
mend_document (const Check *check, const char *checkpoint,
               const char *program)
{
  if (!check->guest)
    return own_command (check, REMEDY_TYPE_CHANGE, checkpoint, program);

  g_autofree char *word = error_shell_word (program);
  g_autofree char *dump = virsh (check, DUMP, checkpoint);
  g_autofree char *redefine = virsh (check, REDEFINE, "/dev/stdin");
  return g_strdup_printf ("%s | sed -z %s | %s", dump, word, redefine);
}

char *
mend_forgotten (const Check *check, const char *checkpoint,
                const char *parent, const GPtrArray *targets)
{
  const Checkpoint *saved
    = check->saved ? forest_lookup (check->saved, checkpoint) : NULL;

  if (saved)
    return virsh (check, REDEFINE, saved->file);
  g_autofree char *text = redefine_document (checkpoint, parent, targets);
  g_autofree char *word = error_shell_word (text);
  g_autofree char *redefine = check->guest
    ? virsh (check, check->runs ? REDEFINE " --redefine-validate" : REDEFINE,
             "/dev/stdin")
    : own_command (check, REMEDY_TYPE_REDEFINE, "/dev/stdin", NULL);
  return g_strdup_printf ("printf %%s %s | %s", word, redefine);
}

/* Which disk was the one that is called target today?  By the document. */
static const char *
name_then (const Roster *roster, const char *target,
           const Checkpoint *checkpoint)
{
  const GPtrArray *disks = checkpoint->domain_disks;

  for (guint i = 0; disks && i < disks->len; i++) {
    const DomainDisk *then = g_ptr_array_index (disks, i);
    if (then->source && strcmp (then->target, target) != 0
        && roster_has (roster, target, then->source))
      return then->target;
  }
  return NULL;
}

/* What else a document has for a target could be words of sed's, or of the shell's. */
static bool
is_plain (const char *target)
{
  return target[strspn (target, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "_-:")]
    == '\0';
}

/* Twice the same is nothing, so it is the same whichever disk is looked at. */
char *
mend_exchanged (const Check *check, const Roster *roster, const char *target,
                const Checkpoint *checkpoint)
{
  const char *other = name_then (roster, target, checkpoint);

  if (!check->guest || !other || !is_plain (target) || !is_plain (other))
    return NULL;

  const bool ordered = strcmp (target, other) < 0;
  const char *one = ordered ? target : other;
  const char *two = ordered ? other : target;
  g_autofree char *dump
    = virsh (check, "dumpxml --inactive --security-info", NULL);
  g_autofree char *define = error_virsh (check->asked->request->libvirt,
                                         "define /dev/stdin", NULL, NULL);
  return g_strdup_printf ("%s | sed \"s/<target dev='%s'/<target dev=@/; "
                          "s/<target dev='%s'/<target dev='%s'/; "
                          "s/<target dev=@/<target dev='%s'/\" | %s", dump,
                          one, two, one, two, define);
}

/* Would a view look complete without this checkpoint, since a bitmap that ends is
 * taken to go on in the next one that is known?
 */
static bool
is_needed (const Check *check, const Disk *disk, const Checkpoint *checkpoint)
{
  if (!disk_has_ended (disk))
    return false;
  g_autofree char *branch
    = parts_branch_reason (check->forest, disk, checkpoint);
  bool needed = branch != NULL;

  for (const Checkpoint *at = checkpoint->parent; at && !needed;
       at = at->parent) {
    const char *name = checkpoint_bitmap (at, disk->target);
    for (guint i = 0; name && i < disk->layers->len; i++) {
      const Bitmap *bitmap = layer_bitmap (disk_layer (disk, i), name);
      needed = needed || (bitmap && !bitmap->recording);
    }
  }
  return needed;
}

/* Is nothing of that bitmap left on the disk, as far as is known? */
static bool
is_gone (const Check *check, const char *target, const char *bitmap)
{
  const Disk *disk = disk_find (check->source->disks, target);

  return disk && disk_deepest_with (disk, bitmap) == disk->layers->len;
}

/* Has it a record of another disk?  One that cannot be used is of use, too: the
 * document may have the only evidence against it, such as which layer was the disk
 * then, and without it the bitmap would be taken for a whole record.
 */
static bool
is_of_use (const Check *check, const char *target,
           const Checkpoint *checkpoint)
{
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    if (!disk->bitmap || strcmp (disk->name, target) == 0)
      continue;
    if (check->source ? !is_gone (check, disk->name, disk->bitmap)
        : check_is_usable (check, disk->name, checkpoint->name))
      return true;
  }
  return false;
}

static char *
forget (const Check *check, const char *checkpoint)
{
  g_autofree char *document = NULL;

  if (!check->guest)
    return own_command (check, REMEDY_TYPE_FORGET, checkpoint, NULL);
  document = virsh (check, "checkpoint-delete --metadata", checkpoint);
  if (check->source)
    return g_steal_pointer (&document);
  /* libvirt deletes only if each disk has a bitmap. */
  g_autofree char *all = virsh (check, "checkpoint-delete", checkpoint);
  return g_strdup_printf ("%s || %s", all, document);
}

char *
mend_record (const Check *check, const Disk *disk, const char *target,
             const Checkpoint *checkpoint, bool *is_safe)
{
  const char *strayed
    = disk ? roster_strayed (disk->roster, checkpoint, target) : NULL;
  const char *bitmap = checkpoint_bitmap (checkpoint, target);
  g_autofree char *removal = disk ? parts_removal (disk, bitmap) : NULL;

  /* Of a running guest it may be of use once that is off. */
  *is_safe = disk && !strayed;
  if (disk && check_is_needed (check, target, bitmap))
    return NULL;
  if (removal && *removal) {
    g_autofree char *command = mend_bitmap (check, disk, bitmap, is_safe);
    if (command && *command)
      return g_steal_pointer (&command);
    *is_safe = false;
  }
  if (disk && is_needed (check, disk, checkpoint))
    return NULL;
  if (!is_of_use (check, target, checkpoint))
    return forget (check, checkpoint->name);
  if (!is_plain (target))
    return NULL;
  g_autofree char *program
    = g_strdup_printf ("s|<disk name=.%s. [^>]*>|<disk name='%s' "
                       "checkpoint='no'/>|", target, target);
  return mend_document (check, checkpoint->name, program);
}
