/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Changes one element of a checkpoint's document, and not a byte of the rest: a
 * guest's definition in it may have more than anybody here understands.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

/* The document with another parent, or (NULL) none.  Returns a new string, of
 * *amended_length bytes; g_free ().  NULL with an error as checkpoint_parse.
 */
char *amend_parent (const char *text, gsize length, const char *parent,
                    gsize *amended_length, GError **error);

/* The same for the description. */
char *amend_description (const char *text, gsize length,
                         const char *description, gsize *amended_length,
                         GError **error);

/* Do both say the same but for the description?  White space between elements
 * does not count.  Both are documents of checkpoints.
 */
bool amend_same_rest (const char *text, gsize length, const char *other,
                      gsize other_length);
