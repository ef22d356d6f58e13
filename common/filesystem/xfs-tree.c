/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Btrees of a group of blocks: their pointers are blocks of that group.
 */
#include <config.h>

#include "filesystem/xfs.h"

#define LEVELS_MAX 10

typedef struct {
  XfsLook *look;
  const XfsGroup *group;
  guint owner, record, key;
  XfsRecord visit;
  guint64 left;                 /* blocks that it may still have */
} Walk;

static void
walk (Walk *self, guint32 number, guint level)
{
  const guint size = self->look->geometry.block;
  const guint header = self->look->geometry.is_v5 ? 56 : 16;
  g_autofree guint8 *block = g_malloc (size);
  const guint64 at = self->group->start
    + ((guint64) number << self->look->geometry.block_log);

  if (number >= self->group->blocks || self->left == 0
      || !media_read (self->look->examination->media, block, size, at, NULL)
      || number_be (block + 4, 2) != level) {
    self->look->broken = true;
    return;
  }
  self->left--;
  xfs_claim (self->look, self->owner, self->group, number, 1);
  const guint width = level == 0 ? self->record : self->key + 4;
  const guint most = (size - header) / width;
  const guint count = MIN (number_be (block + 6, 2), most);
  for (guint i = 0; i < count; i++)
    if (level > 0)
      walk (self, number_be (block + header + most * self->key + 4 * i, 4),
            level - 1);
    else if (self->visit)
      self->visit (self->look, self->group, block + header + i * width);
}

void
xfs_tree_walk (XfsLook *self, const XfsGroup *group, guint owner, guint32 root,
               guint levels, guint record, guint key, XfsRecord visit)
{
  Walk state = { self, group, owner, record, key, visit, group->blocks };

  if (levels > 0 && levels <= LEVELS_MAX)
    walk (&state, root, levels - 1);
  else
    self->broken = true;
}
