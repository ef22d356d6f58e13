/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The table of sources.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/on-quit.h"
#include "source/source.h"

static const SourceOps *const sources[] = {
  &source_file_ops,
  &source_uri_ops,
#ifdef HAVE_LIBVIRT
  &source_libvirt_ops,
#endif
  &source_qmp_ops,
};

const SourceOps *
source_choose (const SourceRequest *request, GError **error)
{
  /* In the order of sources. */
  const bool wanted[] = { request->files->len > 0, request->uris->len > 0,
#ifdef HAVE_LIBVIRT
                          request->libvirt != NULL,
#endif
                          request->qmp != NULL };
  const SourceOps *chosen = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (sources); i++) {
    if (!wanted[i])
      continue;
    if (chosen) {
      error_set (error, EINVAL, "two sources are given, %s and %s",
                 chosen->name, sources[i]->name);
      return error_advise_null (error, REMEDY_ONE_SOURCE, NULL);
    }
    chosen = sources[i];
  }
  if (!chosen) {
    error_set (error, EINVAL, "no source is given");
    error_advise (error, REMEDY_NAME_SOURCE, NULL);
  }
  return chosen;
}

char *
source_names (void)
{
  GString *names = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (sources); i++)
    g_string_append_printf (names, "%s%s", i ? " " : "", sources[i]->name);
  return g_string_free (names, FALSE);
}

Layer *
source_add_export (Disk *disk, const char *uri)
{
  Layer *layer = layer_new (uri);

  layer->is_nbd = true;
  g_ptr_array_add (disk->layers, layer);
  return layer;
}

void
source_add_bitmap (Disk *disk, const char *name)
{
  const Layer *layer = disk_layer (disk, disk->layers->len - 1);
  Bitmap *bitmap = bitmap_new (name);

  bitmap->recording = true;
  g_ptr_array_add (layer->bitmaps, bitmap);
}

void
source_set_dirty (NbdEndpoint *endpoint, const Part *part, guint depth,
                  guint64 told_to)
{
  switch (part->kind) {
  case PART_WHOLE:
  case PART_DISK:
    told_to = 0;
    break;
  case PART_BITMAP:
    endpoint->bitmap_context
      = g_strconcat (NBD_CONTEXT_BITMAP, part->bitmap->name, NULL);
    break;
  case PART_ALLOCATION:
    endpoint->depth = depth;
    break;
  }
  endpoint->told_to = told_to;
}

void
source_call_roll (Source *source)
{
  roster_learn (source->roster, source->offer->forest);
  for (guint i = 0; i < source->disks->len; i++)
    ((Disk *) g_ptr_array_index (source->disks, i))->roster
      = source->roster;
}

static void
left_out_free (gpointer data)
{
  LeftOut *left_out = data;

  g_free (left_out->target);
  g_error_free (left_out->why);
  g_free (left_out);
}

void
source_leave_out (Source *source, const char *target, GError *why,
                  bool belongs)
{
  LeftOut *left_out = g_new0 (LeftOut, 1);

  left_out->target = g_strdup (target);
  left_out->belongs = belongs;
  /* source_prefix_missing says so already. */
  if (!g_str_has_prefix (why->message, SOURCE_LEFT_OUT))
    g_prefix_error (&why, SOURCE_LEFT_OUT ": ");
  left_out->why = why;
  g_ptr_array_add (source->left_out, left_out);
  reporter_warn_error (source->reporter, why);
}

void
source_prefix_missing (const Source *source, GError **error)
{
  static const char *const no_words[] = { NULL };
  const char *const *words;
  /* Once is enough. */
  const bool is_said = error && *error
    && error_remedy (*error, &words) == REMEDY_SERVE_WHOLE;
  g_autofree char *remedy = is_said ? NULL
    : remedy_text (source->reporter->remedies, REMEDY_SERVE_WHOLE, no_words);

  if (source->can_serve_whole)
    g_prefix_error (error, SOURCE_LEFT_OUT "%s%s%s: ", remedy ? " (" : "",
                    remedy ? remedy : "", remedy ? ")" : "");
}

const LeftOut *
source_left_out (const Source *source, const char *target)
{
  for (guint i = 0; i < source->left_out->len; i++) {
    const LeftOut *left_out = g_ptr_array_index (source->left_out, i);
    if (target ? strcmp (left_out->target, target) == 0 : left_out->belongs)
      return left_out;
  }
  return NULL;
}

void
source_init (Source *source, const SourceOps *ops,
             const SourceRequest *request, const Reporter *reporter)
{
  source->ops = ops;
  source->reporter = reporter;
  source->life = nbd_life_new (on_quit_flag (), request->patience_ms);
  source->disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);
  source->left_out = g_ptr_array_new_with_free_func (left_out_free);
}

void
source_clear (Source *source)
{
  g_clear_pointer (&source->disks, g_ptr_array_unref);
  g_clear_pointer (&source->roster, roster_free);
  g_clear_pointer (&source->life, nbd_life_free);
  g_clear_pointer (&source->offer, offer_free);
  g_clear_error (&source->look_only);
  g_clear_pointer (&source->left_out, g_ptr_array_unref);
}

void
source_warn_whole (const Source *source, const char *target,
                   const GError *reason)
{
  g_autofree char *named = g_strdup_printf ("disk %s: ", target);
  const char *why = reason->message;

  reporter_warn (source->reporter, "disk %s is served whole: %s", target,
                 g_str_has_prefix (why, named) ? why + strlen (named) : why);
}
