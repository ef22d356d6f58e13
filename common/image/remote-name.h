/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Names of backing files that are more than a path.  QEMU would follow any, and
 * an image's guest might have written it; so here they are only read, and what
 * is not understood to the last word is refused.  No function opens or connects
 * anything.  Any thread.
 */
#pragma once

#include <stdbool.h>

#include <json-glib/json-glib.h>

/* True if the name, as an image records its backing file or a person writes it,
 * leads elsewhere than to a local file: it begins with a protocol as QEMU sees
 * one, "file:" excepted, or with json: and is not read by json_name_local.  So
 * it is true of all that nobody here can follow, too.
 */
bool remote_name_is (const char *name);

/* QEMU's options (for blockdev-add) of the protocol node that the name leads
 * to, a new object (json_object_unref ()).  *format: the format that a json:
 * name tells of what lies there, or NULL if it tells none (g_free ()).  NULL
 * with an error: ENOTSUP for a protocol that is not known here, or something in
 * the name that could not be told QEMU rightly, EINVAL for a malformed one.
 *
 * Known are nbd, http, https, ftp, ftps, ssh, rbd and iscsi.  A password in a
 * name is ENOTSUP except in a URL of http, https, ftp and ftps, where libcurl
 * reads it: QEMU takes the others as objects only.
 */
JsonObject *remote_name_options (const char *name, char **format,
                                 GError **error);

/* The path and format in a json: name of a local file or block device, both to
 * be freed; *format is NULL if it tells none.  A relative path is as it stands
 * there, which QEMU takes from its working folder, not from the image's.  NULL
 * without an error: it is no json: name, or leads to a protocol that
 * remote_name_options () knows.  NULL with one: EINVAL for a malformed one,
 * ENOTSUP if it says more than driver and file.
 */
char *json_name_local (const char *name, char **format, GError **error);
