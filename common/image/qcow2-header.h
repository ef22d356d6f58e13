/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A qcow2 image's header, read before QEMU opens the image, as a guest's image
 * may name any file or server as its backing file.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* No image needs more to be looked at: its first cluster, of at most 2 MiB. */
#define QCOW2_HEADER_MOST (2 * 1024 * 1024)

typedef struct {
  guint32 version;
  guint64 size;                 /* of the disk, bytes */
  guint64 cluster_size;         /* bytes */
  bool corrupt;                 /* marked so by QEMU */
  bool unclean;                 /* whoever wrote to it has not closed it, and its
                                 * refcounts are wrong until it is repaired */
  bool unknown_autoclear;       /* a feature that must be given up by who writes
                                 * to it and does not know it */
  bool external_data;           /* its data are in another file */
  bool data_raw;                /* which is a raw image of the disk */
  const char *encryption;       /* QEMU's name for how it is encrypted; NULL: it
                                 * is not; static */
  bool bitmaps;                 /* it has some, be they void */
  guint32 bitmap_count;         /* valid with bitmaps, as what follows: where */
  guint64 directory_offset, directory_size; /* their directory is, bytes */
  const char *void_bitmaps;     /* why the bitmaps in it say nothing any more;
                                 * NULL: they do, or there are none; static */
  char *backing_path;           /* as it is written; NULL: none */
  char *backing_format;         /* NULL: not recorded */
  char *data_path;              /* as it is written; NULL: not recorded */
} Qcow2Header;

void qcow2_header_clear (Qcow2Header *header);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Qcow2Header, qcow2_header_clear)

/* True if bytes begin a qcow2 image.  *needed is how many bytes of it
 * qcow2_header_parse needs then, at most QCOW2_HEADER_MOST.
 */
bool qcow2_header_begins (const guint8 *bytes, gsize length, gsize *needed);

/* Read it into header, which is all zero before, and to be cleared also after a
 * failure.  False with *why, a static text, where QEMU would refuse the image
 * or might read something else: the backing file is never guessed.  Of a
 * version other than 2 and 3, only the version is read.  Any thread.  Source:
 * docs/interop/qcow2.txt and block/qcow2.c (qcow2_do_open,
 * qcow2_read_extensions) of QEMU 7.2.
 */
bool qcow2_header_parse (const guint8 *bytes, gsize length,
                         Qcow2Header *header, const char **why);
