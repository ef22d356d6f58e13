/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * qemu-checkpoint: libvirt's calls on checkpoints for everybody, with libvirt
 * or without it.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/nearest.h"
#include "tool/command.h"
#include "tool/quit.h"
#include "tool/say.h"
#include "tool/virsh.h"
#include "tool/whose.h"

const Command all_commands[] = {
  { "list", NULL, "List checkpoints",
    OPTIONS_ALL | OPTIONS_SOURCE | OPTIONS_LIST, command_list },
  { "show", "NAME", "Print a checkpoint's document",
    OPTIONS_ALL | OPTIONS_SOURCE | OPTIONS_SHOW, command_show },
  { "info", "NAME", "Tell of a checkpoint",
    OPTIONS_ALL | OPTIONS_SOURCE, command_info },
  { "parent", "NAME", "Name a checkpoint's parent",
    OPTIONS_ALL | OPTIONS_SOURCE, command_parent },
  { "current", NULL, "Name the current checkpoint",
    OPTIONS_ALL | OPTIONS_SOURCE, command_current },
  { "create", "[NAME]", "Make a checkpoint",
    OPTIONS_ALL | OPTIONS_SOURCE | OPTIONS_CREATE, command_create },
  { "redefine", "FILE...", "Make documents of checkpoints known",
    OPTIONS_ALL | OPTIONS_SOURCE | OPTIONS_REDEFINE, command_redefine },
  { "edit", "NAME", "Change a checkpoint's description",
    OPTIONS_ALL | OPTIONS_SOURCE | OPTIONS_EDIT, command_edit },
  { "delete", "NAME", "Delete a checkpoint",
    OPTIONS_ALL | OPTIONS_SOURCE | OPTIONS_DELETE, command_delete },
  { "check", NULL, "Compare documents, bitmaps and libvirt",
    OPTIONS_ALL | OPTIONS_SOURCE | OPTIONS_CHECK, command_check },
  { "map", "[NAME]", "Show where disks have changed",
    OPTIONS_ALL | OPTIONS_SOURCE | OPTIONS_READING | OPTIONS_MAP, command_map },
  { "estimate", "[NAME]", "Tell how much a backup would copy",
    OPTIONS_ALL | OPTIONS_SOURCE | OPTIONS_ESTIMATE, command_estimate },
  { "files", "[NAME]", "Tell which files have changed",
    OPTIONS_ALL | OPTIONS_SOURCE | OPTIONS_READING | OPTIONS_FILES,
    command_files },
  { "verify", "BACKUP", "Prove that a backup is what the disk is",
    OPTIONS_ALL | OPTIONS_SOURCE | OPTIONS_READING | OPTIONS_VERIFY,
    command_verify },
  { .name = NULL }
};

const Command *
command_lookup (const char *name)
{
  for (const Command *command = all_commands; command->name; command++)
    if (strcmp (command->name, name) == 0)
      return command;
  return NULL;
}

static Status
unknown_command (const char *name, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  const char *ours = name ? virsh_command (name) : NULL;

  if (ours) {
    error_set (error, EINVAL, "there is no command %s; write qemu-checkpoint "
               "%s", name, ours);
    return STATUS_FAILED;
  }
  for (const Command *command = all_commands; command->name; command++)
    g_ptr_array_add (names, (char *) command->name);
  g_autofree char *nearest = nearest_names (name, names, names->len);
  error_set (error, EINVAL, "%s%s; commands are: %s",
             !name ? "no command is given"
             : name[0] == '-' ? "the command comes first, before "
             : "there is no command ", name ? name : "", nearest);
  return STATUS_FAILED;
}

/* A word too many may be what --tree, which draws, does not take, or the guest,
 * which is virsh's first word.
 */
static bool
check_count (const Command *command, const Options *options, GError **error)
{
  const bool several = command->word && g_str_has_suffix (command->word, "...");
  const guint wanted = command->word ? 1 : 0;

  if (command->word && command->word[0] == '[' && options->words->len == 0)
    return true;
  if (options->words->len < wanted)
    return error_set (error, EINVAL, "%s of what?  Write qemu-checkpoint %s "
                      "%s", command->name, command->name, command->word);
  if (options->words->len == wanted || several)
    return true;
  const char *word = g_ptr_array_index (options->words, wanted);
  if (options->draw)
    return error_set (error, EINVAL, "--tree alone draws, and takes no %s; "
                      "for documents write --tree=%s", word, word);
  g_autofree char *what = g_strdup (command->word ? command->word : "");
  g_strdelimit (what, "[]", ' ');
  return error_set (error, EINVAL, "%s takes %s%s, and is given %s%s; a guest is "
                    "named by --libvirt=URI --domain=GUEST, an image by "
                    "--file=IMG", command->name, wanted ? "one " : "no name",
                    g_strstrip (what), word, wanted ? ", too" : "");
}

