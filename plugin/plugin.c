/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * nbdkit's callbacks: in which order things are started, asked and ended.
 */
#include <config.h>

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <libnbd.h>
#include <libxml/xmlversion.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/on-quit.h"
#include "nbdkit/say.h"
#include "plugin/handle.h"
#include "plugin/log.h"
#include "plugin/settings.h"
#include "plugin/starter.h"
#include "tree/load.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

/* nbdkit -D checkpoint.patience=SECONDS: how long a client's request may take,
 * for tests of what comes after.
 */
NBDKIT_DLL_PUBLIC int checkpoint_debug_patience;
/* nbdkit -D checkpoint.parallel=1: see checkpoint_thread_model. */
NBDKIT_DLL_PUBLIC int checkpoint_debug_parallel;

/* Written before serving begins, only read after. */
static Settings *settings;
static Source *source;
static Catalogue *catalogue;
static OpenParts *cache;
static GPtrArray *kept;         /* of OpenPart: see Source.keeps_connections */
static GError *start_error;     /* why nothing can be served, or NULL */

/* A data request failed: only what was not logged before has a message. */
static int
fail_request (int errnum, const GError *error)
{
  if (error)
    reporter_warn_error (&nbdkit_reporter, error);
  nbdkit_set_error (errnum);
  return -1;
}

static void
checkpoint_load (void)
{
  settings = settings_new ();
}

/* Also when .get_ready fails, as nbdkit just exits then. */
static void
release_source (void)
{
  if (source && source->ops->stop)
    source->ops->stop (source);
  g_clear_pointer (&kept, g_ptr_array_unref);
  g_clear_pointer (&cache, open_parts_free);
  g_clear_pointer (&catalogue, catalogue_free);
  if (source)
    source->ops->free (source);
  source = NULL;
}

static void
checkpoint_unload (void)
{
  release_source ();
  g_clear_error (&start_error);
  settings_free (settings);
}

static int
checkpoint_config (const char *key, const char *value)
{
  g_autoptr (GError) error = NULL;

  return settings_set (settings, key, value, &error) ? 0 : log_failure (error);
}

static int
checkpoint_config_complete (void)
{
  g_autoptr (GError) error = NULL;

  if (!source_choose (&settings->request, &error)
      || !settings_check (settings, &error))
    return log_failure (error);
  return 0;
}

/* NULL without an error: no tree was given. */
static Forest *
load_tree (GError **error)
{
  g_autoptr (GPtrArray) skipped = g_ptr_array_new_with_free_func (g_free);

  if (!settings->tree)
    return NULL;
  Forest *tree = settings->request.tree
    ? tree_load_or_new (settings->tree, settings->request.domain, skipped,
                        error)
    : tree_load (settings->tree, settings->request.domain, skipped, error);
  if (!tree)                    /* the error names the files itself */
    return NULL;
  reporter_warn_all (&nbdkit_reporter, skipped);
  reporter_warn_all (&nbdkit_reporter, forest_problems (tree));
  return tree;
}

/* Connect what the empty export name needs, and keep it. */
static bool
connect_early (GError **error)
{
  const DiskView *view = source->keeps_connections
    ? catalogue_lookup (catalogue, NULL, NULL, NULL) : NULL;

  if (!view)
    return true;                /* the client will have to choose */
  kept = open_part_acquire_all (cache, view->disk, view->parts, error);
  return kept != NULL;
}

/* nbdkit before 1.34 aborts when a client is killed that has several requests in
 * flight (raw_send_socket, rhbz#2173054).  nbdkit_disconnect came with 1.34.
 */
static bool
bears_clients_that_vanish (void)
{
  return dlsym (RTLD_DEFAULT, "nbdkit_disconnect") || checkpoint_debug_parallel;
}

/* A client's requests are under way at once, if that does no harm.  Where they
 * come one by one, what is dirty is read ahead all the same; what is read from
 * files is not, and a slow disk wants several reads at once.  Called before
 * .get_ready.
 */
static int
checkpoint_thread_model (void)
{
  g_autoptr (GError) error = NULL;
  const SourceOps *ops = source_choose (&settings->request, NULL);
  bool parallel = bears_clients_that_vanish ();

  if (!parallel && ops && ops->look
      && !ops->look (&settings->request, &nbdkit_reporter, &parallel, &error))
    return log_failure (error);
  return parallel ? THREAD_MODEL : NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS;
}

static void
disown (void)
{
  if (source->ops->disown)
    source->ops->disown (source);
}

