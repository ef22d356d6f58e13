/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A process waits, and starts one for each volume, so that one that is broken
 * does not end the look into the others.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "filesystem/examine.h"
#include "filesystem/packet.h"

/* What one volume's look may take: a file system of 16 TiB takes a minute. */
#define MEMORY ((rlim_t) 3 * 1024 * 1024 * 1024)
#define SECONDS 900

typedef struct {
  Media media;
  int fd;
  const guint8 *bytes;
} Remote;

typedef struct {
  Examination examination;
  int fd;
} Work;

bool
packet_send (int fd, const Packet *message)
{
  const size_t size = G_STRUCT_OFFSET (Packet, text)
    + strlen (message->text) + 1;
  ssize_t sent;

  while ((sent = send (fd, message, size, MSG_NOSIGNAL)) < 0 && errno == EINTR)
    ;
  return sent == (ssize_t) size;
}

bool
packet_receive (int fd, Packet *message)
{
  ssize_t size;

  while ((size = recv (fd, message, sizeof *message, 0)) < 0 && errno == EINTR)
    ;
  if (size <= (ssize_t) G_STRUCT_OFFSET (Packet, text))
    return false;
  ((char *) message)[size - 1] = '\0';
  return true;
}

/* Of a path that is too long, the end tells more; it must not pass for another. */
void
packet_set_text (Packet *message, const char *text)
{
  static const char cut[] = "...";
  const gsize most = sizeof message->text - 1, length = strlen (text);

  g_strlcpy (message->text, text, sizeof message->text);
  if (length > most) {
    memcpy (message->text, cut, sizeof cut - 1);
    memcpy (message->text + sizeof cut - 1,
            text + length - (most - (sizeof cut - 1)), most - (sizeof cut - 1));
  }
}

static bool
read_remote (Media *media, void *buffer, guint32 count, guint64 offset,
             GError **error)
{
  const Remote *self = (const Remote *) media;
  Packet message = { .kind = PACKET_READ, .offset = offset, .length = count };

  if (!packet_send (self->fd, &message)
      || !packet_receive (self->fd, &message)
      || message.kind != PACKET_BYTES)
    _exit (1);
  if (!message.ok)
    return error_set (error, EIO, "it cannot be read");
  memcpy (buffer, self->bytes, count);
  return true;
}

static void
tell (Examination *examination, const Line *line)
{
  const Work *self = (const Work *) examination;
  Packet message = { .kind = PACKET_LINE, .line_kind = line->kind,
                      .changed = line->changed, .links = line->links,
                      .bytes = line->bytes, .shared = line->shared,
                      .inode = line->inode };

  packet_set_text (&message, line->text);
  if (!packet_send (self->fd, &message))
    _exit (1);
  message.kind = PACKET_PATH;
  for (guint i = 1; line->others && i < line->others->len; i++) {
    packet_set_text (&message, g_ptr_array_index (line->others, i));
    if (!packet_send (self->fd, &message))
      _exit (1);
  }
}

static void
note (Examination *examination, const char *text)
{
  const Work *self = (const Work *) examination;
  Packet message = { .kind = PACKET_NOTE };

  packet_set_text (&message, text);
  if (!packet_send (self->fd, &message))
    _exit (1);
}

static void
bound (int resource, rlim_t most)
{
  const struct rlimit limit = { most, most };

  setrlimit (resource, &limit);
}

/* No descriptor can be had any more, and no file be written. */
static void
confine (Examination *examination G_GNUC_UNUSED)
{
  bound (RLIMIT_NOFILE, 0);
  bound (RLIMIT_FSIZE, 0);
}

static void
begin_bounds (void)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  bound (RLIMIT_CORE, 0);
  bound (RLIMIT_CPU, SECONDS);
#ifndef __SANITIZE_ADDRESS__    /* which takes terabytes of addresses */
  bound (RLIMIT_AS, MEMORY);
#endif
}

static void
look (int fd, const guint8 *bytes, int runs, const Packet *asked)
{
  Packet answer = { .kind = PACKET_DONE };
  Remote remote = { { asked->size, read_remote }, fd, bytes };
  Work work = {
    .examination = { NULL, NULL, asked->runs, asked->granule, asked->phase,
                     asked->has_since, asked->since, confine, tell, note },
    .fd = fd,
  };
  g_autoptr (GError) error = NULL;

  if (asked->runs > 0)
    work.examination.dirty = mmap (NULL, asked->runs * sizeof (Run), PROT_READ,
                                   MAP_SHARED, runs, 0);
  if (work.examination.dirty == MAP_FAILED)
    return;
  work.examination.media = cached_media_new (&remote.media);
  if (!examine (&work.examination, &error)) {
    answer.kind = PACKET_FAILED;
    packet_set_text (&answer, error->message);
  }
  packet_send (fd, &answer);
  cached_media_free (work.examination.media);
}

/* What libraries, or the end of memory, say there would tell nobody anything. */
static void
be_silent (void)
{
#ifndef __SANITIZE_ADDRESS__
  const int null = open ("/dev/null", O_RDWR | O_CLOEXEC);

  if (null >= 0)
    for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
      dup2 (null, i);
#endif
}

void
examiner_process_run (int fd, guint8 *bytes, int runs)
{
  Packet message;

  prctl (PR_SET_NAME, "qemu-checkpoint-files");
  be_silent ();
  while (packet_receive (fd, &message) && message.kind == PACKET_LOOK) {
    const pid_t pid = fork ();
    if (pid == 0) {
      begin_bounds ();
      look (fd, bytes, runs, &message);
      _exit (0);
    }
    while (pid > 0 && waitpid (pid, NULL, 0) < 0 && errno == EINTR)
      ;
    memset (&message, 0, sizeof message);
    message.kind = PACKET_ENDED;
    if (!packet_send (fd, &message))
      break;
  }
  _exit (0);
}
