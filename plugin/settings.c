/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * One row per parameter: its name, how it is read, and where it is kept.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "disk.h"
#include "error.h"
#include "settings.h"

const char settings_help[] =
  "[file=][TARGET:]PATH  A stopped guest's qcow2 disk (repeat for more).\n"
  "uri=NBD-URI           A running QEMU's NBD export (instead of file=).\n"
  "checkpoint=NAME       Serve what changed since this checkpoint.\n"
  "disk=TARGET           The disk that the empty export name means.\n"
  "tree=DIR|FILE         libvirt's checkpoint documents.\n"
  "domain=NAME|UUID      The guest whose documents in tree= to use.\n"
  "bitmap=NAME           With uri=: the bitmap to use.\n"
  "view=overlay|sparse|guard\n"
  "                      How blocks look to clients (default overlay).\n"
  "coalesce=SIZE         Join dirty runs over clean gaps up to SIZE\n"
  "                      (default 0).";

typedef bool (*Setter) (Settings *settings, const char *value, char **member,
                        GError **error);

static bool
set_file (Settings *settings, const char *value, char **member,
          GError **error)
{
  const char *colon = strchr (value, ':');
  const char *path = value;
  g_autofree char *target = NULL;

  (void) member;
  if (colon) {
    target = g_strndup (value, (gsize) (colon - value));
    if (disk_target_is_valid (target))
      path = colon + 1;
    else
      g_clear_pointer (&target, g_free);
  }
  if (target && access (path, F_OK) < 0 && access (value, F_OK) == 0)
    return error_set (error, EINVAL, "file=%s means disk %s in %s, which "
                      "does not exist; for the file %s write file=./%s",
                      value, target, path, value, value);
  char *absolute = path[0] ? nbdkit_absolute_path (path) : NULL;
  if (!absolute)
    return error_set (error, EINVAL, "file=%s names no file; write "
                      "file=TARGET:PATH", value);
  FileSetting *file = g_new0 (FileSetting, 1);
  file->target = g_steal_pointer (&target);
  file->path = g_strdup (absolute);
  free (absolute);
  g_ptr_array_add (settings->files, file);
  return true;
}

static bool
set_text (Settings *settings, const char *value, char **member,
          GError **error)
{
  (void) settings;
  (void) error;
  *member = g_strdup (value);
  return true;
}

static bool
set_path (Settings *settings, const char *value, char **member,
          GError **error)
{
  char *absolute = nbdkit_absolute_path (value);

  (void) settings;
  if (!absolute)
    return error_set (error, EINVAL, "cannot make %s an absolute path",
                      value);
  *member = g_strdup (absolute);
  free (absolute);
  return true;
}

static bool
set_target (Settings *settings, const char *value, char **member,
            GError **error)
{
  if (!disk_target_is_valid (value))
    return error_set (error, EINVAL, "disk=%s is not the name of a disk such "
                      "as vda", value);
  return set_text (settings, value, member, error);
}

static bool
set_view (Settings *settings, const char *value, char **member,
          GError **error)
{
  (void) member;
  settings->view = view_lookup (value);
  if (!settings->view)
    return error_set (error, EINVAL, "there is no view=%s; views are: %s",
                      value, view_names ());
  return true;
}

/* As nbdkit_parse_size, which would log a line of its own that does not
 * name the parameter.
 */
static bool
parse_size (const char *text, guint64 *size)
{
  static const char suffixes[] = "BKMGTPE";
  char *end;

  if (!g_ascii_isdigit (text[0]))
    return false;
  errno = 0;
  const guint64 number = g_ascii_strtoull (text, &end, 10);
  const char *suffix = *end ? strchr (suffixes, g_ascii_toupper (*end))
    : suffixes;
  if (errno || !suffix || (*end && end[1]))
    return false;
  const guint shift = 10 * (guint) (suffix - suffixes);
  if (number > (guint64) G_MAXINT64 >> shift)
    return false;
  *size = number << shift;
  return true;
}

static bool
set_coalesce (Settings *settings, const char *value, char **member,
              GError **error)
{
  (void) member;
  if (!parse_size (value, &settings->coalesce))
    return error_set (error, EINVAL, "coalesce=%s is not a size such as 64k",
                      value);
  return true;
}

static bool
refuse_libvirt (Settings *settings, const char *value, char **member,
                GError **error)
{
  (void) settings;
  (void) value;
  (void) member;
  return error_set (error, ENOTSUP, "this build has no libvirt= source; for "
                    "a running guest use virsh backup-begin and uri=, for a "
                    "stopped one file=");
}

#define NO_MEMBER (-1)

static const struct {
  const char *key;
  Setter set;
  glong member;                 /* where in Settings a text is kept */
  bool repeats;
} parameters[] = {
  { "file",       set_file,       NO_MEMBER, true },
  { "uri",        set_text,       G_STRUCT_OFFSET (Settings, uri), false },
  { "libvirt",    refuse_libvirt, NO_MEMBER, false },
  { "tree",       set_path,       G_STRUCT_OFFSET (Settings, tree), false },
  { "domain",     set_text,       G_STRUCT_OFFSET (Settings, domain), false },
  { "checkpoint", set_text,       G_STRUCT_OFFSET (Settings, checkpoint),
    false },
  { "disk",       set_target,     G_STRUCT_OFFSET (Settings, disk), false },
  { "bitmap",     set_text,       G_STRUCT_OFFSET (Settings, bitmap), false },
  { "view",       set_view,       NO_MEMBER, false },
  { "coalesce",   set_coalesce,   NO_MEMBER, false },
};

bool
settings_set (Settings *settings, const char *key, const char *value,
              GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (parameters); i++) {
    char **member = NULL;

    if (strcmp (parameters[i].key, key) != 0)
      continue;
    if (value[0] == '\0')
      return error_set (error, EINVAL, "%s= has no value", key);
    const char *before = g_hash_table_lookup (settings->given, key);
    if (before && !parameters[i].repeats)
      return error_set (error, EINVAL, "%s= is given twice: %s and %s", key,
                        before, value);
    g_hash_table_replace (settings->given, g_strdup (key), g_strdup (value));
    if (parameters[i].member != NO_MEMBER)
      member = G_STRUCT_MEMBER_P (settings, parameters[i].member);
    return parameters[i].set (settings, value, member, error);
  }
  return error_set (error, EINVAL, "unknown parameter %s=; nbdkit checkpoint "
                    "--help lists them all", key);
}

static void
file_setting_free (FileSetting *file)
{
  g_free (file->target);
  g_free (file->path);
  g_free (file);
}

Settings *
settings_new (void)
{
  Settings *settings = g_new0 (Settings, 1);

  settings->files
    = g_ptr_array_new_with_free_func ((GDestroyNotify) file_setting_free);
  settings->view = view_lookup (NULL);
  settings->given
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return settings;
}

void
settings_free (Settings *settings)
{
  if (!settings)
    return;
  g_ptr_array_unref (settings->files);
  g_hash_table_unref (settings->given);
  g_free (settings->uri);
  g_free (settings->tree);
  g_free (settings->domain);
  g_free (settings->checkpoint);
  g_free (settings->disk);
  g_free (settings->bitmap);
  g_free (settings);
}
