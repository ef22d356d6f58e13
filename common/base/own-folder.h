/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Folders for sockets.  Their lock (flock) says that a process of ours lives
 * that has use for them; so those of killed ones can be told, and removed.
 */
#ifndef COMMON_BASE_OWN_FOLDER_H
#define COMMON_BASE_OWN_FOLDER_H

#include <stdbool.h>
#include <sys/types.h>
#include <glib.h>

/* What the names of all our folders and scratch files begin with; 16 hex digits
 * follow.
 */
#define OWN_PREFIX "nbdkit-checkpoint-"

/* The socket's name in it. */
#define OWN_SOCKET "nbd"

typedef struct {
  char *path;                   /* NULL: none */
  int fd;                       /* holds the lock; -1: none */
} OwnFolder;

#define OWN_FOLDER_INIT { NULL, -1 }

/* A name that is nobody's yet, without a folder; the caller's. */
char *own_folder_name (void);

/* Is that such a name, exactly? */
bool own_folder_is_name (const char *name);

/* Make the folder, for our user alone, and lock it.  errno as of mkdir (2). */
bool own_folder_make (OwnFolder *folder, const char *path, GError **error);

/* Remove it with the socket in it, if there is one.  Unlocked if that fails. */
void own_folder_remove (OwnFolder *folder);

/* Remove the folders in parent whose maker is dead: those that bear such a name,
 * belong to our user or also_user (who was given some), and whose lock is free;
 * unless a process has the socket there, as QEMU has while a job goes on that
 * nobody ended.  Nothing else is touched.  Limit: where locks are each machine's
 * own (some NFS), what another one uses looks dead.
 */
void own_folder_sweep (const char *parent, uid_t also_user);

#endif /* COMMON_BASE_OWN_FOLDER_H */
