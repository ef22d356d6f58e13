/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See folder-access.h.  A child process puts all questions, even where the user
 * need not change: a file system that hangs must not hang us.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/error.h"
#include "base/folder-access.h"

#define TIMEOUT_US (10 * G_USEC_PER_SEC)
#define KILLED_US (1 * G_USEC_PER_SEC)
#define MAX_ENTRY (1024 * 1024)
#define ACL "system.posix_acl_access"

typedef struct {
  uid_t uid;
  gid_t gid;
  char *name;                   /* NULL: not in the user database */
  gid_t *groups;                /* gid included */
  int n_groups;                 /* NGROUPS_MAX at most */
} User;

static void
user_clear (User *user)
{
  g_free (user->name);
  g_free (user->groups);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (User, user_clear)

/* What a child found: sent through a pipe in one piece. */
typedef struct {
  int error;                    /* 0: reachable */
  int length;                   /* of the path up to what failed */
} Verdict;

static char *
find_name (uid_t uid)
{
  for (gsize size = 4096; size <= MAX_ENTRY; size *= 4) {
    g_autofree char *buffer = g_malloc (size);
    struct passwd entry, *found = NULL;
    const int failure = getpwuid_r (uid, &entry, buffer, size, &found);

    if (found != NULL)
      return g_strdup (found->pw_name);
    if (failure != ERANGE)
      return NULL;
  }
  return NULL;
}

static void
user_init (User *user, uid_t uid, gid_t gid)
{
  user->uid = uid;
  user->gid = gid;
  user->name = find_name (uid);
  if (user->name != NULL)
    for (int room = 64; room <= NGROUPS_MAX; room *= 4) {
      user->n_groups = room;
      user->groups = g_renew (gid_t, user->groups, room);
      if (getgrouplist (user->name, gid, user->groups, &user->n_groups) >= 0)
        return;
    }
  user->groups = g_renew (gid_t, user->groups, 1);
  user->groups[0] = gid;
  user->n_groups = 1;
}

static bool
user_in_group (const User *user, gid_t gid)
{
  for (int i = 0; i < user->n_groups; i++)
    if (user->groups[i] == gid)
      return true;
  return false;
}

/* The length of the next piece of path to ask about: "/", "/run/", ..., the
 * whole path, 0.  A folder ends in a slash, so that nothing else passes for
 * one. */
static size_t
next_length (const char *path, size_t length)
{
  if (path[length] == '\0')
    return 0;
  length += strcspn (path + length, "/");
  return length + strspn (path + length, "/");
}

/* From here on to run_child: between fork and _exit, hence async-signal-safe
 * calls only. */

/* 0 or an errno, from what every user may see. */
static int
ask_mode_bits (const char *path, int mode, const User *user)
{
  struct stat st;
  int bits;

  if (stat (path, &st) < 0)
    return errno == EACCES ? 0 : errno;
  if (user->uid == 0 || getxattr (path, ACL, NULL, 0) > 0)
    return 0;
  bits = st.st_mode;
  if (st.st_uid == user->uid)
    bits >>= 6;
  else if (user_in_group (user, st.st_gid))
    bits >>= 3;
  return (bits & mode) == mode ? 0 : EACCES;
}

static Verdict
examine (const char *path, int mode, const User *user, bool exact)
{
  char piece[PATH_MAX + 1];

  for (size_t length = next_length (path, 0); length > 0;
       length = next_length (path, length)) {
    const int wanted = path[length] == '\0' ? mode : X_OK;
    int failure = 0;

    memcpy (piece, path, length);
    piece[length] = '\0';
    if (wanted & X_OK && piece[length - 1] != '/')
      memcpy (piece + length, "/", 2);
    if (!exact)
      failure = ask_mode_bits (piece, wanted, user);
    else if (faccessat (AT_FDCWD, piece, wanted, AT_EACCESS) < 0)
      failure = errno;
    if (failure != 0)
      return (Verdict) { failure, (int) length };
  }
  return (Verdict) { 0, (int) strlen (path) };
}

static bool
may_become (const User *user)
{
  return geteuid () == user->uid || geteuid () == 0;
}

static bool
become (const User *user)
{
  return setgroups ((size_t) user->n_groups, user->groups) == 0
    && setresgid (user->gid, user->gid, user->gid) == 0
    && setresuid (user->uid, user->uid, user->uid) == 0;
}

static G_GNUC_NORETURN void
run_child (int fd, const char *path, int mode, const User *user)
{
  /* Root without the capability to change is no better than others. */
  const bool exact = may_become (user)
    && (geteuid () == user->uid || become (user));
  const Verdict verdict = examine (path, mode, user, exact);

  _exit (write (fd, &verdict, sizeof verdict) == (ssize_t) sizeof verdict
         ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* A child that hangs in the kernel does not even end when killed: then it is
 * left to whoever reaps when we are gone. */
static void
reap (pid_t pid, gint64 deadline)
{
  bool killed = false;
  pid_t ended;

  while ((ended = waitpid (pid, NULL, WNOHANG)) == 0
         || (ended < 0 && errno == EINTR)) {
    if (g_get_monotonic_time () >= deadline) {
      if (killed)
        return;
      kill (pid, SIGKILL);
      killed = true;
      deadline = g_get_monotonic_time () + KILLED_US;
    }
    g_usleep (200);
  }
}

/* 0 or an errno. */
static int
receive (int fd, gint64 deadline, Verdict *verdict)
{
  for (;;) {
    struct pollfd polled = { .fd = fd, .events = POLLIN };
    const gint64 left = deadline - g_get_monotonic_time ();

    if (left <= 0)
      return ETIMEDOUT;
    if (poll (&polled, 1, (int) (left / 1000) + 1) <= 0)
      continue;
    const ssize_t n = read (fd, verdict, sizeof *verdict);
    if (n == (ssize_t) sizeof *verdict)
      return 0;
    if (n >= 0)
      return EIO;               /* it was killed before it could answer */
    if (errno != EINTR)
      return errno;
  }
}

/* 0, or the errno of what kept the question from being put. */
static int
ask (const char *path, int mode, const User *user, Verdict *verdict)
{
  const gint64 deadline = g_get_monotonic_time () + TIMEOUT_US;
  sigset_t all, before;
  int fds[2], failure;
  pid_t pid;

  if (pipe2 (fds, O_CLOEXEC) < 0)
    return errno;
  /* The caller's signal handlers must not run in the child. */
  sigfillset (&all);
  sigprocmask (SIG_SETMASK, &all, &before);
  pid = fork ();
  failure = errno;
  if (pid == 0)
    run_child (fds[1], path, mode, user);
  sigprocmask (SIG_SETMASK, &before, NULL);
  close (fds[1]);
  if (pid > 0) {
    failure = receive (fds[0], deadline, verdict);
    reap (pid, failure ? 0 : deadline);
  }
  close (fds[0]);
  return failure;
}

/* The command that lets the user use a file.  Not chmod where it would let
 * everybody write, or where an ACL's mask would be meant by it; but of its
 * owner, an ACL says nothing. */
static char *
remedy (const char *path, int mode, const User *user)
{
  g_autofree char *word = error_shell_word (path);
  g_autofree char *id = g_strdup_printf ("%u", (unsigned) user->uid);
  g_autofree char *letters
    = g_strconcat (mode & R_OK ? "r" : "", mode & W_OK ? "w" : "",
                   mode & X_OK ? "x" : "", NULL);
  struct stat st;
  const bool found = stat (path, &st) == 0;
  const bool owns = found && st.st_uid == user->uid;

  if (!owns && (mode & W_OK || !found || getxattr (path, ACL, NULL, 0) > 0))
    return g_strdup_printf ("type \"setfacl -m u:%s:%s %s\", or choose another "
                            "folder", user->name ? user->name : id, letters,
                            word);
  return g_strdup_printf ("type \"chmod %s+%s %s\", or choose another folder",
                          owns ? "u"
                          : user_in_group (user, st.st_gid) ? "g" : "o",
                          letters, word);
}

/* The piece of path that failed, without the final slashes. */
static char *
failed_piece (const char *path, const Verdict *verdict)
{
  gsize length = (gsize) verdict->length;

  while (length > 1 && path[length - 1] == '/')
    length--;
  return g_strndup (path, length);
}

/* What the user lacks at piece is mode; needed_for: NULL, or the path that it
 * is on the way to; advice: NULL, or instead of the command. */
static bool
set_error (const char *purpose, const char *piece, int mode,
           const char *needed_for, const char *advice, const User *user,
           int failure, GError **error)
{
  g_autofree char *need = needed_for
    ? g_strdup_printf (" (needed for %s)", needed_for) : g_strdup ("");
  g_autofree char *who
    = user->name ? g_strdup_printf ("user %s (uid %u)", user->name,
                                    (unsigned) user->uid)
    : g_strdup_printf ("uid %u", (unsigned) user->uid);
  g_autofree char *fix = NULL;

  switch (failure) {
  case ENOENT:
    return error_set (error, ENOENT, "%s: %s does not exist%s; create it, or "
                      "choose another folder", purpose, piece, need);
  case ENOTDIR:
    return error_set (error, ENOTDIR, "%s: %s is not a folder%s; choose "
                      "another", purpose, piece, need);
  case EACCES:
    fix = advice ? g_strdup (advice) : remedy (piece, mode, user);
    return error_set (error, EACCES, "%s: QEMU runs as %s, which cannot %s "
                      "%s%s; %s", purpose, who, mode & W_OK ? "write to"
                      : mode & R_OK ? "read" : "enter", piece, need, fix);
  default:
    return error_set (error, failure, "%s: QEMU runs as %s, which cannot use "
                      "%s%s: %s; choose another folder", purpose, who, piece,
                      need, g_strerror (failure));
  }
}

/* A symbolic link fails for something on the way to what it names, and it is
 * that which must be named; mode bits do not even see it.  Asked again, the
 * path has no links. */
static bool
explain (const char *purpose, const char *path, int mode, const char *advice,
         const User *user, const Verdict *verdict, GError **error)
{
  const bool last = path[verdict->length] == '\0';
  const char *needed_for = last ? NULL : path;
  g_autofree char *piece = failed_piece (path, verdict);
  int wanted = last ? mode : X_OK;
  int failure = verdict->error;
  g_autofree char *real = failure == EACCES || failure == 0
    ? realpath (piece, NULL) : NULL;
  Verdict behind = { 0 };

  if (real != NULL && strcmp (real, piece) != 0
      && ask (real, wanted, user, &behind) == 0 && behind.error != 0) {
    failure = behind.error;
    g_free (piece);
    piece = failed_piece (real, &behind);
    if (real[behind.length] != '\0') {
      wanted = X_OK;
      advice = NULL;
    }
    needed_for = path;
  }
  return failure == 0
    || set_error (purpose, piece, wanted, needed_for, last ? advice : NULL,
                  user, failure, error);
}

bool
folder_access (const char *purpose, const char *path, uid_t uid, gid_t gid,
               int mode, const char *advice, GError **error)
{
  g_auto (User) user = { 0 };
  Verdict verdict = { 0 };
  int failure;

  /* setresuid takes -1 for "leave as it is". */
  if (*path != '/' || uid == (uid_t) -1 || gid == (gid_t) -1)
    return error_set (error, EINVAL, "%s: %s cannot be checked for user %ld; "
                      "an absolute path and a user are needed", purpose, path,
                      (long) (int) uid);
  if (strlen (path) >= PATH_MAX)
    return error_set (error, ENAMETOOLONG, "%s: the path has %zu bytes, but "
                      "%d is the limit; choose another folder", purpose,
                      strlen (path), PATH_MAX - 1);
  user_init (&user, uid, gid);
  failure = ask (path, mode, &user, &verdict);
  if (failure == ETIMEDOUT)
    return error_set (error, failure, "%s: the file system of %s did not "
                      "answer within %d s; is its storage there?", purpose,
                      path, (int) (TIMEOUT_US / G_USEC_PER_SEC));
  if (failure != 0)
    return error_set (error, failure, "%s: cannot start a process that looks "
                      "at %s: %s; is the machine out of processes or files?",
                      purpose, path, g_strerror (failure));
  if (verdict.error == 0 && may_become (&user))
    return true;
  return explain (purpose, path, mode, advice, &user, &verdict, error);
}
