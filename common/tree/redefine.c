/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Write virsh commands that tell libvirt of a checkpoint.
 */
#include <config.h>

#include "base/error.h"
#include "tree/redefine.h"

#define REDEFINE "checkpoint-create --redefine"

/* "printf … | virsh checkpoint-create": words of the shell in target stay. */
static char *
redefine (const char *uri, const char *guest, const char *checkpoint,
          const char *disks, const char *create)
{
  g_autofree char *text
    = g_markup_printf_escaped ("<domaincheckpoint><name>%s</name>"
                               "<creationTime>1</creationTime><disks>",
                               checkpoint);
  g_autofree char *word = error_shell_word (text);
  g_autofree char *virsh = error_virsh (uri, create, guest, "/dev/stdin");

  return g_strdup_printf ("printf %%s %s%s'</disks></domaincheckpoint>' | %s",
                          word, disks, virsh);
}

char *
redefine_document (const char *checkpoint, const char *parent,
                   const GPtrArray *targets)
{
  g_autofree char *above = parent
    ? g_markup_printf_escaped ("<parent><name>%s</name></parent>", parent)
    : NULL;
  g_autofree char *name
    = g_markup_printf_escaped ("<name>%s</name>", checkpoint);
  GString *text = g_string_new ("<domaincheckpoint>");

  g_string_append_printf (text, "%s%s<creationTime>1</creationTime><disks>",
                          name, above ? above : "");
  for (guint i = 0; i < targets->len; i++) {
    g_autofree char *disk
      = g_markup_printf_escaped ("<disk name=\"%s\" checkpoint=\"bitmap\" "
                                 "bitmap=\"%s\"/>",
                                 (char *) g_ptr_array_index (targets, i),
                                 checkpoint);
    g_string_append (text, disk);
  }
  return g_string_free (g_string_append (text, "</disks></domaincheckpoint>"),
                        FALSE);
}

char *
redefine_command (const char *uri, const char *guest, const char *checkpoint,
                  const GPtrArray *targets, bool validate)
{
  g_autoptr (GString) disks = g_string_new ("'");

  for (guint i = 0; i < targets->len; i++)
    g_string_append_printf (disks, "<disk name=\"%s\" checkpoint=\"bitmap\"/>",
                            (char *) g_ptr_array_index (targets, i));
  g_string_append_c (disks, '\'');
  return redefine (uri, guest, checkpoint, disks->str,
                   validate ? REDEFINE " --redefine-validate" : REDEFINE);
}
