/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The keeper's loop: nbdkit's messages, libvirt's events and a clock, all in
 * one thread.  It ends when the socket is closed or the adopting process is
 * gone, and ends the job then.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#include "base/error.h"
#include "keeper/message.h"
#include "keeper/process.h"

#define SCRATCH_INTERVAL_MS 500
#define TRY_AGAIN_S 10
#define PERSIST_S 600

bool
process_tell (Process *process, guint kind, const char *first,
              const char *second)
{
  const char *const texts[] = { first, second, NULL };

  process->done |= !message_send (process->fd, kind, texts);
  return !process->done;
}

static void
tell_failure (Process *process, const GError *error)
{
  g_autofree char *number = g_strdup_printf ("%d", error->code);

  process_tell (process, KEEPER_FAILED, number, error->message);
}

static void
look (Process *process, const Message *message)
{
  g_autoptr (GError) error = NULL;

  hypervisor_look_on ();
  if (hypervisor_look (&process->hypervisor, process->fd,
                       message_text (message, 0), message_text (message, 1),
                       message_text (message, 2)[0] != '\0', &error))
    process->stage = STAGE_LOOKED;
  else
    tell_failure (process, error);
  alarm (0);
}

static bool
begin_job (Process *process, const Message *message, char **xml,
           char **broken, GError **error)
{
  return process_watch_guest (process, error)
    && job_begin (&process->job, &process->hypervisor,
                  (const char *const *) message->texts, xml, broken, error);
}

/* libvirt's daemon (9.0) may tell nobody of any event, for as long as
 * anybody is registered: virObjectEventStateQueueRemote looks at its timer without
 * the lock, and if the last one unregisters just then, an event stays in the queue
 * that was to start the timer (3 of 1,300 beginnings on a busy machine).  If we are
 * the only one, to register anew empties the queue.
 */
static bool
begin_again (Process *process, const Message *message, char **xml,
             char **broken, GError **error)
{
  if ((*error)->code != ENOMSG)
    return false;
  process_unwatch_guest (process);
  g_clear_error (error);
  return begin_job (process, message, xml, broken, error);
}

static void
begin (Process *process, const Message *message)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *xml = NULL, *broken = NULL;

  held_begin (process->held);
  if (begin_job (process, message, &xml, &broken, &error)
      || begin_again (process, message, &xml, &broken, &error)) {
    process->stage = STAGE_BEGUN;
    process_tell (process, KEEPER_BEGUN, xml, NULL);
    process_look_again (process);
  }
  else if (broken)
    process_tell (process, KEEPER_BROKEN, error->message, broken);
  else
    tell_failure (process, error);
}

static bool
is_gone (int fd)
{
  struct pollfd peer = { .fd = fd, .events = POLLRDHUP };

  return poll (&peer, 1, 0) == 1;
}

/* Its reader has to know at once, and libvirt's event will come, or has while
 * we looked.  A look may take half a minute (another call of libvirt's holds
 * the guest), and the end of the job does not wait for looks of a server that
 * is gone.
 */
static void
prove (Process *process, const Message *message)
{
  g_autoptr (GError) reason = NULL;
  const char *target = message_text (message, 0);

  if (is_gone (process->fd))
    return;
  const KeeperLife seen = process->lost ? KEEPER_DEAD
    : life_look (&process->job, &process->hypervisor, target, &reason);
  const KeeperLife life = process->lost ? KEEPER_DEAD : seen;
  g_autofree char *number = g_strdup_printf ("%d", (int) life);

  process_tell (process, KEEPER_PROOF, target, number);
  if (life == KEEPER_DEAD && reason)
    process_doubt (process, reason->message);
}

/* What the server has said before it went. */
static void
hear_last_words (Process *process)
{
  g_auto (Message) message = { 0 };

  while (message_receive (process->fd, 0, &message))
    if (message.kind == KEEPER_SERVED)
      process->served |= !process->lost;
}

static void
on_owner_gone (int watch, int fd, int events, void *opaque)
{
  Process *process = opaque;

  (void) watch;
  (void) fd;
  (void) events;
  process->done = true;
}

/* The terminal is nbdkit's no more when it goes into the background. */
static void
let_go_of_terminal (void)
{
  const int fd = open ("/dev/null", O_RDWR | O_CLOEXEC);

  if (fd >= 0)
    dup2 (fd, STDERR_FILENO);
  close (fd);
}

/* Warn when a fifth, a tenth, a twentieth of the room at first is left. */
static void
on_clock (int timer, void *opaque)
{
  static const guint shares[] = { 5, 10, 20 };
  Process *process = opaque;
  Job *job = &process->job;
  guint64 used, left;
  const char *tightest;

  (void) timer;
  process_recheck (process);
  if (!job->begun || process->lost
      || !job_scratch (job, &used, &left, &tightest))
    return;
  if (used != process->scratch_told) {
    g_autofree char *used_text = g_strdup_printf ("%" G_GUINT64_FORMAT, used);
    g_autofree char *left_text = g_strdup_printf ("%" G_GUINT64_FORMAT, left);
    process_tell (process, KEEPER_SCRATCH, used_text, left_text);
    process->scratch_told = used;
  }
  if (job->warned == G_N_ELEMENTS (shares)
      || left > job->room / shares[job->warned])
    return;
  while (job->warned < G_N_ELEMENTS (shares)
         && left <= job->room / shares[job->warned])
    job->warned++;
  g_autofree char *folder = g_path_get_dirname (tightest);
  g_autofree char *text = g_strdup_printf (
    "scratch files take %" G_GUINT64_FORMAT " bytes and only %"
    G_GUINT64_FORMAT " are left in %s; when it is full, the guest's own "
    "writes fail: make room there, or end this backup", used, left,
    folder);
  process_tell (process, KEEPER_WARNING, text, NULL);
}

