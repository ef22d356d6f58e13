/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The one GError domain of this project.  Its code is always an errno value,
 * so that a plugin callback can hand it to nbdkit_set_error () unchanged; its
 * message is one line that says what is wrong, and where.  What to type against
 * it, if that depends on the front end, is a Remedy (remedy.h).
 */

#pragma once

#include <stdbool.h>

#include <glib.h>

#include "base/reason.h"
#include "base/remedy.h"

#define CHECKPOINT_ERROR (checkpoint_error_quark ())

/* The domain's quark.  Any thread; cannot fail. */
GQuark checkpoint_error_quark (void);

/* As g_set_error (), of domain CHECKPOINT_ERROR.
 *
 * errnum: an errno value; 0 becomes EIO, as those who pass the code on would
 *   take it for success.
 * format: one line without a final newline, which is made printable
 *   (printable.h).
 *
 * Always returns false, for "return error_set (...)".  errno stays.  Any
 * thread. */
bool error_set (GError **error, int errnum, const char *format, ...)
  G_GNUC_PRINTF (3, 4);

/* The same, always NULL: for functions that return a pointer. */
#define error_null(...) (error_set (__VA_ARGS__), NULL)

/* Say what can be done about *error: a remedy, and up to REMEDY_WORDS words that
 * its text has places for, not quoted, then NULL.  An error that has a remedy
 * keeps it; without an error, nothing is done.  Always returns false, for
 * "return error_set (...) || error_advise (...)".  Any thread.
 */
bool error_advise (GError **error, Remedy remedy, ...) G_GNUC_NULL_TERMINATED;

/* The same, always NULL. */
#define error_advise_null(...) (error_advise (__VA_ARGS__), NULL)

/* Say what kind of trouble *error is, and in which file (NULL: in none).  An error
 * that has a reason keeps it; else as error_advise.
 */
bool error_sort (GError **error, Reason reason, const char *file);

Reason error_reason (const GError *error);

/* The file of error_sort; borrowed. */
const char *error_file (const GError *error);

/* A word that only the front end has, for a place that the remedies first and last,
 * and those between, leave to it; nothing if the error has none of these.  Any
 * thread. */
void error_complete (GError *error, Remedy first, Remedy last, guint index,
                     const char *word);

/* Its remedy and its reason go over to *error, as error_advise. */
bool error_advise_as (GError **error, const GError *other);

/* What was tried was refused, and then it could not all be undone: tell both, with
 * what goes with the refusal.  Returns false.
 */
bool error_set_both (GError **error, const GError *refusal,
                     const GError *trouble);

/* For who hands an error to another process: its remedy, and the words of it
 * (borrowed; NULL-terminated, as many as were given).
 */
Remedy error_remedy (const GError *error, const char *const **words);

/* The line for the user: the message, and what the front end has to say of the
 * remedy.  Returns a new string; g_free ().
 */
char *error_line (const GError *error, const char *const *remedies);

/* Parts of messages, each a new string; g_free (). */

/* A word as a shell takes it, quoted if need be. */
char *error_shell_word (const char *word);

/* Who we are: "root", "user backup", or "user 1234" where the system knows no
 * name. */
char *error_user (void);

/* What to type: "virsh -c URI COMMAND GUEST NAME".  Quotes all but the command.
 * NULL is left out: uri (not known, and left to virsh), guest, name. */
char *error_virsh (const char *uri, const char *command, const char *guest,
                   const char *name);

/* What to type to change images, never without saying when that is harmless: a
 * guest may have them open where no lock shows it (NFS without locks, another
 * host, file.locking=off), and its image would be destroyed.  command, which is
 * quoted already, comes last. */
char *error_change_images (const char *command);
