/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Only what can be served is listed: nbdinfo --list opens each name in turn
 * and gives up at the first that is refused.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "parts/part-name.h"
#include "plugin/exports.h"

#define EXPORTS_LIMIT 10000
#define PARTS_SHOWN 8
/* NBD's limit for strings (doc/proto.md). */
#define NAME_BYTES 4096

const Part *
export_choice_part (const ExportChoice *choice)
{
  return g_ptr_array_index (choice->view->parts,
                            choice->part == EXPORT_NAME_WHOLE
                            ? 0 : choice->part);
}

/* Name the layers that must be united. */
static bool
several_parts (const DiskView *view, const Settings *settings, GError **error)
{
  g_autoptr (GString) list = g_string_new (NULL);
  const guint count = view->parts->len;

  for (guint i = 0; i < MIN (count, PARTS_SHOWN); i++) {
    const Part *part = g_ptr_array_index (view->parts, i);
    g_string_append_printf (list, "%s%s (%s%s)", i ? ", " : "",
                            layer_called (disk_layer (view->disk, part->layer)),
                            part->bitmap ? "bitmap " : "no bitmap",
                            part->bitmap ? part->bitmap->name : "");
  }
  if (count > PARTS_SHOWN)
    g_string_append_printf (list, " and %u more", count - PARTS_SHOWN);
  error_set (error, ENOTSUP, "disk %s since %s is spread over %u parts and "
             "complete only when they are united: %s", view->disk->target,
             view->checkpoint->name, count, list->str);
  return error_advise (error, REMEDY_UNITE, settings->words->str, NULL);
}

bool
exports_resolve (const Catalogue *catalogue, const Settings *settings,
                 const char *name, ExportChoice *choice, GError **error)
{
  g_auto (ExportName) parsed = { 0 };

  if (!catalogue_parse_name (catalogue, name, &parsed, error))
    return false;
  choice->part = parsed.part;
  choice->view = catalogue_lookup (catalogue, parsed.target, parsed.checkpoint,
                                   error);
  if (!choice->view)
    return false;
  const guint count = choice->view->parts->len;
  if (parsed.part == EXPORT_NAME_WHOLE)
    return count == 1 || several_parts (choice->view, settings, error);
  return (guint) parsed.part < count
    || error_set (error, ENOENT, "export %s: there %s %u part%s, counted from "
                  "0", name, count == 1 ? "is" : "are", count,
                  count == 1 ? "" : "s");
}

typedef struct {
  const Catalogue *catalogue;
  guint left;
  ExportsAdd add;
  void *opaque;
} Listing;

/* Bitmaps may be called anything, so a name may mean two things, or be one that
 * NBD does not allow.
 */
static bool
can_be_asked_for (const Catalogue *catalogue, const char *name)
{
  g_auto (ExportName) parsed = { 0 };

  return strlen (name) <= NAME_BYTES && g_utf8_validate (name, -1, NULL)
    && catalogue_parse_name (catalogue, name, &parsed, NULL);
}

/* Add a view under its name, or its parts under theirs. */
static bool
list_view (void *opaque, const char *whole, const DiskView *view)
{
  Listing *listing = opaque;
  const guint count = view->parts->len;

  for (guint i = 0; i < count && listing->left > 0; i++) {
    g_autofree char *name
      = count == 1 ? g_strdup (whole) : part_name_format (whole, i);
    const ExportChoice choice
      = { view, count == 1 ? EXPORT_NAME_WHOLE : (int) i };
    if (!can_be_asked_for (listing->catalogue, name))
      continue;
    if (!listing->add (listing->opaque, name, &choice))
      return false;
    listing->left--;
  }
  return listing->left > 0;     /* no more need be planned */
}

bool
exports_list (const Catalogue *catalogue, ExportsAdd add, void *opaque)
{
  Listing listing = { catalogue, EXPORTS_LIMIT, add, opaque };

  return (catalogue_visit (catalogue, list_view, &listing)
          && catalogue_visit_disks (catalogue, list_view, &listing))
    || listing.left == 0;
}
