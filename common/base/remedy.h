/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a user can do about an error, where that is up to the front end: to add
 * a parameter of nbdkit's, an option of a tool's.  Here is what; how it is typed
 * each front end has in a table of texts, one for each remedy.  What is typed the
 * same everywhere (virsh, qemu-img, chmod) is in the message itself.
 */
#pragma once

#define REMEDY_WORDS 3

/* In braces the words that come with it: {0}, {1}, {2}. */
typedef enum {
  REMEDY_NONE,

  /* What is asked for */
  REMEDY_NAME_SOURCE,           /* no source is named */
  REMEDY_ONE_SOURCE,            /* leave one of two out */
  REMEDY_NAME_GUEST,            /* choose one: {0} names them */
  REMEDY_NAME_TARGET,           /* say of which disk the file {0} is */
  REMEDY_NO_TARGET,             /* name the file {0}, whose name looks like a
                                 * target's and a file's */
  REMEDY_ASK_FOR_DISK,          /* {0}, and serve the checkpoint that is meant */
  REMEDY_CHOOSE_DISK,           /* ask for one of the exports {0}, or serve one
                                 * only of the disks {1} */
  REMEDY_CHOOSE_REST,           /* ask for disk {0}; of another is said: {1} */
  REMEDY_CHOOSE_CHECKPOINT,     /* serve one, or ask for one of disk {0} */
  REMEDY_OTHER_BASE,            /* begin a backup since checkpoint {0} */
  REMEDY_UNITE,                 /* serve views of several parts; {0}: what was
                                 * asked for, as it was typed */
  REMEDY_LEAVE_TREE_OUT,        /* what it does not know is then known by its
                                 * bitmap */
  REMEDY_GIVE_TREE,             /* if there is one; else make a full backup */

  /* Of a server's bitmaps and layers */
  REMEDY_NAME_BITMAP,           /* {0}, if the job is since checkpoint {1} */
  REMEDY_CHOOSE_BITMAP,         /* another, or export {0} */
  REMEDY_EXPORT_LAYER,          /* with bitmap {0}, or leave the layer out */
  REMEDY_CERTIFICATES,          /* say where those of the authority are */
  REMEDY_START_AGAIN,           /* this process */
  REMEDY_LET_US_BEGIN,          /* the backup, rather than join one */

  /* Of a disk's files */
  REMEDY_FULL_BACKUP,           /* {0}: of what, and what comes then */
  REMEDY_READ_AS,               /* disk {0}, the file {1}, since {2} */
  REMEDY_BACKING_FORMAT,        /* say it, or {0} records it */
  REMEDY_NAME_BACKING,          /* {0}: that may be read */
  REMEDY_GIVE_SECRET,           /* of disk {0} */
  REMEDY_EXPORT_DISK,           /* with QEMU's programs, and ask that server */
  REMEDY_NOT_QCOW2,             /* name another file, or a running QEMU */
  REMEDY_GUEST_RUNS,            /* ask its libvirt or QEMU, or stop it */
  REMEDY_GUEST_OR_BITMAP,       /* it runs: ask its libvirt; else full backup,
                                 * and {0} */

  /* Of a running guest's backup */
  REMEDY_BEGIN_BACKUP,          /* with a base, or a full one */
  REMEDY_FIRST_CHECKPOINT,      /* make one, or serve all without */
  REMEDY_FIRST_OF_ALL,          /* make checkpoint {0}: there is none at all; the
                                 * front end may say whose it is in {1} */
  REMEDY_FIRST_OFF,             /* make checkpoint {0} of libvirt {1}, guest {2},
                                 * which is off */
  REMEDY_FIRST_RUNNING,         /* make checkpoint {0} of a guest that runs */
  REMEDY_RECORD_DISK,           /* make a checkpoint that covers it, too */
  REMEDY_UNRECORDED,            /* how it is served since checkpoint {0} */
  REMEDY_FULL_VIEW,             /* serve whole what has no record */
  REMEDY_FULL_ALONE,            /* and make no checkpoint; {0}: or what */
  REMEDY_SERVE_WHOLE,           /* what one disk's refusal says in brackets */
  REMEDY_OTHER_NAME,            /* for the new checkpoint, or {0} */
  REMEDY_LEAVE_DISK_OUT,        /* of the checkpoint: it can have {0} */
  REMEDY_FORGET,                /* of libvirt {0}, guest {1}, the checkpoint {2},
                                 * whose bitmaps are gone */
  REMEDY_DELETE_LEFTOVERS,      /* of libvirt {0}, guest {1}, the bitmaps {2},
                                 * or choose another name */
  REMEDY_DELETE_AT_QEMU,        /* at the monitor {0}, the checkpoint {1}, or
                                 * choose another name */
  REMEDY_DELETE_IN_TREE,        /* as well, with its document in {2} */
  REMEDY_NO_QUIESCE,            /* or have its agent running */
  REMEDY_NO_CHECKPOINT,         /* start the guest, or make none */
  REMEDY_SOCKET_DIR,            /* choose another place */
  REMEDY_SOCKET_DIR_BY_GROUP,   /* one that both users share, or be root */
  REMEDY_SCRATCH_DIR,           /* choose another place */
  REMEDY_CONFINEMENT,           /* allow QEMU these two places */
  REMEDY_NO_TLS,                /* do not ask for it */
  REMEDY_SAY_TLS,               /* or that there is to be none */
  REMEDY_TAKE_OVER,             /* the job; or end it: {0}, and remove {1} */
  REMEDY_SEE_OTHERS,            /* see who serves it */

  /* Of a running QEMU */
  REMEDY_MONITOR_HELD,          /* ask its libvirt, if that holds it */
  REMEDY_NAME_AGENT,            /* say where its guest's agent is */

  /* Of what is to be changed */
  REMEDY_STRAY_BITMAP,          /* choose another name, or remove bitmap {0} */
  REMEDY_DOCUMENT_ONLY,         /* of checkpoint {0}, delete that alone */
  REMEDY_NAME_DISKS,            /* or say that documents alone are meant */
  REMEDY_NAME_ALL_DISKS,        /* disk {0}, too; or, if it is gone, do without */
  REMEDY_NAME_TREE,             /* where documents are kept */
  REMEDY_COVER_OTHERS,          /* all but disk {0} */

  /* What check says to type, alone: of which checkpoints is {0} */
  REMEDY_TYPE_DELETE,           /* checkpoint {1} */
  REMEDY_TYPE_FORGET,           /* its document only */
  REMEDY_TYPE_REDEFINE,         /* what is in the file {1} */
  REMEDY_TYPE_CHANGE,           /* the document of {1}, by sed -z {2} */

  REMEDY_COUNT
} Remedy;

/* The front end's text with the words put in: {0} as it is, {q0} as a shell
 * takes it; a word that was not given is empty.  remedies: texts by Remedy; NULL:
 * the front end has none.  words: at most REMEDY_WORDS, then NULL.  Returns a
 * new string; g_free ().  NULL if there is no text.
 */
char *remedy_text (const char *const *remedies, Remedy remedy,
                   const char *const *words);
