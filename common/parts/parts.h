/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Which bitmaps, in which layers, together tell what changed on a disk since a
 * checkpoint, and whether they can be trusted to.
 */
#pragma once

#include "base/remedy.h"
#include "image/disk.h"
#include "tree/forest.h"

/* What counts as dirty in a part. */
typedef enum {
  PART_BITMAP,                  /* what the layer's bitmap says */
  PART_ALLOCATION,              /* the layer has none: what is allocated in it,
                                 * or above it */
  PART_WHOLE,                   /* everything */
  PART_DISK,                    /* everything; no view of changes, but the disk
                                 * itself, with its own zeroes */
} PartKind;

typedef struct {
  PartKind kind;
  guint layer;                  /* index in disk->layers */
  const Bitmap *bitmap;         /* of PART_BITMAP, else NULL; borrowed from the
                                 * disk */
} Part;

/* Are these the same part of one disk?  To be asked before what was read of one
 * is used for the other.
 */
bool part_equal (const Part *a, const Part *b);

/* The parts of the view "disk since checkpoint", top layer first, each once: a
 * new array of Part; g_ptr_array_unref ().  A block is clean only if it is
 * clean in all of them.
 *
 * NULL whenever that could not be proved: the checkpoint is unknown or does
 * not cover the disk, or a bitmap is missing or not offered by a layer's
 * server (ENOENT); the disk was another then (see roster.h), or a bitmap is
 * inconsistent, void in a layer that may have held the record, or not
 * recording and not continued by its descendants' up to the current checkpoint
 * (EIO; but see as_it_stood in disk.h).
 *
 * Facts: a modern bitmap is complete by itself over the contiguous layers that
 * have it (libvirt docs/kbase/internals/incremental-backup.rst); libvirt
 * before 6.5 disabled a parent's bitmap when it made a checkpoint's.
 */
GPtrArray *parts_plan (const Forest *forest, const Disk *disk,
                       const char *checkpoint, GError **error);

/* Can the disk's top image hold bitmaps?  ENOENT if not. */
bool parts_can_record (const Disk *disk, GError **error);

/* How many bytes are dirty in the part, where that is known without its map.
 * False: it is not.
 */
bool part_dirty_bytes (const Disk *disk, const Part *part, guint64 *bytes);

/* What a bit of the part's stands for, or an allocated cluster, in bytes; 0: that is
 * not known.
 */
guint64 part_granularity (const Disk *disk, const Part *part);

/* Does the part's record end before now, with nothing that goes on?  So it is
 * only of a disk whose bitmaps were named by hand (as_it_stood).
 */
bool part_as_it_stood (const Disk *disk, const Part *part);

/* The one part of a disk of which everything counts as dirty. */
GPtrArray *parts_whole (void);

/* The one part that is the disk itself.  NULL with EIO for a disk whose record is
 * useless: it is in no job, and cannot be read.
 */
GPtrArray *parts_disk (const Disk *disk, GError **error);

/* A warning that who (a checkpoint, a definition) names a file that is not in
 * the disk's chain any more.  Returns a new string; g_free ().
 */
char *parts_strayed (const char *who, const char *path);

/* The refusals here and in refuse.h always return false. */

/* ENOENT: no document tells of the checkpoint, but these disks (char *) have a
 * bitmap of its name.  command: tells libvirt of it again; NULL: there is none.
 */
bool parts_forgotten (const char *checkpoint, const GPtrArray *targets,
                      const char *command, GError **error);

/* ENOENT, with the known names, the nearest first. */
bool parts_unknown_checkpoint (const Forest *forest, const char *checkpoint,
                               GError **error);

/* ENOENT: nor is there any other checkpoint.  remedy: of how to begin, with the
 * checkpoint's name; REMEDY_NONE: the caller adds one with more words.
 */
bool parts_none_yet (const char *checkpoint, Remedy remedy, GError **error);

/* EIO: a layer that may have held the record has lost all of its bitmaps.
 * bitmap: the name of the record; NULL: any.
 */
bool parts_void (const Disk *disk, const Layer *layer, const char *bitmap,
                 GError **error);

/* ENOENT: nothing at all is recorded for the disk. */
bool parts_nothing_recorded (const Disk *disk, GError **error);

/* A tree for disks without checkpoint documents: each bitmap's name is a root,
 * which covers the disks that have it in any layer.  Leaves out libvirt's own
 * temporary bitmaps.
 */
Forest *parts_flat_tree (const GPtrArray *disks);
