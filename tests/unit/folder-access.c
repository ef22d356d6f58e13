/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/base/folder-access.c with real folders: for nobody as seen by
 * root (when the tests run as root), by that user itself, and by another
 * ordinary user.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "base/error.h"
#include "base/folder-access.h"

/* In no user database. */
#define STRANGER 3000000001u

/* $root/{open,pass,shut}/in with modes 0755, 0711 and 0700 above, owned by
 * who runs the test; in is a folder that anyone may read. */
static char *root;
static uid_t nobody;
static gid_t nogroup;
/* Of the user that check () asks for; not the folders' group. */
static gid_t group = STRANGER;

static void
make_folder (const char *name, mode_t mode)
{
  g_autofree char *folder = g_build_filename (root, name, NULL);
  g_autofree char *inner = g_build_filename (folder, "in", NULL);

  g_assert_cmpint (g_mkdir (folder, 0700), ==, 0);
  g_assert_cmpint (g_mkdir (inner, 0700), ==, 0);
  g_assert_cmpint (g_chmod (inner, 0755), ==, 0);
  g_assert_cmpint (g_chmod (folder, mode), ==, 0);
}

/* Below /tmp, not TMPDIR, which need not be open to everybody. */
static void
set_up (void)
{
  g_autofree char *file = NULL;
  g_autofree char *link = NULL;

  root = g_strdup ("/tmp/unit-folder-access-XXXXXX");
  g_assert_nonnull (g_mkdtemp (root));
  g_assert_cmpint (g_chmod (root, 0755), ==, 0);
  make_folder ("open", 0755);
  make_folder ("pass", 0711);
  make_folder ("shut", 0700);
  file = g_build_filename (root, "file", NULL);
  g_assert_true (g_file_set_contents (file, "", 0, NULL));
  g_assert_cmpint (g_chmod (file, 0755), ==, 0);
  link = g_build_filename (root, "link", NULL);
  g_assert_cmpint (symlink ("shut/in", link), ==, 0);
}

static void
tear_down (void)
{
  static const char *const names[] = { "open/in", "open", "pass/in", "pass",
    "shut/in", "shut", "file", "link", "" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (root, names[i], NULL);
    g_assert_cmpint (remove (path), ==, 0);
  }
  g_clear_pointer (&root, g_free);
}

static void
assert_no_children (void)
{
  errno = 0;
  g_assert_cmpint (waitpid (-1, NULL, WNOHANG), ==, -1);
  g_assert_cmpint (errno, ==, ECHILD);
}

/* code 0: reachable.  part: of the message, in which ROOT is root. */
static void
check (const char *name, uid_t uid, int mode, int code, const char *part)
{
  g_autofree char *path = g_build_filename (root, name, NULL);
  g_autoptr (GError) error = NULL;
  const bool ok
    = folder_access ("dir=x", path, uid, group, mode, NULL, &error);

  assert_no_children ();
  if (code == 0) {
    g_assert_no_error (error);
    g_assert_true (ok);
    return;
  }
  g_assert_false (ok);
  g_assert_error (error, CHECKPOINT_ERROR, code);
  g_test_message ("%s", error->message);
  g_auto (GStrv) pieces = g_strsplit (part, "ROOT", -1);
  g_autofree char *wanted = g_strjoinv (root, pieces);
  if (!g_str_has_prefix (error->message, "dir=x: ")
      || strstr (error->message, wanted) == NULL)
    g_error ("'%s' is not in: %s", wanted, error->message);
}

/* What holds for nobody whoever asks, if not the owner of the folders. */
static void
check_other (uid_t uid)
{
  check ("open/in", uid, R_OK | X_OK, 0, NULL);
  check ("open", uid, R_OK, 0, NULL);
  check ("open//in/", uid, X_OK, 0, NULL);
  check ("pass/in", uid, R_OK | X_OK, 0, NULL);
  check ("pass", uid, X_OK, 0, NULL);
  check ("pass", uid, R_OK, EACCES, "cannot read ROOT/pass; type \"chmod o+r "
         "ROOT/pass\"");
  check ("open", uid, W_OK | X_OK, EACCES, "cannot write to ROOT/open; type "
         "\"setfacl -m u:");
  check ("shut", uid, F_OK, 0, NULL);
  check ("shut", uid, X_OK, EACCES, "cannot enter ROOT/shut; type \"chmod o+x "
         "ROOT/shut\", or choose another folder");
  check ("shut/in", uid, R_OK, EACCES, "cannot enter ROOT/shut (needed for "
         "ROOT/shut/in); type \"chmod o+x ROOT/shut\"");
  check ("shut/none", uid, R_OK, EACCES, "cannot enter ROOT/shut (");
  check ("none/in", uid, R_OK, ENOENT, "ROOT/none does not exist (needed for "
         "ROOT/none/in); create it");
  check ("open/none", uid, R_OK, ENOENT, "ROOT/open/none does not exist; ");
  check ("file/in", uid, R_OK, ENOTDIR, "ROOT/file is not a folder (");
  check ("file", uid, R_OK, 0, NULL);
  check ("file", uid, R_OK | X_OK, ENOTDIR, "ROOT/file is not a folder; choose");
}

