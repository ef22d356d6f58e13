/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Read file=[TARGET:]PATH.  nbdkit takes each word without "=" for one, so what
 * people forget to name comes here.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/error.h"
#include "plugin/file-setting.h"
#include "tree/checkpoint.h"

/* False if value is rather another parameter's. */
static bool
check_meaning (const GPtrArray *files, const char *value, GError **error)
{
  g_autofree char *word = error_shell_word (value);

  if (g_regex_match_simple ("^nbds?([+](unix|vsock|ssh))?://", value,
                            G_REGEX_RAW, G_REGEX_MATCH_DEFAULT))
    return error_set (error, EINVAL, "%s is the address of a server, not a "
                      "file; write uri=%s", value, word);
  if (g_str_has_prefix (value, "qemu://") || g_str_has_prefix (value, "qemu+"))
    return error_set (error, EINVAL, "%s is the address of a libvirt, not a "
                      "file; write libvirt=%s", value, word);
  if (files->len > 0 && !strpbrk (value, "/:.") && access (value, F_OK) < 0)
    return error_set (error, EINVAL, "there is no file %s; if it is a "
                      "checkpoint, write checkpoint=%s", value, word);
  return true;
}

static bool
is_new (const GPtrArray *files, const char *path, GError **error)
{
  struct stat ours, theirs;

  for (guint i = 0; i < files->len; i++) {
    const RequestedFile *other = g_ptr_array_index (files, i);
    if (stat (path, &ours) == 0 && stat (other->path, &theirs) == 0
        && ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino)
      return error_set (error, EINVAL, "file=%s is given twice (%s is the same "
                        "file), and a disk is served once; remove one",
                        path, other->path);
  }
  return true;
}

const char *
split_target (const char *value, char **target)
{
  const char *colon = strchr (value, ':');

  if (!colon)
    return value;
  *target = g_strndup (value, (gsize) (colon - value));
  if (disk_target_is_valid (*target))
    return colon + 1;
  g_clear_pointer (target, g_free);
  return value;
}

bool
file_setting_add (void *member, const char *key G_GNUC_UNUSED,
                  const char *value, GError **error)
{
  GPtrArray *files = *(GPtrArray **) member;
  g_autofree char *target = NULL;
  const char *path = split_target (value, &target);

  if (!check_meaning (files, value, error))
    return false;
  g_autofree char *word = error_shell_word (value);
  if (target && access (path, F_OK) < 0 && access (value, F_OK) == 0)
    return error_set (error, EINVAL, "file=%s means disk %s in %s, which "
                      "does not exist; for the file %s write file=./%s",
                      value, target, path, value, word);
  /* From malloc (3), which g_free () takes, too. */
  g_autofree char *absolute = path[0] ? nbdkit_absolute_path (path) : NULL;
  if (!absolute)
    return error_set (error, EINVAL, "file=%s names no file; write "
                      "file=TARGET:PATH", value);
  if (!is_new (files, absolute, error))
    return false;
  RequestedFile *file = g_new0 (RequestedFile, 1);
  file->target = g_steal_pointer (&target);
  file->path = g_steal_pointer (&absolute);
  g_ptr_array_add (files, file);
  return true;
}
