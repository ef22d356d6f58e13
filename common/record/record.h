/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What is recorded of a guest, to be changed: its checkpoints' documents and its
 * disks' bitmaps.  All changes go through these functions, whoever keeps them: a
 * running guest's libvirt, which does all of it, or others, where bitmaps and
 * documents are kept apart (apart.h).
 */
#pragma once

#include "base/reporter.h"
#include "source/request.h"
#include "tree/forest.h"

typedef struct Record Record;

/* Which checkpoints go: as VIR_DOMAIN_CHECKPOINT_DELETE_CHILDREN and
 * _CHILDREN_ONLY have it.
 */
typedef enum {
  DELETE_ONE,
  DELETE_WITH_DESCENDANTS,
  DELETE_DESCENDANTS,
} DeleteScope;

/* How a checkpoint is made. */
typedef struct {
  bool quiesce;                 /* freeze the guest's file systems meanwhile */
  bool no_document;             /* bitmaps only */
} CreateFlags;

typedef struct {
  /* Make the checkpoint: a bitmap of its name on each disk that it covers, all of
   * them or none, and its document.  checkpoint is complete (record_complete).
   */
  bool (*create) (Record *record, const Checkpoint *checkpoint,
                  CreateFlags flags, GError **error);

  /* Delete it, or those below it.  document_only: leave the bitmaps. */
  bool (*delete) (Record *record, const Checkpoint *checkpoint,
                  DeleteScope scope, bool document_only, GError **error);

  /* Delete the bitmaps of that name on whichever disks have one, and the document
   * if there is one, where delete would refuse since some are gone or no document
   * tells of them.  targets (of char *): where there was one.  May be called again
   * after it failed.  NULL: without documents, bitmaps are checkpoints there.
   */
  bool (*delete_leftovers) (Record *record, const char *name,
                            GPtrArray *targets, GError **error);

  /* Could its document be kept, as redefine would, but for its parent?  NULL: that
   * shows then.
   */
  bool (*check) (Record *record, const Checkpoint *checkpoint, bool validate,
                 GError **error);

  /* Keep this document (length bytes, which are checkpoint's), in the place of
   * one of its name if there is.  validate: refuse unless each disk that it
   * covers has a bitmap that records.  forest has it then.
   */
  bool (*redefine) (Record *record, const Checkpoint *checkpoint,
                    const char *document, gsize length, bool validate,
                    GError **error);

  void (*free) (Record *record);
} RecordOps;

struct Record {
  const RecordOps *ops;
  const Reporter *reporter;     /* borrowed */
  const Forest *forest;         /* as it was when it was opened, and with what
                                 * was redefined since; borrowed from what
                                 * embeds this */
  const GPtrArray *disks;       /* of Disk; NULL: they are not looked at, since
                                 * libvirt knows them; borrowed likewise */
  const GPtrArray *left_out;    /* of LeftOut (source.h): others of the guest
                                 * that cannot be looked at; or NULL */
  bool has_documents;           /* not bitmaps alone */
  bool has_own_current;         /* who keeps them has an idea of which one is
                                 * current */
};

/* Look at what the request names, and at the documents in tree (a path; NULL: none,
 * or libvirt's).  Nothing is changed yet.
 */
Record *record_open (const SourceRequest *request, const char *tree,
                     const Reporter *reporter, GError **error);
void record_free (Record *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Record, record_free)

/* Fill in what a checkpoint that is to be made (checkpoint_new_now) does not say,
 * by libvirt's rules (virDomainCheckpointAlignDisks, qemuCheckpointPrepare): its
 * parent, and the disks that it covers.  EINVAL, ENOENT, EEXIST: why there can be
 * none such.  For a record whose disks are libvirt's to know (disks is NULL), only
 * the name is looked at.
 */
bool record_complete (const Record *record, Checkpoint *checkpoint,
                      GError **error);
