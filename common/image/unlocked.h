/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Look at a local image for a moment, without a lock.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* These lock nothing: of a running guest's image they tell what was there when
 * QEMU opened it.  The first two are false if it cannot be looked at.
 */
/* True if the image at path is qcow2 version 2, which can hold no bitmap. */
bool image_is_version_2 (const char *path);
/* True if it has a bitmap of that name. */
bool image_has_bitmap (const char *path, const char *bitmap);
/* What its bitmaps are called (char *); NULL: none can be told.  *ended is set if
 * one of them does not record any more.
 */
GPtrArray *image_bitmap_names (const char *path, bool *ended);
/* Why its bitmap of that name says nothing any more (static), by its
 * header.  NULL if the bitmap is good, if there is none, or if the image cannot
 * be looked at: *unseen is the errno then, else 0.  needed: to have none is a
 * reason.
 */
const char *image_void_bitmap (const char *path, const char *bitmap,
                               bool needed, int *unseen);

/* Why the image's bitmaps say nothing any more (static), and, if they can be told,
 * their names: *names is a new array then, else NULL.  NULL if they are good, if
 * there are none, or if it cannot be looked at.
 */
const char *image_void_bitmaps (const char *path, GPtrArray **names);
