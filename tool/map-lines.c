/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool/map-lines.h"
#include "tool/say.h"
#include "tool/terminal.h"

#define STATES(clean, dirty, zero) \
  { [DIRTY_MAP_CLEAN] = (clean), [DIRTY_MAP_DIRTY] = (dirty), \
    [DIRTY_MAP_ZERO] = (zero), [2] = (dirty) }

const LineFormat line_format_nbdinfo = {
  .begin = "", .offset = "", .length = "  ", .between = "", .end = "",
  .states = STATES ("    1  hole\n", "    0  data\n", "    3  hole,zero\n"),
  .width = 10,
};

#define TYPE(number, word) \
  ", \"type\": " number ", \"description\": \"" word "\"}"

const LineFormat line_format_json = {
  .begin = "[\n", .offset = "{ \"offset\": ", .length = ", \"length\": ",
  .between = ",\n", .end = "\n]\n",
  .states = STATES (TYPE ("1", "hole"), TYPE ("0", "data"),
                    TYPE ("3", "hole,zero")),
};

const LineFormat line_format_extents = {
  .begin = "", .offset = "", .length = " ", .between = "", .end = "",
  .states = STATES (" hole\n", "\n", " hole,zero\n"),
};

#define FLAGS(dirty, zero) ", \"dirty\": " dirty ", \"zero\": " zero "}"

const LineFormat line_format_imageio = {
  .begin = "[", .offset = "{\"start\": ", .length = ", \"length\": ",
  .between = ",\n", .end = "]\n",
  .states = STATES (FLAGS ("false", "false"), FLAGS ("true", "false"),
                    FLAGS ("true", "true")),
};

#define GO_TYPE(number, word) \
  ",\"type\":" number ",\"description\":\"" word "\"}"

const LineFormat line_format_kubevirt = {
  .begin = "{\"extents\":[", .offset = "{\"offset\":", .length = ",\"length\":",
  .between = ",\n", .end = "],\"next_offset\":null}\n",
  .states = STATES (GO_TYPE ("0", "clean"), GO_TYPE ("1", "dirty"),
                    GO_TYPE ("3", "dirty,zero")),
};

/* Pieces are copied with all of their room, as that takes less time than to look
 * how long they are.
 */
#define HEAD_MOST 32
#define TAIL_MOST 80
#define LINE_MOST 256           /* with what ends the list */
typedef struct {
  gsize length;
  char text[120];
} Piece;

/* Of a running guest, each time that it is full takes a proof, which is a look at
 * the guest's job.
 */
#define BUFFER (4 * 1024 * 1024)

typedef struct {
  ProgressPart part;            /* first: progress_reach is given it */
  OpenView *view;
  const LineFormat *format;
  GError **error;
  Piece head;                   /* how a line begins, with its offset but for the
                                 * last digits, */
  guint64 from;                 /* from this one on: LOW at least */
  Piece tails[4];               /* all that follows it, by state: most extents
                                 * are as long as the last one was */
  guint64 lengths[4];           /* that tails are of; 0: of none */
  guint64 printed, end;         /* bytes of the disk: that have left the buffer,
                                 * and that are in it, too */
  char *buffer, *at;            /* at: where it goes on */
} Lines;

#define LOW_DIGITS 8
#define LOW 100000000
#define NUMBER_MOST 20

/* Below LOW, zeroes on the left: all digits at once, in a lane of a word each.  The
 * lanes are halved by hundreds, then by tens; 10486 >> 20 and 103 >> 10 divide what
 * is below 10,000 and below 100 by these.
 */
static inline char *
put_low (char *at, guint32 number)
{
  const guint64 fours = number / 10000 | (guint64) (number % 10000) << 32;
  const guint64 hundreds
    = fours * 10486 >> 20 & G_GUINT64_CONSTANT (0x0000007f0000007f);
  const guint64 twos = hundreds | (fours - hundreds * 100) << 16;
  const guint64 tens
    = twos * 103 >> 10 & G_GUINT64_CONSTANT (0x000f000f000f000f);
  const guint64 ones = tens | (twos - tens * 10) << 8;
  const guint64 text
    = GUINT64_TO_LE (ones + G_GUINT64_CONSTANT (0x3030303030303030));

  memcpy (at, &text, LOW_DIGITS);
  return at + LOW_DIGITS;
}

static char *
put_number (char *at, guint64 number, guint width)
{
  char digits[NUMBER_MOST];
  guint count = 0;

  do
    digits[NUMBER_MOST - ++count] = (char) ('0' + number % 10);
  while ((number /= 10) > 0);
  for (; width > count; width--)
    *at++ = ' ';
  memcpy (at, digits + NUMBER_MOST - count, count);
  return at + count;
}

/* Who is told to end while a reader takes nothing goes on, for the list has an end
 * only then; and stdio forgets what it had not written when the signal came.
 */
