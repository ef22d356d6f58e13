/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tool/map-lines.h"

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

/* Copied whole, whatever its length: that takes no time. */
#define PIECE 128
typedef struct {
  gsize length;
  char text[PIECE];
} Piece;

typedef struct {
  const LineFormat *format;
  Piece begin;                  /* between, and before the offset */
  Piece ends[4];                /* all that follows it, by state: most extents
                                 * are as long as the last one was */
  guint64 lengths[4];           /* that ends are of; 0: of none */
  guint64 high;                 /* the offset without its last digits, */
  Piece high_digits;            /* written */
  bool any;                     /* extent was printed */
  gsize used;
  char buffer[64 * 1024];
} Lines;

#define LOW_DIGITS 8
#define LOW 100000000

static bool
write_out (Lines *lines)
{
  const bool done
    = fwrite (lines->buffer, 1, lines->used, stdout) == lines->used;

  lines->used = 0;
  return done;
}

/* So many digits, zeroes on the left. */
static inline void
put_digits (char *at, guint32 number, guint count)
{
  for (guint i = count; i > 0; number /= 10)
    at[--i] = (char) ('0' + number % 10);
}

static inline char *
put_piece (char *at, const Piece *piece)
{
  memcpy (at, piece->text, PIECE);
  return at + piece->length;
}

static void G_GNUC_PRINTF (2, 3)
set_piece (Piece *piece, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  piece->length
    = (gsize) g_vsnprintf (piece->text, PIECE, format, arguments);
  va_end (arguments);
  g_assert (piece->length < PIECE);
}

static inline char *
put_offset (char *at, guint64 offset, Lines *lines)
{
  const guint64 high = offset / LOW;

  if (high == 0)
    return at + g_snprintf (at, PIECE, "%*" G_GUINT64_FORMAT,
                            (int) lines->format->width, offset);
  if (high != lines->high) {
    lines->high = high;
    set_piece (&lines->high_digits, "%*" G_GUINT64_FORMAT,
               (int) MAX (lines->format->width, LOW_DIGITS) - LOW_DIGITS,
               high);
  }
  at = put_piece (at, &lines->high_digits);
  put_digits (at, (guint32) (offset % LOW), LOW_DIGITS);
  return at + LOW_DIGITS;
}

static bool
print_extent (void *opaque, guint64 offset, guint64 length, DirtyState state)
{
  Lines *lines = opaque;
  const LineFormat *format = lines->format;

  if (lines->used > sizeof lines->buffer - 4 * PIECE && !write_out (lines))
    return false;
  if (length != lines->lengths[state]) {
    lines->lengths[state] = length;
    set_piece (&lines->ends[state], "%s%*" G_GUINT64_FORMAT "%s",
               format->length, (int) format->width, length,
               format->states[state]);
  }
  char *at = put_piece (lines->buffer + lines->used, &lines->begin);
  at = put_offset (at, offset, lines);
  at = put_piece (at, &lines->ends[state]);
  lines->used = (gsize) (at - lines->buffer);
  if (G_UNLIKELY (!lines->any))
    set_piece (&lines->begin, "%s%s", format->between, format->offset);
  lines->any = true;
  return true;
}

bool
map_lines_print (OpenView *view, const LineFormat *format, GError **error)
{
  g_autofree Lines *lines = g_new0 (Lines, 1);

  lines->format = format;
  set_piece (&lines->begin, "%s", format->offset);
  fputs (format->begin, stdout);
  if (!open_view_visit (view, 0, open_view_size (view), print_extent, lines,
                        error)
      || !write_out (lines))
    return false;
  fputs (format->end, stdout);
  return true;
}
