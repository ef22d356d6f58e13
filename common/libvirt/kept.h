/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A backup job of libvirt's, as the keeper keeps it (keeper/job-ops.h).  A
 * void *kept is a KeptJob: such functions stand in the JobOps.
 */
#pragma once

#include <sys/types.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "base/own-folder.h"
#include "keeper/job-ops.h"
#include "keeper/scratch.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC (virDomainCheckpoint, virDomainCheckpointFree)

/* Texts of KEEPER_LOOK.  The last may be missing: no document is wanted. */
enum {
  LOOK_URI, LOOK_DOMAIN, LOOK_WRITABLE, LOOK_TEXTS,
  LOOK_CHECKPOINT = LOOK_TEXTS, LOOK_NO_DOMAIN, LOOK_SIZE, LOOK_SECURITY_INFO,
  LOOK_NO_CHECKPOINTS, LOOK_EXAMINE, LOOK_SOCKET_DIR, LOOK_BEGIN
};

/* Texts of KEEPER_BEGIN. */
enum {
  BEGIN_BACKUP, BEGIN_CHECKPOINT, BEGIN_NAME, BEGIN_MARK, BEGIN_FOLDER,
  BEGIN_NEEDS_FOLDER, BEGIN_USER, BEGIN_GROUP, BEGIN_TAKE_OVER,
  BEGIN_SCRATCH                 /* and those that follow */
};

/* Texts of KEEPER_CHANGE. */
enum {
  CHANGE_KIND, CHANGE_DOCUMENT, CHANGE_QUIESCE, CHANGE_VALIDATE,
  CHANGE_ADD_DOMAIN, CHANGE_METADATA_ONLY,
  CHANGE_NAMES                  /* and those that follow */
};

/* Where the keeper is connected to. */
typedef struct {
  char *uri;                    /* as given */
  char *domain_name;            /* as libvirt says it */
  char uuid[VIR_UUID_STRING_BUFLEN];
  virConnectPtr connection;
  virDomainPtr domain;
  bool remote;
  bool watched;                 /* its events come in, on this connection: */
  bool tells_of_closing;
  int lifecycle_id, completed_id, status_id; /* -1: that one does not */
  bool has_no_job;              /* libvirt knew of none of the guest's (owner_ask) */
  bool hears_late;              /* QEMU's events of a job before ours may still come */
} Hypervisor;

#define HYPERVISOR_INIT \
  { .lifecycle_id = -1, .completed_id = -1, .status_id = -1 }

/* The job, as far as it was begun. */
typedef struct {
  char *mark;
  OwnFolder folder;             /* for its socket; says that we live */
  char *created;                /* checkpoint made with it; NULL if none */
  char **scratch;
  GHashTable *alive;            /* QEMU's jobs, as life.c heard of them:
                                 * ID → bool */
  bool unsure;                  /* it heard what it could not read */
  char *unproved;               /* libvirt's description of it, until it is seen to
                                 * live */
} Job;

#define JOB_INIT { .folder = OWN_FOLDER_INIT }

#define JOB_GONE_MS 20000

/* All that is kept. */
typedef struct {
  Telling *telling;
  Hypervisor hypervisor;
  Job job;
  guint rechecks;               /* to come, whether the job still runs: */
  gint64 recheck_at;            /* not before; monotonic */
  bool heard_early;             /* an end was told before the job was seen to live: it
                                 * is looked for at once */
  char *doubt;                  /* why it may not, unless libvirt says; NULL */
  ScratchWatch scratch;
  bool frozen;                  /* the guest's file systems are, or may be */
} KeptJob;

/* Set "WHAT WAS TRIED: libvirt's last error".  Returns false. */
bool hypervisor_error (GError **error, const char *format, ...)
  G_GNUC_PRINTF (2, 3);

/* Connect to libvirt's daemon within limit_ms; or NULL. */
virConnectPtr hypervisor_open (const char *uri, bool writable, int limit_ms,
                               GError **error);

/* Find the guest by its name, UUID or ID, or say which there are. */
bool hypervisor_find (Hypervisor *hypervisor, const char *domain,
                      GError **error);

/* Connect, find the guest, and tell the server of it and its checkpoints, as asked
 * by the message; of the sizes of its disks only if not writable.  libvirt's
 * calls have no limit, so an alarm ends the process if there is nothing to tell
 * for longer than anybody waits; the caller stops it.  (With a job, all wait
 * until QEMU answers, or until QEMU or libvirt's daemon, which connect.c asks
 * for signs of life, is gone.)
 */
bool hypervisor_look (KeptJob *kept, const Message *message, GError **error);

/* Connect anew and find the guest again, by its UUID.  ENOENT: it is gone. */
bool hypervisor_reconnect (Hypervisor *hypervisor, GError **error);

/* Let an error that was set end in what to type.  Returns false. */
bool hypervisor_advise (GError **error, const char *advice,
                        const char *command);

/* "virsh -c URI COMMAND GUEST NAME"; name may be NULL.  g_free (). */
char *hypervisor_virsh (const Hypervisor *hypervisor, const char *command,
                        const char *name);

