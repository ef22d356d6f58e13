/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * One line of JSON a command, one an answer, without numbers: after a silence, an
 * answer may be of an earlier command.  So guest-sync-delimited comes first, whose
 * answer has the number that was sent, and begins with a byte that is nowhere
 * else.  Source: QEMU 7.2 qga/qapi-schema.json.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/afterwards.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json-text.h"
#include "qemu/agent.h"
#include "qemu/dial.h"

#define SYNC_MS 5000
/* Freezing waits until all that is dirty in the guest is written. */
#define FREEZE_MS 60000
#define ANSWER_MS 10000
/* How long we wait for the thaw, and how long it is tried. */
#define THAW_MS 10000
#define THAW_AT_MOST_S 600
#define THAW_PAUSE_MS 500
#define LINE_LIMIT (64 * 1024)
#define DELIMITER 0xff

struct Agent {
  char *path;
  int fd;
  GByteArray *buffer;           /* read, not yet consumed */
  Afterwards *thaw;             /* NULL: nothing is frozen by us */
};

static bool
silent (const Agent *agent, const char *why, GError **error)
{
  return error_set (error, ETIMEDOUT, "the guest's agent at %s %s; does "
                    "qemu-guest-agent run in the guest, and does no other "
                    "client (libvirt) hold its socket?", agent->path, why);
}

/* Command, with arguments or NULL; after a byte that ends what came before. */
static bool
say (const Agent *agent, const char *command, const char *arguments,
     GError **error)
{
  g_autofree char *line
    = g_strdup_printf ("\xff{\"execute\":\"%s\"%s%s}\n", command,
                       arguments ? ",\"arguments\":" : "",
                       arguments ? arguments : "");
  const char *text = arguments ? line : line + 1;
  const gsize length = strlen (text);

  return send (agent->fd, text, length, MSG_NOSIGNAL) == (ssize_t) length
    || silent (agent, "takes no command", error);
}

/* The place of a byte in what was read, once it is there; -1: not in time. */
static int
wait_for_byte (Agent *agent, int byte, gint64 deadline)
{
  GByteArray *buffer = agent->buffer;
  guint8 bytes[4096];

  for (;;) {
    const guint8 *at = buffer->len > 0
      ? memchr (buffer->data, byte, buffer->len) : NULL;
    if (at)
      return (int) (at - buffer->data);
    const gint64 left = (deadline - g_get_monotonic_time ()) / 1000;
    if (left <= 0 || buffer->len > LINE_LIMIT
        || !dial_wait (agent->fd, (guint) left))
      return -1;
    const ssize_t n = recv (agent->fd, bytes, sizeof bytes, 0);
    if (n <= 0)
      return -1;
    g_byte_array_append (buffer, bytes, (guint) n);
  }
}

/* The next line, as an object that is borrowed from parser; NULL: not in time. */
static JsonObject *
hear (Agent *agent, JsonParser *parser, gint64 deadline)
{
  const int end = wait_for_byte (agent, '\n', deadline);

  if (end < 0)
    return NULL;
  JsonObject *object = json_text_parse (
    parser, (const char *) agent->buffer->data, (gsize) end);
  g_byte_array_remove_range (agent->buffer, 0, (guint) end + 1);
  return object;
}

static bool
sync_with (Agent *agent, GError **error)
{
  const gint64 deadline = g_get_monotonic_time () + SYNC_MS * 1000LL;
  const guint32 id = g_random_int () >> 1;
  g_autofree char *arguments = g_strdup_printf ("{\"id\":%u}", id);

  if (!say (agent, "guest-sync-delimited", arguments, error))
    return false;
  for (;;) {
    g_autoptr (JsonParser) parser = json_parser_new ();
    const int at = wait_for_byte (agent, DELIMITER, deadline);
    if (at < 0)
      return silent (agent, "does not answer", error);
    g_byte_array_remove_range (agent->buffer, 0, (guint) at + 1);
    JsonObject *answer = hear (agent, parser, deadline);
    if (answer && json_text_int (answer, "return") == id)
      return true;
  }
}