/* Run body as user and group uid, so that failures are seen here. */
static void
as_user (uid_t uid, void (*body) (void))
{
  const pid_t pid = fork ();
  int status;

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0) {
    g_assert_cmpint (setgroups (0, NULL), ==, 0);
    g_assert_cmpint (setresgid (nogroup, nogroup, nogroup), ==, 0);
    g_assert_cmpint (setresuid (uid, uid, uid), ==, 0);
    body ();
    _exit (EXIT_SUCCESS);
  }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, EXIT_SUCCESS);
}

static void
check_nobody (void)
{
  check_other (nobody);
}

/* An ordinary user asks for another: mode bits, and the benefit of the doubt
 * where this user cannot look either. */
static void
check_stranger (void)
{
  check ("open/in", STRANGER, R_OK | X_OK, 0, NULL);
  check ("pass", STRANGER, R_OK, EACCES, "runs as uid 3000000001, which "
         "cannot read ROOT/pass; type \"chmod o+r");
  check ("shut/in", STRANGER, R_OK, EACCES, "cannot enter ROOT/shut (needed");
  check ("none/in", STRANGER, R_OK, ENOENT, "ROOT/none does not exist");
  check ("file/in", STRANGER, R_OK, ENOTDIR, "ROOT/file is not a folder");
  check ("file", STRANGER, X_OK, ENOTDIR, "ROOT/file is not a folder");
  check ("shut/in", 0, R_OK | W_OK, 0, NULL);
}

static void
test_nobody (void)
{
  set_up ();
  check_other (geteuid () == nobody ? STRANGER : nobody);
  check_other (STRANGER);
  if (geteuid () == 0)
    as_user (nobody, check_nobody);
  tear_down ();
}

static void
test_stranger (void)
{
  set_up ();
  check_stranger ();
  if (geteuid () == 0)
    as_user (nobody, check_stranger);
  tear_down ();
}

/* Who runs the test, root or not, may use its own folders. */
static void
test_self (void)
{
  set_up ();
  check ("shut/in", geteuid (), R_OK | W_OK | X_OK, 0, NULL);
  check ("none", geteuid (), R_OK, ENOENT, "ROOT/none does not exist");
  check ("file/in", geteuid (), R_OK, ENOTDIR, "ROOT/file is not a folder");
  check ("file", geteuid (), X_OK, ENOTDIR, "ROOT/file is not a folder");
  tear_down ();
}

static void
check_owned (void)
{
  check ("shut/in", nobody, R_OK, 0, NULL);
}

/* Only what the owner or the group lacks can be given to them. */
static void
test_owner (void)
{
  const gid_t roots = 0;
  g_autofree char *shut = NULL;
  g_autofree char *open = NULL;

  set_up ();
  shut = g_build_filename (root, "shut", NULL);
  open = g_build_filename (root, "open", NULL);
  if (geteuid () == 0) {
    g_assert_cmpint (chown (shut, nobody, 0), ==, 0);
    check ("shut/in", nobody, R_OK, 0, NULL);
    as_user (STRANGER, check_owned);
    g_assert_cmpint (g_chmod (shut, 0077), ==, 0);
    check ("shut/in", nobody, R_OK, EACCES, "\"chmod u+x ROOT/shut\"");
    /* Root's own groups must be gone, however this test was started. */
    g_assert_cmpint (setgroups (1, &roots), ==, 0);
    g_assert_cmpint (chown (shut, 0, 0), ==, 0);
    g_assert_cmpint (g_chmod (shut, 0750), ==, 0);
    check ("shut/in", nobody, R_OK, EACCES, "\"chmod o+x ROOT/shut\"");
    g_assert_cmpint (chown (open, 0, nogroup), ==, 0);
    g_assert_cmpint (g_chmod (open, 0705), ==, 0);
    check ("open/in", nobody, R_OK, 0, NULL);
    group = nogroup;
    check ("open/in", nobody, R_OK, EACCES, "\"chmod g+x ROOT/open\"");
    group = STRANGER;
  }
  else {
    g_assert_cmpint (g_chmod (shut, 0077), ==, 0);
    check ("shut/in", geteuid (), R_OK, EACCES, "\"chmod u+x ROOT/shut\"");
    g_assert_cmpint (g_chmod (shut, 0700), ==, 0);
  }
  tear_down ();
}

