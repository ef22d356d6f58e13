/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Race: between mkdir and flock a folder looks dead, and whoever sweeps may
 * remove it.  So the maker looks again once it has the lock.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/own-folder.h"

#define DIGITS 16
#define TRIES 5
#define LOCK_MS 5000
#define POLL_MS 10
/* Somebody may have filled /tmp with names. */
#define NAMES_MAX 100000

const char *
own_folder_place (void)
{
  const char *runtime = g_getenv ("XDG_RUNTIME_DIR");

  return geteuid () == 0 ? "/run" : runtime ? runtime : g_get_tmp_dir ();
}

char *
own_folder_name (void)
{
  return g_strdup_printf (OWN_PREFIX "%08x%08x", g_random_int (),
                          g_random_int ());
}

bool
own_folder_is_name (const char *name)
{
  return g_str_has_prefix (name, OWN_PREFIX)
    && strlen (name) == strlen (OWN_PREFIX) + DIGITS
    && strspn (name + strlen (OWN_PREFIX), "0123456789abcdef") == DIGITS;
}

/* -1 if it is no folder, or is not to be had within the time. */
static int
open_locked (int parent, const char *name, int wait_ms)
{
  auto_fd fd = openat (parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW
                       | O_CLOEXEC);

  for (int waited = 0; fd >= 0; waited += POLL_MS) {
    if (flock (fd, LOCK_EX | LOCK_NB) == 0)
      return g_steal_fd (&fd);
    if (errno != EWOULDBLOCK || waited >= wait_ms)
      break;
    g_usleep (POLL_MS * 1000);
  }
  return -1;
}

static bool
still_exists (int fd)
{
  struct stat status;

  return fstat (fd, &status) == 0 && status.st_nlink > 0;
}

/* A sweeper holds the lock for a moment only, and finds the folder by its name:
 * so we make it again only when it is gone.
 */
bool
own_folder_make (OwnFolder *folder, const char *path, GError **error)
{
  for (int i = 0; i < TRIES; i++) {
    if (mkdir (path, 0700) < 0)
      return error_set (error, errno, "cannot make the folder %s: %s", path,
                        g_strerror (errno));
    auto_fd fd = open_locked (AT_FDCWD, path, LOCK_MS);
    const int failure = errno;
    if (fd >= 0 && still_exists (fd)) {
      folder->path = g_strdup (path);
      folder->fd = g_steal_fd (&fd);
      return true;
    }
    if (fd < 0 && failure != ENOENT) {
      rmdir (path);
      return error_set (error, failure, "cannot lock the folder %s: %s", path,
                        g_strerror (failure));
    }
  }
  return error_set (error, EBUSY, "cannot make the folder %s: it is removed "
                    "again and again", path);
}

bool
own_folder_give (const OwnFolder *folder, uid_t user, gid_t group,
                 GError **error)
{
  if (user == geteuid ())
    return true;
  /* Not ours to give away: a folder that hands its group down may do. */
  const int failure = geteuid () == 0
    ? fchown (folder->fd, user, group) : fchmod (folder->fd, 02770);
  return failure == 0
    || error_set (error, errno, "cannot make %s a folder for QEMU's socket: %s",
                  folder->path, g_strerror (errno))
    || error_advise (error, REMEDY_SOCKET_DIR, NULL);
}

void
own_folder_remove (OwnFolder *folder)
{
  if (!folder->path)
    return;
  unlinkat (folder->fd, OWN_SOCKET, 0);
  rmdir (folder->path);
  close (folder->fd);
  g_free (folder->path);
  *folder = (OwnFolder) OWN_FOLDER_INIT;
}

/* Does a process have the socket in that folder?  It must not notice: QEMU 7.2
 * may die of a client that leaves.  So we connect to another kind of socket;
 * Linux tells a wrong kind from a socket that nobody has any more
 * (net/unix/af_unix.c, unix_find_bsd), whatever network namespace it is in.
 */
static bool
is_in_use (int folder)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  auto_fd fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  snprintf (address.sun_path, sizeof address.sun_path,
            "/proc/self/fd/%d/" OWN_SOCKET, folder);
  const int failure = fd < 0 ? errno
    : connect (fd, (struct sockaddr *) &address, sizeof address) < 0
    ? errno : EISCONN;
  return failure != ECONNREFUSED && failure != ENOENT;
}

bool
own_folder_has_server (const OwnFolder *folder)
{
  return is_in_use (folder->fd);
}

/* visit NULL: remove it. */
static void
heed_if_dead (int parent, const char *path, const char *name, uid_t also_user,
              OwnFolderVisit visit, void *opaque)
{
  auto_fd fd = open_locked (parent, name, 0);
  struct stat status;

  if (fd < 0)
    return;
  /* The lock was free: the maker is dead, and begins no job any more. */
  if (fstat (fd, &status) < 0
      || (status.st_uid != geteuid () && status.st_uid != also_user)
      || is_in_use (fd))
    return;
  if (visit) {
    g_autofree char *whole = g_build_filename (path, name, NULL);
    visit (whole, opaque);
    return;
  }
  unlinkat (fd, OWN_SOCKET, 0);
  unlinkat (parent, name, AT_REMOVEDIR);
}

void
own_folder_visit_dead (const char *parent, uid_t also_user,
                       OwnFolderVisit visit, void *opaque)
{
  DIR *entries = opendir (parent);
  const struct dirent *entry;

  for (int i = 0; entries && i < NAMES_MAX && (entry = readdir (entries)); i++)
    if (own_folder_is_name (entry->d_name)
        && (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN))
      heed_if_dead (dirfd (entries), parent, entry->d_name, also_user, visit,
                    opaque);
  if (entries)
    closedir (entries);
}

void
own_folder_sweep (const char *parent, uid_t also_user)
{
  own_folder_visit_dead (parent, also_user, NULL, NULL);
}
