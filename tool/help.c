/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "tool/command.h"

#define INDENT 24

static void
print_row (const char *what, const char *help)
{
  const glong width = g_utf8_strlen (what, -1);

  printf ("  %s%*s", what, (int) MAX (INDENT - width, 0), "");
  if (width >= INDENT)
    printf ("\n  %*s", INDENT, "");
  printf ("%s\n", help);
}

void
print_help (void)
{
  puts ("Usage: qemu-checkpoint COMMAND OPTIONS\n"
        "\n"
        "Look at a virtual machine's checkpoints, make and delete them: in a\n"
        "stopped guest's images (--file), in a QEMU that runs (--qmp), at\n"
        "libvirt (--libvirt and --domain), or in the documents that libvirt\n"
        "keeps of them (--tree).\n"
        "\n"
        "Commands:");
  for (const Command *command = all_commands; command->name; command++) {
    g_autofree char *usage
      = g_strjoin (" ", command->name, command->word, NULL);
    print_row (usage, command->help);
  }
  puts ("\n"
        "qemu-checkpoint COMMAND --help tells of each, and qemu-checkpoint\n"
        "--version of this one's version.");
}

/* Those of these groups. */
static void
print_options (const char *title, guint groups)
{
  printf ("\n%s:\n", title);
  for (const Option *row = all_options; row->name; row++) {
    g_autofree char *usage
      = g_strconcat ("--", row->name, row->argument ? "=" : NULL,
                     row->argument, NULL);
    if (row->groups & groups)
      print_row (usage, row->help);
  }
}

void
print_command_help (const Command *command)
{
  printf ("Usage: qemu-checkpoint %s%s%s OPTIONS\n\n%s.\n", command->name,
          command->word ? " " : "", command->word ? command->word : "",
          command->help);
  print_options ("Options", command->options & ~(guint) OPTIONS_SOURCE);
  print_options ("Whose checkpoints", command->options & OPTIONS_SOURCE);
}
