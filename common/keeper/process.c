/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The keeper's loop: the server's messages, the job's events and a clock, all
 * in one thread.  It ends when the socket is closed or the adopting process is
 * gone, and ends the job then.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "keeper/held.h"
#include "keeper/process.h"

#define CLOCK_INTERVAL_MS 500
#define TRY_AGAIN_S 10
#define PERSIST_S 600

/* How far the server has come, which decides what it may ask for: rules[]. */
typedef enum {
  STAGE_NEW,
  STAGE_LOOKED,                 /* what a job may be begun of is found */
  STAGE_BEGUN,                  /* there is a job */
  STAGE_CONFIRMED,              /* which lives */
  STAGE_ADOPTED,
} Stage;

typedef struct {
  const JobOps *ops;
  void *job;
  Telling telling;
  Held *held;
  Stage stage;
  bool served;                  /* a client could read */
  gint64 next_try;              /* to end a job that is lost; monotonic */
} Process;

static void
heed_look (Process *process, const Message *message)
{
  if (process->ops->look (process->job, message))
    process->stage = STAGE_LOOKED;
}

/* A job that does not is ended when the server goes, which may be connecting to
 * it.
 */
static void
confirm (Process *process)
{
  g_autoptr (GError) error = NULL;

  process->stage = STAGE_BEGUN;
  if (telling_server_is_gone (&process->telling))
    return;
  if (process->ops->confirm
      && !process->ops->confirm (process->job, &error)) {
    telling_say_failed (&process->telling, error);
    return;
  }
  process->stage = STAGE_CONFIRMED;
  if (process->ops->confirm)
    telling_say (&process->telling, KEEPER_LIVES, NULL, NULL);
}

static void
heed_begin (Process *process, const Message *message)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *broken = NULL;

  held_begin (process->held);
  if (process->ops->begin (process->job, message, &broken, &error))
    confirm (process);
  else if (broken)
    telling_say (&process->telling, KEEPER_BROKEN, error->message, broken);
  else
    telling_say_failed (&process->telling, error);
}

/* One that is gone before it is begun is not wanted any more; one that is begun is
 * finished, so that nothing is left half done.
 */
static void
heed_change (Process *process, const Message *message)
{
  g_autoptr (GError) error = NULL;
  Telling *telling = &process->telling;

  if (telling_server_is_gone (telling))
    return;
  held_begin (process->held);
  if (process->ops->change (process->job, message, &error))
    telling_say (telling, KEEPER_CHANGED, NULL, NULL);
  else
    telling_say_failed (telling, error);
}

/* Whether the job lives, said at once to the client's thread that waits for it.
 * A look may take half a minute (another call of libvirt's holds the guest), so a
 * server that is gone gets none: the end of its job would wait for it.
 */
static void
heed_prove (Process *process, const Message *message)
{
  g_autoptr (GError) reason = NULL;
  const char *target = message_text (message, 0);
  Telling *telling = &process->telling;

  if (telling_server_is_gone (telling))
    return;
  const KeeperLife seen = telling_is_lost (telling) ? KEEPER_DEAD
    : process->ops->prove (process->job, target, &reason);
  const KeeperLife life = telling_is_lost (telling) ? KEEPER_DEAD : seen;
  g_autofree char *number = g_strdup_printf ("%d", (int) life);

  telling_say (telling, KEEPER_PROOF, target, number);
  if (life == KEEPER_DEAD && reason)
    process->ops->doubt (process->job, reason->message);
}

static void
heed_served (Process *process, const Message *message G_GNUC_UNUSED)
{
  if (process->served || telling_is_lost (&process->telling))
    return;
  process->served = true;
  if (process->ops->served)
    process->ops->served (process->job);
}

/* What the server has said before it went. */
static void
hear_last_words (Process *process)
{
  g_auto (Message) message = { 0 };

  while (message_receive (process->telling.fd, 0, &message))
    if (message.kind == KEEPER_SERVED)
      heed_served (process, &message);
}

static void
on_owner_gone (void *opaque)
{
  Process *process = opaque;

  process->telling.is_over = true;
}

/* The terminal is the server's no more when it goes into the background. */
static void
let_go_of_terminal (void)
{
  auto_fd fd = open ("/dev/null", O_RDWR | O_CLOEXEC);

  if (fd >= 0)
    dup2 (fd, STDERR_FILENO);
}

static void
on_clock (void *opaque)
{
  Process *process = opaque;

  process->ops->look_after (process->job);
}

/* A second sign of the server's end, should anybody else hold the socket open.
 * (glibc has pidfd_open from 2.36, Linux from 5.3; without, there is still the
 * socket.)
 */
static void
heed_adopt (Process *process, const Message *message)
{
  const int owner_fd
    = (int) syscall (SYS_pidfd_open, atol (message_text (message, 0)), 0);

  process->stage = STAGE_ADOPTED;
  if (owner_fd >= 0)
    process->ops->add_fd (owner_fd, on_owner_gone, process);
  else if (errno == ESRCH)
    process->telling.is_over = true;
  let_go_of_terminal ();
  on_clock (process);
}

#define AT(stage) (1U << (stage))

/* All that the server may say, and when.  What adopts may be another user's
 * (nbdkit --user), and is what untrusted clients talk to, while we stay who we
 * were: from then on it has one job, of which it may ask if it lives, and say
 * that it was of use.  It ends it by closing the socket.
 */
