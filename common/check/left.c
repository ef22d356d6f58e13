/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What programs left that were killed.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/own-folder.h"
#include "image/image-file.h"
#include "check/internal.h"
#include "tree/load.h"

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

/* Another guest's is no concern of ours. */
static bool
is_of_another (const Check *check, const char *path)
{
  const char *domain = check->asked->request->domain;
  g_autoptr (GPtrArray) skipped = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (Forest) alone
    = domain ? tree_load (path, NULL, skipped, NULL) : NULL;

  return alone
    && !tree_is_of_guest (g_ptr_array_index (forest_all (alone), 0), domain);
}

/* Is it whole, and the only document of its checkpoint? */
static bool
is_loaded (const Check *check, const char *path)
{
  const GPtrArray *all = forest_all (check->loaded);
  bool is = false;

  for (guint i = 0; i < all->len && !is; i++)
    is = g_strcmp0 (((const Checkpoint *) g_ptr_array_index (all, i))->file,
                    path) == 0;
  return is;
}

static void
look_at_left (Check *check, const char *path)
{
  const bool is_whole = is_loaded (check, path);

  if (is_of_another (check, path))
    return;
  Finding *finding = finding_of (FINDING_LEFT_DOCUMENT, path,
                                 is_whole ? "mv --" : "rm --");

  if (is_whole) {
    g_autofree char *name
      = g_strndup (path, strlen (path) - strlen (BEING_WRITTEN));
    g_autofree char *file = g_strconcat (name, ".xml", NULL);
    g_autofree char *word = error_shell_word (file);
    g_autofree char *move = finding->command;
    /* Ours are called as what they replace, and that is of the same checkpoint. */
    finding->command = g_file_test (file, G_FILE_TEST_EXISTS) ? NULL
      : g_strdup_printf ("%s %s", move, word);
  }
  finding->why = g_strdup_printf ("%s was being written, and %s", path,
                                  is_whole ? "is not in its place"
                                  : "is not needed");
  finding->is_safe = finding->command;
  check_add (check, finding);
}

/* What another user could read is no document to remove, and its checkpoint is
 * not forgotten.
 */
static bool
can_be_read (const char *path, GError **error)
{
  auto_fd fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  char byte;

  if (fd >= 0 && read (fd, &byte, 1) >= 0)
    return true;
  const int why = errno;
  /* A link to nothing, a socket: there is nothing in it for anybody. */
  if (why == ENOENT || why == ELOOP || why == ENXIO)
    return true;
  g_autofree char *user = error_user ();
  return error_set (error, why, "cannot read %s: %s; may %s read it?", path,
                    g_strerror (why), user);
}

static bool
look_at_document (Check *check, const char *path, const GPtrArray *skipped,
                  GError **error)
{
  const char *why = why_skipped (skipped, path);

  if (!why)
    return true;
  if (!can_be_read (path, error))
    return false;
  if (is_of_another (check, path))
    return true;
  Finding *finding = finding_of (FINDING_DOCUMENT, path, "rm --");
  finding->why = g_strdup_printf ("%s: %s", path, why);
  check_add (check, finding);
  return true;
}

/* Who writes there holds a lock on the folder. */
static bool
is_at_rest (const char *path)
{
  auto_fd fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  return fd >= 0 && flock (fd, LOCK_SH | LOCK_NB) == 0;
}

bool
check_documents (Check *check, const GPtrArray *skipped, GError **error)
{
  const char *tree = check->asked->tree;
  const char *domain = check->asked->request->domain;
  g_autofree char *inner
    = domain ? g_build_filename (tree, domain, NULL) : NULL;
  const char *path
    = inner && g_file_test (inner, G_FILE_TEST_IS_DIR) ? inner : tree;
  g_autoptr (GDir) folder = g_dir_open (path, 0, NULL);
  const bool at_rest = folder && is_at_rest (path);
  const char *name;

  while (folder && (name = g_dir_read_name (folder))) {
    g_autofree char *file = g_build_filename (path, name, NULL);
    if (!g_str_has_suffix (name, BEING_WRITTEN)
        || !g_file_test (file, G_FILE_TEST_IS_REGULAR)) {
      if (!look_at_document (check, file, skipped, error))
        return false;
    }
    else if (at_rest)
      look_at_left (check, file);
  }
  return true;
}

/* ── Backups ── */

/* "MARK.TARGET.scratch". */
static bool
is_scratch (const char *name)
{
  g_autofree char *mark = g_strndup (name, strcspn (name, "."));

  return own_folder_is_name (mark) && g_str_has_suffix (name, ".scratch");
}

/* QEMU locks what it writes to, but not everywhere (NFS), so none is removed
 * unasked.
 */
static bool
is_unused (const char *path)
{
  g_autoptr (ImageFile) file = image_file_open (path, NULL);

  return file && file->locked;
}

void
check_scratch (Check *check, const char *disk)
{
  g_autofree char *path = g_path_get_dirname (disk);
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
check_folders (Check *check)
{
  own_folder_visit_dead (own_folder_place (), geteuid (), add_folder, check);
}
