/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Where bitmaps and documents are kept apart: a stopped guest's images, a running
 * QEMU; a folder of documents, or a libvirt that knows a guest which is off.
 */
#pragma once

#include "image/disk.h"
#include "record/change.h"
#include "record/record.h"

typedef struct Bitmaps Bitmaps;

typedef struct {
  /* Do all of changes (of BitmapChange), in their order, or none.  What was
   * looked at must still be so: EAGAIN if it is not.  May be called again, to
   * undo what it did (disks are as they were looked at, all the same).
   */
  bool (*apply) (Bitmaps *bitmaps, const GPtrArray *changes, GError **error);
  /* Freeze and thaw the guest's file systems; NULL: nothing runs there.  Where
   * freezing fails, nothing stays frozen.
   */
  bool (*freeze) (Bitmaps *bitmaps, GError **error);
  bool (*thaw) (Bitmaps *bitmaps, GError **error);
  void (*free) (Bitmaps *bitmaps);
} BitmapOps;

/* The first member of each kind's own structure. */
struct Bitmaps {
  const BitmapOps *ops;
  GPtrArray *disks;             /* of Disk, as they were looked at */
  const GPtrArray *left_out;    /* of LeftOut (source.h): disks of the guest that
                                 * cannot be looked at; NULL: none are known;
                                 * borrowed from what embeds this */
  bool named_by_hand;           /* set by record_open: the guest may have more
                                 * disks than those that were named */
};

typedef struct Documents Documents;

typedef struct {
  /* Keep the checkpoint's document; text NULL: as checkpoint_format () makes it. */
  bool (*put) (Documents *documents, const Checkpoint *checkpoint,
               const char *text, gsize length, GError **error);
  /* Give a checkpoint that has a document another parent (NULL: none), and leave
   * the rest of it as it is.
   */
  bool (*move) (Documents *documents, const Checkpoint *checkpoint,
                const char *parent, GError **error);
  bool (*remove) (Documents *documents, const Checkpoint *checkpoint,
                  GError **error);
  /* Can a document be put there?  EINVAL if it is another guest's, say.  NULL:
   * put finds out.
   */
  bool (*fits) (Documents *documents, const Checkpoint *checkpoint,
                GError **error);
  /* Can one that is there be changed, or removed?  NULL: that shows then. */
  bool (*can_change) (Documents *documents, const Checkpoint *checkpoint,
                      GError **error);
  void (*free) (Documents *documents);
} DocumentOps;

struct Documents {
  const DocumentOps *ops;
  bool has_own_current;         /* see Record */
  Forest *forest;               /* as they were looked at, and with what was
                                 * redefined since */
};

/* Takes them.  documents NULL: there are none, and bitmaps alone are a flat tree;
 * bitmaps NULL: documents alone can be changed, for this reason.
 */
Record *apart_new (Bitmaps *bitmaps, GError *no_bitmaps, Documents *documents,
                   const Reporter *reporter);

/* The kinds.  Each looks only. */
Bitmaps *bitmaps_of_files (const SourceRequest *request, const Forest *tree,
                           const Reporter *reporter, GError **error);
Bitmaps *bitmaps_of_qemu (const SourceRequest *request, const Forest *tree,
                          const Reporter *reporter, GError **error);
/* path: a folder, which may be empty or not there yet. */
Documents *documents_in_folder (const char *path, const char *domain,
                                const Reporter *reporter, GError **error);
/* Of a guest that is off, forest: what libvirt knows (taken). */
Documents *documents_at_libvirt (const SourceRequest *request, Forest *forest,
                                 const Reporter *reporter, GError **error);

/* A guest that runs at libvirt's: libvirt does all of it. */
Record *record_at_libvirt (const SourceRequest *request, Forest *forest,
                           const Reporter *reporter, GError **error);
