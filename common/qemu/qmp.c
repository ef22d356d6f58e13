/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Send commands to QEMU and read its answers.  Events are dropped: nothing here
 * waits for one.  Every wait is bounded, and so is a line, which QEMU may fill
 * with the names of 65,535 bitmaps.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json-text.h"
#include "qemu/qmp.h"

#define ANSWER_TIMEOUT_MS 30000
/* How soon it is noticed that we are told to end. */
#define TICK_MS 100
#define LINE_LIMIT (128 * 1024 * 1024)
/* So many commands has each who speaks on one connection, one after another. */
#define COMMANDS_A_TURN (1LL << 32)

struct Qmp {
  const char *peer;
  int fd_in;
  int fd_out;
  const NbdLife *life;
  GByteArray *buffer;           /* read, not yet consumed */
  guint patience_ms;
  gint64 id;                    /* of the last command */
  bool broken;                  /* an answer is missing */
};

/* More bytes, or an errno. */
static int
fill (Qmp *qmp, gint64 deadline)
{
  struct pollfd pollfd = { .fd = qmp->fd_in, .events = POLLIN };
  const int left = nbd_budget_left (deadline);
  guint8 bytes[65536];

  if (qmp->buffer->len > LINE_LIMIT)
    return EFBIG;
  if (left == 0)
    return ETIMEDOUT;
  if (nbd_life_is_stopped (qmp->life))
    return ESHUTDOWN;
  if (poll (&pollfd, 1, MIN (left, TICK_MS)) <= 0)
    return 0;
  const ssize_t n = read (qmp->fd_in, bytes, sizeof bytes);
  if (n == 0)
    return EPIPE;
  if (n < 0)
    return errno == EINTR ? 0 : errno;
  g_byte_array_append (qmp->buffer, bytes, (guint) n);
  return 0;
}

static JsonObject *
read_message (Qmp *qmp, JsonParser *parser, gint64 deadline, GError **error)
{
  const guint8 *newline;
  gsize searched = 0;

  while (qmp->buffer->len == searched
         || !(newline = memchr (qmp->buffer->data + searched, '\n',
                                qmp->buffer->len - searched))) {
    searched = qmp->buffer->len;
    const int failure = fill (qmp, deadline);
    if (failure)
      return error_null (error, EIO, "%s does not answer: %s", qmp->peer,
                         failure == EPIPE ? "it ended" : g_strerror (failure));
  }
  const guint length = (guint) (newline - qmp->buffer->data) + 1;
  JsonObject *message
    = json_text_parse (parser, (const char *) qmp->buffer->data, length);
  g_byte_array_remove_range (qmp->buffer, 0, length);
  if (!message)
    error_set (error, EIO, "%s answers with something that is not QMP",
               qmp->peer);
  return message;
}

static bool
write_all (const Qmp *qmp, const char *text, gsize length, GError **error)
{
  while (length > 0) {
    const ssize_t n = write (qmp->fd_out, text, length);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return error_set (error, EIO, "cannot write to %s: %s", qmp->peer,
                        g_strerror (errno));
    text += n;
    length -= (gsize) n;
  }
  return true;
}

static bool
refuse (const char *command, JsonNode *refusal, GError **error)
{
  const char *text = JSON_NODE_HOLDS_OBJECT (refusal)
    ? json_object_get_string_member_with_default (
      json_node_get_object (refusal), "desc", command) : command;

  return error_set (error, EINVAL, "%s", text);
}

/* Send a command.  arguments is taken. */
static bool
send_command (Qmp *qmp, const char *command, JsonObject *arguments,
              GError **error)
{
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_OBJECT);
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "execute", command);
  json_object_set_int_member (object, "id", ++qmp->id);
  if (arguments)
    json_object_set_object_member (object, "arguments", arguments);
  json_node_take_object (root, object);
  g_autofree char *text = json_to_string (root, FALSE);
  g_autofree char *line = g_strconcat (text, "\n", NULL);
  return write_all (qmp, line, strlen (line), error);
}

