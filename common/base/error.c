/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See error.h.
 */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/printable.h"

G_DEFINE_QUARK (nbdkit-checkpoint-error, checkpoint_error)

bool
error_set (GError **error, int errnum, const char *format, ...)
{
  const int saved_errno = errno;
  g_autofree char *message = NULL;
  va_list args;

  if (!error)
    return false;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  printable_make (message);
  g_set_error_literal (error, CHECKPOINT_ERROR, errnum != 0 ? errnum : EIO,
                       message);
  errno = saved_errno;
  return false;
}

char *
error_shell_word (const char *word)
{
  for (const char *p = word; *p; p++)
    if (!g_ascii_isalnum (*p) && !strchr ("/._-+:@%,=", *p))
      return g_shell_quote (word);
  return g_strdup (word[0] ? word : "''");
}

static void
add_word (GString *text, const char *before, const char *word)
{
  g_autofree char *quoted = word ? error_shell_word (word) : NULL;

  if (quoted)
    g_string_append_printf (text, " %s%s", before, quoted);
}

char *
error_user (void)
{
  const uid_t user = geteuid ();
  char buffer[4096];
  struct passwd entry, *found = NULL;

  if (user == 0)
    return g_strdup ("root");
  if (getpwuid_r (user, &entry, buffer, sizeof buffer, &found) == 0 && found)
    return g_strdup_printf ("user %s", entry.pw_name);
  return g_strdup_printf ("user %u", (unsigned) user);
}

char *
error_virsh (const char *uri, const char *command, const char *guest,
             const char *name)
{
  GString *text = g_string_new ("virsh");

  add_word (text, "-c ", uri);
  g_string_append_printf (text, " %s", command);
  /* Such a name would be an option. */
  if ((guest && guest[0] == '-') || (name && name[0] == '-'))
    g_string_append (text, " --");
  add_word (text, "", guest);
  add_word (text, "", name);
  return g_string_free (text, FALSE);
}

char *
error_change_images (const char *command)
{
  return g_strdup_printf ("if no guest on any host has it open (under a running "
                          "one this destroys the image), type: %s", command);
}
