/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * libvirt=: a guest as libvirt knows it.  Stopped, its images are opened as
 * file= does.  Running, a pull-mode backup job is begun for all wanted disks,
 * and ended with us; or, without checkpoint= and create=, nothing is begun
 * and only names are served.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "source/libvirt.h"

#define NAMES_SHOWN 8

void
libvirt_leave_out (Source *source, const SourceRequest *request,
                   GHashTable *why_not, bool belong)
{
  g_autoptr (GList) targets = g_hash_table_get_keys (why_not);

  targets = g_list_sort (targets, (GCompareFunc) strcmp);
  for (const GList *item = targets; item && !request->disk;
       item = item->next) {
    GError *why = g_error_copy (g_hash_table_lookup (why_not, item->data));
    g_prefix_error (&why, "disk %s: ", (const char *) item->data);
    source_leave_out (source, item->data, why, belong);
  }
}

char *
libvirt_targets (const Guest *guest, const char *wanted)
{
  g_autoptr (GPtrArray) targets = g_ptr_array_new ();

  for (guint i = 0; i < guest->disks->len; i++)
    g_ptr_array_add (targets, ((const GuestDisk *) g_ptr_array_index (
                                 guest->disks, i))->target);
  return nearest_names (wanted, targets, NAMES_SHOWN);
}

void
libvirt_add_chains (Roster *roster, const Guest *guest, const GPtrArray *but)
{
  for (guint i = 0; i < guest->chains->len; i++) {
    const GuestChain *chain = g_ptr_array_index (guest->chains, i);
    bool add = true;
    for (guint j = 0; but && j < but->len; j++)
      add = add && strcmp (((const Disk *) g_ptr_array_index (but, j))->target,
                           chain->target) != 0;
    for (guint j = 0; add && j < chain->images->len; j++) {
      const GuestImage *image = guest_chain_image (chain, j);
      roster_add (roster, chain->target,
                  image->name ? image->name : image->key);
      roster_call (roster, chain->target, j, image->key);
    }
  }
}

static bool
begins_job (const SourceRequest *request)
{
  return request->checkpoint || request->create || request->on_missing_full;
}

static GuestQuestion
question_of (const SourceRequest *request)
{
  return (GuestQuestion) {
    .uri = request->libvirt, .domain = request->domain,
    .writable = begins_job (request),
  };
}

/* With a keeper of its own, which ends here.  What lies on another machine is
 * not served at rest.
 */
static bool
libvirt_look (const SourceRequest *request, const Reporter *reporter,
              bool *at_rest, GError **error)
{
  g_auto (GuestLook) look = { 0 };
  const GuestQuestion question = question_of (request);
  bool privileged;
  g_autofree char *host = guest_split_uri (request->libvirt, &privileged);

  *at_rest = false;
  if (host)
    return true;
  const bool ok = guest_look_once (&question, reporter, &look, error);
  *at_rest = ok && !look.running;
  return ok;
}

static Source *
libvirt_inspect (const SourceRequest *request, Forest *tree,
                 const Reporter *reporter, GError **error)
{
  g_auto (GuestLook) look = { 0 };
  GuestQuestion question = question_of (request);
  LiveSource *self = live_new (&source_libvirt_ops, &libvirt_job_ops, request,
                               reporter, error);
  Source *source = NULL;

  forest_free (tree);           /* who asks was refused one */
  if (!self)
    return NULL;
  self->source.can_serve_whole = true;
  question.begin = begins_job (request);
  if (guest_look_at (self->keeper, &question, &look, error)) {
    self->who = g_strdup_printf ("guest %s (%s)", look.guest->name,
                                 request->libvirt);
    reporter_warn_all (reporter, look.skipped);
    reporter_warn_all (reporter, forest_problems (look.tree));
    if (look.running && request->drops_cache)
      reporter_debug (reporter, "%s is running: its QEMU reads the disks, and "
                      "what stays cached is as its definition says", self->who);
    if (!look.running)
      source = libvirt_open_stopped (request, &look, self->who, reporter,
                                     error);
    else if (begins_job (request)
             ? libvirt_back_up (self, request, &look, error)
             : libvirt_look_only (self, &look, error)) {
      if (!begins_job (request)) /* all is known */
        live_stop (&self->source);
      return &self->source;
    }
  }
  live_free (&self->source);
  return source;
}

static const char *
libvirt_instant (const Disk *disk G_GNUC_UNUSED)
{
  return "as it was when the backup began";
}

const SourceOps source_libvirt_ops = {
  .name     = "libvirt",
  .instant  = libvirt_instant,
  .look     = libvirt_look,
  .inspect  = libvirt_inspect,
  .start    = live_start,
  .endpoint = live_endpoint,
  .disown   = live_disown,
  .served   = live_served,
  .describe = live_describe,
  .stop     = live_stop,
  .free     = live_free,
};