static const struct {
  guint kind;
  guint stages;
  void (*heed) (Process *process, const Message *message);
} rules[] = {
  { KEEPER_LOOK,   AT (STAGE_NEW),     heed_look },
  { KEEPER_BEGIN,  AT (STAGE_LOOKED),  heed_begin },
  { KEEPER_CHANGE, AT (STAGE_LOOKED),  heed_change },
  { KEEPER_ADOPT,  AT (STAGE_CONFIRMED), heed_adopt },
  { KEEPER_SERVED, AT (STAGE_ADOPTED), heed_served },
  { KEEPER_PROVE,  AT (STAGE_CONFIRMED) | AT (STAGE_ADOPTED), heed_prove },
};

/* How many texts must come with it, at least. */
static guint
texts_of (const Process *process, guint kind)
{
  return kind == KEEPER_LOOK ? process->ops->look_texts
    : kind == KEEPER_BEGIN ? process->ops->begin_texts
    : kind == KEEPER_CHANGE ? process->ops->change_texts
    : kind == KEEPER_SERVED ? 0 : 1;
}

static void
heed (Process *process, const Message *message)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (rules); i++)
    if (rules[i].kind == message->kind
        && (rules[i].stages & AT (process->stage))
        && (message->kind != KEEPER_CHANGE || process->ops->change)
        && g_strv_length (message->texts)
           >= texts_of (process, message->kind)) {
      rules[i].heed (process, message);
      return;
    }
  error_set (&error, EPERM, "the process that keeps the backup job was asked "
             "for what it does not do at this time (message %u)",
             message->kind);
  telling_say_failed (&process->telling, error);
}

static void
on_message (void *opaque)
{
  Process *process = opaque;
  g_auto (Message) message = { 0 };

  if (message_receive (process->telling.fd, KEEPER_ANSWER_MS, &message))
    heed (process, &message);
  else
    process->telling.is_over = true;
}

/* Signals from the terminal are for the server, whose end is ours; and none of
 * its files is held open.
 */
static void
detach (const Reporter *reporter, int fd, int held_fd)
{
  static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
  sigset_t none;
  const int null = open ("/dev/null", O_RDWR | O_CLOEXEC);

  setsid ();
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (ignored); i++)
    signal (ignored[i], SIG_IGN);
  signal (SIGCHLD, SIG_DFL);
  signal (SIGALRM, SIG_DFL);
  if (null >= 0) {
    dup2 (null, STDIN_FILENO);
    dup2 (null, STDOUT_FILENO);
  }
  const unsigned low = (unsigned) MIN (fd, held_fd);
  const unsigned high = (unsigned) MAX (fd, held_fd);
  if (low > STDERR_FILENO + 1)
    close_range (STDERR_FILENO + 1, low - 1, 0);
  if (high > low + 1)
    close_range (low + 1, high - 1, 0);
  close_range (high + 1, ~0U, 0);
  if (chdir ("/") < 0)
    return;                     /* we may stay: nothing is opened by name */
  g_autofree char *name = g_strconcat (reporter->name, "-keeper", NULL);
  prctl (PR_SET_NAME, name);
}

/* All that ends a job that was served from comes here. */
static void
end_job (Process *process, GError **error)
{
  if (process->stage >= STAGE_BEGUN)
    held_wait (process->held);
  process->ops->end (process->job, process->served, error);
}

static void
end_job_again (Process *process)
{
  end_job (process, NULL);
  process->next_try
    = g_get_monotonic_time () + TRY_AGAIN_S * G_TIME_SPAN_SECOND;
}

/* A job that is lost to us, but not to QEMU (libvirtd restarted), is of no use
 * any more and takes room for scratch: it need not wait for the server's end.
 */
static void
end_lost_job (Process *process)
{
  if (process->telling.life != JOB_LOST
      || g_get_monotonic_time () < process->next_try)
    return;
  hear_last_words (process);
  end_job_again (process);
}

/* Our server is told, and gone; nobody else would end a job that could not be
 * ended because QEMU or libvirt were silent.
 */
static void
persist (Process *process)
{
  const gint64 deadline
    = g_get_monotonic_time () + PERSIST_S * G_TIME_SPAN_SECOND;

  let_go_of_terminal ();
  while (process->ops->is_left (process->job)
         && g_get_monotonic_time () < deadline) {
    g_usleep (TRY_AGAIN_S * G_USEC_PER_SEC);
    end_job_again (process);
  }
}

/* Nobody may be left to tell: the server was killed.  Its terminal is ours until
 * it has begun to serve.
 */
static void
take_leave (Process *process, const Reporter *reporter, const GError *trouble)
{
  g_autofree char *line
    = trouble ? error_line (trouble, reporter->remedies) : g_strdup ("");

  process->telling.is_over = false;
  if (telling_say (&process->telling, KEEPER_ENDED, line, NULL) || !trouble)
    return;
  fprintf (stderr, "%s: error: %s\n", reporter->name, line);
  syslog (LOG_ERR, "%s", line);
}

void
keeper_process_run (const JobOps *ops, const Reporter *reporter, int fd,
                    int held_fd)
{
  Process process = { .ops = ops, .telling.fd = fd };
  g_autoptr (GError) trouble = NULL;

  detach (reporter, fd, held_fd);
  process.held = held_start (held_fd);
  process.job = ops->new (&process.telling);
  if (!process.held || !process.job
      || !ops->add_fd (fd, on_message, &process)
      || !ops->add_clock (CLOCK_INTERVAL_MS, on_clock, &process))
    _exit (EXIT_FAILURE);
  while (!process.telling.is_over && ops->turn ())
    end_lost_job (&process);
  hear_last_words (&process);
  ops->notice_loss (process.job);
  end_job (&process, &trouble);
  take_leave (&process, reporter, trouble);
  persist (&process);
  _exit (EXIT_SUCCESS);
}
