/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a shell offers is asked of the tool itself (completion/), so that it
 * knows all that this one does, and the checkpoints that are there.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "base/printable.h"
#include "tool/command.h"
#include "tool/say.h"
#include "tool/subject.h"

static void
offer (const char *text, const char *typed)
{
  if (g_str_has_prefix (text, typed))
    puts (text);
}

/* before: all words of the command before the one that is typed.  What cannot
 * be looked at offers nothing.
 */
static void
offer_checkpoints (const Command *command, char **before, const char *typed)
{
  Subject subject = { 0 };
  Options options;

  options_init (&options);
  if (options_parse (&options, command->options, before, NULL)
      && subject_open (&subject, &options, NULL, &silent_reporter, NULL)) {
    g_autoptr (GPtrArray) names = forest_names (subject.forest);
    for (guint i = 0; i < names->len; i++) {
      g_autofree char *name = g_strdup (g_ptr_array_index (names, i));
      printable_make (name);
      offer (name, typed);
    }
  }
  subject_clear (&subject);
  options_clear (&options);
}

static void
offer_options (const Command *command, const char *typed)
{
  for (const Option *row = all_options; row->name; row++) {
    g_autofree char *option
      = g_strdup_printf ("--%s%s", row->name, row->argument ? "=" : "");
    if (row->groups & command->options)
      offer (option, typed);
  }
}

/* The option whose value is the last word, or in it; *value: the value so far.
 * NULL: the word is none.
 */
static const Option *
option_typed (const Command *command, char **words, guint last,
              const char **value)
{
  const guint groups = command->options;
  const Option *row = g_str_has_prefix (words[last], "--")
    ? option_lookup (words[last], groups, value) : NULL;

  if (row && *value)
    return row;
  row = last > 0 && g_str_has_prefix (words[last - 1], "--")
    ? option_lookup (words[last - 1], groups, value) : NULL;
  if (!row || !row->argument || *value)
    return NULL;
  *value = words[last];
  return row;
}

/* A new one's name nobody knows. */
static bool
takes_checkpoint (const Command *command)
{
  return g_strcmp0 (command->word, "NAME") == 0
    || (g_strcmp0 (command->word, "[NAME]") == 0
        && command->run != command_create);
}

/* words: of command; last: the index of the one that is typed. */
static void
complete_word (const Command *command, char **words, guint last)
{
  const char *value = NULL;
  const Option *row = option_typed (command, words, last, &value);
  g_autofree char *typed = g_strdup (row ? value : words[last]);
  const guint complete = row && value == words[last] ? last - 1 : last;

  for (guint i = complete; i <= last; i++)
    g_clear_pointer (&words[i], g_free);
  if (!row && g_str_has_prefix (typed, "-"))
    offer_options (command, typed);
  else if (row ? row->names_checkpoint : takes_checkpoint (command))
    offer_checkpoints (command, words, typed);
}

void
complete (char **arguments)
{
  g_auto (GStrv) words = g_strdupv (arguments);
  const guint count = g_strv_length (words);
  const Command *command = count > 1 ? command_lookup (words[0]) : NULL;

  if (command) {
    complete_word (command, words + 1, count - 2);
    return;
  }
  for (const Command *row = all_commands; count == 1 && row->name; row++)
    offer (row->name, words[0]);
  if (count == 1) {
    offer ("--help", words[0]);
    offer ("--version", words[0]);
  }
}
