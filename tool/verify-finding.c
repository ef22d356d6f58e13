/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "tool/table.h"
#include "tool/verify-finding.h"

static void
finding_free (gpointer data)
{
  VerifyFinding *finding = data;

  g_free (finding->what);
  g_free (finding->meaning);
  g_free (finding->command);
  g_free (finding);
}

static VerifyFinding *
add (GPtrArray *findings, const char *code)
{
  VerifyFinding *finding = g_new0 (VerifyFinding, 1);

  finding->code = code;
  g_ptr_array_add (findings, finding);
  return finding;
}

static const Tally *
tally_of (const Verified *verified, CompareClass class)
{
  const Tally *tally = &verified->result.classes[class].differing;

  return tally->bytes > 0 ? tally : NULL;
}

static void
find_size (GPtrArray *findings, const Verified *verified)
{
  if (verified->backup_size >= verified->disk_size || verified->taken)
    return;
  VerifyFinding *finding = add (findings, "too-short");
  finding->what
    = g_strdup_printf ("the backup ends at %" G_GUINT64_FORMAT ", and the disk "
                       "at %" G_GUINT64_FORMAT, verified->backup_size,
                       verified->disk_size);
  finding->meaning
    = g_strdup ("it is of an instant before the disk was made larger; what "
                "lies beyond its end was compared with zeroes");
}

/* What changed after the backup was made cannot be told from what it lacks. */
static bool
wrote_since (const Verified *verified)
{
  return verified->runs && !verified->taken;
}

static char *
meaning_of_dirty (const Verified *verified)
{
  if (wrote_since (verified))
    return g_strdup ("the guest runs, and what it wrote after the backup was made "
                     "differs as it should, so this alone says nothing against "
                     "the backup; name the checkpoint that was made with it "
                     "(--taken-at=NAME), or verify it in the nbdkit --run that "
                     "makes it, with --uri=\"$uri\"");
  return g_strdup_printf ("the backup is not complete, is damaged, or is of "
                          "another instant%s; make this %s again",
                          verified->is_export ? " than the export" : "",
                          verified->since && verified->base ? "increment"
                          : "backup");
}

static void
find_dirty (GPtrArray *findings, const Verified *verified)
{
  const Tally *tally = tally_of (verified, COMPARE_DIRTY);

  if (!tally)
    return;
  VerifyFinding *finding = add (findings, "changed-differs");
  g_autofree char *size = table_size (tally->bytes);
  finding->what = verified->since
    ? g_strdup_printf ("%s of what changed since %s differ", size,
                       verified->since) : g_strdup_printf ("%s differ", size);
  finding->meaning = meaning_of_dirty (verified);
  finding->command
    = wrote_since (verified) ? NULL : verified_type_again (verified);
  finding->tally = tally;
}

static void
find_clean (GPtrArray *findings, const Verified *verified)
{
  const Tally *tally = tally_of (verified, COMPARE_CLEAN);
  const char *name = verified->since ? verified->since : verified->taken;

  if (!tally)
    return;
  VerifyFinding *finding = add (findings, "unchanged-differs");
  g_autofree char *size = table_size (tally->bytes);
  finding->what
    = g_strdup_printf ("%s did not change since %s, says its record, and differ%s",
                       size, name, verified->share < 1
                       ? " (in a sample; there may be more)" : "");
  finding->meaning
    = g_strdup_printf ("the record lied (a program that knows no bitmaps wrote to "
                       "the disk, or a bitmap was cleared), or the backup%s is "
                       "damaged; trust no backup since %s: a full one is due",
                       verified->base ? ", or a file below it," : "", name);
  finding->command = verified_type_full (verified);
  finding->tally = tally;
}

static void
find_beyond (GPtrArray *findings, const Verified *verified)
{
  const Tally *tally = tally_of (verified, COMPARE_BEYOND);

  if (!tally)
    return;
  VerifyFinding *finding = add (findings, "beyond-differs");
  g_autofree char *size = table_size (tally->bytes);
  finding->what
    = g_strdup_printf ("the disk ends at %" G_GUINT64_FORMAT ", and the backup "
                       "has %s of data beyond", verified->disk_size, size);
  finding->meaning
    = g_strdup ("it is of an instant before the disk was made smaller, or of "
                "another disk");
  finding->tally = tally;
}

GPtrArray *
verify_findings (const Verified *verified)
{
  GPtrArray *findings = g_ptr_array_new_with_free_func (finding_free);

  find_size (findings, verified);
  find_dirty (findings, verified);
  find_clean (findings, verified);
  find_beyond (findings, verified);
  return findings;
}