/* What is empty was not meant to be, such as a variable of a script's: to read it as
 * none would show another checkpoint's changes.
 */
static bool
check_words (const Command *command, const Options *options, GError **error)
{
  if (!check_count (command, options, error))
    return false;
  if (command->run == command_create) /* it has a word for that */
    return true;
  for (guint i = 0; i < options->words->len; i++)
    if (!*(const char *) g_ptr_array_index (options->words, i))
      return error_set (error, EINVAL, "%s is given an empty name; write "
                        "qemu-checkpoint %s %s", command->name, command->name,
                        command->word);
  return true;
}

static Status
run_command (const Command *command, char **arguments, GError **error)
{
  Options options;
  Status status
    = command->run == command_check ? STATUS_UNKNOWN : STATUS_FAILED;

  options_init (&options);
  if (options_parse (&options, command->options, arguments, error)) {
    if (options.help) {
      print_command_help (command);
      status = STATUS_FINE;
    }
    else if (check_words (command, &options, error))
      status = command->run (&options, error);
  }
  if (error && *error) {
    g_autofree char *whose = whose_text (&options);
    error_complete (*error, REMEDY_FIRST_OF_ALL, REMEDY_FIRST_RUNNING, 1,
                    whose);
  }
  options_clear (&options);
  return status;
}

/* help [COMMAND] */
static Status
help (const char *name, GError **error)
{
  const Command *command = name ? command_lookup (name) : NULL;

  if (name && !command)
    return unknown_command (name, error);
  if (command)
    print_command_help (command);
  else
    print_help ();
  return STATUS_FINE;
}

static Status
run (char **arguments, GError **error)
{
  const char *first = arguments[0];
  const Command *command = first ? command_lookup (first) : NULL;

  if (command)
    return run_command (command, arguments + 1, error);
  if (first && strcmp (first, "help") == 0)
    return help (arguments[1], error);
  if (first && strcmp (first, "-h") == 0)
    return help (NULL, error);
  if (!first || (strcmp (first, "--help") != 0
                 && strcmp (first, "--version") != 0
                 && strcmp (first, "--complete") != 0))
    return unknown_command (first, error);
  if (first[2] == 'h')
    print_help ();
  else if (first[2] == 'v')
    puts ("qemu-checkpoint " PACKAGE_VERSION);
  else
    complete (arguments + 1);
  return STATUS_FINE;
}

/* A file of ours that got the number of one that is closed would be written to by
 * who prints.  What is printed there fails, as it should.
 */
static void
keep_standard_files (void)
{
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl (fd, F_GETFD) == -1
        && open ("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
      _exit (STATUS_FAILED);
}

/* Who reads a pipe has enough.  What failed may have been written long before, so
 * errno does not tell.
 */
static bool
reader_has_left (void)
{
  struct pollfd output = { .fd = STDOUT_FILENO, .events = POLLOUT };

  return errno == EPIPE
    || (errno == 0 && poll (&output, 1, 0) == 1 && (output.revents & POLLERR));
}

int
main (int argc G_GNUC_UNUSED, char **argv)
{
  g_autoptr (GError) error = NULL;

  keep_standard_files ();
  setlocale (LC_CTYPE, "");
  /* A program of ours that ends, or a reader that has enough, is told of by the
   * call that writes.
   */
  signal (SIGPIPE, SIG_IGN);
  Status status = run (argv + 1, &error);
  quit_as_told ();
  if (error)
    reporter_warn_error (&tool_reporter, error);
  errno = why_refused ();
  if (errno != 0 || fflush (stdout) != 0 || ferror (stdout)) {
    const int why = errno;
    if (!reader_has_left ())
      fprintf (stderr, "qemu-checkpoint: cannot write: %s\n",
               why ? g_strerror (why) : "not all of it was taken");
    status = STATUS_FAILED;
  }
  return (int) status;
}
