/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "check/finding.h"

#define NO_BACKUP \
  "no backup since it can be made of the disk, so a full one is due"

const FindingWords finding_words[FINDING_KINDS] = {
  [FINDING_MISSING] = { "checkpoint-without-bitmap", SEVERITY_PROBLEM,
    NO_BACKUP },
  [FINDING_LOST] = { "bitmap-lost", SEVERITY_PROBLEM,
    NO_BACKUP },
  [FINDING_INCONSISTENT] = { "inconsistent-bitmap", SEVERITY_PROBLEM,
    NO_BACKUP },
  [FINDING_VOID] = { "void-layer", SEVERITY_PROBLEM,
    NO_BACKUP },
  [FINDING_DISABLED] = { "disabled-bitmap", SEVERITY_PROBLEM,
    NO_BACKUP },
  [FINDING_MISNAMED] = { "bitmap-misnamed", SEVERITY_PROBLEM,
    NO_BACKUP },
  [FINDING_OTHER_DISK] = { "names-exchanged", SEVERITY_PROBLEM,
    "a backup since it would be another disk's" },
  [FINDING_REFUSED] = { "view-refused", SEVERITY_PROBLEM,
    NO_BACKUP },
  [FINDING_BROKEN] = { "broken-record", SEVERITY_PROBLEM,
    NO_BACKUP },

  [FINDING_CONTINUED] = { "disabled-but-continued", SEVERITY_NOTE,
    "a backup since it is right, and fails while the guest runs" },
  [FINDING_GAP] = { "chain-gap", SEVERITY_WARNING,
    "a backup since it is larger than need be, and fails while the guest "
    "runs" },
  [FINDING_SIZE] = { "wrong-size", SEVERITY_WARNING,
    "a backup since it fails while the guest runs" },
  [FINDING_STRAYED] = { "file-left-chain", SEVERITY_WARNING,
    "changed blocks may be missing from a backup since it" },

  [FINDING_NOT_QCOW2] = { "disk-not-covered", SEVERITY_NOTE,
    "a backup has the disk whole, or not at all" },
  [FINDING_VERSION_2] = { "version-2", SEVERITY_PROBLEM,
    "a backup has the disk whole, or not at all" },
  [FINDING_CORRUPT] = { "image-corrupt", SEVERITY_PROBLEM,
    "no backup since any checkpoint can be made of the disk" },
  [FINDING_IN_USE] = { "image-in-use", SEVERITY_PROBLEM,
    "the disk cannot be looked at, nor backed up this way" },
  [FINDING_NO_FORMAT] = { "format-not-recorded", SEVERITY_PROBLEM,
    "the disk cannot be looked at, nor backed up this way" },
  [FINDING_UNREADABLE] = { "image-unreadable", SEVERITY_PROBLEM,
    "the disk cannot be looked at, nor backed up this way" },
  [FINDING_NOT_THERE] = { "disk-not-there", SEVERITY_NOTE,
    "a backup has it no more" },
  [FINDING_NOT_SEEN] = { "not-looked-at", SEVERITY_NOTE,
    "something may be wrong that this does not find" },

  [FINDING_VOID_UNNEEDED] = { "void-layer-unneeded", SEVERITY_NOTE,
    "backups are right, and have all that was written to it" },

  [FINDING_ORPHAN] = { "bitmap-without-checkpoint", SEVERITY_WARNING,
    "it takes part in no backup, and the name is taken" },
  [FINDING_FORGOTTEN] = { "checkpoint-forgotten", SEVERITY_WARNING,
    "libvirt makes no backup since it, and no checkpoint of its name" },
  [FINDING_TEMPORARY] = { "temporary-bitmap", SEVERITY_WARNING,
    "the next job that needs the name fails" },

  [FINDING_PARENT] = { "parent-missing", SEVERITY_WARNING,
    "the next checkpoint has no parent" },
  [FINDING_LOOP] = { "parent-loop", SEVERITY_WARNING,
    "the next checkpoint has no parent" },
  [FINDING_ROOTS] = { "several-roots", SEVERITY_NOTE,
    "not every checkpoint has led to what the disks are now" },
  [FINDING_BRANCH] = { "branched-tree", SEVERITY_NOTE,
    "not every checkpoint has led to what the disks are now" },
  [FINDING_DOCUMENT] = { "document-unreadable", SEVERITY_WARNING,
    "no backup can be made since a checkpoint that is in it" },

  [FINDING_LEFT_DOCUMENT] = { "document-left", SEVERITY_WARNING,
    "a command was killed, and what it wrote is not known to be whole" },
  [FINDING_LEFT_SCRATCH] = { "scratch-left", SEVERITY_WARNING,
    "a backup was killed, and what it left takes room" },
  [FINDING_LEFT_FOLDER] = { "folder-left", SEVERITY_NOTE,
    "a backup was killed, and the next one removes this" },
  [FINDING_JOB_LEFT] = { "job-left", SEVERITY_PROBLEM,
    "no backup of the guest can begin" },
  [FINDING_JOB_UNKNOWN] = { "job-unknown", SEVERITY_WARNING,
    "no backup of the guest can begin before its job ends" },
  [FINDING_JOB_OTHER] = { "job-of-another", SEVERITY_WARNING,
    "no backup of the guest can begin before its job ends" },
  [FINDING_JOB_SERVED] = { "job-served", SEVERITY_NOTE,
    "no backup of the guest can begin before its job ends" },
};

const char *
severity_name (Severity severity)
{
  static const char *const names[] = { "note", "warning", "problem" };

  return names[severity];
}

Finding *
finding_new (FindingKind kind)
{
  Finding *finding = g_new0 (Finding, 1);

  finding->kind = kind;
  finding->severity = finding_words[kind].severity;
  finding->disks = g_ptr_array_new_with_free_func (g_free);
  finding->checkpoints = g_ptr_array_new_with_free_func (g_free);
  return finding;
}

void
finding_free (Finding *finding)
{
  if (!finding)
    return;
  g_ptr_array_unref (finding->disks);
  g_ptr_array_unref (finding->checkpoints);
  g_free (finding->file);
  g_free (finding->why);
  g_free (finding->command);
  g_free (finding);
}

static void
add_once (GPtrArray *texts, const char *text)
{
  if (text && !g_ptr_array_find_with_equal_func (texts, text, g_str_equal,
                                                 NULL))
    g_ptr_array_add (texts, g_strdup (text));
}

void
finding_add_disk (Finding *finding, const char *target)
{
  add_once (finding->disks, target);
}

void
finding_add_checkpoint (Finding *finding, const char *name)
{
  add_once (finding->checkpoints, name);
}

char *
finding_sentence (const Finding *finding)
{
  return g_strconcat (finding_words[finding->kind].meaning,
                      finding->why ? ": " : NULL, finding->why, NULL);
}

char *
finding_key (const Finding *finding)
{
  GString *key = g_string_new (NULL);

  g_string_append_printf (key, "%d\n%d\n%s\n%s", (int) finding->kind,
                          (int) finding->severity,
                          finding->file ? finding->file : "",
                          finding->command ? finding->command : "");
  for (guint i = 0; i < finding->disks->len; i++)
    g_string_append_printf (key, "\n%s",
                            (char *) g_ptr_array_index (finding->disks, i));
  return g_string_free (key, FALSE);
}
