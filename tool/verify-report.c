/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <stdio.h>

#include "base/printable.h"
#include "tool/table.h"
#include "tool/verify-finding.h"
#include "view/sample.h"

#define PLACES_SHOWN 10

bool
verified_is_equal (const Verified *verified)
{
  g_autoptr (GPtrArray) findings = verify_findings (verified);

  return findings->len == 0;
}

static const Compared *
compared (const Verified *verified, CompareClass class)
{
  return &verified->result.classes[class];
}

/* A chance as a person reads it, never rounded up. */
static char *
percent (double chance)
{
  const double floored = (double) (guint) (chance * 10000) / 100;

  return chance >= 1 ? g_strdup ("100 %")
    : floored >= 1 ? g_strdup_printf ("%.2f %%", floored)
    : g_strdup_printf ("%.2g %%", chance * 100);
}

/* How much of what did not change was compared, as is said before its size. */
static const char *
share_text (const Verified *verified)
{
  const CompareResult *result = &verified->result;

  return verified->share >= 1 ? ""
    : result->blocks > 0 && result->sampled == 0 ? "nothing of the "
    : "a sample of the ";
}

/* "12.0 MiB that changed since monday, and 1.0 GiB that did not". */
static char *
what_is_equal (const Verified *verified)
{
  const char *share = share_text (verified);
  g_autofree char *dirty
    = table_size (compared (verified, COMPARE_DIRTY)->bytes);
  g_autofree char *clean
    = table_size (compared (verified, COMPARE_CLEAN)->bytes);

  if (verified->since)
    return g_strdup_printf ("%s that changed since %s, and %s%s that did not",
                            dirty, verified->since, share, clean);
  if (verified->taken)
    return g_strdup_printf ("%s%s that did not change since %s",
                            share, clean, verified->taken);
  return g_strdup_printf ("all of %s", dirty);
}

/* Made printable: names may be a guest's. */
static void
print_line (char *line_taken)
{
  g_autofree char *line = line_taken;

  printable_make (line);
  puts (line);
}

static void
print_sample (const Verified *verified)
{
  const CompareResult *result = &verified->result;
  const guint64 blocks = result->blocks;

  if (verified->share >= 1)
    return;
  if (blocks == 0) {
    puts ("  of what did not change, all is zeroes on both sides: no sample was "
          "needed");
    return;
  }
  const guint64 few = (blocks + 99) / 100;
  g_autofree char *one = percent (sample_odds (blocks, result->sampled, 1));
  g_autofree char *more = percent (sample_odds (blocks, result->sampled, few));
  printf ("  sample: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " blocks of 64 "
          "KiB, --seed=%" G_GUINT64_FORMAT "; if 1 %% of them (%" G_GUINT64_FORMAT
          ") were wrong, that would be found with %s; a single one, with %s\n",
          result->sampled, blocks, verified->seed, few, more, one);
}

static void
print_excused (const Verified *verified)
{
  g_autofree char *size
    = table_size (compared (verified, COMPARE_EXCUSED)->bytes);

  if (verified->taken)
    print_line (g_strdup_printf ("  not compared: %s that changed after %s",
                                 size, verified->taken));
}

/* What a restored disk would have too much is no difference if it is zeroes. */
static void
print_longer (const Verified *verified)
{
  if (verified->backup_size <= verified->disk_size || verified->taken)
    return;
  g_autofree char *more
    = table_size (verified->backup_size - verified->disk_size);
  printf ("  note: the backup is %s larger than the disk\n", more);
}

static void
print_places (const Tally *tally)
{
  for (guint i = 0; i < tally->places->len && i < PLACES_SHOWN; i++) {
    const TallyPlace *place = &g_array_index (tally->places, TallyPlace, i);
    printf ("    offset %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT " bytes\n",
            place->offset, place->length);
  }
  if (tally->places->len > PLACES_SHOWN)
    printf ("    and other places; --json has the first %d\n", TALLY_PLACES);
}

static void
print_findings (const Verified *verified)
{
  g_autoptr (GPtrArray) findings = verify_findings (verified);

  for (guint i = 0; i < findings->len; i++) {
    const VerifyFinding *finding = g_ptr_array_index (findings, i);
    print_line (g_strdup_printf ("  %s%s", finding->what,
                                 finding->tally ? ", at:" : ""));
    if (finding->tally)
      print_places (finding->tally);
    if (finding->meaning)
      print_line (g_strdup_printf ("  %s%s", finding->meaning,
                                   finding->command ? "; type:" : ""));
    if (finding->command)
      print_line (g_strconcat ("    ", finding->command, NULL));
  }
}

void
verified_print (const Verified *verified)
{
  const bool equal = verified_is_equal (verified);
  g_autofree char *what = what_is_equal (verified);

  print_line (g_strdup_printf ("%s %s disk %s%s%s", verified->backup,
                               equal ? "equals" : "differs from",
                               verified->target, equal ? ": " : "",
                               equal ? what : ""));
  print_findings (verified);
  print_longer (verified);
  print_excused (verified);
  print_sample (verified);
}
