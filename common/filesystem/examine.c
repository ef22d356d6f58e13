/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "filesystem/examine.h"
#include "filesystem/probe.h"

/* Clocks of guest and host may differ; a guest that reads its clock once, from
 * one that counts seconds, is up to one behind.
 */
#define SLACK 5

void
examine_tell (Examination *self, LineKind kind, const char *what, guint64 bytes)
{
  const Line line = { .kind = kind, .bytes = bytes, .text = (char *) what };

  if (bytes > 0)
    self->tell (self, &line);
}

Changed
examine_changed (const Examination *self, const CensusSum *sum, guint block,
                 gint64 ctime)
{
  if (sum->touched && (sum->is_whole
                       || (self->granule && self->granule <= block)))
    return CHANGED_YES;
  if (!self->has_since)
    return CHANGED_PERHAPS;
  return ctime >= self->since - SLACK ? CHANGED_YES : CHANGED_NO;
}

static bool
examine_swap (Examination *self)
{
  examine_tell (self, LINE_SWAP, "swap",
                runs_total (self->dirty, self->dirty_count));
  return true;
}

bool
examine (Examination *self, GError **error)
{
  g_autofree char *name = NULL;
  const Probe probe = probe_media (self->media, &name, error);

  self->confine (self);
  switch (probe) {
  case PROBE_EXT:
    return ext_examine (self, error);
  case PROBE_XFS:
    return xfs_examine (self, error);
  case PROBE_SWAP:
    return examine_swap (self);
  case PROBE_OTHER:
    return name ? error_set (error, ENOSYS, "%s, into which nobody looks", name)
      : error_set (error, ENOSYS, "nothing that is known");
  case PROBE_FAILED:
    return false;
  }
  return false;
}
