/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A partition, a logical volume, or any other stretch of disks' bytes.
 */
#pragma once

#include "filesystem/line.h"
#include "filesystem/media.h"
#include "filesystem/runs.h"

/* A disk, and what is dirty there and was not taken by a volume yet. */
typedef struct {
  char *name;                   /* "vda"; borrowed */
  Media *media;                 /* borrowed */
  GArray *dirty;                /* of Run */
  guint64 granularity;          /* what the record tells apart, or more; 0: not
                                 * known */
} VolumeDisk;

typedef struct {
  guint disk;                   /* index of a VolumeDisk */
  guint64 start;                /* bytes */
} VolumeArea;

/* Bytes that lie in one area, or by turns, chunk by chunk, in several. */
typedef struct {
  guint64 start, length;        /* in the volume; those of the next follow */
  guint64 chunk;
  GArray *areas;                /* of VolumeArea; never empty */
} VolumeSegment;

typedef struct {
  Media media;
  char *name;                   /* "vda1", "vg/root" */
  GArray *segments;             /* of VolumeSegment */
  GArray *disks;                /* of VolumeDisk; borrowed */
  /* What it is, if it is not to be looked into. */
  bool is_known;
  LineKind kind;
  char *what;
} Volume;

/* A volume without bytes. */
Volume *volume_new (GArray *disks, const char *name);
void volume_free (Volume *volume);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Volume, volume_free)

/* Add length bytes at its end, which lie by turns in count areas of
 * length / count bytes.  False: they are not all on the disks.
 */
bool volume_add (Volume *volume, guint64 length, guint64 chunk,
                 const VolumeArea *areas, guint count);

/* Say what it is. */
void volume_set (Volume *volume, LineKind kind, const char *what);

/* Move what is dirty in it from its disks into a new array of Run. */
GArray *volume_take (Volume *volume);

/* Does the record's granularity, *granule, begin at *phase in it everywhere? */
bool volume_phase (const Volume *volume, guint64 *granule, guint64 *phase);
