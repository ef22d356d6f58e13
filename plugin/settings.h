/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The plugin's parameters.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

#include "plugin/view.h"
#include "source/request.h"

typedef struct {
  SourceRequest request;
  char *tree;                   /* absolute */
  const View *view;
  guint64 coalesce;             /* bytes */
  GHashTable *given;            /* parameter → text, of those given */
  GString *words;               /* all of them, as a shell takes them */
} Settings;

/* One line per parameter, for --help. */
extern const char settings_help[];

Settings *settings_new (void);
void settings_free (Settings *settings);

/* Take one key=value.  EINVAL for an unknown key, a bad value, or a second
 * value for a parameter that takes one.
 */
bool settings_set (Settings *settings, const char *key, const char *value,
                   GError **error);

/* False (EINVAL) unless they fit each other.  To be called once all are set. */
bool settings_check (const Settings *settings, GError **error);
