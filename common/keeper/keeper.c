/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The server's side of the keeper.  The socket's end means the server's end.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/on-quit.h"
#include "keeper/message.h"
#include "keeper/process.h"

/* For one that has nothing to undo. */
#define KEEPER_GOODBYE_MS 2000

struct Keeper {
  int fd;
  int held_fd;                  /* connections are told of there */
  const JobOps *ops;
  const Reporter *reporter;
  KeeperWords words;
  bool asked_to_begin;
  GThread *watch;               /* from adoption on, the only reader of fd */
  KeeperNotify notify;
  void *opaque;
  gint served;                  /* atomic: it has been told */
  gint given_up;                /* atomic: its end is no news */
  int quit_fd;                  /* readable when we are told to end */
  GMutex sending;               /* held while a message is sent */
  GMutex lock;                  /* guards what follows */
  GCond ended;
  bool has_ended;
  char *trouble;
};

/* Forks twice: init reaps the keeper, whichever of us still lives. */
static bool
spawn (const JobOps *ops, const Reporter *reporter, const int fds[2],
       const int held_fds[2])
{
  const pid_t pid = fork ();
  int status;

  if (pid < 0)
    return false;
  if (pid == 0) {
    const pid_t keeper = fork ();
    if (keeper == 0)
      keeper_process_run (ops, reporter, fds[1], held_fds[1]);
    _exit (keeper < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
  }
  while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
    ;
  if (status != 0)
    errno = EAGAIN;
  return status == 0;
}

Keeper *
keeper_start (const JobOps *ops, const Reporter *reporter, GError **error)
{
  int fds[2], held_fds[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0
      || socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, held_fds) < 0
      || !spawn (ops, reporter, fds, held_fds))
    return error_null (error, errno, "cannot start a process that talks to %s: "
                       "%s", ops->peer, g_strerror (errno));
  close (fds[1]);
  close (held_fds[1]);
  Keeper *keeper = g_new0 (Keeper, 1);
  keeper->ops = ops;
  keeper->reporter = reporter;
  keeper->fd = fds[0];
  keeper->held_fd = held_fds[0];
  g_mutex_init (&keeper->lock);
  g_mutex_init (&keeper->sending);
  g_cond_init (&keeper->ended);
  return keeper;
}

static void
words_clear (KeeperWords *words)
{
  g_free (words->where);
  g_free (words->look_at_job);
  g_free (words->end_job);
  g_free (words->look_at_peer);
}

void
keeper_set_words (Keeper *keeper, const KeeperWords *words)
{
  words_clear (&keeper->words);
  keeper->words = *words;
}

bool
keeper_ask (Keeper *keeper, guint kind, const char *const *texts,
            GError **error)
{
  keeper->asked_to_begin |= kind == KEEPER_BEGIN;
  return message_send (keeper->fd, kind, texts)
    || error_set (error, errno, "%s: cannot ask %s%s: %s",
                  keeper->words.where, keeper->ops->peer,
                  kind == KEEPER_BEGIN ? " for a backup" : "",
                  g_strerror (errno));
}

bool
keeper_answer (Keeper *keeper, const char *asked, Message *message,
               GError **error)
{
  if (!message_receive (keeper->fd, KEEPER_ANSWER_MS, message))
    return error_set (error, errno, "%s: %s did not %s%s; see if its "
                      "daemon is well with: %s", keeper->words.where, keeper->ops->peer,
                      asked, errno == ETIMEDOUT ? " within a minute" : "",
                      keeper->words.look_at_peer);
  if (message->kind == KEEPER_FAILED)
    return telling_take_failed (message, error);
  return true;
}

/* For any thread. */
static bool
tell (Keeper *keeper, int fd, guint kind, const char *text)
{
  const char *const texts[] = { text, NULL };
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&keeper->sending);

  return message_send (fd, kind, texts);
}

/* The job is ended once the keeper hears of calm, and QEMU hangs if a connection
 * negotiates then.  So whoever connects is told first, and returns when none
 * does; if one still may, the keeper waits for our end (or held_wait's limit).
 * Before keeper_adopt, nobody connects but the caller.
 */
