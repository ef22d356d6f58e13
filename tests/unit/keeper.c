/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/keeper/ with a job that is only a file, so without libvirt: the
 * keeper ends it when its server ends, is killed, or says so; and does nothing
 * out of order.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "base/error.h"
#include "keeper/glib-loop.h"
#include "plugin/remedies.h"

#define ENDS_WITHIN_MS 20000
/* Longer than SETTLES_WITHIN_MS of held.c. */
#define SILENT_MS 14000

/* ── The job: a file, which is removed, or renamed if it is to be kept ── */

typedef struct {
  Telling *telling;
  char *file;
} FileJob;

static void *
job_new (Telling *telling)
{
  FileJob *job = g_new0 (FileJob, 1);

  job->telling = telling;
  return job;
}

static bool
job_look (void *opaque, const Message *message)
{
  const FileJob *job = opaque;

  return telling_say (job->telling, KEEPER_GUEST, message_text (message, 0),
                      NULL);
}

static bool
job_begin (void *opaque, const Message *message, char **broken,
           GError **error)
{
  FileJob *job = opaque;
  const char *file = message_text (message, 0);

  if (!file[0])
    return error_set (error, ENOSPC, "there is no room")
      || error_advise (error, REMEDY_TAKE_OVER, "virsh x", "a b", NULL);
  if (strcmp (file, "broken") == 0) {
    *broken = g_strdup ("what is");
    return error_set (error, EIO, "it is broken");
  }
  job->file = g_strdup (file);
  job->telling->life = JOB_BEGINNING;
  if (!g_file_set_contents (file, "", 0, error))
    return false;
  job->telling->life = JOB_RUNNING;
  telling_say (job->telling, KEEPER_BEGUN, file, NULL);
  return true;
}

/* A job that begins so that its life is only seen later. */
static bool
job_begin_unseen (void *opaque, const Message *message, char **broken,
                  GError **error)
{
  FileJob *job = opaque;

  (void) broken;
  job->file = g_strdup (message_text (message, 0));
  job->telling->life = JOB_BEGINNING;
  if (!g_file_set_contents (job->file, "", 0, error))
    return false;
  telling_say (job->telling, KEEPER_BEGUN, job->file, NULL);
  return true;
}

/* It lives unless the server has written "dead" into the file meanwhile. */
static bool
job_confirm (void *opaque, GError **error)
{
  const FileJob *job = opaque;
  g_autofree char *text = NULL;

  g_usleep (300000);
  g_assert_true (g_file_get_contents (job->file, &text, NULL, NULL));
  if (strcmp (text, "dead") == 0)
    return error_set (error, EIO, "it is dead");
  job->telling->life = JOB_RUNNING;
  return true;
}

static KeeperLife
job_prove (void *opaque, const char *target, GError **error)
{
  (void) opaque;
  if (strcmp (target, "vda") == 0)
    return KEEPER_ALIVE;
  error_set (error, EIO, "%s is dead", target);
  return KEEPER_DEAD;
}

static void
job_doubt (void *opaque, const char *why)
{
  const FileJob *job = opaque;

  telling_lose (job->telling, why);
}

static void
job_nothing (void *opaque)
{
  (void) opaque;
}

static bool
job_end (void *opaque, bool keep_checkpoint, GError **error)
{
  const FileJob *job = opaque;

  (void) error;
  if (telling_may_have_job (job->telling)) {
    g_autofree char *kept = g_strconcat (job->file, ".kept", NULL);
    g_assert_cmpint (keep_checkpoint ? g_rename (job->file, kept)
                     : g_unlink (job->file), ==, 0);
  }
  telling_note_end (job->telling);
  return true;
}

static bool
job_is_left (const void *opaque)
{
  (void) opaque;
  return false;
}

/* Takes its time: the file is there from its beginning, and renamed at its end. */
static bool
job_change (void *opaque, const Message *message, GError **error)
{
  const FileJob *job = opaque;
  const char *file = message_text (message, 0);
  g_autofree char *kept = g_strconcat (file, ".kept", NULL);

  if (!file[0])
    return error_set (error, EBUSY, "not now")
      || error_advise (error, REMEDY_NO_QUIESCE, NULL);
  if (!g_file_set_contents (file, "", 0, error))
    return false;
  telling_say (job->telling, KEEPER_CHANGING, NULL, NULL);
  g_usleep (300000);
  g_assert_cmpint (g_rename (file, kept), ==, 0);
  return true;
}

static const JobOps ops = {
  .peer = "a file",
  .look_texts = 1,
  .begin_texts = 1,
  .change_texts = 1,
  .new = job_new,
  .add_fd = glib_loop_add_fd,
  .add_clock = glib_loop_add_clock,
  .turn = glib_loop_turn,
  .look = job_look,
  .begin = job_begin,
  .prove = job_prove,
  .doubt = job_doubt,
  .look_after = job_nothing,
  .notice_loss = job_nothing,
  .end = job_end,
  .is_left = job_is_left,
  .change = job_change,
};

