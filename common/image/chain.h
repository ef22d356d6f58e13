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
  const GPtrArray *backing_formats; /* of ToldImage: of files below where none
                                 * is recorded, by their names as the images
                                 * have them, or (path NULL) of all; or NULL */
  bool whole;                   /* it need not be able to hold bitmaps */
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

/* The file that holds the data of a layer of one disk (of Layer), and is a file of
 * another layer of another disk; NULL: there is none.  Borrowed.  (Disks may have
 * whole layers in common, which nobody writes to.)
 */
const char *image_chains_share_data (const GPtrArray *one,
                                     const GPtrArray *other);
