/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What programs left that were killed.
 */
#include <config.h>

#include <string.h>
#include <unistd.h>

#include "base/own-folder.h"
#include "image/image-file.h"
#include "record/check-internal.h"

/* Sockets' folders are there, unless told otherwise. */
#define SOCKET_DIR "/run"
/* How a document is called that is being written. */
#define BEING_WRITTEN ".xml.new"

static Finding *
finding_of (FindingKind kind, const char *path, const char *command)
{
  Finding *finding = finding_new (kind);
  g_autofree char *word = error_shell_word (path);

  finding->file = g_strdup (path);
  finding->command = g_strdup_printf ("%s %s", command, word);
  return finding;
}

/* ── Documents ── */

/* lines: of tree_load's; each begins with the file's name. */
static const char *
why_skipped (const GPtrArray *lines, const char *path)
{
  g_autofree char *begin = g_strconcat (path, ": ", NULL);

  for (guint i = 0; i < lines->len; i++) {
    const char *line = g_ptr_array_index (lines, i);
    if (g_str_has_prefix (line, begin))
      return line + strlen (begin);
  }
  return NULL;
}

static void
look_at_document (Check *check, const char *path, const GPtrArray *skipped)
{
  const bool is_left = g_str_has_suffix (path, BEING_WRITTEN);
  const char *why = why_skipped (skipped, path);

  if (!why && !is_left)
    return;
  Finding *finding = finding_of (is_left ? FINDING_LEFT_DOCUMENT
                                 : FINDING_DOCUMENT, path, "rm --");
  finding->is_safe = is_left;
  finding->why = g_strdup_printf ("%s %s", path, is_left
                                  ? "is what was being written" : why);
  check_add (check, finding);
}

void
check_documents (Check *check, const GPtrArray *skipped)
{
  const char *tree = check->asked->tree, *domain = check->asked->request->domain;
  g_autofree char *inner
    = domain ? g_build_filename (tree, domain, NULL) : NULL;
  const char *path
    = inner && g_file_test (inner, G_FILE_TEST_IS_DIR) ? inner : tree;
  g_autoptr (GDir) folder = g_dir_open (path, 0, NULL);
  const char *name;

  while (folder && (name = g_dir_read_name (folder))) {
    g_autofree char *file = g_build_filename (path, name, NULL);
    look_at_document (check, file, skipped);
  }
}

/* ── Backups ── */

/* "MARK.TARGET.scratch". */
static bool
is_scratch (const char *name)
{
  g_autofree char *mark = g_strndup (name, strcspn (name, "."));

  return own_folder_is_name (mark) && g_str_has_suffix (name, ".scratch");
}

/* QEMU locks what it writes to. */
static bool
is_unused (const char *path)
{
  g_autoptr (ImageFile) file = image_file_open (path, NULL);

  return file && file->locked;
}

static void
look_for_scratch (Check *check, const Disk *disk)
{
  g_autofree char *path = g_path_get_dirname (disk_layer (disk, 0)->path);
  g_autoptr (GDir) folder
    = *path == '/' ? g_dir_open (path, 0, NULL) : NULL;
  const char *name;

  while (folder && (name = g_dir_read_name (folder))) {
    g_autofree char *file
      = is_scratch (name) ? g_build_filename (path, name, NULL) : NULL;
    if (!file || !is_unused (file))
      continue;
    Finding *finding = finding_of (FINDING_LEFT_SCRATCH, file, "rm --");
    finding->why = g_strdup_printf ("%s is a scratch file of a backup's, and "
                                    "no QEMU has it", file);
    finding->is_safe = true;
    check_add (check, finding);
  }
}

static void
add_folder (const char *path, void *opaque)
{
  Finding *finding = finding_of (FINDING_LEFT_FOLDER, path, "rm -r --");

  finding->why = g_strdup_printf ("%s was a backup's, which does not run any "
                                  "more", path);
  finding->is_safe = true;
  check_add (opaque, finding);
}

void
check_left (Check *check)
{
  const char *socket_dir = check->asked->request->socket_dir;

  for (guint i = 0; i < check->source->disks->len; i++)
    look_for_scratch (check, g_ptr_array_index (check->source->disks, i));
  if (check->asked->request->libvirt)
    own_folder_visit_dead (socket_dir ? socket_dir : SOCKET_DIR, geteuid (),
                           add_folder, check);
}
