/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The formats: LVM2's lib/format_text/layout.h and lib/label/label.h.
 */
#include <config.h>

#include <string.h>

#include "filesystem/lvm-text.h"
#include "filesystem/lvm.h"

#define SECTOR 512
#define UUID 32
#define AREAS_MAX 4
#define TEXT_MAX (8 * 1024 * 1024)
#define MDA_HEADER 512
#define MDA_MAGIC " LVM2 x[5A%r0N*>"
#define SEGMENTS_MAX 8192
/* Each is looked for in a whole text, and a guest wrote that: of all groups. */
#define AREAS_MAX_IN_ALL 8192
#define GROUPS_MAX 8

typedef struct {
  const Volume *volume;         /* borrowed */
  char uuid[UUID + 1];
  LvmNode *text;                /* newest of its own; or NULL */
} Physical;

struct Lvm {
  GArray *disks;
  GPtrArray *physical;          /* of Physical */
  guint areas_left;
  bool unread;                  /* what lies there is not known for some */
};

static void
free_physical (void *data)
{
  Physical *physical = data;

  lvm_node_free (physical->text);
  g_free (physical);
}

Lvm *
lvm_new (GArray *disks)
{
  Lvm *self = g_new0 (Lvm, 1);

  self->disks = disks;
  self->areas_left = AREAS_MAX_IN_ALL;
  self->physical = g_ptr_array_new_with_free_func (free_physical);
  return self;
}

void
lvm_free (Lvm *self)
{
  if (!self)
    return;
  g_ptr_array_unref (self->physical);
  g_free (self);
}

/* The group, as the text has it: the only section at the top. */
static const LvmNode *
group_of (const LvmNode *text)
{
  for (guint i = 0; text && i < text->nodes->len; i++) {
    const LvmNode *node = g_ptr_array_index (text->nodes, i);
    if (node->nodes && lvm_node_value (node, "id", 0))
      return node;
  }
  return NULL;
}

static guint64
number_of (const LvmNode *section, const char *name)
{
  guint64 number;

  return lvm_node_number (section, name, 0, &number) ? number : 0;
}

/* The text in the area of that place and size, which is used in a ring. */
static LvmNode *
read_text (Media *media, guint64 start, guint64 size, bool *unread,
           GError **error)
{
  guint8 header[SECTOR];

  if (!media_read (media, header, sizeof header, start, error)
      || memcmp (header + 4, MDA_MAGIC, 16) != 0)
    return NULL;
  const guint64 offset = number_le (header + 40, 8);
  const guint64 length = number_le (header + 48, 8);
  *unread |= length > TEXT_MAX;
  if (offset < MDA_HEADER || offset >= size || length == 0
      || length > TEXT_MAX || length > size - MDA_HEADER)
    return NULL;
  const guint64 first = MIN (length, size - offset);
  g_autofree char *text = g_malloc (length);
  if (!media_read (media, text, first, start + offset, error)
      || (length > first
          && !media_read (media, text + first, length - first,
                          start + MDA_HEADER, error)))
    return NULL;
  LvmNode *node = lvm_text_parse (text, length);
  *unread |= !node;
  return node;
}

/* header: at the physical volume's; available bytes of it. */
static bool
read_physical (Physical *self, bool *unread, Media *media, const guint8 *header,
               gsize available, GError **error)
{
  gsize at = UUID + 8;
  guint ended = 0;
  GError *failure = NULL;

  memcpy (self->uuid, header, UUID);
  for (guint n = 0; ended < 2 && n < 2 * AREAS_MAX && at + 16 <= available;
       n++, at += 16) {
    const guint64 start = number_le (header + at, 8);
    const guint64 size = number_le (header + at + 8, 8);
    if (start == 0) {
      ended++;
      continue;
    }
    LvmNode *text = ended == 1
      ? read_text (media, start, size, unread, &failure) : NULL;
    if (failure) {
      g_propagate_error (error, failure);
      return false;
    }
    if (number_of (group_of (text), "seqno")
        > number_of (group_of (self->text), "seqno")) {
      LvmNode *older = self->text;
      self->text = text;
      text = older;
    }
    lvm_node_free (text);
  }
  return true;
}

