/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tables of inodes and bitmaps are read from one end to the other, directories
 * here and there: so what follows what was read last is read on further.
 */
#include <config.h>

#include <string.h>

#include "filesystem/cached-media.h"

#define PIECE ((guint64) 65536)
#define PIECES 256
#define AHEAD (CACHED_MEDIA_READ / PIECE)

typedef struct {
  Media media;
  Media *below;
  guint8 *bytes;                /* PIECES of them */
  guint64 numbers[PIECES];      /* which piece is there; G_MAXUINT64: none */
  guint64 last;                 /* the piece that was read last */
} CachedMedia;

/* A piece has one place, so that those which follow one another do not drive one
 * another out.
 */
static guint8 *
place (const CachedMedia *self, guint64 number)
{
  return self->bytes + number % PIECES * PIECE;
}

static bool
fetch (CachedMedia *self, guint64 number, GError **error)
{
  const guint64 start = number * PIECE;
  guint64 count = number == self->last + 1 ? AHEAD : 1;

  count = MIN (count, PIECES - number % PIECES);
  const guint64 length = MIN (count * PIECE, self->media.size - start);
  for (guint64 i = 0; i < count; i++)
    self->numbers[(number + i) % PIECES] = G_MAXUINT64;
  if (!self->below->read (self->below, place (self, number), length, start,
                          error))
    return false;
  for (guint64 i = 0; i * PIECE < length; i++) {
    self->numbers[(number + i) % PIECES] = number + i;
    self->last = number + i;
  }
  return true;
}

static bool
read_cached (Media *media, void *buffer, guint32 count, guint64 offset,
             GError **error)
{
  CachedMedia *self = (CachedMedia *) media;
  guint8 *to = buffer;

  while (count > 0) {
    const guint64 number = offset / PIECE;
    const guint32 within = offset % PIECE;
    const guint32 length = MIN (count, PIECE - within);
    if (self->numbers[number % PIECES] != number
        && !fetch (self, number, error))
      return false;
    memcpy (to, place (self, number) + within, length);
    to += length;
    offset += length;
    count -= length;
  }
  return true;
}

Media *
cached_media_new (Media *below)
{
  CachedMedia *self = g_new0 (CachedMedia, 1);

  self->media.size = below->size;
  self->media.read = read_cached;
  self->below = below;
  self->bytes = g_malloc (PIECES * PIECE);
  self->last = G_MAXUINT64 - 1;
  for (guint i = 0; i < PIECES; i++)
    self->numbers[i] = G_MAXUINT64;
  return &self->media;
}

void
cached_media_free (Media *media)
{
  CachedMedia *self = (CachedMedia *) media;

  if (!self)
    return;
  g_free (self->bytes);
  g_free (self);
}
