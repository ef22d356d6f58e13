/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * nbdkit's callbacks of the bitmap-merge filter.  A client that asks for a
 * view of several parts gets the first part's data, through nbdkit's own
 * calls, and block status from the union of all.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "nbdkit/say.h"
#include "bitmap-merge/union.h"
#include "parts/part-name.h"

/* A handle is the union that a client has opened, or this: all that it asks is
 * passed through unchanged.
 */
static const Union passed_through;

/* Written before serving begins, only read after. */
static GPtrArray *merge;        /* of char *: merge=, or NULL */
static bool loaded;

static void
merge_load (void)
{
  loaded = true;
}

static void
merge_unload (void)
{
  unions_free ();
  g_clear_pointer (&merge, g_ptr_array_unref);
}

static int
merge_config (nbdkit_next_config *next, nbdkit_backend *nxdata,
              const char *key, const char *value)
{
  if (strcmp (key, "merge") != 0)
    return next (nxdata, key, value);
  if (!merge)
    merge = g_ptr_array_new_with_free_func (g_free);
  if (g_ptr_array_find_with_equal_func (merge, value, g_str_equal, NULL)) {
    say_error ("merge=%s is given twice", value);
    return -1;
  }
  g_ptr_array_add (merge, g_strdup (value));
  return 0;
}

#define merge_config_help \
  "merge=EXPORT  An export to unite (repeat; the first gives the data).\n" \
  "              Without: the parts of the export that a client asks for."

/* The parts are listed as what they are parts of, under the first's place. */
static bool
add_export (struct nbdkit_exports *exports, const struct nbdkit_export *export)
{
  const char *text = export->description, *rest;
  guint part, count, number;
  gsize length;

  if (!text || !part_label_parse (text, &part, &count, &rest)
      || !part_name_parse (export->name, &length, &number) || number != part)
    return nbdkit_add_export (exports, export->name, text) == 0;
  if (part > 0)
    return true;
  g_autofree char *name = g_strndup (export->name, length);
  g_autofree char *united = g_strdup_printf ("%u parts united; the top one: %s",
                                             count, rest);
  return nbdkit_add_export (exports, name, count > 1 ? united : rest) == 0;
}

static int
merge_list_exports (nbdkit_next_list_exports *next, nbdkit_backend *nxdata,
                    int readonly, int is_tls G_GNUC_UNUSED,
                    struct nbdkit_exports *exports)
{
  if (merge) {
    g_autofree char *text = g_strdup_printf ("%u exports united", merge->len);
    return nbdkit_add_export (exports, "", text);
  }
  struct nbdkit_exports *below = nbdkit_exports_new ();
  bool ok = below && next (nxdata, readonly, below) == 0;
  for (size_t i = 0; ok && i < nbdkit_exports_count (below); i++) {
    const struct nbdkit_export export = nbdkit_get_export (below, i);
    ok = add_export (exports, &export);
  }
  if (below)
    nbdkit_exports_free (below);
  return ok ? 0 : -1;
}

static const char *
merge_default_export (nbdkit_next_default_export *next,
                      nbdkit_backend *nxdata, int readonly,
                      int is_tls G_GNUC_UNUSED)
{
  return merge ? "" : next (nxdata, readonly);
}

/* With merge= there is one export: who asks for another must not get the union.
 */
static bool
check_name (const char *name)
{
  if (!merge || name[0] == '\0')
    return true;
  say_error ("bitmap-merge: there is no export %s: with merge=, the union "
             "is the only export, and its name is empty", name);
  return false;
}

/* Does the name mean one part?  A view may have such a name, too: the plugin
 * does not open it by that if it has several parts.
 */
static bool
is_passed_through (nbdkit_backend *backend, const char *name)
{
  gsize length;
  guint part;

  if (merge || !part_name_parse (name, &length, &part))
    return false;
  nbdkit_next *next = nbdkit_next_context_open (backend, 1, name, 0);
  if (!next)
    return false;
  nbdkit_next_context_close (next);
  return true;
}

static void
merge_close (void *united)
{
  if (united != &passed_through)
    union_release (united);
}