/* Each group's text is on all its physical volumes: one is kept, and of few groups. */
static void
keep_newest (Lvm *self, Physical *added)
{
  const LvmNode *group = group_of (added->text);
  guint groups = 0;

  for (guint i = 0; group && i < self->physical->len; i++) {
    Physical *other = g_ptr_array_index (self->physical, i);
    const LvmNode *theirs = group_of (other->text);
    if (!theirs || other == added)
      continue;
    groups++;
    if (strcmp (lvm_node_value (theirs, "id", 0),
                lvm_node_value (group, "id", 0)) != 0)
      continue;
    Physical *older = number_of (theirs, "seqno") < number_of (group, "seqno")
      ? other : added;
    g_clear_pointer (&older->text, lvm_node_free);
    return;
  }
  if (groups >= GROUPS_MAX) {
    g_clear_pointer (&added->text, lvm_node_free);
    self->unread = true;
  }
}

bool
lvm_look (Lvm *self, const Volume *volume, GError **error)
{
  Media *media = (Media *) &volume->media;
  guint8 label[4 * SECTOR];
  guint at = 0;

  if (volume->segments->len != 1 || media->size < sizeof label
      || !media->read (media, label, sizeof label, 0, error))
    return false;
  while (at < sizeof label && (memcmp (label + at, "LABELONE", 8) != 0
                               || memcmp (label + at + 24, "LVM2 001", 8) != 0))
    at += SECTOR;
  if (at >= sizeof label)
    return false;
  const guint offset = number_le (label + at + 20, 4);
  Physical *physical = g_new0 (Physical, 1);
  physical->volume = volume;
  if (offset + UUID + 8 <= SECTOR
      && !read_physical (physical, &self->unread, media, label + at + offset, SECTOR - offset,
                         error)) {
    free_physical (physical);
    return false;
  }
  g_ptr_array_add (self->physical, physical);
  keep_newest (self, physical);
  return true;
}

/* The physical volume that the group calls so; NULL: it is not there. */
static const Physical *
physical_of (const Lvm *self, const LvmNode *group, const char *name,
             const LvmNode **section)
{
  *section = lvm_node_find (lvm_node_find (group, "physical_volumes"), name);
  g_auto (GStrv) pieces
    = g_strsplit (*section && lvm_node_value (*section, "id", 0)
                  ? lvm_node_value (*section, "id", 0) : "", "-", -1);
  g_autofree char *uuid = g_strjoinv ("", pieces);

  for (guint i = 0; i < self->physical->len; i++) {
    const Physical *physical = g_ptr_array_index (self->physical, i);
    if (strcmp (physical->uuid, uuid) == 0)
      return physical;
  }
  return NULL;
}

/* Where an extent of a physical volume lies. */
static bool
find_area (Lvm *self, const LvmNode *group, const LvmNode *segment,
           guint index, guint64 extents, VolumeArea *area)
{
  const char *name = lvm_node_value (segment, "stripes", 2 * index);
  const LvmNode *section;
  guint64 first;

  self->unread |= self->areas_left == 0;
  if (self->areas_left == 0)
    return false;
  self->areas_left--;
  const Physical *physical
    = name ? physical_of (self, group, name, &section) : NULL;
  if (!physical
      || !lvm_node_number (segment, "stripes", 2 * index + 1, &first))
    return false;
  const VolumeSegment *on
    = &g_array_index (physical->volume->segments, VolumeSegment, 0);
  const VolumeArea *begin = &g_array_index (on->areas, VolumeArea, 0);
  const guint64 extent = number_of (group, "extent_size") * SECTOR;
  const guint64 start = number_of (section, "pe_start") * SECTOR;
  const guint64 limit = extent ? on->length / extent : 0;
  if (first > limit || extents > limit - first || start > on->length
      || (first + extents) * extent > on->length - start)
    return false;
  *area = (VolumeArea) { begin->disk, begin->start + start + first * extent };
  return true;
}

/* One segment of a logical volume: false if it is none that can be read so. */
static bool
add_segment (Lvm *self, const LvmNode *group, const LvmNode *segment,
             Volume *volume)
{
  const char *type = lvm_node_value (segment, "type", 0);
  const guint64 extent = number_of (group, "extent_size") * SECTOR;
  const guint64 extents = number_of (segment, "extent_count");
  const guint64 stripes = number_of (segment, "stripe_count");

  if (!type || strcmp (type, "striped") != 0 || stripes == 0 || stripes > 128
      || extents % stripes != 0 || extent == 0 || extent > G_MAXUINT32
      || extents > G_MAXUINT32
      || number_of (segment, "start_extent") != volume->media.size / extent)
    return false;
  g_autofree VolumeArea *areas = g_new (VolumeArea, stripes);
  for (guint i = 0; i < stripes; i++)
    if (!find_area (self, group, segment, i, extents / stripes, &areas[i]))
      return false;
  return volume_add (volume, extents * extent,
                     number_of (segment, "stripe_size") * SECTOR, areas,
                     stripes);
}

