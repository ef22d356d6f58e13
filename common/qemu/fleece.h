/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Fleecing: a backup job of a running QEMU's that copies, into a scratch image,
 * what the guest is about to overwrite, so that the disk can be read as it was
 * when the job began; begun, kept and ended by a keeper (keeper/keeper.h), who has
 * QEMU's monitor for that time.  This is what a server asks of such a keeper.
 */
#pragma once

#include "image/disk.h"
#include "keeper/keeper.h"
#include "qemu/monitor.h"

/* A bitmap of a node of QEMU's. */
typedef struct {
  char *node, *name;
} FleeceBitmap;

/* What the disk's bitmap cannot tell: an export of its own does, called
 * fleece_part_name ().
 */
typedef struct {
  char *node;                   /* a layer's, of which all that is allocated is
                                 * dirty; NULL: bitmaps tell it */
  char *image;                  /* the file of that layer, or of the first such
                                 * bitmap; the keeper does not know it */
  guint64 size;                 /* of each of these; bytes */
  guint64 granularity;
  GPtrArray *bitmaps;           /* of FleeceBitmap, which become one */
} FleecePart;

typedef struct {
  char *target;                 /* the export's name, too */
  char *node;                   /* the topmost that holds data */
  char *state;                  /* fleece_state, as it was planned for */
  char *folder;                 /* for its scratch file; absolute */
  guint64 size;                 /* bytes */
  char *since;                  /* the bitmap to export; NULL: all is dirty */
  guint64 granularity;          /* of that; bytes */
  GPtrArray *bitmaps;           /* of FleeceBitmap, which it is made of; none
                                 * if all is told by */
  char *image;                  /* the file of the first of these; as above */
  GPtrArray *parts;             /* of FleecePart */
  bool record;                  /* the new checkpoint has a bitmap on it */
} FleeceDisk;

/* What is to be begun. */
typedef struct {
  char *mark;                   /* own_folder_name (): in all names of ours */
  char *folder;                 /* for the socket; to be made */
  bool take_over;               /* end a job that a killed keeper left */
  char *create;                 /* a checkpoint's name; NULL: none is made */
  char *document;               /* of it, once a client has read; NULL: none */
  char *tree, *inner;           /* where to (store_open); inner may be NULL */
  GPtrArray *disks;             /* of FleeceDisk */
} Fleece;

Fleece *fleece_new (void);
void fleece_free (Fleece *fleece);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fleece, fleece_free)

/* Add a disk, borrowed. */
FleeceDisk *fleece_add_disk (Fleece *fleece, const char *target,
                             const char *node);

/* Add a part, borrowed.  node: as in FleecePart. */
FleecePart *fleece_add_part (FleeceDisk *disk, const char *node,
                             guint64 size);

/* To bitmaps of a disk or a part, of which *granularity is the finest. */
void fleece_add_bitmap (GPtrArray *bitmaps, guint64 *granularity,
                        const char *node, const Bitmap *bitmap);

/* The name of the export of a disk's part, from 0 on: a new string. */
char *fleece_part_name (const FleeceDisk *disk, guint part);

/* As a text between processes, and back: NULL if it is none such. */
char *fleece_format (const Fleece *fleece);
Fleece *fleece_parse (const char *text);

/* All of the disk that a plan for it rests on, as a text: a new string.  but: a
 * bitmap that is left out; NULL: none.
 */
char *fleece_state (const Disk *disk, const char *but);

/* The socket of the job's server: a new string. */
char *fleece_socket (const Fleece *fleece);

extern const JobOps fleece_job_ops;

/* Have the keeper connect to the monitor at that path.  Returns the same monitor,
 * to look at disks until the keeper is asked to begin; free it before.  life:
 * borrowed.  NULL with errors as of monitor_open; ENOTSUP: it is a guest of
 * libvirt's.
 */
Monitor *fleece_look (Keeper *keeper, const char *path, const NbdLife *life,
                      GError **error);

/* Begin it: all is there to be connected to, or nothing is left of it.  EBUSY:
 * there is a job of ours, or an NBD server of another's; EAGAIN: the disks are not
 * what they were when they were looked at.
 */
bool fleece_begin (Keeper *keeper, const char *path, const Fleece *fleece,
                   GError **error);