static JobOps unseen_ops;       /* set by main */

/* ── The server ── */

typedef struct {
  char *folder, *file, *kept;
  Keeper *keeper;
} Fixture;

static const Reporter reporter = { .name = "test" };

static void
set_up (Fixture *fixture, gconstpointer data)
{
  KeeperWords words = { g_strdup ("the file"), g_strdup ("ls"),
                        g_strdup ("rm"), g_strdup ("true") };
  g_autoptr (GError) error = NULL;

  fixture->folder = g_dir_make_tmp ("keeper.XXXXXX", &error);
  g_assert_no_error (error);
  fixture->file = g_build_filename (fixture->folder, "job", NULL);
  fixture->kept = g_strconcat (fixture->file, ".kept", NULL);
  fixture->keeper = keeper_start (data, &reporter, &error);
  g_assert_no_error (error);
  keeper_set_words (fixture->keeper, &words);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  (void) data;
  keeper_free (fixture->keeper);
  g_unlink (fixture->kept);
  g_assert_cmpint (g_rmdir (fixture->folder), ==, 0);
  g_free (fixture->folder);
  g_free (fixture->file);
  g_free (fixture->kept);
}

static bool
ask (Fixture *fixture, guint kind, const char *text, guint answer,
     GError **error)
{
  const char *const texts[] = { text, NULL };
  g_auto (Message) message = { 0 };

  if (!keeper_ask (fixture->keeper, kind, texts, error)
      || !keeper_answer (fixture->keeper, "answer", &message, error))
    return false;
  g_assert_cmpuint (message.kind, ==, answer);
  return true;
}

static void
begin (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  ask (fixture, KEEPER_LOOK, "what", KEEPER_GUEST, &error);
  g_assert_no_error (error);
  ask (fixture, KEEPER_BEGIN, fixture->file, KEEPER_BEGUN, &error);
  g_assert_no_error (error);
  g_assert_true (g_file_test (fixture->file, G_FILE_TEST_EXISTS));
}

static bool
is_gone (const char *file)
{
  const gint64 deadline = g_get_monotonic_time () + ENDS_WITHIN_MS * 1000;

  while (g_file_test (file, G_FILE_TEST_EXISTS))
    if (g_get_monotonic_time () > deadline)
      return false;
    else
      g_usleep (10000);
  return true;
}

static void
test_ended (Fixture *fixture, gconstpointer data)
{
  (void) data;
  begin (fixture);
  g_assert_null (keeper_end (fixture->keeper));
  g_assert_false (g_file_test (fixture->file, G_FILE_TEST_EXISTS));
  g_assert_false (g_file_test (fixture->kept, G_FILE_TEST_EXISTS));
}

typedef struct {
  GMutex lock;
  GCond news;
  guint alive, dead;
  char *lost;
  const char *file;             /* there while the job is */
  guint calmed;
} Heard;

/* Who is told of the end needs time to be calm, and the job is there until then.
 */
static void
calm_down (Heard *heard)
{
  g_usleep (300000);
  g_assert_true (!heard->file
                 || g_file_test (heard->file, G_FILE_TEST_EXISTS));
  heard->calmed++;
}

static bool
hear (void *opaque, const KeeperEvent *event)
{
  Heard *heard = opaque;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&heard->lock);

  if (event->kind == KEEPER_EVENT_LIFE)
    *(event->life == KEEPER_ALIVE ? &heard->alive : &heard->dead) += 1;
  else if (event->kind == KEEPER_EVENT_LOST)
    heard->lost = g_strdup (event->text);
  else if (event->kind == KEEPER_EVENT_ENDING)
    calm_down (heard);
  g_cond_signal (&heard->news);
  return true;
}

/* What was read stays of use, until the job is lost. */
static void
test_served (Fixture *fixture, gconstpointer data)
{
  Heard heard = { 0 };

  (void) data;
  begin (fixture);
  keeper_adopt (fixture->keeper, hear, &heard);
  keeper_served (fixture->keeper);
  g_assert_true (keeper_look_for_life (fixture->keeper, "vda"));
  g_mutex_lock (&heard.lock);
  while (heard.alive == 0)
    g_cond_wait (&heard.news, &heard.lock);
  g_mutex_unlock (&heard.lock);
  g_assert_null (keeper_end (fixture->keeper));
  g_assert_true (g_file_test (fixture->kept, G_FILE_TEST_EXISTS));
}

/* QEMU hangs if a connection negotiates as its job ends, so nobody may; whoever
 * says that the job is to end.
 */