static bool
is_visible (const LvmNode *logical)
{
  const LvmNode *status = lvm_node_find (logical, "status");

  for (guint i = 0; status && status->values && i < status->values->len; i++)
    if (strcmp (g_ptr_array_index (status->values, i), "VISIBLE") == 0)
      return true;
  return false;
}

/* What of a volume that cannot be read lies on the disks is said to be its. */
static void
add_pieces (Lvm *self, const LvmNode *group, const LvmNode *segment,
            Volume *volume)
{
  const guint64 extent = number_of (group, "extent_size") * SECTOR;
  const guint64 extents = number_of (segment, "extent_count");
  const guint64 stripes = number_of (segment, "stripe_count");
  VolumeArea area;

  if (stripes == 0 || extents % stripes != 0)
    return;
  for (guint i = 0; i < MIN (stripes, 128); i++)
    if (find_area (self, group, segment, i, extents / stripes, &area))
      volume_add (volume, extents / stripes * extent, 0, &area, 1);
}

static const LvmNode *
segment_of (const LvmNode *logical, guint number)
{
  g_autofree char *name = g_strdup_printf ("segment%u", number);

  return lvm_node_find (logical, name);
}

static Volume *
make_logical (Lvm *self, const LvmNode *group, const LvmNode *logical)
{
  g_autofree char *name = g_strdup_printf ("%s/%s", group->name, logical->name);
  Volume *volume = volume_new (self->disks, name);
  const guint64 count
    = MIN (number_of (logical, "segment_count"), SEGMENTS_MAX);
  bool whole = is_visible (logical) && count > 0;

  for (guint i = 1; whole && i <= count; i++)
    whole = add_segment (self, group, segment_of (logical, i), volume);
  if (whole)
    return volume;
  volume_free (volume);
  volume = volume_new (self->disks, name);
  for (guint i = 1; i <= count; i++)
    add_pieces (self, group, segment_of (logical, i), volume);
  volume_set (volume, LINE_UNKNOWN, is_visible (logical)
              ? "a logical volume that is not all here, or of another kind"
              : "part of a thin, mirrored or cached logical volume");
  return volume;
}

static void
find_in_group (Lvm *self, const LvmNode *group, GPtrArray *volumes)
{
  const LvmNode *all = lvm_node_find (group, "logical_volumes");
  guint64 segments = 0;

  for (guint i = 0; all && all->nodes && i < all->nodes->len; i++) {
    const LvmNode *logical = g_ptr_array_index (all->nodes, i);
    segments += MIN (number_of (logical, "segment_count"), SEGMENTS_MAX);
    self->unread |= segments > SEGMENTS_MAX;
    if (segments > SEGMENTS_MAX)
      return;
    g_ptr_array_add (volumes, make_logical (self, group, logical));
  }
}

void
lvm_find (Lvm *self, GPtrArray *volumes)
{
  for (guint i = 0; i < self->physical->len; i++) {
    const Physical *physical = g_ptr_array_index (self->physical, i);
    const LvmNode *group = group_of (physical->text);
    if (group)
      find_in_group (self, group, volumes);
  }
  for (guint i = 0; i < self->physical->len; i++) {
    const Physical *physical = g_ptr_array_index (self->physical, i);
    const VolumeSegment *on
      = &g_array_index (physical->volume->segments, VolumeSegment, 0);
    const VolumeArea *area = &g_array_index (on->areas, VolumeArea, 0);
    Volume *rest = volume_new (self->disks, physical->volume->name);
    volume_add (rest, on->length, 0, area, 1);
    if (self->unread)
      volume_set (rest, LINE_UNKNOWN, "LVM, whose own data cannot be read, or are "
                  "too large");
    else
      volume_set (rest, LINE_MANAGER, "LVM's own data, or free for it");
    g_ptr_array_add (volumes, rest);
  }
}
