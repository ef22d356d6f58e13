/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Read file=[TARGET:]PATH.  nbdkit takes each word without "=" for one, so what
 * people forget to name comes here.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "plugin/file-setting.h"

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

bool
file_setting_add (void *member, const char *key, const char *value,
                  GError **error)
{
  GPtrArray *files = *(GPtrArray **) member;

  if (!check_meaning (files, value, error))
    return false;
  if (requested_file_add (files, value, error))
    return true;
  g_prefix_error (error, "%s=", key);
  return false;
}