/* Errors are still seen on the terminal here. */
static int
checkpoint_get_ready (void)
{
  g_autoptr (GError) error = NULL;
  const SourceOps *ops = source_choose (&settings->request, &error);

  /* A program of ours that ends is told of by its pipe, as later, when nbdkit
   * itself ignores the signal.
   */
  signal (SIGPIPE, SIG_IGN);
  open_parts_raise_limit ();
  if (!ops)
    return log_failure (error);
  if (settings->request.qmp && settings->request.create)
    settings->request.tree = g_strdup (settings->tree);
  Forest *tree = load_tree (&error);
  if (error)
    return log_failure (error);
  settings->request.patience_ms
    = (guint) MAX (0, checkpoint_debug_patience) * 1000;
  settings->request.read = true;
  source = ops->inspect (&settings->request, tree, &nbdkit_reporter, &error);
  catalogue = source ? catalogue_new (source, &settings->request) : NULL;
  if (source && catalogue_check (catalogue, &error)) {
    cache = open_parts_new (source,
                            settings->view->dirty_zero != settings->view->dirty,
                            settings->coalesce);
    if (connect_early (&error)) {
      starter_note (disown);
      return 0;
    }
  }
  log_failure (error);
  release_source ();
  return -1;
}

/* In the process that serves.  A failure here would be seen by nobody, and
 * leave --run's command without a server that it would wait for; so it is kept
 * for the clients.
 */
static int
checkpoint_after_fork (void)
{
  on_quit_listen ();
  starter_watch ();
  if (!catalogue_start (catalogue, &start_error))
    log_failure (start_error);
  return 0;
}

static bool
add_export (void *exports, const char *name, const ExportChoice *choice)
{
  g_autofree char *description = exports_describe (source, choice, NULL, 0, cache);

  return nbdkit_add_export (exports, name, description) == 0;
}

static int
checkpoint_list_exports (int readonly G_GNUC_UNUSED, int is_tls G_GNUC_UNUSED,
                         struct nbdkit_exports *exports)
{
  if (start_error)
    return log_failure (start_error);
  return exports_list (catalogue, add_export, exports) ? 0 : -1;
}

static const char *
checkpoint_default_export (int readonly G_GNUC_UNUSED,
                           int is_tls G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  const Disk *disk = catalogue_default_disk (catalogue, &error);

  if (!disk)
    log_failure (error);
  return disk ? nbdkit_strdup_intern (disk->target) : NULL;
}

static guint64
size_of (const Handle *handle)
{
  return handle->opened ? nbd_pool_size (handle->opened->pool)
    : disk_layer (handle->choice.view->disk, 0)->size;
}

static char *
describe (const Handle *handle)
{
  return exports_describe (source, &handle->choice, handle->view,
                           size_of (handle), cache);
}

static void *
checkpoint_open (int readonly G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  const char *name = nbdkit_export_name ();

  if (start_error) {
    log_failure (start_error);
    return NULL;
  }
  if (nbd_life_is_over (source->life)) {
    say_error ("export %s: what it was read from is gone, as logged before",
               name ? name : "");
    nbdkit_set_error (EIO);
    return NULL;
  }
  Handle *handle = handle_open (source, catalogue, settings, cache,
                                name ? name : "", &error);
  if (!handle)
    log_failure (error);
  else if (source->ops->served)
    source->ops->served (source);
  return handle;
}

static void
checkpoint_close (void *data)
{
  handle_free (data);
}

static const char *
checkpoint_export_description (void *data)
{
  const Handle *handle = data;
  g_autofree char *text = describe (handle);

  return nbdkit_strdup_intern (text);
}

static int64_t
checkpoint_get_size (void *data)
{
  return (int64_t) size_of (data);
}

static int
checkpoint_block_size (void *data, uint32_t *minimum, uint32_t *preferred,
                       uint32_t *maximum)
{
  const Handle *handle = data;

  *minimum = *preferred = *maximum = 0;
  if (handle->opened)
    nbd_pool_block_size (handle->opened->pool, minimum, preferred, maximum);
  /* nbdkit wants all or none. */
  if (!*minimum || !*preferred || !*maximum)
    *minimum = *preferred = *maximum = 0;
  return 0;
}

/* Nothing is ever written, so all connections see the same. */
static int
checkpoint_can_multi_conn (void *data G_GNUC_UNUSED)
{
  return 1;
}

/* May the source be asked?  0, or an errno that has been logged. */
static int
check_source (const Handle *handle)
{
  if (nbd_life_is_over (source->life))
    return nbd_life_is_stopped (source->life) ? ESHUTDOWN : EIO;
  if (handle->opened)
    return 0;
  reporter_warn_error (&nbdkit_reporter, source->look_only);
  return source->look_only->code;
}