static void
test_calm (Fixture *fixture, gconstpointer data)
{
  Heard heard = { .file = fixture->file };

  (void) data;
  begin (fixture);
  keeper_adopt (fixture->keeper, hear, &heard);
  g_assert_null (keeper_end (fixture->keeper));
  g_assert_cmpuint (heard.calmed, >, 0);
  g_assert_true (is_gone (fixture->file));
}

/* QEMU stands still for longer than it is waited for, and may have yet to read that a
 * connection is the export's: it would die if that was closed before its job ends.
 */
static void
test_silent (Fixture *fixture, gconstpointer data)
{
  char request[64];
  int pair[2];

  (void) data;
  begin (fixture);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair),
                   ==, 0);
  struct pollfd qemu = { .fd = pair[1], .events = POLLIN | POLLRDHUP };
  g_assert_true (keeper_hold (fixture->keeper, 1, pair[0], false));
  close (pair[0]);
  keeper_let_go (fixture->keeper, 1);
  g_assert_cmpint (poll (&qemu, 1, ENDS_WITHIN_MS), ==, 1);
  g_assert_cmpint (read (pair[1], request, sizeof request), ==, 32);
  g_assert_cmpint (poll (&qemu, 1, SILENT_MS), ==, 0);
  /* It is not waited for any more. */
  const gint64 start = g_get_monotonic_time ();
  g_assert_null (keeper_end (fixture->keeper));
  g_assert_cmpint (g_get_monotonic_time () - start, <, SILENT_MS * 1000LL);
  g_assert_true (is_gone (fixture->file));
  g_assert_cmpint (poll (&qemu, 1, ENDS_WITHIN_MS), ==, 1);
  g_assert_cmpint (read (pair[1], request, sizeof request), ==, 0);
  close (pair[1]);
}

/* A job that is lost is ended at once, and what comes then counts no more. */
static void
test_lost (Fixture *fixture, gconstpointer data)
{
  Heard heard = { 0 };

  (void) data;
  begin (fixture);
  keeper_adopt (fixture->keeper, hear, &heard);
  g_assert_true (keeper_look_for_life (fixture->keeper, "vdb"));
  g_mutex_lock (&heard.lock);
  while (!heard.lost)
    g_cond_wait (&heard.news, &heard.lock);
  g_assert_cmpuint (heard.dead, ==, 1);
  g_assert_cmpstr (heard.lost, ==, "vdb is dead");
  g_mutex_unlock (&heard.lock);
  keeper_served (fixture->keeper);
  g_assert_true (is_gone (fixture->file));
  g_assert_null (keeper_end (fixture->keeper));
  g_assert_false (g_file_test (fixture->kept, G_FILE_TEST_EXISTS));
  g_free (heard.lost);
}

static void
test_killed (Fixture *fixture, gconstpointer data)
{
  (void) data;
  begin (fixture);
  const pid_t server = fork ();
  g_assert_cmpint (server, >=, 0);
  if (server == 0) {
    Heard heard = { 0 };
    keeper_adopt (fixture->keeper, hear, &heard);
    pause ();
    _exit (0);
  }
  keeper_disown (fixture->keeper);
  g_usleep (200000);
  g_assert_true (g_file_test (fixture->file, G_FILE_TEST_EXISTS));
  kill (server, SIGKILL);
  g_assert_cmpint (waitpid (server, NULL, 0), ==, server);
  g_assert_true (is_gone (fixture->file));
}

static bool
is_there (const char *file)
{
  const gint64 deadline = g_get_monotonic_time () + ENDS_WITHIN_MS * 1000;

  while (!g_file_test (file, G_FILE_TEST_EXISTS))
    if (g_get_monotonic_time () > deadline)
      return false;
    else
      g_usleep (10000);
  return true;
}

/* One after another, and one that fails is no reason to end. */
static void
test_changed (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  (void) data;
  g_assert_false (ask (fixture, KEEPER_CHANGE, fixture->file, 0, &error));
  g_assert_cmpint (error->code, ==, EPERM);
  g_clear_error (&error);
  ask (fixture, KEEPER_LOOK, "what", KEEPER_GUEST, &error);
  for (guint i = 0; i < 2; i++) {
    g_auto (Message) message = { 0 };
    ask (fixture, KEEPER_CHANGE, fixture->file, KEEPER_CHANGING, &error);
    g_assert_no_error (error);
    keeper_answer (fixture->keeper, "answer", &message, &error);
    g_assert_cmpuint (message.kind, ==, KEEPER_CHANGED);
    g_assert_true (is_there (fixture->kept));
    g_unlink (fixture->kept);
    g_assert_false (ask (fixture, KEEPER_CHANGE, "", 0, &error));
    g_assert_cmpint (error->code, ==, EBUSY);
    g_assert_cmpint (error_remedy (error, &(const char *const *) { NULL }),
                     ==, REMEDY_NO_QUIESCE);
    g_clear_error (&error);
  }
  g_assert_null (keeper_end (fixture->keeper));
}

