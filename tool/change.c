/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "tool/change.h"
#include "tool/say.h"
#include "tool/subject.h"

Record *
change_open (const Options *options, GError **error)
{
  if (options->request.libvirt && options->tree)
    return error_null (error, EINVAL, "--tree goes with --file or --qmp, or "
                       "alone; with --libvirt the tree is libvirt's");
  return subject_check_words (options, error)
    ? record_open (&options->request, options->tree, &tool_reporter, error)
    : NULL;
}

/* The targets of the disks that have a bitmap of that name. */
static GPtrArray *
with_bitmap (const Record *record, const char *name)
{
  GPtrArray *targets = g_ptr_array_new ();

  for (guint i = 0; record->disks && i < record->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (record->disks, i);
    g_autoptr (GPtrArray) names = disk_bitmap_names (disk);
    if (g_ptr_array_find_with_equal_func (names, name, g_str_equal, NULL))
      g_ptr_array_add (targets, disk->target);
  }
  return targets;
}

const Checkpoint *
change_checkpoint (const Record *record, const Options *options,
                   const char *name, GError **error)
{
  const Checkpoint *found = forest_lookup (record->forest, name);
  g_autoptr (GPtrArray) targets
    = found || !options->tree ? NULL : with_bitmap (record, name);

  if (targets && targets->len > 0)
    parts_forgotten (name, targets, NULL, error);
  else if (!found)
    parts_unknown_checkpoint (record->forest, name, error);
  return found;
}

static bool
read_all (int fd, char *buffer, gsize most, gsize *length)
{
  for (*length = 0; *length < most; ) {
    const ssize_t n = read (fd, buffer + *length, most - *length);
    if (n == 0)
      break;
    if (n == -1 && errno != EINTR)
      return false;
    if (n > 0)
      *length += n;
  }
  return true;
}

char *
change_read (const char *path, gsize *length, GError **error)
{
  const bool is_stdin = strcmp (path, "-") == 0;
  g_autofree char *buffer = g_malloc (CHECKPOINT_MAX_BYTES + 2);
  auto_fd opened = is_stdin ? -1 : open (path, O_RDONLY | O_CLOEXEC);

  if (!is_stdin && opened == -1)
    return error_null (error, errno, "cannot open %s: %s", path,
                       g_strerror (errno));
  if (!read_all (is_stdin ? STDIN_FILENO : opened, buffer,
                 CHECKPOINT_MAX_BYTES + 1, length))
    return error_null (error, errno, "cannot read %s: %s", path,
                       g_strerror (errno));
  if (*length > CHECKPOINT_MAX_BYTES)
    return error_null (error, EFBIG, "%s is larger than the %d bytes libvirt "
                       "takes; is it a checkpoint?", path,
                       CHECKPOINT_MAX_BYTES);
  buffer[*length] = '\0';
  /* There may be thousands, all of them small. */
  return g_realloc (g_steal_pointer (&buffer), *length + 1);
}