static void *
merge_open (nbdkit_next_open *next, nbdkit_context *context,
            int readonly G_GNUC_UNUSED, const char *exportname, int is_tls G_GNUC_UNUSED)
{
  const Union *united = &passed_through;
  nbdkit_backend *backend = nbdkit_context_get_backend (context);

  if (!check_name (exportname))
    return NULL;
  if (!is_passed_through (backend, exportname)) {
    united = union_acquire (backend, exportname, merge);
    if (!united)
      return NULL;
    exportname = g_ptr_array_index (united->parts, 0);
  }
  if (next (context, 1, exportname) == 0)
    return (void *) united;
  merge_close ((void *) united);
  return NULL;
}

/* The map is of another connection's time; the data must be of that disk. */
static int
merge_prepare (nbdkit_next *next, void *data, int readonly G_GNUC_UNUSED)
{
  const Union *united = data;
  const int64_t size = next->get_size (next);

  if (size == -1)
    return -1;
  if (united == &passed_through || (guint64) size == united->size)
    return 0;
  say_error ("bitmap-merge: export %s has %" PRIi64 " bytes now, and had %"
             PRIu64 " when what is dirty was read; start the server again",
             (const char *) g_ptr_array_index (united->parts, 0), size,
             united->size);
  return -1;
}

static const char *
merge_export_description (nbdkit_next *next, void *data)
{
  const Union *united = data;
  const char *text = next->export_description (next), *rest;
  guint part, count;

  if (united == &passed_through)
    return text;
  /* That these are all parts of what the first is one of, nobody knows. */
  if (merge)
    return nbdkit_printf_intern (
      "%u exports united; the first: %s", united->parts->len,
      text ? text : (const char *) g_ptr_array_index (united->parts, 0));
  if (!text || !part_label_parse (text, &part, &count, &rest))
    return text;                /* it told its parts before */
  if (count == 1)
    return nbdkit_strdup_intern (rest);
  const guint64 zeroes = dirty_map_zero_bytes (united->map);
  g_autofree char *whole
    = part_union_format (united->parts->len,
                         dirty_map_dirty_bytes (united->map) - zeroes, zeroes,
                         rest);
  return nbdkit_strdup_intern (whole);
}

/* What is dirty was read once, so nothing may change. */
static int
merge_can_write (nbdkit_next *next G_GNUC_UNUSED, void *data G_GNUC_UNUSED)
{
  return 0;
}

static int
merge_can_extents (nbdkit_next *next, void *data)
{
  return data == &passed_through ? next->can_extents (next) : 1;
}

static uint32_t
extent_type (DirtyState state)
{
  return state == DIRTY_MAP_CLEAN ? NBDKIT_EXTENT_HOLE
    : state == DIRTY_MAP_ZERO ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0;
}

static int
merge_extents (nbdkit_next *next, void *data, uint32_t count, uint64_t offset,
               uint32_t flags, struct nbdkit_extents *extents, int *err)
{
  const Union *united = data;
  const uint64_t end = offset + count;

  if (united == &passed_through)
    return next->extents (next, count, offset, flags, extents, err);
  while (offset < end) {
    guint64 until;
    const DirtyState state
      = dirty_map_lookup (united->map, offset, end, &until);
    if (nbdkit_add_extent (extents, offset, until - offset,
                           extent_type (state)) == -1) {
      *err = errno ? errno : ENOMEM;
      return -1;
    }
    if (flags & NBDKIT_FLAG_REQ_ONE)
      break;
    offset = until;
  }
  return 0;
}

static struct nbdkit_filter filter = {
  .name               = "bitmap-merge",
  .longname           = "nbdkit bitmap-merge filter",
  .description        = "Unite the dirty blocks of several exports",
  .config_help        = merge_config_help,

  .load               = merge_load,
  .unload             = merge_unload,
  .config             = merge_config,
  .list_exports       = merge_list_exports,
  .default_export     = merge_default_export,
  .open               = merge_open,
  .close              = merge_close,
  .prepare            = merge_prepare,
  .export_description = merge_export_description,
  .can_write          = merge_can_write,
  .can_extents        = merge_can_extents,
  .extents            = merge_extents,
};

/* nbdkit takes filters of its own version only: it has then printed both, and
 * ends, without a call to .load.
 */
static void __attribute__ ((destructor))
say_what_to_do (void)
{
  if (!loaded && filter._version)
    fprintf (stderr, "nbdkit: the bitmap-merge filter was built for nbdkit %s; "
             "build it again for the one that is installed: ./configure && "
             "make && make install\n", filter._version);
}

NBDKIT_REGISTER_FILTER (filter)
