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
};

const SourceOps *
source_choose (const SourceRequest *request, GError **error)
{
  const SourceOps *chosen = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (sources); i++) {
    if (!sources[i]->is_wanted (request))
      continue;
    if (chosen)
      return error_null (error, EINVAL, "%s= and %s= are both given; one of "
                         "them is the source, remove the other (a word "
                         "without = is file=; a guest is named with domain=)",
                         chosen->name, sources[i]->name);
    chosen = sources[i];
  }
  if (!chosen)
    error_set (error, EINVAL, "no source is given: add file=PATH for a "
               "stopped guest's disk, uri=NBD-URI for a running QEMU, or "
               "libvirt=URI for a guest of libvirt's");
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

void
source_set_dirty (NbdEndpoint *endpoint, const Part *part, guint depth,
                  guint64 told_to)
{
  switch (part->kind) {
  case PART_WHOLE:
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
source_call_roll (Source *source, Roster *roster)
{
  source->roster = roster;
  roster_learn (roster, offer_forest (source->offer));
  for (guint i = 0; i < source->disks->len; i++)
    ((Disk *) g_ptr_array_index (source->disks, i))->roster = roster;
}

static void
left_out_free (gpointer data)
{
  LeftOut *left_out = data;

  g_free (left_out->target);
  g_free (left_out->why);
  g_free (left_out);
}

void
source_leave_out (Source *source, const char *target, const char *why,
                  bool belongs)
{
  LeftOut *left_out = g_new0 (LeftOut, 1);

  left_out->target = g_strdup (target);
  left_out->belongs = belongs;
  /* A remedy in front says so already. */
  left_out->why = g_str_has_prefix (why, SOURCE_LEFT_OUT) ? g_strdup (why)
    : g_strdup_printf (SOURCE_LEFT_OUT ": %s", why);
  g_ptr_array_add (source->left_out, left_out);
  reporter_warn (source->reporter, "%s",
                   left_out->why);
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
  g_clear_pointer (&source->look_only, g_free);
  g_clear_pointer (&source->left_out, g_ptr_array_unref);
}

char *
source_served_whole (const char *target, const char *reason)
{
  g_autofree char *named = g_strdup_printf ("disk %s: ", target);
  const char *bare
    = g_str_has_prefix (reason, named) ? reason + strlen (named) : reason;
  const char *advice = g_strrstr (bare, "; make a full backup");
  g_autofree char *why
    = advice ? g_strndup (bare, (gsize) (advice - bare)) : g_strdup (bare);

  return g_strdup_printf ("disk %s is served whole: %s", target, why);
}