/* The answer's object, borrowed from parser.  EIO with the agent's words. */
static JsonObject *
ask (Agent *agent, JsonParser *parser, const char *command, guint milliseconds,
     GError **error)
{
  const gint64 deadline = g_get_monotonic_time () + milliseconds * 1000LL;
  JsonObject *answer = NULL;

  if (!say (agent, command, NULL, error))
    return NULL;
  answer = hear (agent, parser, deadline);
  JsonObject *refusal = json_text_object (answer, "error");
  if (!answer)
    silent (agent, "does not answer any more", error);
  else if (refusal || !json_object_has_member (answer, "return"))
    return error_null (error, EIO, "the guest's agent refuses %s: %s", command,
                       json_text_string (refusal, "desc", "it does not say "
                                         "why"));
  return answer;
}

/* Are they frozen?  -1 with an error: that is not known. */
static int
is_frozen (Agent *agent, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *answer = ask (agent, parser, "guest-fsfreeze-status", ANSWER_MS,
                            error);

  return answer ? strcmp (json_text_string (answer, "return", ""),
                          "frozen") == 0 : -1;
}

static bool
thaw_once (Agent *agent, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();

  if (!sync_with (agent, error)
      || !ask (agent, parser, "guest-fsfreeze-thaw", FREEZE_MS, error))
    return false;
  const int frozen = is_frozen (agent, error);
  return frozen == 0
    || (frozen > 0 && error_set (error, EIO, "the guest's agent says that they "
                                 "are frozen still"));
}

/* In the process beside us. */
static bool
thaw_at_last (void *opaque, GError **error)
{
  Agent *agent = opaque;
  const gint64 until
    = g_get_monotonic_time () + THAW_AT_MOST_S * G_USEC_PER_SEC;
  GError *last = NULL;

  while (!thaw_once (agent, &last)) {
    if (g_get_monotonic_time () >= until) {
      g_propagate_error (error, last);
      return false;
    }
    g_clear_error (&last);
    g_usleep (THAW_PAUSE_MS * 1000);
  }
  return true;
}

Agent *
agent_open (const char *path, GError **error)
{
  g_autoptr (Agent) agent = g_new0 (Agent, 1);

  agent->path = g_strdup (path);
  agent->buffer = g_byte_array_new ();
  agent->fd = dial_socket ("the guest agent's socket", path, error);
  return agent->fd >= 0 && sync_with (agent, error) ? g_steal_pointer (&agent)
    : NULL;
}

void
agent_free (Agent *agent)
{
  if (!agent)
    return;
  agent_thaw (agent, NULL);
  close_fd (&agent->fd);
  g_byte_array_unref (agent->buffer);
  g_free (agent->path);
  g_free (agent);
}

/* It may have frozen some. */
static bool
freeze (Agent *agent, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *answer;
  int frozen;

  afterwards_arm (agent->thaw);
  answer = ask (agent, parser, "guest-fsfreeze-freeze", FREEZE_MS, error);
  if (!answer)
    return false;
  if (json_text_int (answer, "return") == 0)
    return error_set (error, ENOTSUP, "the guest's agent has frozen no file "
                      "system; none is mounted from a disk that it may freeze");
  frozen = is_frozen (agent, error);
  return frozen > 0
    || (frozen == 0 && error_set (error, EIO, "the guest's agent says that "
                                  "nothing is frozen, after it has frozen it"));
}

bool
agent_freeze (Agent *agent, GError **error)
{
  g_autoptr (GError) failure = NULL;
  g_autoptr (GError) worse = NULL;
  const int frozen = is_frozen (agent, error);

  if (frozen)
    return frozen > 0
      && error_set (error, EBUSY, "the guest's file systems are frozen already, "
                    "by another program; wait until it has thawed them");
  agent->thaw = afterwards_new (thaw_at_last, agent, agent->fd, error);
  if (!agent->thaw)
    return false;
  if (freeze (agent, &failure))
    return true;
  if (!agent_thaw (agent, &worse))
    return error_set (error, worse->code, "%s (before that: %s)",
                      worse->message, failure->message);
  return error_set (error, failure->code, "%s", failure->message);
}

bool
agent_thaw (Agent *agent, GError **error)
{
  g_autoptr (GError) why = NULL;

  if (afterwards_do (g_steal_pointer (&agent->thaw), THAW_MS, &why))
    return true;
  return error_set (error, why->code, "THE GUEST'S FILE SYSTEMS MAY BE FROZEN "
                    "STILL: what writes there hangs until they are thawed, "
                    "which is tried for ten minutes (%s); if that is in vain, "
                    "thaw them on the guest's console with fsfreeze -u, or "
                    "reset the guest", why->message);
}