/* What was begun is finished, whoever is killed meanwhile. */
static void
test_change_killed (Fixture *fixture, gconstpointer data)
{
  (void) data;
  const pid_t server = fork ();
  g_assert_cmpint (server, >=, 0);
  if (server == 0) {
    g_autoptr (GError) error = NULL;
    ask (fixture, KEEPER_LOOK, "what", KEEPER_GUEST, &error);
    ask (fixture, KEEPER_CHANGE, fixture->file, KEEPER_CHANGING, &error);
    pause ();
    _exit (0);
  }
  keeper_disown (fixture->keeper);
  g_assert_true (is_there (fixture->file));
  kill (server, SIGKILL);
  g_assert_cmpint (waitpid (server, NULL, 0), ==, server);
  g_assert_true (is_there (fixture->kept));
}

static void
test_refused (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  (void) data;
  g_assert_false (ask (fixture, KEEPER_BEGIN, fixture->file, 0, &error));
  g_assert_cmpint (error->code, ==, EPERM);
  g_clear_error (&error);
  g_assert_true (ask (fixture, KEEPER_LOOK, "what", KEEPER_GUEST, &error));
  g_assert_false (ask (fixture, KEEPER_LOOK, "again", 0, &error));
  g_assert_cmpint (error->code, ==, EPERM);
  g_clear_error (&error);
  g_assert_false (ask (fixture, KEEPER_BEGIN, "", 0, &error));
  g_assert_cmpint (error->code, ==, ENOSPC);
  g_autofree char *line = error_line (error, nbdkit_remedies);
  g_assert_cmpstr (line, ==, "there is no room; start with take-over=yes, or "
                   "end it with: virsh x && rm -r 'a b'");
  g_clear_error (&error);
  g_assert_true (ask (fixture, KEEPER_BEGIN, "broken", KEEPER_BROKEN, &error));
  g_assert_null (keeper_end (fixture->keeper));
}

/* The server has time to connect before the job is seen to live. */
static void
test_confirmed (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_auto (Message) message = { 0 };
  Heard heard = { 0 };

  (void) data;
  begin (fixture);
  keeper_answer (fixture->keeper, "answer", &message, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (message.kind, ==, KEEPER_LIVES);
  keeper_adopt (fixture->keeper, hear, &heard);
  keeper_served (fixture->keeper);
  g_assert_null (keeper_end (fixture->keeper));
  g_assert_true (g_file_test (fixture->kept, G_FILE_TEST_EXISTS));
}

/* What is not seen to live is not served, whatever the server asks; and it is ended
 * with the server only, which may be connecting to it.
 */
static void
test_not_confirmed (Fixture *fixture, gconstpointer data)
{
  static const guint kinds[] = { KEEPER_PROVE, KEEPER_ADOPT, KEEPER_BEGIN };
  g_autoptr (GError) error = NULL;
  g_auto (Message) message = { 0 };

  (void) data;
  begin (fixture);
  g_assert_true (g_file_set_contents (fixture->file, "dead", -1, NULL));
  g_assert_false (keeper_answer (fixture->keeper, "answer", &message, &error));
  g_assert_cmpstr (error->message, ==, "it is dead");
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++) {
    g_clear_error (&error);
    g_assert_false (ask (fixture, kinds[i], "1", 0, &error));
    g_assert_cmpint (error->code, ==, EPERM);
  }
  g_assert_true (g_file_test (fixture->file, G_FILE_TEST_EXISTS));
  g_assert_null (keeper_end (fixture->keeper));
  g_assert_true (is_gone (fixture->file));
  g_assert_false (g_file_test (fixture->kept, G_FILE_TEST_EXISTS));
}

int
main (int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*test) (Fixture *, gconstpointer);
    const JobOps *ops;
  } tests[] = {
    { "/keeper/confirmed", test_confirmed, &unseen_ops },
    { "/keeper/not-confirmed", test_not_confirmed, &unseen_ops },
    { "/keeper/ended", test_ended, &ops },
    { "/keeper/served", test_served, &ops },
    { "/keeper/lost", test_lost, &ops },
    { "/keeper/killed", test_killed, &ops },
    { "/keeper/changed", test_changed, &ops },
    { "/keeper/change-killed", test_change_killed, &ops },
    { "/keeper/refused", test_refused, &ops },
    { "/keeper/calm", test_calm, &ops },
    { "/keeper/silent", test_silent, &ops },
  };

  g_test_init (&argc, &argv, NULL);
  unseen_ops = ops;
  unseen_ops.begin = job_begin_unseen;
  unseen_ops.confirm = job_confirm;
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Fixture, tests[i].ops, set_up, tests[i].test,
                tear_down);
  return g_test_run ();
}
