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

typedef struct {
  Remedy remedy;
  char *words[REMEDY_WORDS + 1];
  Reason reason;
  char *file;
} CheckpointErrorPrivate;

static void
checkpoint_error_private_init (CheckpointErrorPrivate *self)
{
  *self = (CheckpointErrorPrivate) { .remedy = REMEDY_NONE };
}

static void
checkpoint_error_private_copy (const CheckpointErrorPrivate *from,
                               CheckpointErrorPrivate *to)
{
  to->remedy = from->remedy;
  for (guint i = 0; i < REMEDY_WORDS; i++)
    to->words[i] = g_strdup (from->words[i]);
  to->reason = from->reason;
  to->file = g_strdup (from->file);
}

static void
checkpoint_error_private_clear (CheckpointErrorPrivate *self)
{
  for (guint i = 0; i < REMEDY_WORDS; i++)
    g_free (self->words[i]);
  g_free (self->file);
}

G_DEFINE_EXTENDED_ERROR (CheckpointError, checkpoint_error)

/* GLib makes what errors need with the first one.  That is safe in threads, too,
 * but ThreadSanitizer does not see into GLib.
 */
static void __attribute__ ((constructor))
make_first (void)
{
  g_autoptr (GError) first = NULL;

  error_set (&first, EIO, "none");
}

bool
error_set (GError **error, int errnum, const char *format, ...)
{
  const int saved_errno = errno;
  va_list args;

  if (!error)
    return false;
  va_start (args, format);
  g_autofree char *message = g_strdup_vprintf (format, args);
  va_end (args);
  printable_make (message);
  g_set_error_literal (error, CHECKPOINT_ERROR, errnum != 0 ? errnum : EIO,
                       message);
  errno = saved_errno;
  return false;
}

/* NULL: there is none, or it is another domain's. */
static CheckpointErrorPrivate *
private_of (const GError *error)
{
  return error && error->domain == CHECKPOINT_ERROR
    ? checkpoint_error_get_private (error) : NULL;
}

bool
error_advise (GError **error, Remedy remedy, ...)
{
  CheckpointErrorPrivate *self = error ? private_of (*error) : NULL;
  const char *word;
  va_list words;

  if (!self || self->remedy != REMEDY_NONE || remedy == REMEDY_NONE)
    return false;
  self->remedy = remedy;
  va_start (words, remedy);
  for (guint i = 0; (word = va_arg (words, const char *)); i++)
    if (i < REMEDY_WORDS)
      self->words[i] = g_strdup (word);
  va_end (words);
  return false;
}

bool
error_sort (GError **error, Reason reason, const char *file)
{
  CheckpointErrorPrivate *self = error ? private_of (*error) : NULL;

  if (!self || self->reason != REASON_NONE)
    return false;
  self->reason = reason;
  self->file = g_strdup (file);
  return false;
}

Reason
error_reason (const GError *error)
{
  const CheckpointErrorPrivate *self = private_of (error);

  return self ? self->reason : REASON_NONE;
}

const char *
error_file (const GError *error)
{
  const CheckpointErrorPrivate *self = private_of (error);

  return self ? self->file : NULL;
}

void
error_complete (GError *error, Remedy first, Remedy last, guint index,
                const char *word)
{
  CheckpointErrorPrivate *self = error ? private_of (error) : NULL;

  if (!self || self->remedy < first || self->remedy > last
      || index >= REMEDY_WORDS || self->words[index])
    return;
  self->words[index] = g_strdup (word);
}

bool
error_advise_as (GError **error, const GError *other)
{
  const char *const *words;
  const Remedy remedy = error_remedy (other, &words);

  error_sort (error, error_reason (other), error_file (other));
  return error_advise (error, remedy, words[0], words[1], words[2], NULL);
}

bool
error_set_both (GError **error, const GError *refusal, const GError *trouble)
{
  error_set (error, trouble->code, "%s; and then: %s", refusal->message,
             trouble->message);
  return error_advise_as (error, refusal);
}

Remedy
error_remedy (const GError *error, const char *const **words)
{
  static const char *const none[REMEDY_WORDS + 1];
  const CheckpointErrorPrivate *self = private_of (error);

  *words = self ? (const char *const *) self->words : none;
  return self ? self->remedy : REMEDY_NONE;
}

char *
error_line (const GError *error, const char *const *remedies)
{
  const char *const *words;
  const Remedy remedy = error_remedy (error, &words);
  g_autofree char *text = remedy_text (remedies, remedy, words);

  return g_strconcat (error->message, text ? "; " : NULL, text, NULL);
}

/* Can it be shown to a person, and put into JSON, as it is? */
static bool
can_be_shown (const char *word)
{
  g_autofree char *shown = g_strdup (word);

  printable_make (shown);
  return g_utf8_validate (word, -1, NULL) && strcmp (shown, word) == 0;
}

/* For any shell; but $() takes newlines from the end, where only some have a word
 * for them: others find no such name then.
 */
static char *
escape_word (const char *word)
{
  const bool ends_line = g_str_has_suffix (word, "\n");
  g_autoptr (GString) text = g_string_new (ends_line ? "$'" : "\"$(printf '");

  for (const char *p = word; *p; p++)
    if (g_ascii_isalnum (*p) || strchr ("/._+:@,= ", *p))
      g_string_append_c (text, *p);
    else
      g_string_append_printf (text, "\\%03o", (guchar) *p);
  g_string_append (text, ends_line ? "'" : "')\"");
  return g_string_free (g_steal_pointer (&text), FALSE);
}

char *
error_shell_word (const char *word)
{
  if (!can_be_shown (word))
    return escape_word (word);
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
