/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The keeper's own side; see keeper.h.  Used by keeper*.c only.
 */
#ifndef COMMON_KEEPER_PROCESS_H
#define COMMON_KEEPER_PROCESS_H

#include <sys/types.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "base/own-folder.h"
#include "keeper/keeper.h"

/* Messages, with their texts. */
enum {
  /* to the keeper */
  KEEPER_LOOK = 1,              /* URI, domain, writable ("1", "") */
  KEEPER_BEGIN,                 /* see job_begin () */
  KEEPER_ADOPT,                 /* process ID */
  KEEPER_SERVED,
  KEEPER_PROVE,                 /* target */
  /* to the keeper, on the socket for connections; KEEPER_ADOPT, too */
  KEEPER_HOLD,                  /* ID, encrypted ("1", ""); with a descriptor */
  KEEPER_SETTLE,                /* ID */
  KEEPER_LET_GO,                /* ID */
  KEEPER_CALM,                  /* none negotiates any more, or will */
  /* from the keeper */
  KEEPER_FAILED,                /* errno, message */
  KEEPER_CHECKPOINT,            /* document */
  KEEPER_GUEST,                 /* document, running, host, connection,
                                 * privileged, then target and size of each
                                 * disk */
  KEEPER_BEGUN,                 /* document */
  KEEPER_BROKEN,                /* message, checkpoint document */
  KEEPER_LOST,                  /* message */
  KEEPER_WARNING,               /* message */
  KEEPER_SCRATCH,               /* bytes used, bytes left */
  KEEPER_PROOF,                 /* target, KeeperLife */
  KEEPER_ENDED,                 /* message, "" if all is well */
};

/* Texts of KEEPER_BEGIN. */
enum {
  BEGIN_BACKUP, BEGIN_CHECKPOINT, BEGIN_NAME, BEGIN_MARK, BEGIN_FOLDER,
  BEGIN_NEEDS_FOLDER, BEGIN_USER, BEGIN_GROUP, BEGIN_TAKE_OVER,
  BEGIN_SCRATCH                 /* and those that follow */
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
  int lifecycle_id, completed_id, status_id; /* -1: that one does not */
} Hypervisor;

#define HYPERVISOR_INIT \
  { .lifecycle_id = -1, .completed_id = -1, .status_id = -1 }

/* The job, as far as it was begun. */
typedef struct {
  char *mark;
  OwnFolder folder;             /* for its socket; says that we live */
  char *created;                /* checkpoint made with it; NULL if none */
  char **scratch;
  bool tried;                   /* to begin: what came of it may be unknown */
  bool begun;
  GHashTable *alive;            /* QEMU's jobs, as keeper-life.c heard of them:
                                 * ID → bool */
  bool unsure;                  /* it heard what it could not read */
  guint64 room;                 /* bytes left for scratch at first */
  guint warned;                 /* how often that it runs short */
} Job;

#define JOB_INIT { .folder = OWN_FOLDER_INIT }

#define JOB_GONE_MS 20000

/* How far the server has come, which decides what it may ask for: see
 * rules[] in keeper-process.c.
 */
typedef enum {
  STAGE_NEW,
  STAGE_LOOKED,                 /* the guest is found */
  STAGE_BEGUN,                  /* the job runs */
  STAGE_ADOPTED,
} Stage;

typedef struct Held Held;

/* The keeper itself. */
typedef struct {
  int fd;
  Held *held;
  Stage stage;
  Hypervisor hypervisor;
  Job job;
  int owner_fd;                 /* pidfd of the server, -1 before adoption */
  bool served;                  /* a client could read */
  bool lost;
  bool done;
  gint64 next_try;              /* to end a job that is lost; monotonic */
  guint rechecks;               /* to come, whether the job still runs */
  char *doubt;                  /* why it may not, unless libvirt says; NULL */
  guint64 scratch_told;
} Process;

/* Turn libvirt's last error into *error, in front of it what was tried.
 * Returns false.
 */
bool hypervisor_error (GError **error, const char *format, ...)
  G_GNUC_PRINTF (2, 3);

/* Connect to libvirt's daemon within limit_ms; or NULL. */
virConnectPtr hypervisor_open (const char *uri, bool writable, int limit_ms,
                               GError **error);

/* Before hypervisor_look: libvirt's calls have no limit, so a look ends the
 * process if it has nothing to tell for longer than anybody waits.  (A process
 * that has a job waits for libvirt as long as it takes: until QEMU answers, or is
 * gone; or, as keeper-connect.c asks its daemon for signs of life, until that is.)
 */
void hypervisor_look_on (void);

/* Connect, find the guest, and tell of it and its checkpoints on fd. */
bool hypervisor_look (Hypervisor *hypervisor, int fd, const char *uri,
                      const char *domain, bool writable, GError **error);

/* Connect anew and find the guest again, by its UUID.  ENOENT: it is gone. */
bool hypervisor_reconnect (Hypervisor *hypervisor, GError **error);

