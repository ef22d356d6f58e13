/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Between the files of this room, each of which asks one kind of question.
 */
#pragma once

#include "base/error.h"
#include "check/check.h"
#include "source/catalogue.h"

typedef struct {
  const CheckRequest *asked;
  CheckResult *result;
  const Forest *forest;         /* what is known of checkpoints */
  Forest *loaded;               /* the same, if it is not the source's */
  bool has_documents;           /* not bitmaps alone */
  bool runs;                    /* QEMU has the disks */
  Source *source;               /* NULL: disks are not looked at */
  Catalogue *catalogue;
  GHashTable *unseen;           /* targets that could not be looked at */
  GHashTable *found;            /* what makes findings one → Finding */
  GHashTable *usable;           /* of views: "TARGET/CHECKPOINT", "TARGET/" */
  GHashTable *needed;           /* "TARGET/BITMAP" of what usable views read,
                                 * which may be other checkpoints' */
  /* Of a guest of libvirt's */
  char *guest;                  /* its name; NULL: it is none */
  Forest *saved;                /* documents that are kept elsewhere, too; or
                                 * NULL */
  GPtrArray *told;              /* of char *: what is no error of looking */
} Check;

/* Add a finding (taken), or what it has more to the one that is there. */
void check_add (Check *check, Finding *finding);

/* Does a checkpoint cover the disk? */
bool check_covers (const Check *check, const char *target);

/* ── open.c ── */

/* Look at documents and disks, and find what cannot be looked at. */
bool check_open (Check *check, GError **error);
void check_close (Check *check);
/* A disk (NULL: that is not known) whose image cannot be looked at.  is_named: that
 * is wanted, whether or not a checkpoint covers it.
 */
void check_unseen (Check *check, const char *target, const GError *error,
                   bool is_named);
/* Which kind of finding such an error is; kind: if it tells of none. */
FindingKind check_kind (const GError *error, FindingKind kind);

/* ── views.c ── */

/* Each disk since each checkpoint that covers it. */
void check_views (Check *check);
/* Note whether it can be had. */
void check_note_view (Check *check, const char *disk, const char *checkpoint,
                      bool usable);
/* Does a usable view read a bitmap of that name? */
bool check_is_needed (const Check *check, const char *disk,
                      const char *bitmap);
/* Is it usable, as far as was noted?  checkpoint NULL: since any. */
bool check_is_usable (const Check *check, const char *disk,
                      const char *checkpoint);

/* ── bitmaps.c ── */

/* Bitmaps of which no checkpoint is known. */
void check_orphans (Check *check);

/* ── layers.c ── */

/* Layers of views that can be had. */
void check_layers (Check *check, const DiskView *view);
/* Void bitmaps that no view needs. */
void check_void (Check *check);

/* ── tree.c ── */

void check_tree (Check *check);

/* ── left.c ── */

/* Files in the folder of documents.  False: one cannot be read by us. */
bool check_documents (Check *check, const GPtrArray *skipped, GError **error);
/* What a killed backup left beside the disk at that path. */
void check_scratch (Check *check, const char *path);
/* And where its sockets were. */
void check_folders (Check *check);

/* ── guest.c ── */

/* Is there a document of it that was kept elsewhere? */
bool check_is_saved (const Check *check, const char *checkpoint);

/* A guest of libvirt's.  *running: else nothing of it was looked at. */
bool check_guest (Check *check, bool *running, GError **error);

/* ── mend.c: what to type, new strings; g_free () ── */

/* Rid the checkpoint's record of what is left of it on that disk (NULL: not one
 * of those looked at).  NULL: that could spoil what is usable.
 */
char *mend_record (const Check *check, const Disk *disk, const char *target,
                   const Checkpoint *checkpoint, bool *is_safe);
/* Remove the disk's bitmap of that name; NULL: that cannot be typed.  *is_safe
 * stays so only if it was, and is.
 */
char *mend_bitmap (const Check *check, const Disk *disk, const char *bitmap,
                   bool *is_safe);
/* Delete it, bitmaps and all. */
char *mend_delete (const Check *check, const char *checkpoint);
/* Change its document, by this program of sed -z. */
char *mend_document (const Check *check, const char *checkpoint,
                     const char *program);
/* Make the checkpoint known that disks (char *) have bitmaps of. */
char *mend_forgotten (const Check *check, const char *checkpoint,
                      const char *parent, const GPtrArray *targets);
/* Give the disk, and the one that has its name of the checkpoint, their names back.
 * NULL: it is no guest of libvirt's, or the other is not known.
 */
char *mend_exchanged (const Check *check, const Roster *roster,
                      const char *target, const Checkpoint *checkpoint);
/* "qemu-img COMMAND FILE". */
char *mend_image (const char *command, const char *path);

/* ── removal.c: bitmaps of images that no QEMU has ── */

/* Of that name; "": none that may go.  *is_safe as above. */
char *mend_removal (const Check *check, const Disk *disk, const char *bitmap,
                    bool *is_safe);
/* All that may have gone on where others are void, and then the sign of that. */
char *mend_void (const Check *check, const Disk *disk, bool *is_safe);
