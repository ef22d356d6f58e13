/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The keeper: a process of ours that begins a job, such as a backup at
 * libvirt, and ends it whenever the server that it was begun for is gone.
 *
 * Why a process: libvirt's calls have no time limit, and its events need
 * threads that would not survive a fork into the background.  And it outlives
 * the server, even one that was killed: nothing stays behind.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

#include "base/reporter.h"
#include "keeper/message.h"

typedef struct Keeper Keeper;

/* What it keeps: a kind of job (job-ops.h). */
typedef struct JobOps JobOps;

typedef enum {
  KEEPER_EVENT_LOST,            /* the job is over; text says why */
  KEEPER_EVENT_ENDING,          /* it is ended as soon as this returns: no
                                 * connection to it may negotiate then */
  KEEPER_EVENT_WARNING,
  KEEPER_EVENT_SCRATCH,         /* bytes used, bytes that are left */
  KEEPER_EVENT_LIFE,            /* what keeper_look_for_life asked; text is the
                                 * target */
} KeeperEventKind;

typedef enum {
  KEEPER_ALIVE,                 /* the job was, after it was asked */
  KEEPER_DEAD,
  KEEPER_UNKNOWN,               /* libvirt could not look just now */
} KeeperLife;

typedef struct {
  KeeperEventKind kind;
  const char *text;
  const char *advice;           /* what to do about it; NULL: nothing */
  guint64 used, left;
  KeeperLife life;
} KeeperEvent;

/* False to KEEPER_EVENT_ENDING: a connection may still negotiate. */
typedef bool (*KeeperNotify) (void *opaque, const KeeperEvent *event);

/* So long at most may whoever is told of KEEPER_EVENT_ENDING take.  It needs a
 * tenth of a second, but on a busy host longer, and a guest hangs if it is not
 * waited for.
 */
#define KEEPER_CALM_MS 10000

/* Start the process, before there are threads (.get_ready).  Borrows both. */
Keeper *keeper_start (const JobOps *ops, const Reporter *reporter,
                      GError **error);

/* What messages say, and advise to type. */
typedef struct {
  char *where;                  /* "guest web1 (qemu:///system)" */
  char *look_at_job, *end_job;  /* commands: is it there? end it */
  char *look_at_peer;           /* does who is asked answer at all? */
} KeeperWords;

/* Before anything is asked, and again when more is known, but not once it is
 * adopted.  Takes what words points to.
 */
void keeper_set_words (Keeper *keeper, const KeeperWords *words);

/* Ask what the JobOps hear; wait for the next answer.  asked: "tell of it", for
 * the error if none comes.  KEEPER_FAILED becomes an error.
 */
bool keeper_ask (Keeper *keeper, guint kind, const char *const *texts,
                 GError **error);
bool keeper_answer (Keeper *keeper, const char *asked, Message *message,
                    GError **error);

/* The calling process serves the job from here on (.after_fork).  The job ends
 * with it, or when nbdkit is told to end, which then waits for its clients.
 * notify is called in a thread of its own, and for KEEPER_EVENT_ENDING, which
 * may come several times, also in that of keeper_end.
 */
void keeper_adopt (Keeper *keeper, KeeperNotify notify, void *opaque);

/* The functions up to keeper_let_go are for any thread. */

/* A client can read: a checkpoint made with the job stays.  Once is enough. */
void keeper_served (Keeper *keeper);

/* Ask whether the job lives on the disk of that target, for a
 * KEEPER_EVENT_LIFE.  After keeper_adopt.  False if the keeper is gone.
 */
bool keeper_look_for_life (Keeper *keeper, const char *target);

/* An NbdHolder's functions, of a Keeper.  keeper_hold keeps a copy of a
 * connection to the job's server until the job has ended, even if the calling
 * process is killed meanwhile; false if the keeper is gone.  keeper_settle: it
 * has its export.  keeper_let_go: nobody receives on it any more.
 */
bool keeper_hold (void *keeper, guint64 id, int fd, bool encrypted);
void keeper_settle (void *keeper, guint64 id);
void keeper_let_go (void *keeper, guint64 id);

/* End the job if there is one, and the process, in KEEPER_STOP_MS at most.
 * Close the connections to the job only afterwards.  Returns NULL, or what
 * could not be undone, with what to type; g_free ().
 */
char *keeper_end (Keeper *keeper);

/* Hold the keeper no longer, in a process that has forked and does not serve,
 * so that it sees the end of the one that does.
 */
void keeper_disown (Keeper *keeper);

/* After keeper_end.  NULL is fine. */
void keeper_free (Keeper *keeper);

#define KEEPER_ANSWER_MS 60000
#define KEEPER_STOP_MS 45000
