/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A stopped guest's image and the files below it.
 */
#pragma once

#include "image/disk.h"

/* Which chain is wanted, and what is known of it beside what its images say.
 * Borrowed.
 */
typedef struct {
  const char *path;             /* of the top image: absolute */
  const char *format;           /* of it; NULL: qcow2 */
  const char *backing_format;   /* of files below, where none is recorded;
                                 * NULL: those are refused */
  const GPtrArray *told;        /* of ToldImage: those below, top first; or
                                 * NULL */
  const GPtrArray *backings;    /* of char *: names of backing files that may
                                 * lead elsewhere; or NULL */
} ChainRequest;

/* Lock the image, and every file below it, against writers, as QEMU does, and
 * read their headers, without QEMU.  Returns a new array of Layer, top first,
 * without sizes and bitmaps (storage_daemon_open finds those); the locks hold
 * until a layer is freed.  NULL if a file is missing, unreadable, not of its
 * format, qcow2 version 2 on top, corrupt, in use by a writer (EBUSY), or has a
 * backing file that is elsewhere and was not named, whose format is not known,
 * or that leads back to it.
 */
GPtrArray *image_chain_inspect (const ChainRequest *request, GError **error);

/* What qemu-img is told, before an image's path, to make it hold bitmaps. */
#define IMAGE_CHANGE_VERSION "amend -f qcow2 -o compat=1.1"

/* These lock nothing: of a running guest's image they tell what was there when
 * QEMU opened it.  The first two are false if it cannot be looked at.
 */
/* True if the image at path is qcow2 version 2, which can hold no bitmap. */
bool image_is_version_2 (const char *path);
/* True if it has a bitmap of that name. */
bool image_has_bitmap (const char *path, const char *bitmap);
/* Why its bitmap of that name says nothing any more (static), by its
 * header.  NULL if the bitmap is good, if there is none, or if the image cannot
 * be looked at: *unseen is the errno then, else 0.  needed: to have none is a
 * reason.
 */
const char *image_void_bitmap (const char *path, const char *bitmap,
                               bool needed, int *unseen);

/* False (EBUSY if it changed) unless the layer's file is still what it was when
 * it was inspected.  To be called once QEMU has opened it by its name.
 */
bool image_chain_unchanged (const Layer *layer, GError **error);
