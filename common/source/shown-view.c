/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * nbdkit's filters hand a description on, whatever they do to the map.  So the
 * disk must have the size that the description tells, and at least as many dirty
 * bytes (map-reader.c).
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "source/shown-view.h"
#include "source/source.h"

static const struct {
  const char *name;
  NbdHoles holes;
} kinds[] = {
  { "overlay", NBD_HOLES_CLEAN },
  { "guard", NBD_HOLES_CLEAN },
  { "sparse", NBD_ZEROES_CLEAN },
  { "disk", NBD_HOLES_MEAN_NOTHING },
};

static bool
find_kind (ShownView *view, const char *uri, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (strcmp (kinds[i].name, view->label.view) == 0) {
      view->holes = kinds[i].holes;
      return true;
    }
  return error_set (error, ENOTSUP, "%s shows a view called %s, which this "
                    "version does not know; ask for the view overlay", uri,
                    view->label.view);
}

static bool
check_parts (const ViewLabel *label, const char *uri, GError **error)
{
  if (label->parts == 1 || label->united)
    return true;
  return error_set (error, ENOTSUP, "%s shows part %u of %u of disk %s%s%s, and "
                    "what is dirty is in all of them together; to unite them, "
                    "start that server with --filter=bitmap-merge, and ask it "
                    "for the export %s%s%s", uri, label->part, label->parts,
                    label->target, label->checkpoint ? " since " : "",
                    label->checkpoint ? label->checkpoint : "", label->target,
                    label->checkpoint ? "@" : "",
                    label->checkpoint ? label->checkpoint : "");
}

bool
shown_view_read (ShownView *view, const char *description, guint64 size,
                 const char *uri, GError **error)
{
  const ViewLabel *label = &view->label;

  if (!view_label_parse (description, &view->label))
    return error_set (error, ENOENT, "%s offers no dirty bitmap, and does not "
                      "say that it is a view of the checkpoint plugin's, so it "
                      "is not known what is dirty there; name such a view, or "
                      "export a bitmap with: qemu-nbd --read-only -B NAME", uri);
  if (!check_parts (label, uri, error) || !find_kind (view, uri, error))
    return false;
  if (label->size != size)
    return error_set (error, EPROTO, "%s: disk %s has %" G_GUINT64_FORMAT
                      " bytes there, and %" G_GUINT64_FORMAT " are shown; a "
                      "filter between changes it: ask without that", uri,
                      label->target, label->size, size);
  view->data = label->data;
  /* In a union of sparse views, zeroes are clean. */
  view->zeroes = view->holes == NBD_HOLES_CLEAN ? label->zeroes : 0;
  return true;
}

void
shown_view_clear (ShownView *view)
{
  view_label_clear (&view->label);
}

void
shown_view_fill (const ShownView *view, Disk *disk)
{
  const ViewLabel *label = &view->label;

  g_free (disk->target);
  disk->target = g_strdup (label->target);
  disk->shown_itself = !view->holes;
  disk->clean_unreadable = strcmp (label->view, "guard") == 0;
  disk->full = view->holes && !label->checkpoint;
  disk->mixes_records = label->parts > 1;
  if (label->checkpoint)
    source_add_bitmap (disk, label->checkpoint);
}
