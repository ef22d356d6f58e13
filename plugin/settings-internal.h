/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The table of parameters, for settings.c and settings-check.c.
 */
#pragma once

#include "plugin/settings.h"

enum {
  ONCE = 0,
  REPEATS = 1 << 0,
  OF_JOBS = 1 << 1,             /* means nothing without libvirt= or qmp= */
  OF_LIBVIRT = 1 << 2,          /* means nothing without libvirt= */
  AS_TEXT = 1 << 3,             /* libvirt or QEMU is told of it */
  OF_FILES = 1 << 4             /* means nothing with uri= and qmp= */
};

/* key: for messages. */
typedef bool (*Setter) (void *member, const char *key, const char *value,
                        GError **error);

typedef struct {
  const char *key;
  Setter set;
  glong member;                 /* offset in Settings of where the value is
                                 * kept, of the type that set knows */
  guint flags;
} Parameter;

/* The last one has no key. */
extern const Parameter settings_parameters[];
