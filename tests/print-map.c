/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a tool does with common/ alone, without nbdkit: list what a disk offers,
 * and print what is dirty in each part of the view since a checkpoint.
 *
 *   print-map DISK.qcow2|NBD-URI CHECKPOINT
 */
#include <config.h>

#include <stdio.h>

#include "base/error.h"
#include "nbd/map-reader.h"
#include "source/catalogue.h"

static void
warn (const char *line)
{
  fprintf (stderr, "print-map: %s\n", line);
}

/* What helps here is not what helps with nbdkit. */
static const char *const remedies[REMEDY_COUNT] = {
  [REMEDY_FULL_BACKUP] = "copy the whole disk{0}",
  [REMEDY_NOT_QCOW2]   = "print-map takes a qcow2 image",
};
static const Reporter reporter
  = { .name = "print-map", .warn = warn, .remedies = remedies };

static bool
print_part (Source *source, const Disk *disk, const Part *part,
            GError **error)
{
  g_auto (NbdEndpoint) endpoint = { 0 };
  if (!source->ops->endpoint (source, disk, part, &endpoint, error))
    return false;
  g_autoptr (NbdPool) pool = nbd_pool_open (&endpoint, true, error);
  if (!pool)
    return false;
  g_autoptr (MapReader) reader
    = map_reader_new (pool, NULL, &endpoint, true, 0);
  const guint64 size = nbd_pool_size (pool);
  NbdBudget budget = nbd_life_budget (source->life);
  g_auto (MapView) view = { 0 };
  if (map_reader_need (reader, 0, size, &budget, &view, error))
    return false;
  for (guint64 at = 0, end; at < size; at = end) {
    const DirtyState state = map_view_lookup (&view, at, size, &end);
    printf ("%s %u %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %s\n",
            disk->target, part->layer, at, end - at,
            state == DIRTY_MAP_CLEAN ? "clean"
            : state == DIRTY_MAP_ZERO ? "zero" : "dirty");
  }
  return true;
}

static bool
print_name (void *opaque, const char *name, const DiskView *view)
{
  (void) opaque;
  printf ("%s: %u\n", name, view->parts->len);
  return true;
}

static bool
print_all (Source *source, const SourceRequest *request, GError **error)
{
  g_autoptr (Catalogue) catalogue = catalogue_new (source, request);

  if (!catalogue_check (catalogue, error)
      || !catalogue_start (catalogue, error))
    return false;
  catalogue_visit (catalogue, print_name, NULL);
  const DiskView *view = catalogue_lookup (catalogue, NULL, NULL, error);
  for (guint i = 0; view && i < view->parts->len; i++)
    if (!print_part (source, view->disk, g_ptr_array_index (view->parts, i),
                     error))
      return false;
  return view != NULL;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  SourceRequest request;

  if (argc != 3)
    return 2;
  source_request_init (&request);
  if (g_str_has_prefix (argv[1], "nbd"))
    g_ptr_array_add (request.uris, g_strdup (argv[1]));
  else {
    RequestedFile *file = g_new0 (RequestedFile, 1);
    file->path = g_canonicalize_filename (argv[1], NULL);
    g_ptr_array_add (request.files, file);
  }
  request.takes_views = true;
  request.checkpoint = g_strdup (argv[2]);
  Source *source = source_choose (&request, &error)
    ->inspect (&request, NULL, &reporter, &error);
  const bool ok = source && print_all (source, &request, &error);
  if (error)
    reporter_warn_error (&reporter, error);
  else if (!ok)
    warn ("the disk cannot be read any more");
  if (source)
    source->ops->free (source);
  source_request_clear (&request);
  return ok ? 0 : 1;
}
