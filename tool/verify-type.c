/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What to type once a backup was found to be wrong.
 */
#include <config.h>

#include "base/error.h"
#include "tool/verify-report.h"
#include "tool/whose.h"

/* Of which disk, where there are several. */
static char *
words_of (const Verified *verified)
{
  g_autofree char *words = whose_parameters (verified->options);

  return verified->several_disks
    ? g_strdup_printf ("%s disk=%s", words, verified->target)
    : g_steal_pointer (&words);
}

/* nbdkit, with the command that --run is given. */
static char *
in_nbdkit (const Verified *verified, const char *before, const char *after,
           const char *command)
{
  g_autofree char *words = words_of (verified);
  g_autofree char *quoted = g_shell_quote (command);

  return g_strdup_printf ("nbdkit -U - %scheckpoint %s %s --run %s", before,
                          words, after, quoted);
}

char *
verified_type_again (const Verified *verified)
{
  if (verified->is_export || !verified->since || !verified->base)
    return NULL;
  g_autofree char *base = error_shell_word (verified->base);
  g_autofree char *backup = error_shell_word (verified->backup);
  g_autofree char *format
    = error_shell_word (verified->base_format ? verified->base_format
                        : "qcow2");
  g_autofree char *command
    = g_strdup_printf ("qemu-img convert -f raw -O qcow2 -B %s -F %s \"$uri\" "
                       "%s", base, format, backup);
  g_autofree char *since = error_shell_word (verified->since);
  g_autofree char *after = g_strdup_printf ("checkpoint=%s", since);

  return in_nbdkit (verified, verified->several_parts
                    ? "--filter=bitmap-merge " : "", after, command);
}

/* A running guest's checkpoint is made with its backup; a stopped one's, before
 * it.
 */
char *
verified_type_full (const Verified *verified)
{
  static const char copy[] = "qemu-img convert -f raw -O qcow2 \"$uri\" FULL.qcow2";

  if (verified->is_export)
    return NULL;
  if (verified->runs)
    return in_nbdkit (verified, "", "create=NEW", copy);
  g_autofree char *whose = whose_text (verified->options);
  g_autofree char *full = in_nbdkit (verified, "", "on-missing=full", copy);
  return g_strdup_printf ("qemu-checkpoint create NEW %s && %s", whose, full);
}