/* Let an error that was set end in what to type.  Returns false. */
bool hypervisor_advise (GError **error, const char *advice,
                        const char *command);

/* "virsh -c URI COMMAND GUEST NAME" (NULL: no name), for messages; the
 * caller's.
 */
char *hypervisor_virsh (const Hypervisor *hypervisor, const char *command,
                        const char *name);

/* Is the guest known to be off, or gone? */
bool hypervisor_guest_is_off (const Hypervisor *hypervisor);

/* Does its QEMU answer?  (It is asked for the disks' counters, which leaves no
 * trace.)  Waits while QEMU is silent, until libvirt notices its end.
 */
bool hypervisor_guest_answers (const Hypervisor *hypervisor);

/* End a job of ours that a crash left (only if take_over is said, and its
 * owner known to be dead), or refuse (EBUSY) and say whose it is.  folder:
 * what is to be made for our own.  qemu_user: to whom we give such folders.
 */
bool owner_clear_way (const Hypervisor *hypervisor, const char *folder,
                      bool take_over, uid_t qemu_user, GError **error);

/* Abort the job that bears the mark; true if there is none (any more).
 * Waits for JOB_GONE_MS at most.
 */
bool owner_abort_marked (const char *mark, const Hypervisor *hypervisor,
                         GError **error);

/* texts as of KEEPER_BEGIN; *xml is libvirt's description of the job.  On
 * failure nothing is left of it; *broken is then the checkpoint with the
 * sizes of what is not broken, if that is the reason.
 */
bool job_begin (Job *job, Hypervisor *hypervisor, const char *const *texts,
                char **xml, char **broken, GError **error);

/* Does it still run, and is it ours? */
bool job_is_running (const Job *job, virDomainPtr domain);

/* Abort the job if it is still ours, wait until it is gone, remove our
 * files, and the created checkpoint unless it is to stay.  False with all
 * that could not be done; it can be tried again then.
 */
bool job_end (Job *job, Hypervisor *hypervisor, bool keep_checkpoint,
              GError **error);

/* Bytes that scratch files occupy and that are left for them, and the file
 * (borrowed) for which the least is, as far as this machine can tell; false if
 * it can't.
 */
bool job_scratch (const Job *job, guint64 *used, guint64 *left,
                  const char **tightest);

/* Send the server a message; false if it is gone. */
bool process_tell (Process *process, guint kind, const char *first,
                   const char *second);

/* Have libvirt tell of what happens to guest and job.  Before the job begins:
 * QEMU tells of its beginning, too.
 */
bool process_watch_guest (Process *process, GError **error);

/* Have libvirt tell of nothing more on this connection. */
void process_unwatch_guest (Process *process);

/* Look at the job some times more, at the clock: its end may have been told
 * while nobody was interested yet.
 */
void process_look_again (Process *process);

/* Does the job run?  If not, tell the server, with the reason.  For when no
 * event of libvirt's will come: it came too early, or the server ends first,
 * and nobody else would say why clients failed.
 */
void process_notice_loss (Process *process);

/* QEMU says that the job does not run any more, and libvirt will say why; if
 * not, that is why.
 */
void process_doubt (Process *process, const char *why);

/* The clock has struck: is there still a job that was doubted? */
void process_recheck (Process *process);

/* Have QEMU's events on its jobs handed on.  Before a job begins. */
bool life_watch (Process *process);
void life_unwatch (Process *process);

/* Forget what was heard of jobs before: ours is to begin now. */
bool life_begin (Job *job, const Hypervisor *hypervisor, GError **error);

/* Is the job alive on the disk of that target, as QEMU sees it?  Reads of the
 * disk that were answered before this was called are then of the time when it
 * began.  *error: why not.  Runs the keeper's loop.
 */
KeeperLife life_look (const Job *job, const Hypervisor *hypervisor,
                      const char *target, GError **error);

/* The same for all disks of the job; xml is libvirt's description of it.  ENOMSG:
 * libvirt sees the job at work, but has not told of its beginning.
 */
bool life_look_at_all (const Job *job, const Hypervisor *hypervisor,
                       const char *xml, GError **error);

/* Hold connections open that are told of on that socket, as long as the process
 * lives, and throw away what still comes on those that nobody else receives on.
 * Starts a thread; NULL: there is none.
 */
Held *held_start (int server_fd);

/* A job is about to begin.  Until then the process ends where its server does,
 * whatever it waits for.
 */
void held_begin (Held *held);

/* Wait until none of them may still negotiate; seconds at most.  Before a job is
 * ended that was served from, once its server is gone or has been told to end.
 */
void held_wait (Held *held);

/* What the process does until its server is gone; never returns.  held_fd: for
 * held_start.
 */
G_NORETURN void keeper_process_run (int fd, int held_fd);

#endif /* COMMON_KEEPER_PROCESS_H */