static void
calm_down (Keeper *keeper)
{
  static const KeeperEvent ending = { .kind = KEEPER_EVENT_ENDING };

  if (!keeper->notify || keeper->notify (keeper->opaque, &ending))
    tell (keeper, keeper->held_fd, KEEPER_CALM, NULL);
}

static void
forward (Keeper *keeper, const Message *message)
{
  static const struct { guint message; KeeperEventKind event; } kinds[] = {
    { KEEPER_LOST, KEEPER_EVENT_LOST },
    { KEEPER_WARNING, KEEPER_EVENT_WARNING },
    { KEEPER_PROOF, KEEPER_EVENT_LIFE },
    { KEEPER_SCRATCH, KEEPER_EVENT_SCRATCH },
  };
  const char *first = message_text (message, 0);
  const char *second = message_text (message, 1);
  KeeperEvent event = {
    .text = first, .life = (KeeperLife) atoi (second),
    .used = g_ascii_strtoull (first, NULL, 10),
    .left = g_ascii_strtoull (second, NULL, 10),
  };

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (kinds[i].message == message->kind) {
      event.kind = kinds[i].event;
      keeper->notify (keeper->opaque, &event);
    }
  if (message->kind == KEEPER_LOST)
    calm_down (keeper);
}

static void
note_end (Keeper *keeper, char *trouble)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&keeper->lock);

  keeper->has_ended = true;
  keeper->trouble = trouble;
  g_cond_signal (&keeper->ended);
}

/* The keeper crashed or was killed, and nobody ends the job. */
static void
report_gone (Keeper *keeper)
{
  g_autofree char *advice
    = g_strdup_printf ("its job goes on, and QEMU before 8.2 dies, if a disk has "
                       "an iothread, when %s ends first; so before you end %s, "
                       "type %s", keeper->reporter->name,
                       keeper->reporter->name, keeper->words.end_job);
  const KeeperEvent event = {
    .kind = KEEPER_EVENT_LOST,
    .text = "the process that watches it is gone",
    .advice = advice,
  };

  if (keeper->notify)
    keeper->notify (keeper->opaque, &event);
  note_end (keeper, g_strdup_printf (
    "%s: the process that was to end the backup job is gone; to see whether "
    "one is left, type %s, and to end it %s", keeper->words.where,
    keeper->words.look_at_job, keeper->words.end_job));
}

/* One message; false after the last.  Silence is no end. */
static bool
receive_news (Keeper *keeper, int timeout_ms)
{
  g_auto (Message) message = { 0 };

  if (!message_receive (keeper->fd, timeout_ms, &message)) {
    if (errno != ETIMEDOUT && !g_atomic_int_get (&keeper->given_up))
      report_gone (keeper);
    return false;
  }
  if (message.kind == KEEPER_ENDED) {
    const char *trouble = message_text (&message, 0);
    note_end (keeper, trouble[0] ? g_strdup (trouble) : NULL);
    return false;
  }
  if (keeper->notify)
    forward (keeper, &message);
  return true;
}

/* When the server is told to end, the job ends, too: its clients, for which it
 * waits, may stay as long as they like.
 */
static gpointer
watch (gpointer data)
{
  Keeper *keeper = data;
  struct pollfd pollfds[] = {
    { .fd = keeper->fd, .events = POLLIN },
    { .fd = keeper->quit_fd, .events = POLLIN },
  };

  for (;;) {
    if (poll (pollfds, G_N_ELEMENTS (pollfds), -1) < 0)
      continue;
    if (pollfds[1].revents) {
      calm_down (keeper);
      shutdown (keeper->fd, SHUT_WR);
      pollfds[1].fd = -1;
    }
    if (pollfds[0].revents && !receive_news (keeper, KEEPER_ANSWER_MS))
      return NULL;
  }
}

