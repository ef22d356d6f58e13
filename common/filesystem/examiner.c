/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The side that asks.  It believes the other only what it can prove: that it
 * tells of as many bytes as are dirty, and reads nothing but the volume.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "filesystem/packet.h"
#include "filesystem/examiner.h"

/* Of one volume: what lines and notes may take. */
#define LINES_MAX 4000000
#define TEXT_MAX ((guint64) 512 * 1024 * 1024)
#define NOTES_MAX 100

struct Examiner {
  pid_t pid;
  int fd, runs;
  guint8 *bytes;
};

Examiner *
examiner_start (GError **error)
{
  g_autoptr (Examiner) self = g_new0 (Examiner, 1);
  const pid_t parent = getpid ();
  int fds[2];

  self->fd = -1;
  self->runs = memfd_create ("runs", MFD_CLOEXEC);
  self->bytes = mmap (NULL, CACHED_MEDIA_READ, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (self->runs < 0 || self->bytes == MAP_FAILED
      || socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
    return error_null (error, errno, "no process can be started that looks "
                       "into file systems: %s", g_strerror (errno));
  self->fd = fds[0];
  self->pid = fork ();
  if (self->pid == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    close (fds[0]);
    if (getppid () == parent)
      examiner_process_run (fds[1], self->bytes, self->runs);
    _exit (1);
  }
  close (fds[1]);
  if (self->pid < 0)
    return error_null (error, errno, "no process can be started that looks "
                       "into file systems: %s", g_strerror (errno));
  return g_steal_pointer (&self);
}

void
examiner_free (Examiner *self)
{
  if (!self)
    return;
  close_fd (&self->fd);
  if (self->pid > 0) {
    kill (self->pid, SIGKILL);
    while (waitpid (self->pid, NULL, 0) < 0 && errno == EINTR)
      ;
  }
  close_fd (&self->runs);
  if (self->bytes && self->bytes != MAP_FAILED)
    munmap (self->bytes, CACHED_MEDIA_READ);
  g_free (self);
}

static bool
write_runs (const Examiner *self, const GArray *runs, GError **error)
{
  const char *from = runs->data;
  gsize left = (gsize) runs->len * sizeof (Run);
  off_t at = 0;

  while (left > 0) {
    const ssize_t written = pwrite (self->runs, from + at, left, at);
    if (written < 0 && errno != EINTR)
      return error_set (error, errno, "no memory for a map: %s",
                        g_strerror (errno));
    at += MAX (written, 0);
    left -= MAX (written, 0);
  }
  return true;
}

/* What it has told of a volume. */
typedef struct {
  const char *volume;
  GPtrArray *lines;             /* of Line */
  guint64 bytes, text;
  char *failure;                /* why that is not all; or NULL */
  bool done;
} Told;

static void
fail (Told *told, const char *why)
{
  if (!told->failure)
    told->failure = g_strdup (why);
}

static void
hear_line (Told *told, const Packet *message)
{
  if (message->line_kind >= LINE_KINDS || message->changed > CHANGED_NO
      || told->bytes + message->bytes < told->bytes) {
    fail (told, "it is broken");
    return;
  }
  told->bytes += message->bytes;
  told->text += strlen (message->text);
  if (told->lines->len >= LINES_MAX || told->text > TEXT_MAX) {
    fail (told, "too many files have changed to name them");
    return;
  }
  Line *line = g_new0 (Line, 1);
  line->kind = (LineKind) message->line_kind;
  line->changed = (Changed) message->changed;
  line->bytes = message->bytes;
  line->shared = message->shared;
  line->inode = message->inode;
  line->links = message->links;
  line->volume = g_strdup (told->volume);
  line->text = g_strdup (message->text);
  g_ptr_array_add (told->lines, line);
}

/* One more path of the last line. */
static void
hear_path (Told *told, const char *path)
{
  Line *line = told->lines->len > 0
    ? g_ptr_array_index (told->lines, told->lines->len - 1) : NULL;

  told->text += strlen (path);
  if (!line || told->text > TEXT_MAX)
    return;
  if (!line->others) {
    line->others = g_ptr_array_new_with_free_func (g_free);
    g_ptr_array_add (line->others, g_strdup (line->text));
  }
  g_ptr_array_add (line->others, g_strdup (path));
}

/* False with an error: it cannot be read. */
static bool
answer_read (const Examiner *self, Media *media, const Packet *asked,
             GError **error)
{
  Packet answer = { .kind = PACKET_BYTES };
  GError *failure = NULL;

  answer.ok = asked->length <= CACHED_MEDIA_READ
    && media_read (media, self->bytes, asked->length, asked->offset, &failure);
  if (!failure)
    return packet_send (self->fd, &answer)
      || error_set (error, EPIPE, "the process that looks into file systems "
                    "has ended");
  g_propagate_error (error, failure);
  return false;
}

static bool
converse (const Examiner *self, Media *media, Told *told, GPtrArray *notes,
          GError **error)
{
  Packet message;

  for (;;) {
    if (!packet_receive (self->fd, &message))
      return error_set (error, EPIPE, "the process that looks into file systems "
                        "has ended");
    switch ((PacketKind) message.kind) {
    case PACKET_READ:
      if (!answer_read (self, media, &message, error))
        return false;
      break;
    case PACKET_LINE:
      hear_line (told, &message);
      break;
    case PACKET_PATH:
      hear_path (told, message.text);
      break;
    case PACKET_NOTE:
      if (notes->len < NOTES_MAX)
        g_ptr_array_add (notes, g_strdup_printf ("%s: %s", told->volume,
                                                 message.text));
      break;
    case PACKET_FAILED:
      fail (told, message.text);
      break;
    case PACKET_DONE:
      told->done = true;
      break;
    case PACKET_ENDED:
      return true;
    default:
      return error_set (error, EPROTO, "the process that looks into file "
                        "systems is out of its mind");
    }
  }
}

/* All that is dirty there is unknown, and why. */
static void
give_up (GPtrArray *lines, const char *volume, guint64 dirty, char *why)
{
  Line *line = g_new0 (Line, 1);

  line->kind = LINE_UNKNOWN;
  line->bytes = dirty;
  line->volume = g_strdup (volume);
  line->text = why;
  g_ptr_array_add (lines, line);
}

bool
examiner_look (Examiner *self, Volume *volume, const GArray *runs,
               const gint64 *since, GPtrArray *lines, GPtrArray *notes,
               GError **error)
{
  g_autoptr (GPtrArray) found
    = g_ptr_array_new_with_free_func ((GDestroyNotify) line_free);
  Told told = { .volume = volume->name, .lines = found };
  const guint64 dirty = runs_total ((const Run *) runs->data, runs->len);
  Packet message = { .kind = PACKET_LOOK, .size = volume->media.size,
                      .runs = runs->len, .has_since = since != NULL,
                      .since = since ? *since : 0 };

  if (!volume_phase (volume, &message.granule, &message.phase))
    message.granule = 0;
  if (!write_runs (self, runs, error))
    return false;
  if (!packet_send (self->fd, &message))
    return error_set (error, EPIPE, "the process that looks into file systems "
                      "has ended");
  if (!converse (self, &volume->media, &told, notes, error)) {
    g_free (told.failure);
    return false;
  }
  if (!told.done || told.bytes != dirty)
    fail (&told, "its file system is broken");
  if (told.failure)
    give_up (lines, volume->name, dirty, told.failure);
  else
    g_ptr_array_extend_and_steal (lines, g_steal_pointer (&found));
  return true;
}