/* This user cannot see where the link leads. */
static void
check_blind (void)
{
  check ("link", nobody, R_OK, EACCES, "cannot read ROOT/link; type ");
  check ("link", STRANGER, R_OK, 0, NULL);
}

/* The folder that is shut is behind the link; root and its owner can see
 * where, and so can tell. */
static void
test_link (void)
{
  set_up ();
  check ("link", geteuid () == nobody ? STRANGER : nobody, R_OK, EACCES,
         "cannot enter ROOT/shut (needed for ROOT/link); type \"chmod o+x "
         "ROOT/shut\"");
  if (geteuid () == 0)
    as_user (nobody, check_blind);
  tear_down ();
}

/* A POSIX ACL that lets nobody in, as setfacl -m u:nobody:x writes it. */
static void
test_acl (void)
{
  const guint32 entries[] = {
    2,                          /* version */
    0x00070001, 0xffffffff,     /* owner rwx */
    0x00010002, nobody,         /* user nobody --x */
    0x00000004, 0xffffffff,     /* group --- */
    0x00010010, 0xffffffff,     /* mask --x */
    0x00000020, 0xffffffff,     /* other --- */
  };
  guint32 value[G_N_ELEMENTS (entries)];
  g_autofree char *shut = NULL;
  const uid_t uid = nobody;

  set_up ();
  shut = g_build_filename (root, "shut", NULL);
  for (guint i = 0; i < G_N_ELEMENTS (entries); i++)
    value[i] = GUINT32_TO_LE (entries[i]);
  if (setxattr (shut, "system.posix_acl_access", value, sizeof value, 0) < 0) {
    /* Without ACLs, all is in the mode. */
    g_assert_cmpint (errno, ==, EOPNOTSUPP);
    g_test_message ("/tmp has no ACLs");
    check ("shut/in", STRANGER, R_OK, EACCES, "cannot enter ROOT/shut");
  }
  else {
    check ("shut/in", uid, R_OK, 0, NULL);
    if (geteuid () == 0)
      check ("shut/in", STRANGER, R_OK, EACCES, "type \"setfacl -m "
             "u:3000000001:x ROOT/shut\"");
    else
      check ("shut/in", STRANGER, R_OK, 0, NULL);
  }
  tear_down ();
}

