/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Something that is not as it should be with checkpoints, their bitmaps and
 * their documents.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

typedef enum {
  SEVERITY_NOTE,                /* nothing need be done */
  SEVERITY_WARNING,             /* backups are right, and something will fail */
  SEVERITY_PROBLEM,             /* a backup cannot be made, or may lack blocks */
} Severity;

typedef enum {
  /* No view of a disk since a checkpoint can be had */
  FINDING_MISSING,
  FINDING_LOST,
  FINDING_INCONSISTENT,
  FINDING_VOID,
  FINDING_DISABLED,
  FINDING_MISNAMED,
  FINDING_OTHER_DISK,
  FINDING_REFUSED,
  FINDING_BROKEN,               /* libvirt says so, and not why */
  /* One can, but */
  FINDING_CONTINUED,            /* disabled, and a later one goes on */
  FINDING_GAP,
  FINDING_SIZE,
  FINDING_STRAYED,
  /* A disk is not looked at, or holds no bitmaps */
  FINDING_NOT_QCOW2,
  FINDING_VERSION_2,
  FINDING_CORRUPT,
  FINDING_IN_USE,
  FINDING_NO_FORMAT,
  FINDING_UNREADABLE,
  FINDING_NOT_THERE,
  FINDING_NOT_SEEN,
  FINDING_VOID_UNNEEDED,
  /* Bitmaps that no checkpoint has */
  FINDING_ORPHAN,
  FINDING_FORGOTTEN,            /* by libvirt */
  FINDING_TEMPORARY,
  /* Documents and their tree */
  FINDING_PARENT,
  FINDING_LOOP,
  FINDING_ROOTS,
  FINDING_BRANCH,
  FINDING_DOCUMENT,
  /* What a killed program left */
  FINDING_LEFT_DOCUMENT,
  FINDING_LEFT_SCRATCH,
  FINDING_LEFT_FOLDER,
  FINDING_JOB_LEFT,
  FINDING_JOB_UNKNOWN,
  FINDING_JOB_OTHER,
  FINDING_JOB_SERVED,
  FINDING_KINDS
} FindingKind;

typedef struct {
  const char *code;             /* a word for programs */
  Severity severity;
  const char *meaning;          /* what it is for a backup; the sentence begins
                                 * with it */
} FindingWords;

/* By FindingKind. */
extern const FindingWords finding_words[FINDING_KINDS];

/* "problem". */
const char *severity_name (Severity severity);

typedef struct {
  FindingKind kind;
  Severity severity;            /* mostly that of its kind */
  GPtrArray *disks;             /* of char *: targets */
  GPtrArray *checkpoints;       /* of char *: names */
  char *file;                   /* a layer's, or a document's; NULL: none */
  char *why;                    /* one line */
  char *command;                /* mends it as it stands, in a shell; NULL:
                                 * nothing that is typed does */
  bool is_safe;                 /* the command loses nothing that anybody could
                                 * use */
} Finding;

Finding *finding_new (FindingKind kind);
void finding_free (Finding *finding);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Finding, finding_free)

/* Copies the text; NULL: nothing. */
void finding_add_disk (Finding *finding, const char *target);
void finding_add_checkpoint (Finding *finding, const char *name);

/* "MEANING: WHY".  A new string; g_free (). */
char *finding_sentence (const Finding *finding);

/* Two of the same are one finding, of several checkpoints.  A new string;
 * g_free ().
 */
char *finding_key (const Finding *finding);