static bool
write_all (const char *text, gsize length)
{
  while (length > 0) {
    const ssize_t n = write (STDOUT_FILENO, text, length);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      break;
    text += n;
    length -= (gsize) n;
  }
  if (length > 0)
    note_refused (errno);
  return length == 0;
}

static bool
write_out (Lines *lines)
{
  const gsize length = (gsize) (lines->at - lines->buffer);

  /* A terminal shows by the lines themselves how far it is. */
  if (terminal_is_there ())
    g_clear_pointer (&lines->part.progress, progress_free);
  lines->at = lines->buffer;
  lines->printed = lines->end;
  return write_all (lines->buffer, length);
}

/* What comes before an extent's offset. */
static char *
put_begin (char *at, const Lines *lines)
{
  at = g_stpcpy (at, lines->end == 0 ? "" : lines->format->between);
  return g_stpcpy (at, lines->format->offset);
}

static void
set_head (Lines *lines, guint64 offset)
{
  const guint width = MAX (lines->format->width, LOW_DIGITS) - LOW_DIGITS;
  const char *end
    = put_number (put_begin (lines->head.text, lines), offset / LOW, width);

  lines->head.length = (gsize) (end - lines->head.text);
  lines->from = offset - offset % LOW;
}

static void
set_tail (Lines *lines, guint64 length, DirtyState state)
{
  Piece *tail = &lines->tails[state];
  char *end = g_stpcpy (tail->text, lines->format->length);

  end = put_number (end, length, lines->format->width);
  end = g_stpcpy (end, lines->format->states[state]);
  tail->length = (gsize) (end - tail->text);
  lines->lengths[state] = length;
}

static inline bool
end_line (Lines *lines, char *at, guint64 end, DirtyState state)
{
  const Piece *tail = &lines->tails[state];

  memcpy (at, tail->text, TAIL_MOST);
  lines->at = at + tail->length;
  lines->end = end;
  return true;
}

static inline bool
put_line (Lines *lines, guint64 offset, guint64 length, DirtyState state)
{
  char *at = lines->at;

  memcpy (at, lines->head.text, HEAD_MOST);
  at = put_low (at + lines->head.length, (guint32) (offset - lines->from));
  return end_line (lines, at, offset + length, state);
}

static inline bool
is_full (const Lines *lines)
{
  return lines->at > lines->buffer + BUFFER - LINE_MOST;
}

/* Apart, so that the way of most lines makes no calls. */
static G_NO_INLINE bool
print_another (Lines *lines, guint64 offset, guint64 length, DirtyState state)
{
  if (is_full (lines)
      && (!open_view_prove (lines->view, lines->error) || !write_out (lines)))
    return false;
  if (length != lines->lengths[state])
    set_tail (lines, length, state);
  if (offset < LOW)
    return end_line (lines, put_number (put_begin (lines->at, lines), offset,
                                        lines->format->width),
                     offset + length, state);
  if (offset - lines->from >= LOW)
    set_head (lines, offset);
  return put_line (lines, offset, length, state);
}

/* An OpenViewVisit. */
static bool
print_extent (void *opaque, guint64 offset, guint64 length, DirtyState state)
{
  Lines *lines = opaque;

  if (G_UNLIKELY (is_full (lines) || offset - lines->from >= LOW
                  || length != lines->lengths[state]))
    return print_another (lines, offset, length, state);
  return put_line (lines, offset, length, state);
}

static void
begin (Lines *lines)
{
  lines->at = lines->buffer;
  lines->end = lines->printed;
  if (lines->printed == 0)
    lines->at = g_stpcpy (lines->at, lines->format->begin);
}

static bool
end (Lines *lines)
{
  lines->at = g_stpcpy (lines->at, lines->format->end);
  return write_out (lines);
}

/* What was not proved is not known.  A list that ended here would say that all
 * which follows is clean, to those who do not look at the exit status.
 */
static void
call_rest_dirty (Lines *lines, guint64 size)
{
  begin (lines);
  g_prefix_error (lines->error, "no change is missing in the list, but it calls "
                  "all dirty from byte %" G_GUINT64_FORMAT " on, as that could "
                  "not be read: ", lines->printed);
  if (lines->printed < size)
    print_extent (lines, lines->printed, size - lines->printed,
                  DIRTY_MAP_DIRTY);
  end (lines);
}

bool
map_lines_print (OpenView *view, const LineFormat *format, Progress *progress,
                 GError **error)
{
  g_autofree char *buffer = g_malloc (BUFFER);
  g_autoptr (GError) failure = NULL;
  Lines lines = { .part = { progress, 0 }, .view = view, .format = format,
                  .error = &failure, .buffer = buffer,
                  .from = G_MAXUINT64 - LOW };

  begin (&lines);
  const bool done
    = open_view_pass (view, print_extent, progress_reach, &lines, &failure)
    && end (&lines);
  if (failure)
    call_rest_dirty (&lines, open_view_size (view));
  progress_free (lines.part.progress);
  if (failure)
    g_propagate_error (error, g_steal_pointer (&failure));
  return done;
}
