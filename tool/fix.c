/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool/fix.h"

/* qemu-img check reads all tables of an image. */
#define COMMAND_LIMIT_S 600
#define LOOK_MS 20

/* Only what is typed after the question counts: y, or yes. */
static bool
is_granted_now (const char *command)
{
  char line[16];

  fprintf (stderr, "    %s\nType this [y/N]? ", command);
  fflush (stderr);
  return fgets (line, sizeof line, stdin)
    && (strcasecmp (line, "y\n") == 0 || strcasecmp (line, "yes\n") == 0);
}

/* The commands' qemu-checkpoint is this one, wherever it lies. */
static void
find_ourselves (void)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = program ? g_path_get_dirname (program) : NULL;
  const char *path = g_getenv ("PATH");
  g_autofree char *with_us
    = g_strconcat (folder ? folder : "", ":", path ? path : "/usr/bin:/bin",
                   NULL);

  if (folder)
    g_setenv ("PATH", with_us, true);
}

/* In the child.  What it prints is not ours, so it is no answer of ours. */
static void
run_shell (const char *command)
{
  const int nothing = open ("/dev/null", O_RDONLY);

  setpgid (0, 0);
  signal (SIGPIPE, SIG_DFL);
  if (nothing >= 0)
    dup2 (nothing, STDIN_FILENO);
  dup2 (STDERR_FILENO, STDOUT_FILENO);
  find_ourselves ();
  execl ("/bin/sh", "sh", "-c", command, NULL);
  _exit (127);
}

static bool
type_it (const char *command)
{
  const gint64 deadline
    = g_get_monotonic_time () + COMMAND_LIMIT_S * G_TIME_SPAN_SECOND;
  int status = 0;
  pid_t ended;

  fprintf (stderr, "qemu-checkpoint: typing: %s\n", command);
  fflush (NULL);
  const pid_t pid = fork ();
  if (pid == 0)
    run_shell (command);
  if (pid < 0)
    return false;
  while ((ended = waitpid (pid, &status, WNOHANG)) == 0
         && g_get_monotonic_time () < deadline)
    g_usleep (LOOK_MS * 1000);
  if (ended == 0) {
    kill (-pid, SIGKILL);
    waitpid (pid, &status, 0);
    fprintf (stderr, "qemu-checkpoint: it did not end within %d s, and was "
             "killed\n", COMMAND_LIMIT_S);
    return false;
  }
  const bool ok = WIFEXITED (status) && WEXITSTATUS (status) == 0;
  if (!ok)
    fprintf (stderr, "qemu-checkpoint: it failed\n");
  return ok;
}

guint
fix_all (const CheckResult *result, GHashTable *typed, bool is_granted)
{
  guint count = 0;

  for (guint i = 0; i < result->findings->len; i++) {
    const Finding *finding = g_ptr_array_index (result->findings, i);
    if (!finding->command || !finding->is_safe
        || !g_hash_table_add (typed, g_strdup (finding->command)))
      continue;
    g_autofree char *sentence = finding_sentence (finding);
    fprintf (stderr, "qemu-checkpoint: %s: %s\n",
             finding_words[finding->kind].code, sentence);
    if (!is_granted && !is_granted_now (finding->command))
      continue;
    type_it (finding->command);
    count++;
  }
  return count;
}
