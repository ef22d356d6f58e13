/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <string.h>

#include <glib.h>

#include "tool/virsh.h"

typedef struct {
  const char *theirs, *ours;
} Words;

/* Without "checkpoint-". */
static const Words commands[] = {
  { "create-as", "create NAME" },
  { "create", "create --xml=FILE, or redefine FILE" },
  { "delete", "delete NAME" },
  { "dumpxml", "show NAME" },
  { "edit", "edit NAME" },
  { "info", "info NAME" },
  { "list", "list" },
  { "parent", "parent NAME" },
  { "current", "current" },
  { NULL, NULL }
};

static const Words options[] = {
  { "--checkpointname", "NAME, without an option" },
  { "--name", "NAME, without an option" },
  { "--connect", "--libvirt=URI" },
  { "-c", "--libvirt=URI" },
  { "--diskspec", "--disk=TARGET" },
  { "--redefine", "the command redefine FILE" },
  { "--redefine-validate", "the command redefine FILE, with --validate" },
  { "--xmlfile", "--xml=FILE" },
  { NULL, NULL }
};

static const char *
look_up (const Words *words, const char *name)
{
  for (; words->theirs; words++)
    if (strcmp (words->theirs, name) == 0)
      return words->ours;
  return NULL;
}

const char *
virsh_command (const char *name)
{
  static const char prefix[] = "checkpoint-";

  return look_up (commands, g_str_has_prefix (name, prefix)
                  ? name + strlen (prefix) : name);
}

const char *
virsh_option (const char *name)
{
  return look_up (options, name);
}
