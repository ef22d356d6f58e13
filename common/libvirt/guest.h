/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a server asks of a keeper of libvirt's jobs: to look at a guest, and to
 * begin a backup of it.  No call of libvirt's is made here.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <glib.h>

#include "keeper/keeper.h"
#include "libvirt/guest-xml.h"
#include "tree/forest.h"

/* For keeper_start. */
extern const JobOps libvirt_job_ops;

/* What a look is to bring. */
typedef struct {
  const char *uri, *domain;     /* the guest's name or UUID */
  bool writable;                /* more than looking is to follow */
  bool begin;                   /* a job: what that needs is asked at once, too */
  const char *checkpoint;       /* whose document is wanted, too; NULL: none */
  bool no_domain;               /* without the guest's definition */
  bool size;                    /* with what is dirty, if the guest runs: QEMU
                                 * merges bitmaps for that */
  bool security_info;           /* with passwords; needs writable */
  bool no_checkpoints;          /* none is told of */
  bool examine;                 /* which job runs; and if none does, of each
                                 * checkpoint what is dirty */
  const char *socket_dir;       /* where our jobs have theirs, to examine */
} GuestQuestion;

/* What libvirt says of a guest. */
typedef struct {
  Guest *guest;
  bool running;
  char *host;                   /* libvirt runs there; NULL: on this machine */
  char *connection;             /* the URI it answers for, canonical */
  bool privileged;              /* a system daemon: QEMU may have a user of
                                 * its own */
  GHashTable *sizes;            /* target → guint64 *, bytes; of a running
                                 * guest's disks, where no job is to begin */
  Forest *tree;
  GPtrArray *volumes;           /* of GStrv, the texts of KEEPER_VOLUME: heard
                                 * of before the guest */
  GPtrArray *skipped;           /* of char *: documents left out, and why */
  char *document;               /* the one that was asked for; NULL: there is
                                 * no such checkpoint */
  GError *job;                  /* no backup can begin, for a job runs
                                 * (REASON_JOB_…); NULL: none, or not examined */
} GuestLook;

void guest_look_clear (GuestLook *look);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GuestLook, guest_look_clear)

/* A job to begin. */
typedef struct {
  const char *backup_xml;
  const char *checkpoint_xml;   /* NULL: create none */
  const char *checkpoint_name;
  const char *mark;             /* in names and texts of all we make */
  const char *folder;           /* to be made, for the socket; absolute */
  bool qemu_needs_folder;
  uid_t qemu_user;
  gid_t qemu_group;
  bool take_over;               /* end a job that a crash of ours left */
  const char *const *scratch;   /* files we may find left over, and remove */
} JobRequest;

/* A change of a guest's checkpoints. */
typedef enum {
  GUEST_CREATE,
  GUEST_REDEFINE,
  GUEST_MOVE,                   /* give one another parent */
  GUEST_DELETE,
} GuestChangeKind;

typedef struct {
  GuestChangeKind kind;
  const char *document;         /* CREATE, REDEFINE */
  bool quiesce;                 /* CREATE: freeze its file systems meanwhile */
  bool validate;                /* REDEFINE: refuse unless bitmaps record it */
  bool add_domain;              /* REDEFINE: the document has no definition of
                                 * the guest, and gets its present one */
  bool metadata_only;           /* DELETE: leave the bitmaps */
  const char *const *names;     /* NULL-terminated; DELETE: of checkpoints, in
                                 * this order, until one fails; MOVE: of one,
                                 * and of its new parent if it is to have one */
} GuestChange;

/* "qemu+tls://host/system" → host (without the brackets of IPv6; NULL: it is
 * this machine), and whether it is a system daemon.  g_free ().
 */
char *guest_split_uri (const char *text, bool *privileged);

/* Connect, find the guest, look. */
bool guest_look_at (Keeper *keeper, const GuestQuestion *question,
                    GuestLook *look, GError **error);

/* The same with a keeper of its own, which ends here: nothing is begun. */
bool guest_look_once (const GuestQuestion *question, const Reporter *reporter,
                      GuestLook *look, GError **error);

/* Make a change.  Before this, guest_look_at with a question that is writable;
 * after it, more of them.  Each document or name is done as a whole, even if
 * the calling process is killed meanwhile, or not at all.  ETIMEDOUT: libvirt
 * has not answered, and may do it yet.
 */
bool guest_change (Keeper *keeper, const GuestChange *change, GError **error);

/* Begin the job.  *xml is libvirt's description of it; g_free ().  It can be
 * connected to, and served once guest_job_lives is true.  *broken: if a broken
 * checkpoint is why it failed, that checkpoint as libvirt sees it, where a disk
 * without a size has no usable bitmap; checkpoint_free ().
 */
bool guest_begin_job (Keeper *keeper, const JobRequest *request, char **xml,
                      Checkpoint **broken, GError **error);

/* Wait until the job that began is seen to live, or why not.  Once. */
bool guest_job_lives (Keeper *keeper, GError **error);
