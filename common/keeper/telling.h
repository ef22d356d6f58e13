/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What the server of a job is told, and how far the job has come, on which it
 * depends what can still be told.  Of the keeper's main thread only.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

#include "keeper/message.h"

/* The messages, with their texts. */
enum {
  /* to the keeper */
  KEEPER_LOOK = 1,              /* as its JobOps say */
  KEEPER_BEGIN,                 /* as its JobOps say */
  KEEPER_ADOPT,                 /* process ID */
  KEEPER_SERVED,
  KEEPER_PROVE,                 /* target */
  KEEPER_CHANGE,                /* as its JobOps say */
  /* to the keeper, on the socket for connections; KEEPER_ADOPT, too */
  KEEPER_HOLD,                  /* ID, encrypted ("1", ""); with a descriptor */
  KEEPER_SETTLE,                /* ID */
  KEEPER_LET_GO,                /* ID */
  KEEPER_CALM,                  /* none negotiates any more, or will */
  /* from the keeper */
  KEEPER_FAILED,                /* errno, message, remedy, its words, reason */
  KEEPER_CHECKPOINT,            /* document */
  KEEPER_GUEST,                 /* document, host, connection, privileged, then
                                 * target and size of each disk */
  KEEPER_VOLUME,                /* target, place in its chain, name, why there is
                                 * none: of a guest that is told next */
  KEEPER_BEGUN,                 /* document */
  KEEPER_BROKEN,                /* message, checkpoint document */
  KEEPER_LOST,                  /* message */
  KEEPER_WARNING,               /* message */
  KEEPER_SCRATCH,               /* bytes used, bytes left */
  KEEPER_PROOF,                 /* target, KeeperLife */
  KEEPER_ENDED,                 /* message, "" if all is well */
  KEEPER_DOCUMENT,              /* as asked for with KEEPER_LOOK; before
                                 * KEEPER_GUEST */
  KEEPER_CHANGING,              /* a part of it is done, and more is to come */
  KEEPER_JOB,                   /* of another, as KEEPER_FAILED; before
                                 * KEEPER_GUEST */
  KEEPER_CHANGED,
  KEEPER_LIVES,                 /* what KEEPER_BEGUN told of; or KEEPER_FAILED */
};

/* The life of a job. */
typedef enum {
  JOB_IDLE,                     /* there is none */
  JOB_BEGINNING,                /* whether there is one may be unknown */
  JOB_RUNNING,
  JOB_LOST,                     /* to its server; there may still be one */
  JOB_ENDED,                    /* after it was lost */
} JobLife;

typedef struct {
  int fd;
  bool is_over;                 /* the server is gone: nobody hears any more */
  JobLife life;
} Telling;

/* Is there anything to be undone? */
static inline bool
telling_may_have_job (const Telling *telling)
{
  return telling->life >= JOB_BEGINNING && telling->life <= JOB_LOST;
}

/* Is it of no use to its server any more? */
static inline bool
telling_is_lost (const Telling *telling)
{
  return telling->life >= JOB_LOST;
}

/* Send the server a message; false if it is gone. */
bool telling_say (Telling *telling, guint kind, const char *first,
                  const char *second);
void telling_say_failed (Telling *telling, const GError *error);

/* The same of something that is no failure; false if the server is gone. */
bool telling_send_error (int fd, guint kind, const GError *error);

/* For the server: what that told.  Returns false. */
bool telling_take_failed (const Message *message, GError **error);

/* It will hear nothing of what is begun now. */
bool telling_server_is_gone (const Telling *telling);

/* The job does not run any more, or nobody can know: say why, once. */
void telling_lose (Telling *telling, const char *why);

/* The job is ended, and all of it undone. */
void telling_note_end (Telling *telling);
