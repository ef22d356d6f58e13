/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Folders for sockets, each locked (flock) by the process that uses it, so that
 * those of killed processes can be told and removed.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <glib.h>

/* Names of all our folders and scratch files: this, and 16 hex digits. */
#define OWN_PREFIX "nbdkit-checkpoint-"

/* The socket's name in the folder. */
#define OWN_SOCKET "nbd"

typedef struct {
  char *path;                   /* NULL: none */
  int fd;                       /* holds the lock; -1: none */
} OwnFolder;

#define OWN_FOLDER_INIT { NULL, -1 }

/* Where they are, unless it is said otherwise.  Borrowed. */
const char *own_folder_place (void);

/* A new name that nothing has yet; g_free (). */
char *own_folder_name (void);

/* True if it is such a name, exactly. */
bool own_folder_is_name (const char *name);

/* Make the folder, for our user alone, and lock it.  errno as of mkdir (2). */
bool own_folder_make (OwnFolder *folder, const char *path, GError **error);

/* Let another user, QEMU's, make a socket there. */
bool own_folder_give (const OwnFolder *folder, uid_t user, gid_t group,
                      GError **error);

/* Does a process have the socket in it?  That one does not notice. */
bool own_folder_has_server (const OwnFolder *folder);

/* Remove it with the socket in it, if there is one.  Unlocked if that fails. */
void own_folder_remove (OwnFolder *folder);

/* Remove the folders in parent whose maker is dead: those with such a name, of
 * our user or also_user (who was given some), whose lock is free, and whose
 * socket no process has (QEMU has it while a job goes on that nobody ended).
 * Touches nothing else.  Limit: where locks are each machine's own (some NFS),
 * what another machine uses looks dead.
 */
void own_folder_sweep (const char *parent, uid_t also_user);

/* Tell of each that it would remove, and leave it. */
typedef void (*OwnFolderVisit) (const char *path, void *opaque);
void own_folder_visit_dead (const char *parent, uid_t also_user,
                            OwnFolderVisit visit, void *opaque);