bool
qmp_execute (Qmp *qmp, const char *command, JsonObject *arguments,
             JsonNode **answer, GError **error)
{
  const gint64 deadline
    = g_get_monotonic_time () + qmp->patience_ms * 1000LL;

  if (qmp->broken) {
    g_clear_pointer (&arguments, json_object_unref);
    return error_set (error, EIO, "%s left a command unanswered before; "
                      "start again", qmp->peer);
  }
  qmp->broken = true;
  if (!send_command (qmp, command, arguments, error))
    return false;
  while (qmp->broken) {
    g_autoptr (JsonParser) parser = json_parser_new ();
    JsonObject *message = read_message (qmp, parser, deadline, error);
    if (!message)
      return false;
    if (json_object_get_int_member_with_default (message, "id", 0) != qmp->id)
      continue;                 /* an event, or a late answer */
    JsonNode *result = json_object_get_member (message, "return");
    JsonNode *refusal = json_object_get_member (message, "error");
    qmp->broken = !result && !refusal;
    if (result && answer)
      *answer = json_node_copy (result);
    else if (!result && refusal)
      return refuse (command, refusal, error);
  }
  return true;
}

JsonObject *
qmp_texts (const char *name, ...)
{
  JsonObject *object = json_object_new ();
  va_list values;

  va_start (values, name);
  for (; name; name = va_arg (values, const char *))
    json_object_set_string_member (object, name,
                                   va_arg (values, const char *));
  va_end (values);
  return object;
}

bool
qmp_hear (Qmp *qmp, const char *event, bool *told)
{
  struct pollfd pollfd = { .fd = qmp->fd_in, .events = POLLIN };
  guint8 bytes[65536];

  *told = false;
  while (poll (&pollfd, 1, 0) > 0 && qmp->buffer->len <= LINE_LIMIT) {
    const ssize_t n = read (qmp->fd_in, bytes, sizeof bytes);
    if (n == 0 || (n < 0 && errno != EINTR))
      return false;
    g_byte_array_append (qmp->buffer, bytes, (guint) MAX (n, 0));
  }
  *told = memmem (qmp->buffer->data, qmp->buffer->len, event, strlen (event));
  const guint8 *end = memrchr (qmp->buffer->data, '\n', qmp->buffer->len);
  if (end)
    g_byte_array_remove_range (qmp->buffer, 0,
                               (guint) (end - qmp->buffer->data) + 1);
  return qmp->buffer->len <= LINE_LIMIT; /* QEMU says no such thing */
}

static Qmp *
make (const char *peer, int fd_in, int fd_out, const NbdLife *life)
{
  Qmp *qmp = g_new0 (Qmp, 1);

  qmp->peer = peer;
  qmp->fd_in = fd_in;
  qmp->fd_out = fd_out;
  qmp->life = life;
  qmp->patience_ms = ANSWER_TIMEOUT_MS;
  qmp->buffer = g_byte_array_new ();
  return qmp;
}

Qmp *
qmp_new (const char *peer, int fd_in, int fd_out, const NbdLife *life,
         GError **error)
{
  const gint64 deadline
    = g_get_monotonic_time () + ANSWER_TIMEOUT_MS * 1000LL;
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (Qmp) qmp = make (peer, fd_in, fd_out, life);
  JsonObject *greeting = read_message (qmp, parser, deadline, error);

  if (!greeting)
    return NULL;
  if (!json_object_has_member (greeting, "QMP"))
    return error_null (error, EPROTO, "%s does not greet as QEMU's monitor does",
                       peer);
  return qmp_execute (qmp, "qmp_capabilities", NULL, NULL, error)
    ? g_steal_pointer (&qmp) : NULL;
}

Qmp *
qmp_new_joined (const char *peer, int fd, guint turn, const NbdLife *life)
{
  Qmp *qmp = make (peer, fd, fd, life);

  qmp->id = turn * COMMANDS_A_TURN;
  return qmp;
}

void
qmp_set_patience (Qmp *qmp, guint seconds)
{
  qmp->patience_ms = seconds * 1000;
}

void
qmp_free (Qmp *qmp)
{
  if (!qmp)
    return;
  g_byte_array_unref (qmp->buffer);
  g_free (qmp);
}