/* libvirt did not do what was to be done to the checkpoint of that name
 * (document: to be made by it; or NULL), for the reason of code, that *error
 * tells: say what it means, and what to type.  Returns false.
 */
bool refusal_explain (const Hypervisor *hypervisor, int code,
                      const char *name, const char *document,
                      GError **error);

/* JobOps.change. */
bool change_make (void *kept, const Message *message, GError **error);

/* Thaw the guest's file systems if they are frozen. */
bool change_thaw (KeptJob *kept, GError **error);

/* True if the guest is known to be off, or gone. */
bool hypervisor_guest_is_off (const Hypervisor *hypervisor);

/* True if its QEMU answers.  Waits while it is silent, until libvirt notices
 * its end.  (Asks for the disks' counters, which leaves no trace.)
 */
bool hypervisor_guest_answers (const Hypervisor *hypervisor);

/* Ask libvirt whether the guest has a backup job.  If not, the next owner_clear_way
 * does not ask again.  For any thread.
 */
void owner_ask (Hypervisor *hypervisor);

/* End a job of ours that a crash left (only if take_over is said, and its
 * owner known to be dead), or refuse (EBUSY) and say whose it is.  folder:
 * what is to be made for our own.  qemu_user: to whom we give such folders.
 */
bool owner_clear_way (Hypervisor *hypervisor, const char *folder,
                      bool take_over, uid_t qemu_user, GError **error);

/* The same without ending anything: false (EBUSY) if there is a job. */
bool owner_look (const Hypervisor *hypervisor, const char *socket_dir,
                 uid_t qemu_user, GError **error);

/* A job with that mark could not begin, for the reason of *error: if one of somebody
 * else's is there, that is the reason.
 */
void owner_explain (const Hypervisor *hypervisor, const char *mark,
                    const char *folder, uid_t qemu_user, GError **error);

/* Abort the job that bears the mark; true if there is none (any more).
 * Waits for JOB_GONE_MS at most.
 */
bool owner_abort_marked (const char *mark, const Hypervisor *hypervisor,
                         GError **error);

/* texts: of KEEPER_BEGIN.  *xml: libvirt's description of the job, which is at
 * work as far as QEMU has told: job_confirm is to follow.  On failure
 * nothing is left of it; *broken is the checkpoint with the sizes of what is
 * not broken, if that is the reason.
 */
bool job_begin (KeptJob *kept, const char *const *texts, char **xml,
                char **broken, GError **error);

/* JobOps.confirm. */
bool job_confirm (void *kept, GError **error);

/* True if it still runs, and is ours. */
bool job_is_running (const Job *job, virDomainPtr domain);

/* The job's part of JobOps.end: abort it, wait until it is gone, remove our
 * files, and the created checkpoint unless it is to stay.
 */
bool job_end (void *kept, bool keep_checkpoint, GError **error);

/* Bytes that scratch files occupy and that are left for them, and the file
 * (borrowed) for which the least is.  False if this machine cannot tell.
 */
bool job_scratch (const Job *job, guint64 *used, guint64 *left,
                  const char **tightest);

/* Have libvirt tell of what happens to guest and job on this connection, or of
 * nothing more.  Begin before the job: QEMU tells of its beginning, too.
 */
bool watch_begin (KeptJob *kept, GError **error);

/* AtOnceAsks: what watch_begin and owner_clear_way would ask, asked beside other
 * questions, the late ones when the early ones are answered.  What fails, they ask
 * again, and report.
 */
#define WATCH_EARLY 2
#define WATCH_LATE 3
void watch_ask_early (void *kept, guint which);
void watch_ask_late (void *kept, guint which);

void watch_end (KeptJob *kept);

/* Let watch_recheck look some times more: the job's end may have been told
 * while nobody was interested yet.
 */
void watch_look_again (KeptJob *kept);

/* JobOps.notice_loss, for when no event of libvirt's will come: it came too
 * early, or the server ends first.
 */
void watch_notice_loss (void *kept);

/* JobOps.doubt.  The server is told why, unless libvirt says why. */
void watch_doubt (void *kept, const char *why);

/* Look for a job that was doubted.  Call at each tick of the clock. */
void watch_recheck (KeptJob *kept);

/* The part of watch_begin and watch_end that is QEMU's events on its jobs. */
bool life_watch (KeptJob *kept);
void life_unwatch (KeptJob *kept);

/* Forget what was heard of jobs before: ours is to begin now. */
bool life_begin (Job *job, Hypervisor *hypervisor, GError **error);

/* JobOps.prove, as QEMU sees it.  Runs the keeper's loop. */
KeeperLife life_look (const Job *job, const Hypervisor *hypervisor,
                      const char *target, GError **error);

/* Has QEMU told of each disk's job, and of no end?  Its end may be on the way. */
bool life_is_told (const Job *job, const char *xml);

/* The same as life_look for all disks of the job; xml is libvirt's description of it.
 * ENOMSG: libvirt sees the job at work, but has not told of its beginning, or has
 * told of an end, which may be that of a job before.
 */
bool life_look_at_all (const Job *job, const Hypervisor *hypervisor,
                       const char *xml, GError **error);