static int
checkpoint_pread (void *data, void *buffer, uint32_t count, uint64_t offset,
                  uint32_t flags G_GNUC_UNUSED)
{
  Handle *handle = data;
  g_autoptr (GError) error = NULL;
  NbdBudget budget = nbd_life_budget (source->life);
  int failure = check_source (handle);

  if (failure)
    return fail_request (failure, NULL);
  if (handle->view->refuses_clean) {
    bool all_dirty;
    failure = handle_is_all_dirty (handle, offset, offset + count, &budget,
                                   &all_dirty, &error);
    if (failure)
      return fail_request (failure, error);
    if (!all_dirty) {
      say_error ("view=guard: disk %s: a client reads %" PRIu32 " bytes "
                 "at %" PRIu64 ", which are not all dirty",
                 handle->choice.view->disk->target, count, offset);
      nbdkit_set_error (EIO);
      return -1;
    }
  }
  failure = open_part_pread (handle->opened, handle->ahead, buffer, count,
                             offset, &budget, &error);
  return failure ? fail_request (failure, error) : 0;
}

/* What was dirty is known for free once a client has walked the map. */
static void
log_description (Handle *handle)
{
  const OpenPart *opened = handle->opened;

  if (g_atomic_int_get (&handle->described)
      || dirty_map_frontier (map_reader_map (opened->reader))
      < nbd_pool_size (opened->pool)
      || g_atomic_int_exchange (&handle->described, 1))
    return;
  g_autofree char *text = describe (handle);
  say_debug ("%s", text);
}

static int
checkpoint_extents (void *data, uint32_t count, uint64_t offset,
                    uint32_t flags, struct nbdkit_extents *extents)
{
  Handle *handle = data;
  const uint64_t end = offset + count;
  g_autoptr (GError) error = NULL;
  NbdBudget budget = nbd_life_budget (source->life);
  g_auto (MapView) view = { 0 };

  int failure = check_source (handle);
  if (failure)
    return fail_request (failure, NULL);
  failure = map_reader_need (handle->opened->reader, offset, end, &budget,
                             &view, &error);
  if (failure)
    return fail_request (failure, error);
  log_description (handle);
  while (offset < end) {
    guint64 next;
    const DirtyState state
      = map_view_lookup (&view, offset, end, &next);
    if (nbdkit_add_extent (extents, offset, next - offset,
                           view_extent_type (handle->view, state)) == -1)
      return -1;
    if (flags & NBDKIT_FLAG_REQ_ONE)
      break;
    offset = next;
  }
  return 0;
}

static void
checkpoint_dump_plugin (void)
{
  g_autofree char *sources = source_names ();
  struct nbd_handle *nbd = nbd_create ();

  printf ("checkpoint_sources=%s\n", sources);
  g_auto (GStrv) views = g_strsplit (view_names (), ", ", 0);
  g_autofree char *spaced = g_strjoinv (" ", views);
  printf ("checkpoint_views=%s\n", spaced);
  printf ("checkpoint_glib=%u.%u.%u\n", glib_major_version,
          glib_minor_version, glib_micro_version);
  printf ("checkpoint_libxml2=%s\n", LIBXML_DOTTED_VERSION);
  if (nbd)
    printf ("checkpoint_libnbd=%s\n", nbd_get_version (nbd));
  nbd_close (nbd);
#ifdef HAVE_LIBVIRT
  printf ("checkpoint_libvirt=%s\n", LIBVIRT_VERSION);
#endif
}

static struct nbdkit_plugin plugin = {
  .name               = "checkpoint",
  .longname           = "nbdkit checkpoint plugin",
  .version            = PACKAGE_VERSION,
  .description        = "Serve the blocks dirtied since a libvirt checkpoint",
  .config_help        = settings_help,
  .magic_config_key   = "file",
  .errno_is_preserved = 1,

  .load               = checkpoint_load,
  .unload             = checkpoint_unload,
  .dump_plugin        = checkpoint_dump_plugin,
  .config             = checkpoint_config,
  .config_complete    = checkpoint_config_complete,
  .thread_model       = checkpoint_thread_model,
  .get_ready          = checkpoint_get_ready,
  .after_fork         = checkpoint_after_fork,
  .list_exports       = checkpoint_list_exports,
  .default_export     = checkpoint_default_export,
  .export_description = checkpoint_export_description,
  .open               = checkpoint_open,
  .close              = checkpoint_close,
  .get_size           = checkpoint_get_size,
  .block_size         = checkpoint_block_size,
  .can_multi_conn     = checkpoint_can_multi_conn,
  .pread              = checkpoint_pread,
  .extents            = checkpoint_extents,
};

NBDKIT_REGISTER_PLUGIN (plugin)