/* A second sign of the server's end, should anybody else hold the socket open.
 * (glibc has pidfd_open from 2.36, Linux from 5.3; without, there is still the
 * socket.)
 */
static void
adopt (Process *process, const Message *message)
{
  process->stage = STAGE_ADOPTED;
  process->owner_fd
    = (int) syscall (SYS_pidfd_open, atol (message_text (message, 0)), 0);
  if (process->owner_fd >= 0)
    virEventAddHandle (process->owner_fd, VIR_EVENT_HANDLE_READABLE,
                       on_owner_gone, process, NULL);
  else if (errno == ESRCH)
    process->done = true;
  let_go_of_terminal ();
  on_clock (0, process);
}

static void
note_served (Process *process, const Message *message)
{
  (void) message;
  process->served |= !process->lost;
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
  guint texts;                  /* at least */
  void (*heed) (Process *process, const Message *message);
} rules[] = {
  { KEEPER_LOOK,   AT (STAGE_NEW),    3,             look },
  { KEEPER_BEGIN,  AT (STAGE_LOOKED), BEGIN_SCRATCH, begin },
  { KEEPER_ADOPT,  AT (STAGE_BEGUN),  1,             adopt },
  { KEEPER_SERVED, AT (STAGE_ADOPTED), 0,            note_served },
  { KEEPER_PROVE,  AT (STAGE_BEGUN) | AT (STAGE_ADOPTED), 1, prove },
};

static void
heed (Process *process, const Message *message)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (rules); i++)
    if (rules[i].kind == message->kind
        && (rules[i].stages & AT (process->stage))
        && g_strv_length (message->texts) >= rules[i].texts) {
      rules[i].heed (process, message);
      return;
    }
  error_set (&error, EPERM, "the process that keeps the backup job was asked "
             "for what it does not do at this time (message %u)",
             message->kind);
  tell_failure (process, error);
}

static void
on_message (int watch, int fd, int events, void *opaque)
{
  Process *process = opaque;
  g_auto (Message) message = { 0 };

  (void) watch;
  (void) events;
  if (message_receive (fd, KEEPER_ANSWER_MS, &message))
    heed (process, &message);
  else
    process->done = true;
}

/* Signals from the terminal are for nbdkit, whose end is ours; and none of
 * its files is held open.
 */
static void
detach (int fd, int held_fd)
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
  prctl (PR_SET_NAME, "nbdkit-keeper");
}

/* libvirt would print every error. */
static void
be_silent (void *opaque, virErrorPtr error)
{
  (void) opaque;
  (void) error;
}

/* All that ends a job that was served from comes here. */
static void
end_job (Process *process, GError **error)
{
  if (process->stage >= STAGE_BEGUN)
    held_wait (process->held);
  job_end (&process->job, &process->hypervisor, process->served, error);
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
  if (!process->lost || !process->job.tried
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
  while (process->job.folder.path && g_get_monotonic_time () < deadline) {
    g_usleep (TRY_AGAIN_S * G_USEC_PER_SEC);
    end_job_again (process);
  }
}

/* Nobody may be left to tell: nbdkit was killed.  Its terminal is ours until
 * it has begun to serve.
 */
static void
take_leave (Process *process, const GError *trouble)
{
  process->done = false;
  if (process_tell (process, KEEPER_ENDED, trouble ? trouble->message : "",
                    NULL)
      || !trouble)
    return;
  fprintf (stderr, "nbdkit: error: %s\n", trouble->message);
  syslog (LOG_ERR, "%s", trouble->message);
}

void
keeper_process_run (int fd, int held_fd)
{
  Process process = { .fd = fd, .owner_fd = -1, .job = JOB_INIT,
                      .hypervisor = HYPERVISOR_INIT };
  g_autoptr (GError) trouble = NULL;

  detach (fd, held_fd);
  virSetErrorFunc (NULL, be_silent);
  process.held = held_start (held_fd);
  if (!process.held || virInitialize () < 0
      || virEventRegisterDefaultImpl () < 0
      || virEventAddHandle (fd, VIR_EVENT_HANDLE_READABLE
                            | VIR_EVENT_HANDLE_HANGUP, on_message, &process,
                            NULL) < 0
      || virEventAddTimeout (SCRATCH_INTERVAL_MS, on_clock, &process,
                             NULL) < 0)
    _exit (EXIT_FAILURE);
  while (!process.done && virEventRunDefaultImpl () == 0)
    end_lost_job (&process);
  hear_last_words (&process);
  process_notice_loss (&process);
  end_job (&process, &trouble);
  take_leave (&process, trouble);
  persist (&process);
  _exit (EXIT_SUCCESS);
}