/* What is printed is typed, and nothing is lacking any more. */
static void
check_typed (const char *name, uid_t uid, int mode, const char *program)
{
  g_autofree char *path = g_build_filename (root, name, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_false (folder_access ("dir=x", path, uid, group, mode, NULL,
                                 &error));
  g_test_message ("%s", error->message);
  g_auto (GStrv) pieces = g_strsplit (error->message, "\"", -1);
  g_assert_cmpuint (g_strv_length (pieces), ==, 3);
  g_assert_true (g_str_has_suffix (pieces[0], "; type "));
  g_assert_true (g_str_has_prefix (pieces[1], program));
  g_assert_cmpint (system (pieces[1]), ==, 0);
  check (name, uid, mode, 0, NULL);
}

static bool
has_acls (void)
{
  g_autofree char *command
    = g_strdup_printf ("setfacl -m u:%u:r %s/file", STRANGER, root);

  return system (command) == 0;
}

static void
test_typed (void)
{
  const uid_t owner = geteuid () == 0 ? nobody : geteuid ();
  g_autofree char *open = NULL;
  g_autofree char *spaced = NULL;

  set_up ();
  open = g_build_filename (root, "open", NULL);
  spaced = g_build_filename (root, "a 'b", NULL);
  check_typed ("shut/in", STRANGER, R_OK, "chmod o+x ");
  if (geteuid () == 0)
    g_assert_cmpint (chown (open, nobody, 0), ==, 0);
  g_assert_cmpint (g_chmod (open, 0555), ==, 0);
  check_typed ("open", owner, W_OK | X_OK, "chmod u+wx ");
  if (has_acls ()) {
    check_typed ("open", STRANGER, W_OK | X_OK, "setfacl -m ");
    /* Of the owner, an ACL says nothing; of others, this is the mask. */
    g_assert_cmpint (g_chmod (open, 0555), ==, 0);
    check_typed ("open", owner, W_OK | X_OK, "chmod u+wx ");
    if (geteuid () == 0)
      check_typed ("open", STRANGER, W_OK | X_OK, "setfacl -m ");
  }
  g_assert_cmpint (g_rename (open, spaced), ==, 0);
  g_assert_cmpint (g_chmod (spaced, 0), ==, 0);
  check_typed ("a 'b/in", owner, R_OK, "chmod u+x ");
  g_assert_cmpint (g_chmod (spaced, 0700), ==, 0);
  g_assert_cmpint (g_rename (spaced, open), ==, 0);
  tear_down ();
}

/* The caller may know better. */
static void
test_remedy (void)
{
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;

  set_up ();
  path = g_build_filename (root, "open", NULL);
  g_assert_false (folder_access ("dir=x", path, STRANGER, group, W_OK,
                                 "do this", &error));
  g_assert_true (g_str_has_suffix (error->message, "/open; do this"));
  g_clear_error (&error);
  g_clear_pointer (&path, g_free);
  path = g_build_filename (root, "shut/in", NULL);
  g_assert_false (folder_access ("dir=x", path, STRANGER, group, R_OK,
                                 "do this", &error));
  g_assert_null (strstr (error->message, "do this"));
  tear_down ();
}

static void
test_quoting (void)
{
  g_autofree char *from = NULL;
  g_autofree char *to = NULL;

  set_up ();
  from = g_build_filename (root, "shut", NULL);
  to = g_build_filename (root, "a\n'b", NULL);
  g_assert_cmpint (g_rename (from, to), ==, 0);
  check ("a\n'b/in", STRANGER, R_OK, EACCES,
         "/a\\012\\047b')\"\"");
  g_assert_cmpint (g_rename (to, from), ==, 0);
  tear_down ();
}

static void
test_refused (void)
{
  g_autofree char *fill = g_strnfill (PATH_MAX, 'a');
  g_autofree char *name = g_strnfill (256, 'b');

  set_up ();
  check (fill, STRANGER, R_OK, ENAMETOOLONG, "4095 is the limit");
  check (name, STRANGER, R_OK, ENAMETOOLONG, "cannot use ROOT/bbb");
  check ("open", (uid_t) -1, R_OK, EINVAL, "for user -1");
  g_assert_false (folder_access ("a=b", "c", STRANGER, 1, R_OK, NULL, NULL));
  g_assert_false (folder_access ("a=b", "", STRANGER, 1, R_OK, NULL, NULL));
  g_assert_false (folder_access ("a=b", "/", STRANGER, (gid_t) -1, 0, NULL,
                                 NULL));
  g_assert_true (folder_access ("a=b", "/", STRANGER, 1, X_OK, NULL, NULL));
  g_assert_true (folder_access ("a=b", "//", STRANGER, 1, X_OK, NULL, NULL));
  tear_down ();
}

static volatile sig_atomic_t alarms;
static pid_t tester;

static void
on_alarm (int number G_GNUC_UNUSED)
{
  if (getpid () != tester)
    _exit (99);
  alarms++;
}

static void
check_under_signals (void)
{
  const struct sigaction action = { .sa_handler = on_alarm };
  sigset_t mask;

  tester = getpid ();
  g_assert_cmpint (sigaction (SIGALRM, &action, NULL), ==, 0);
  g_assert_cmpint (setpgid (0, 0), ==, 0);
  for (guint i = 0; i < 200 || alarms == 0; i++) {
    signal (SIGCHLD, i % 2 ? SIG_IGN : SIG_DFL);
    check ("open/in", STRANGER, R_OK, 0, NULL);
    check ("shut/in", STRANGER, R_OK, EACCES, "ROOT/shut");
  }
  g_assert_cmpint (sigprocmask (SIG_BLOCK, NULL, &mask), ==, 0);
  g_assert_false (sigismember (&mask, SIGALRM));
}

/* Signals come all the time, to the process that looks too, and children are
 * reaped by the kernel: neither may change the answer. */
static void
test_signals (void)
{
  pid_t pid, ended;
  int status = -1;

  set_up ();
  pid = fork ();
  g_assert_cmpint (pid, >=, 0);
  if (pid == 0) {
    check_under_signals ();
    _exit (EXIT_SUCCESS);
  }
  while ((ended = waitpid (pid, &status, WNOHANG)) == 0) {
    kill (-pid, SIGALRM);       /* fails until there is such a group */
    g_usleep (100);
  }
  g_assert_cmpint (ended, ==, pid);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, EXIT_SUCCESS);
  tear_down ();
}

int
main (int argc, char **argv)
{
  const struct passwd *entry = getpwnam ("nobody");

  g_test_init (&argc, &argv, NULL);
  g_assert_nonnull (entry);
  nobody = entry->pw_uid;
  nogroup = entry->pw_gid;
  g_test_add_func ("/folder-access/nobody", test_nobody);
  g_test_add_func ("/folder-access/stranger", test_stranger);
  g_test_add_func ("/folder-access/self", test_self);
  g_test_add_func ("/folder-access/owner", test_owner);
  g_test_add_func ("/folder-access/link", test_link);
  g_test_add_func ("/folder-access/acl", test_acl);
  g_test_add_func ("/folder-access/typed", test_typed);
  g_test_add_func ("/folder-access/remedy", test_remedy);
  g_test_add_func ("/folder-access/quoting", test_quoting);
  g_test_add_func ("/folder-access/refused", test_refused);
  g_test_add_func ("/folder-access/signals", test_signals);
  return g_test_run ();
}
