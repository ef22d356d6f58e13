/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "tree/store.h"

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#define LOCK_SECONDS 5
#define LOCK_PAUSE_US 20000

struct Store {
  char *outer;                  /* with inner in it; NULL: path is what was
                                 * named */
  char *path;
  int fd;                       /* of path; -1: it is not there */
  bool made, made_outer;        /* by us */
  bool changed;
};

/* Locks that the file system has not do not keep us. */
static bool
lock (const Store *store, GError **error)
{
  const gint64 deadline
    = g_get_monotonic_time () + LOCK_SECONDS * G_TIME_SPAN_SECOND;

  while (flock (store->fd, LOCK_EX | LOCK_NB) == -1) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      return true;
    if (g_get_monotonic_time () > deadline)
      return error_set (error, EBUSY, "another process is changing checkpoints "
                        "in %s; try again when it has ended", store->path);
    g_usleep (LOCK_PAUSE_US);
  }
  return true;
}

static bool
open_folder (Store *store, int flags, GError **error)
{
  store->fd = open (store->path, FOLDER_FLAGS | flags);
  if (store->fd != -1)
    return lock (store, error);
  return error_set (error, errno, "cannot open the folder of checkpoints %s: "
                    "%s", store->path, g_strerror (errno));
}

Store *
store_open (const char *path, const char *inner, GError **error)
{
  g_autoptr (Store) store = g_new0 (Store, 1);
  g_autoptr (GError) reason = NULL;

  store->fd = -1;
  store->outer = inner ? g_strdup (path) : NULL;
  store->path = inner ? g_build_filename (path, inner, NULL)
    : g_strdup (path);
  if (!open_folder (store, inner ? O_NOFOLLOW : 0, &reason)
      && reason->code != ENOENT) {
    g_propagate_error (error, g_steal_pointer (&reason));
    return NULL;
  }
  return g_steal_pointer (&store);
}

void
store_free (Store *store)
{
  if (!store)
    return;
  /* Documents are there, whatever becomes of the folder's own entries. */
  if (store->changed)
    fsync (store->fd);
  /* Who waits for our lock fails then, and tries again. */
  else if (store->made && rmdir (store->path) == 0 && store->made_outer)
    rmdir (store->outer);
  close_fd (&store->fd);
  g_free (store->outer);
  g_free (store->path);
  g_free (store);
}

const char *
store_path (const Store *store)
{
  return store->path;
}

static bool
make_folder (const char *path, bool *made, GError **error)
{
  *made = mkdir (path, 0700) == 0;
  return *made || errno == EEXIST
    || error_set (error, errno, "cannot make the folder %s: %s", path,
                  g_strerror (errno));
}

static bool
need_folder (Store *store, GError **error)
{
  if (store->fd != -1)
    return true;
  return (!store->outer
          || make_folder (store->outer, &store->made_outer, error))
    && make_folder (store->path, &store->made, error)
    && open_folder (store, store->outer ? O_NOFOLLOW : 0, error);
}

static bool
fail (const Store *store, const char *file, const char *what, GError **error)
{
  const int failure = errno;
  g_autofree char *user = error_user ();

  if (failure == EACCES || failure == EPERM || failure == EROFS)
    return error_set (error, failure, "cannot %s %s/%s: %s; check that %s may "
                      "write to that folder", what, store->path, file,
                      g_strerror (failure), user);
  return error_set (error, failure, "cannot %s %s/%s: %s", what, store->path,
                    file, g_strerror (failure));
}

/* A document that is a link is somebody's arrangement, which a new file in its
 * place would end.
 */
static bool
check_file (const Store *store, const char *file, GError **error)
{
  struct stat status;

  if (fstatat (store->fd, file, &status, AT_SYMLINK_NOFOLLOW) == -1)
    return fail (store, file, "examine", error);
  if (S_ISREG (status.st_mode))
    return true;
  return error_set (error, S_ISLNK (status.st_mode) ? EMLINK : EINVAL,
                    "%s/%s is %s, which is not changed; put the document there "
                    "itself", store->path, file,
                    S_ISLNK (status.st_mode) ? "a link" : "no regular file");
}

bool
store_check (const Store *store, const char *file, GError **error)
{
  if (store->fd == -1)          /* it is made when it is needed */
    return true;
  if (faccessat (store->fd, ".", W_OK | X_OK, AT_EACCESS) == -1)
    return fail (store, file ? file : "", "change", error);
  return !file || check_file (store, file, error);
}

