/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A folder of checkpoints' documents that is written to as libvirt does it
 * (virXMLSaveFile, virFileRewrite): NAME.xml, mode 0600, by way of NAME.xml.new, or
 * of a file without a name.  Nothing outside of the folder is touched, and no link
 * in it is followed.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

typedef struct Store Store;

/* Of which folder in path a guest's documents are: as tree_load finds it, and
 * where there are none of any guest yet, as libvirt makes it.  domain, or NULL: in
 * path itself.
 */
const char *store_find_inner (const char *path, const char *domain);

/* A folder, which need not be there: it is made when something is put there, but
 * no folders above inner.
 *
 * path: of the folder.
 * inner: the name of a folder in it, which is meant; NULL: it is path itself.
 *
 * Two of them wait for each other (flock), for some seconds; EBUSY then.  ENOTDIR:
 * path is a file.
 */
Store *store_open (const char *path, const char *inner, GError **error);
/* What was written is on the disk then.  NULL is fine. */
void store_free (Store *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Store, store_free)

/* Where it is.  Borrowed. */
const char *store_path (const Store *store);

/* Could a document be written, or removed?  file: that is there; NULL: a new one.
 * Errors as of store_put.
 */
bool store_check (const Store *store, const char *file, GError **error);

/* Write a document: all of it is there, and stays after a power cut, or it is as
 * before.
 *
 * file: its name in the folder.
 * replace: it is there already; else EEXIST if it is.
 *
 * errno as of open (2), write (2), rename (2); EMLINK: it is a link. */
bool store_put (Store *store, const char *file, bool replace,
                const char *text, gsize length, GError **error);

bool store_remove (Store *store, const char *file, GError **error);
