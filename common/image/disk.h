/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What is known of a guest's disk: its layers, top first, and the bitmaps
 * in each.  Filled by a source before serving begins and only read after.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

#include "image/image-file.h"
#include "image/secret.h"

typedef struct {
  char *name;
  guint64 granularity;          /* bytes; 0: not known (NBD does not tell) */
  guint64 dirty_bytes;          /* valid if counted */
  bool counted;
  bool recording;               /* QEMU's "recording", qcow2's "auto" */
  bool inconsistent;            /* qcow2's "in-use": lost in a crash */
  bool busy;                    /* a job or an export of a running QEMU's uses
                                 * it */
} Bitmap;

typedef struct {
  char *path;                   /* absolute, the NBD URI, or a name of
                                 * remote-name.h's, where file is NULL */
  bool is_nbd;                  /* an export: its server tells of it, and no
                                 * file can be looked at */
  char *format;                 /* QEMU's driver; NULL for an NBD export */
  const char *looks_like;       /* raw, as was said, but it begins as an image
                                 * of this format; NULL: no; static */
  const char *encryption;       /* "luks": it needs a secret; NULL: none;
                                 * static */
  guint64 size;                 /* virtual size, bytes */
  guint64 cluster_size;         /* bytes; 0: not known */
  GPtrArray *bitmaps;           /* of Bitmap */
  const char *void_bitmaps;     /* it had bitmaps that nobody can trust any
                                 * more, and this is why; NULL: no sign of
                                 * that; static.  QEMU leaves them out of
                                 * what it lists */
  GPtrArray *void_names;        /* of char *: what those were called; NULL:
                                 * not known */
  bool unclean;                 /* it must be repaired before anybody writes to
                                 * it */
  bool unknown_autoclear;       /* it has a feature that ends with the next one
                                 * who does not know it and writes */
  char *backing_path;           /* NULL: the chain ends here */
  char *backing_name;           /* the same as it is written there */
  char *backing_format;         /* NULL: not recorded in the image */
  ImageFile *file;              /* NULL: it is elsewhere */
  ImageFile *data;              /* where its data are, if not in file; or NULL */
  bool version_2;               /* of qcow2, which holds no bitmaps; told of a
                                 * running QEMU's only */
  char *image;                  /* an export tells of this file, by which messages
                                 * call it; NULL: of path */
  char *node;                   /* its name in the QEMU that runs on it; NULL:
                                 * none is asked */
  bool read_only;               /* that one has it open so */
} Layer;

/* An image of which somebody else than the images tells: libvirt. */
typedef struct {
  char *path;                   /* as of source-key.h */
  char *format;                 /* "": not told */
} ToldImage;

ToldImage *told_image_new (const char *path, const char *format);
void told_image_free (ToldImage *image);

typedef struct Roster Roster;   /* roster.h */

typedef struct {
  char *target;                 /* "vda" */
  GPtrArray *layers;            /* of Layer, top first */
  const Roster *roster;         /* where the guest's disks lie; NULL: that is
                                 * not known; borrowed from the source */
  bool full;                    /* served whole: all of it counts as dirty */
  GError *useless;              /* why its record is of no use, whatever the
                                 * tree says of it; NULL: nothing is known
                                 * against it */
  bool recording_untold;        /* whether its bitmaps record is not known */
  char *libvirt_uri;            /* where its guest is; NULL: not known */
  GPtrArray *also;              /* of char *: bitmaps that every view needs,
                                 * too; or NULL */
  GPtrArray *secrets;           /* of Secret: for its encrypted layers; or
                                 * NULL */
  bool as_it_stood;             /* its bitmaps were named by hand: one that is
                                 * disabled needs none that goes on, and tells
                                 * what it tells */
  bool shown_itself;            /* its server shows the disk itself, and none of
                                 * its changes */
  bool clean_unreadable;        /* its server refuses to read what is clean */
  bool mixes_records;           /* its server tells of several bitmaps as of one,
                                 * which may be of different granularities */
  bool planned;                 /* for one view, of which each of its layers is
                                 * a part; the top one if it has its bitmap */
  char *job;                    /* which job of a running QEMU's works on it,
                                 * as a message says it; NULL: none */
} Disk;

Bitmap *bitmap_new (const char *name);
Layer *layer_new (const char *path);
void layer_free (Layer *layer);
Disk *disk_new (const char *target);
void disk_free (Disk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Layer, layer_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Disk, disk_free)

/* The bitmap of that name in that layer, or NULL.  Borrowed. */
const Bitmap *layer_bitmap (const Layer *layer, const char *name);
/* What messages call the layer.  Borrowed. */
const char *layer_called (const Layer *layer);
/* True if names (Layer's void_names) are known, and bitmap is none of them. */
bool disk_names_lack (const GPtrArray *names, const char *bitmap);
/* True if the layer may have a void bitmap of that name. */
bool layer_may_have_lost (const Layer *layer, const char *bitmap);
/* The first layer whose bitmaps are void, or NULL.  Borrowed. */
const Layer *disk_void_layer (const Disk *disk);
/* The layer at an index, 0 on top.  Borrowed. */
const Layer *disk_layer (const Disk *disk, guint index);
/* The one of disks (of Disk) that has that target, or NULL.  Borrowed. */
const Disk *disk_find (const GPtrArray *disks, const char *target);
/* The lowest layer with a bitmap of that name; how many layers there are, if none
 * has one.
 */
guint disk_deepest_with (const Disk *disk, const char *bitmap);
/* True if a bitmap in one of its layers does not record any more. */
bool disk_has_ended (const Disk *disk);
/* The names of the bitmaps in all layers, each once, borrowed. */
GPtrArray *disk_bitmap_names (const Disk *disk);