static bool
write_all (int fd, const char *text, gsize length)
{
  while (length > 0) {
    const ssize_t n = write (fd, text, length);
    if (n == -1 && errno != EINTR)
      return false;
    if (n > 0) {
      text += n;
      length -= n;
    }
  }
  return fsync (fd) == 0;
}

/* Who could read the document that is replaced can read this one.  An owner that
 * only root can give it is given by root only.
 */
static void
keep_access (const Store *store, const char *file, int fd)
{
  struct stat status;

  if (fstatat (store->fd, file, &status, AT_SYMLINK_NOFOLLOW) == -1)
    return;
  if (fchown (fd, status.st_uid, status.st_gid) == -1
      && fchown (fd, (uid_t) -1, status.st_gid) == -1)
    status.st_mode &= ~(mode_t) S_IRWXG;
  fchmod (fd, status.st_mode & 0777);
}

/* A file that has no name until all of it is written, so that nothing is left if
 * we are killed; where the file system has none such, one that is called new.  What
 * has that name was left by a process that was killed, as we have the lock.
 */
static int
open_new (const Store *store, const char *new, bool *nameless)
{
  unlinkat (store->fd, new, 0);
  const int fd = access ("/proc/self/fd", X_OK) == 0
    ? openat (store->fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600) : -1;
  *nameless = fd != -1;
  return *nameless ? fd
    : openat (store->fd, new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW
              | O_CLOEXEC, 0600);
}

/* Fails if there is something of that name. */
static bool
give_name (const Store *store, int fd, const char *name)
{
  char path[32];

  g_snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  return linkat (AT_FDCWD, path, store->fd, name, AT_SYMLINK_FOLLOW) == 0;
}

/* RENAME_NOREPLACE is not everywhere: a second name is. */
static bool
move_into_place (const Store *store, const char *new, const char *file,
                 bool replace)
{
  if (replace)
    return renameat (store->fd, new, store->fd, file) == 0;
  return renameat2 (store->fd, new, store->fd, file, RENAME_NOREPLACE) == 0
    || (errno == EINVAL && linkat (store->fd, new, store->fd, file, 0) == 0
        && unlinkat (store->fd, new, 0) == 0);
}

static bool
put (const Store *store, const char *new, const char *file, bool replace,
     const char *text, gsize length, GError **error)
{
  bool nameless;
  auto_fd fd = open_new (store, new, &nameless);

  if (fd == -1)
    return fail (store, new, "make", error);
  if (replace)
    keep_access (store, file, fd);
  if (!write_all (fd, text, length))
    return fail (store, new, "write", error);
  const bool done = nameless && !replace ? give_name (store, fd, file)
    : (!nameless || give_name (store, fd, new))
      && move_into_place (store, new, file, replace);
  return done || fail (store, file, "make", error);
}

/* Signals that end us wait until the document has its name. */
bool
store_put (Store *store, const char *file, bool replace, const char *text,
           gsize length, GError **error)
{
  g_autofree char *new = g_strconcat (file, ".new", NULL);
  sigset_t all, before;

  if (!need_folder (store, error)
      || (replace && !check_file (store, file, error)))
    return false;
  sigfillset (&all);
  pthread_sigmask (SIG_BLOCK, &all, &before);
  const bool done = put (store, new, file, replace, text, length, error);
  if (!done)
    unlinkat (store->fd, new, 0);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  store->changed = store->changed || done;
  return done;
}

bool
store_remove (Store *store, const char *file, GError **error)
{
  if (!check_file (store, file, error))
    return false;
  if (unlinkat (store->fd, file, 0) == -1)
    return fail (store, file, "remove", error);
  store->changed = true;
  return true;
}

/* Is there a file in it that is no folder? */
static bool
has_files (const char *path)
{
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  const char *name;

  while (directory && (name = g_dir_read_name (directory))) {
    g_autofree char *entry = g_build_filename (path, name, NULL);
    if (!g_file_test (entry, G_FILE_TEST_IS_DIR))
      return true;
  }
  return false;
}

const char *
store_find_inner (const char *path, const char *domain)
{
  if (!domain || strchr (domain, '/') || !domain[0]
      || g_str_equal (domain, ".") || g_str_equal (domain, ".."))
    return NULL;
  g_autofree char *inner = g_build_filename (path, domain, NULL);
  if (g_file_test (inner, G_FILE_TEST_IS_DIR))
    return domain;
  return g_uuid_string_is_valid (domain) || has_files (path) ? NULL : domain;
}
