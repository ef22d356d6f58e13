/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/printable.h"
#include "tool/change.h"
#include "tool/editor.h"

/* For the handler of signals. */
static char *volatile file_path, *volatile folder_path;

static void
remove_both (void)
{
  if (file_path)
    unlink (file_path);
  if (folder_path)
    rmdir (folder_path);
}

static void
on_signal (int number)
{
  remove_both ();
  signal (number, SIG_DFL);
  raise (number);
}

static int
remove_entry (const char *path, const struct stat *status G_GNUC_UNUSED,
              int type G_GNUC_UNUSED, struct FTW *place G_GNUC_UNUSED)
{
  remove (path);
  return 0;
}

static const int ending[] = { SIGHUP, SIGTERM };

/* system () itself ignores SIGINT and SIGQUIT, which are the editor's then. */
static int
run (const char *path)
{
  const char *visual = g_getenv ("VISUAL"), *plain = g_getenv ("EDITOR");
  const char *editor = visual && *visual ? visual
    : plain && *plain ? plain : "vi";
  g_autofree char *word = error_shell_word (path);
  g_autofree char *command = g_strconcat (editor, " ", word, NULL);
  struct sigaction act = { .sa_handler = on_signal }, old[2];

  for (guint i = 0; i < G_N_ELEMENTS (ending); i++)
    sigaction (ending[i], &act, &old[i]);
  fflush (stdout);
  signal (SIGPIPE, SIG_DFL);
  const int status = system (command);
  signal (SIGPIPE, SIG_IGN);
  for (guint i = 0; i < G_N_ELEMENTS (ending); i++)
    sigaction (ending[i], &old[i], NULL);
  return status;
}

static char *
edit_file (const char *path, const char *text, gsize length,
           gsize *edited_length, GError **error)
{
  g_autoptr (GError) why = NULL;

  if (!g_file_set_contents_full (path, text, (gssize) length,
                                 G_FILE_SET_CONTENTS_NONE, 0600, &why))
    return error_null (error, EIO, "cannot write what is to be edited: %s",
                       why->message);
  if (run (path) != 0)
    return error_null (error, ECANCELED, "the editor failed, and nothing is "
                       "changed; to choose another, set VISUAL or EDITOR, or "
                       "give the description with --description=TEXT");
  return change_read (path, edited_length, error);
}

char *
editor_run (const char *name, const char *text, gsize length,
            gsize *edited_length, GError **error)
{
  g_autoptr (GError) why = NULL;
  g_autofree char *folder = g_dir_make_tmp ("qemu-checkpoint-XXXXXX", &why);

  if (!folder)
    return error_null (error, EIO, "cannot make a folder for what is to be "
                       "edited: %s", why->message);
  g_autofree char *path = g_build_filename (folder, name, NULL);
  folder_path = folder;
  file_path = path;
  char *edited = edit_file (path, text, length, edited_length, error);
  /* With what the editor has for itself there: copies, swap files. */
  nftw (folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
  folder_path = file_path = NULL;
  return edited;
}

bool
editor_ask_again (const char *why)
{
  char answer[8];
  g_autofree char *shown = g_strdup (why);

  if (!isatty (STDIN_FILENO) || !isatty (STDERR_FILENO))
    return false;
  printable_make (shown);
  fprintf (stderr, "qemu-checkpoint: %s\nTry again? [y,n]: ", shown);
  return fgets (answer, sizeof answer, stdin) && (*answer | 0x20) == 'y';
}
