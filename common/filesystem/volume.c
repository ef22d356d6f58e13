/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "filesystem/volume.h"

/* 16 bytes each: a guest says how small the stripes are. */
#define RUNS_MAX (16 * 1024 * 1024)

static void
clear_segment (void *segment)
{
  g_array_unref (((VolumeSegment *) segment)->areas);
}

static const VolumeSegment *
segment_at (const Volume *self, guint64 offset)
{
  guint low = 0, high = self->segments->len;

  while (high - low > 1) {
    const guint middle = low + (high - low) / 2;
    if (g_array_index (self->segments, VolumeSegment, middle).start <= offset)
      low = middle;
    else
      high = middle;
  }
  return &g_array_index (self->segments, VolumeSegment, low);
}

static bool
read_volume (Media *media, void *buffer, guint32 count, guint64 offset,
             GError **error)
{
  const Volume *self = (const Volume *) media;
  guint8 *to = buffer;

  while (count > 0) {
    const VolumeSegment *segment = segment_at (self, offset);
    const guint64 within = offset - segment->start;
    const guint64 chunk = within / segment->chunk;
    const guint64 in_chunk = within % segment->chunk;
    const VolumeArea *area = &g_array_index (segment->areas, VolumeArea,
                                             chunk % segment->areas->len);
    Media *disk = g_array_index (self->disks, VolumeDisk, area->disk).media;
    const guint32 length = MIN (count, MIN (segment->length - within,
                                            segment->chunk - in_chunk));
    if (!disk->read (disk, to, length, area->start + in_chunk
                     + chunk / segment->areas->len * segment->chunk, error))
      return false;
    to += length;
    offset += length;
    count -= length;
  }
  return true;
}

Volume *
volume_new (GArray *disks, const char *name)
{
  Volume *self = g_new0 (Volume, 1);

  self->media.read = read_volume;
  self->disks = disks;
  self->name = g_strdup (name);
  self->segments = g_array_new (FALSE, FALSE, sizeof (VolumeSegment));
  g_array_set_clear_func (self->segments, clear_segment);
  return self;
}

void
volume_free (Volume *self)
{
  if (!self)
    return;
  g_array_unref (self->segments);
  g_free (self->name);
  g_free (self->what);
  g_free (self);
}

void
volume_set (Volume *self, LineKind kind, const char *what)
{
  self->is_known = true;
  self->kind = kind;
  g_free (self->what);
  self->what = g_strdup (what);
}

bool
volume_add (Volume *self, guint64 length, guint64 chunk,
            const VolumeArea *areas, guint count)
{
  VolumeSegment segment = { .start = self->media.size, .length = length,
                            .chunk = count == 1 ? length : chunk };

  if (length == 0 || count == 0 || length % count != 0 || segment.chunk == 0
      || length / count % segment.chunk != 0
      || length > G_MAXINT64 - self->media.size)
    return false;
  for (guint i = 0; i < count; i++) {
    if (areas[i].disk >= self->disks->len)
      return false;
    const guint64 size
      = g_array_index (self->disks, VolumeDisk, areas[i].disk).media->size;
    if (areas[i].start > size || length / count > size - areas[i].start)
      return false;
  }
  segment.areas = g_array_new (FALSE, FALSE, sizeof (VolumeArea));
  g_array_append_vals (segment.areas, areas, count);
  g_array_append_val (self->segments, segment);
  self->media.size += length;
  return true;
}

/* One run of an area's own bytes, as the volume has them.  False: there are too
 * many.
 */
static bool
place (const VolumeSegment *segment, guint index, Run run, GArray *runs)
{
  const guint64 turn = segment->chunk * segment->areas->len;

  while (run.start < run.end) {
    const guint64 chunk = run.start / segment->chunk;
    const guint64 end = MIN (run.end, (chunk + 1) * segment->chunk);
    const guint64 at = segment->start + chunk * turn + index * segment->chunk
      + run.start % segment->chunk;
    const Run placed = { at, at + end - run.start };
    if (runs->len >= RUNS_MAX)
      return false;
    g_array_append_val (runs, placed);
    run.start = end;
  }
  return true;
}

/* What is dirty in one area, taken from its disk.  False: there are too many runs, of
 * which some are left out.
 */
static bool
take_area (Volume *self, const VolumeSegment *segment, guint index,
           GArray *runs, guint64 *bytes)
{
  const VolumeArea *area = &g_array_index (segment->areas, VolumeArea, index);
  g_autoptr (GArray) taken = runs_new ();
  bool all = true;

  runs_take (g_array_index (self->disks, VolumeDisk, area->disk).dirty,
             area->start, area->start + segment->length / segment->areas->len,
             taken);
  *bytes += runs_total ((const Run *) taken->data, taken->len);
  for (guint i = 0; all && i < taken->len; i++) {
    const Run run = g_array_index (taken, Run, i);
    all = place (segment, index, (Run) { run.start - area->start,
                                         run.end - area->start }, runs);
  }
  return all;
}

GArray *
volume_take (Volume *self)
{
  GArray *runs = runs_new ();
  guint64 bytes = 0;
  bool all = true;

  for (guint i = 0; i < self->segments->len; i++) {
    const VolumeSegment *segment
      = &g_array_index (self->segments, VolumeSegment, i);
    for (guint k = 0; k < segment->areas->len; k++)
      all &= take_area (self, segment, k, runs, &bytes);
  }
  if (!all) {
    if (!self->is_known)
      volume_set (self, LINE_UNKNOWN, "a volume in too small stripes");
    g_array_set_size (runs, 0);
    runs_append (runs, 0, bytes);
  }
  runs_sort (runs);
  return runs;
}

bool
volume_phase (const Volume *self, guint64 *granule, guint64 *phase)
{
  *granule = 0;
  for (guint i = 0; i < self->segments->len; i++) {
    const VolumeSegment *segment
      = &g_array_index (self->segments, VolumeSegment, i);
    const VolumeArea *area = &g_array_index (segment->areas, VolumeArea, 0);
    const guint64 size
      = g_array_index (self->disks, VolumeDisk, area->disk).granularity;
    if (size == 0 || segment->areas->len > 1 || (i > 0 && size != *granule))
      return false;
    const guint64 begins = (segment->start % size + size - area->start % size)
      % size;
    if (i > 0 && begins != *phase)
      return false;
    *granule = size;
    *phase = begins;
  }
  return *granule != 0;
}
