/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Can QEMU's user get at a path?  libvirt gives a socket or a scratch file
 * away to that user, but not the folders above it; asked beforehand, the
 * answer names the folder and the remedy, which QEMU's own error does not.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <glib.h>

/* True if a user may use path with mode, and enter each folder above it.
 *
 * purpose: what the path is for, "socket-dir=/run"; messages start with it.
 * path: absolute.
 * uid, gid: of the user; other groups come from the user database.
 * mode: R_OK, W_OK and X_OK, or F_OK; of the last component, which must be a
 *   folder if X_OK is among them.
 * advice: what to do if path itself, and no folder above it, is refused; NULL:
 *   a command that allows it, or to choose another folder.
 *
 * If the caller is root or the user, the kernel is asked, in a process that
 * becomes the user.  Else the mode bits decide, and what they cannot tell (a
 * folder that has an ACL or that the caller may not enter) passes.  Neither
 * knows what AppArmor or SELinux forbid, nor a user 0 without capabilities.
 *
 * False with EACCES, ENOENT, ENOTDIR or another errno of access(2), each
 * naming the first component that fails; ETIMEDOUT if the file system does
 * not answer within some seconds; EINVAL for a path that is not absolute or
 * an id of -1; ENAMETOOLONG; or the errno of a failed pipe or fork.
 *
 * Any thread: a child process asks.  It is reaped, unless the file system
 * hangs. */
bool folder_access (const char *purpose, const char *path, uid_t uid,
                    gid_t gid, int mode, const char *advice, GError **error);
