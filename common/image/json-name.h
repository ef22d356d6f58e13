/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * QEMU's json: names, taken apart; for remote-name.c.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

bool json_name_is (const char *name);

/* The flat options of the protocol in a json: name, without "driver" and what is
 * the same to any reader; to be freed.  *driver: that of the protocol.  *format:
 * of the one node above it, or NULL.  NULL if it is malformed (EINVAL), or has
 * any option of a format's own (ENOTSUP): an offset, a size, another backing
 * file, a filter would be another disk.
 */
GHashTable *json_name_read (const char *name, char **driver, char **format,
                            GError **error);

/* Does it name a protocol's driver where another names a format's?  Then QEMU
 * guesses no format: it takes the bytes as they are, if none is recorded.
 */
bool json_name_is_raw (const char *name);
