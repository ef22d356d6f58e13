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
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "own-folder.h"

#define DIGITS 16
#define TRIES 5
/* Somebody may have filled /tmp with names. */
#define NAMES_MAX 100000
#define SOCKETS_MAX (64 * 1024 * 1024)

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

/* -1 if somebody else has it, or it is none. */
static int
open_locked (int parent, const char *name)
{
  const int fd = openat (parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW
                         | O_CLOEXEC);

  if (fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) == 0)
    return fd;
  const int failure = errno;
  if (fd >= 0)
    close (fd);
  errno = failure;
  return -1;
}

static bool
still_exists (int fd)
{
  struct stat status;

  return fstat (fd, &status) == 0 && status.st_nlink > 0;
}

bool
own_folder_make (OwnFolder *folder, const char *path, GError **error)
{
  for (int i = 0; i < TRIES; i++) {
    if (mkdir (path, 0700) < 0)
      return error_set (error, errno, "cannot make the folder %s: %s", path,
                        g_strerror (errno));
    const int fd = open_locked (AT_FDCWD, path);
    if (fd >= 0 && still_exists (fd)) {
      folder->path = g_strdup (path);
      folder->fd = fd;
      return true;
    }
    const int failure = errno;
    if (fd >= 0)
      close (fd);
    else if (failure != ENOENT && failure != EWOULDBLOCK) {
      rmdir (path);
      return error_set (error, failure, "cannot lock the folder %s: %s", path,
                        g_strerror (failure));
    }
    g_usleep (10000);
    rmdir (path);
  }
  return error_set (error, EBUSY, "cannot lock the folder %s: others do so "
                    "again and again", path);
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

/* The names of all sockets of this machine (of our network namespace). */
static char *
read_sockets (void)
{
  const int fd = open ("/proc/net/unix", O_RDONLY | O_CLOEXEC);
  g_autoptr (GString) text = g_string_new (NULL);
  char buffer[65536];
  ssize_t n = -1;

  while (fd >= 0 && text->len < SOCKETS_MAX
         && (n = read (fd, buffer, sizeof buffer)) > 0)
    g_string_append_len (text, buffer, n);
  if (fd >= 0)
    close (fd);
  /* Half of a list would be none. */
  return n == 0 ? g_strdup (text->str) : NULL;
}

static void
remove_if_dead (int parent, const char *name, uid_t also_user)
{
  const int fd = open_locked (parent, name);
  struct stat status;

  if (fd < 0)
    return;
  if (fstat (fd, &status) == 0
      && (status.st_uid == geteuid () || status.st_uid == also_user)) {
    /* After the lock was seen to be free, its maker is dead, and no job of it
     * begins any more.
     */
    g_autofree char *socket
      = g_strconcat ("/", name, "/" OWN_SOCKET "\n", NULL);
    g_autofree char *sockets = read_sockets ();
    if (sockets && !strstr (sockets, socket)) {
      unlinkat (fd, OWN_SOCKET, 0);
      unlinkat (parent, name, AT_REMOVEDIR);
    }
  }
  close (fd);
}

void
own_folder_sweep (const char *parent, uid_t also_user)
{
  DIR *entries = opendir (parent);
  const struct dirent *entry;

  for (int i = 0; entries && i < NAMES_MAX && (entry = readdir (entries)); i++)
    if (own_folder_is_name (entry->d_name))
      remove_if_dead (dirfd (entries), entry->d_name, also_user);
  if (entries)
    closedir (entries);
}
