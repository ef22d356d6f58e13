/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "tool/json-print.h"
#include "tool/verify-finding.h"
#include "view/sample.h"

static void
add_real (JsonBuilder *builder, const char *name, double number)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_double_value (builder, number);
}

static void
add_places (JsonBuilder *builder, const Tally *tally)
{
  json_builder_set_member_name (builder, "places");
  json_builder_begin_array (builder);
  for (guint i = 0; i < tally->places->len; i++) {
    const TallyPlace *place = &g_array_index (tally->places, TallyPlace, i);
    json_builder_begin_object (builder);
    json_add_number (builder, "offset", place->offset);
    json_add_number (builder, "length", place->length);
    json_builder_end_object (builder);
  }
  json_builder_end_array (builder);
  json_add_bool (builder, "more", tally->more);
}

static void
add_class (JsonBuilder *builder, const Verified *verified, CompareClass class,
           const char *name)
{
  const Compared *compared = &verified->result.classes[class];

  json_builder_set_member_name (builder, name);
  json_builder_begin_object (builder);
  json_add_number (builder, "bytes", compared->bytes);
  json_add_number (builder, "compared", compared->compared);
  json_add_number (builder, "differing", compared->differing.bytes);
  add_places (builder, &compared->differing);
  json_builder_end_object (builder);
}

static void
add_odds (JsonBuilder *builder, const CompareResult *result)
{
  const guint64 wrong[] = { 1, (result->blocks + 999) / 1000,
                            (result->blocks + 99) / 100 };
  guint64 last = 0;

  json_builder_set_member_name (builder, "odds");
  json_builder_begin_array (builder);
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    if (wrong[i] <= last || wrong[i] > result->blocks)
      continue;
    last = wrong[i];
    json_builder_begin_object (builder);
    json_add_number (builder, "wrong", wrong[i]);
    add_real (builder, "found",
              sample_odds (result->blocks, result->sampled, wrong[i]));
    json_builder_end_object (builder);
  }
  json_builder_end_array (builder);
}

static void
add_sample (JsonBuilder *builder, const Verified *verified)
{
  const CompareResult *result = &verified->result;

  if (verified->share >= 1) {
    json_add_text (builder, "sample", NULL);
    return;
  }
  json_builder_set_member_name (builder, "sample");
  json_builder_begin_object (builder);
  add_real (builder, "percent", verified->share * 100);
  json_add_number (builder, "seed", verified->seed);
  json_add_number (builder, "blockSize", SAMPLE_BLOCK);
  json_add_number (builder, "blocks", result->blocks);
  json_add_number (builder, "sampled", result->sampled);
  add_odds (builder, result);
  json_builder_end_object (builder);
}

static void
add_findings (JsonBuilder *builder, const Verified *verified)
{
  g_autoptr (GPtrArray) findings = verify_findings (verified);

  json_builder_set_member_name (builder, "findings");
  json_builder_begin_array (builder);
  for (guint i = 0; i < findings->len; i++) {
    const VerifyFinding *finding = g_ptr_array_index (findings, i);
    json_builder_begin_object (builder);
    json_add_text (builder, "code", finding->code);
    json_add_text (builder, "message", finding->what);
    json_add_text (builder, "meaning", finding->meaning);
    json_add_text (builder, "command", finding->command);
    json_builder_end_object (builder);
  }
  json_builder_end_array (builder);
}

void
verified_print_json (const Verified *verified)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_add_text (builder, "backup", verified->backup);
  json_add_text (builder, "disk", verified->target);
  json_add_text (builder, "since", verified->since);
  json_add_text (builder, "takenAt", verified->taken);
  json_add_bool (builder, "equal", verified_is_equal (verified));
  json_add_number (builder, "backupSize", verified->backup_size);
  json_add_number (builder, "diskSize", verified->disk_size);
  add_class (builder, verified, COMPARE_DIRTY, "changed");
  add_class (builder, verified, COMPARE_CLEAN, "unchanged");
  add_class (builder, verified, COMPARE_BEYOND, "beyond");
  json_add_number (builder, "excused",
                   verified->result.classes[COMPARE_EXCUSED].bytes);
  add_sample (builder, verified);
  add_findings (builder, verified);
  json_builder_end_object (builder);
  json_print (builder);
}