void
keeper_adopt (Keeper *keeper, KeeperNotify notify, void *opaque)
{
  g_autofree char *pid = g_strdup_printf ("%ld", (long) getpid ());

  keeper->notify = notify;
  keeper->opaque = opaque;
  keeper->quit_fd = on_quit_fd ();
  tell (keeper, keeper->held_fd, KEEPER_ADOPT, pid);
  tell (keeper, keeper->fd, KEEPER_ADOPT, pid);
  keeper->watch = g_thread_new ("keeper", watch, keeper);
}

void
keeper_served (Keeper *keeper)
{
  if (!g_atomic_int_get (&keeper->served)
      && !g_atomic_int_exchange (&keeper->served, 1))
    tell (keeper, keeper->fd, KEEPER_SERVED, NULL);
}

bool
keeper_look_for_life (Keeper *keeper, const char *target)
{
  return tell (keeper, keeper->fd, KEEPER_PROVE, target);
}

/* fd: of it, or -1. */
static bool
tell_of_connection (Keeper *keeper, guint kind, guint64 id, bool encrypted,
                    int fd)
{
  g_autofree char *number = g_strdup_printf ("%" G_GUINT64_FORMAT, id);
  const char *const texts[] = { number, encrypted ? "1" : "", NULL };
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&keeper->sending);

  return message_send_fd (keeper->held_fd, kind, texts, fd);
}

bool
keeper_hold (void *keeper, guint64 id, int fd, bool encrypted)
{
  return tell_of_connection (keeper, KEEPER_HOLD, id, encrypted, fd);
}

void
keeper_settle (void *keeper, guint64 id)
{
  tell_of_connection (keeper, KEEPER_SETTLE, id, false, -1);
}

void
keeper_let_go (void *keeper, guint64 id)
{
  tell_of_connection (keeper, KEEPER_LET_GO, id, false, -1);
}

/* With the thread, for it to end; without, read ourselves. */
static bool
wait_for_end (Keeper *keeper)
{
  const gint64 deadline
    = g_get_monotonic_time () + KEEPER_STOP_MS * 1000LL;

  if (!keeper->watch) {
    while (!keeper->has_ended
           && receive_news (keeper, keeper->asked_to_begin
                            ? KEEPER_STOP_MS : KEEPER_GOODBYE_MS))
      ;
    return keeper->has_ended;
  }
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&keeper->lock);
  while (!keeper->has_ended)
    if (!g_cond_wait_until (&keeper->ended, &keeper->lock, deadline))
      return false;
  return true;
}

static char *
not_confirmed (const Keeper *keeper)
{
  return g_strdup_printf ("%s: %s did not end the backup job within %d s; to see "
                          "whether it is left, type %s, and to end it %s",
                          keeper->words.where, keeper->ops->peer,
                          KEEPER_STOP_MS / 1000,
                          keeper->words.look_at_job, keeper->words.end_job);
}

char *
keeper_end (Keeper *keeper)
{
  char *trouble;

  if (g_atomic_int_get (&keeper->given_up))
    return NULL;
  calm_down (keeper);
  shutdown (keeper->fd, SHUT_WR);
  trouble = wait_for_end (keeper) ? g_steal_pointer (&keeper->trouble)
    : not_confirmed (keeper);
  if (!keeper->asked_to_begin)  /* it had nothing to undo */
    g_clear_pointer (&trouble, g_free);
  g_atomic_int_set (&keeper->given_up, 1);
  shutdown (keeper->fd, SHUT_RD);
  if (keeper->watch)
    g_thread_join (keeper->watch);
  return trouble;
}

void
keeper_disown (Keeper *keeper)
{
  close_fd (&keeper->fd);
  close_fd (&keeper->held_fd);
}

void
keeper_free (Keeper *keeper)
{
  if (!keeper)
    return;
  keeper_disown (keeper);
  g_free (keeper->trouble);
  words_clear (&keeper->words);
  g_mutex_clear (&keeper->lock);
  g_mutex_clear (&keeper->sending);
  g_cond_clear (&keeper->ended);
  g_free (keeper);
}
