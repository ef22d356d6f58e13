/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * verify: a backup holds what the disk holds, and the record's word on what did
 * not change is true.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "tool/backup.h"
#include "tool/command.h"
#include "tool/progress.h"
#include "tool/verify-report.h"

/* ── What is asked for ── */

static bool
read_sample (const Options *options, CompareRequest *request, GError **error)
{
  char *end = NULL;

  request->share = 1;
  if (options->seed && !options->sample)
    return error_set (error, EINVAL, "--seed goes with --sample=PERCENT");
  if (options->sample) {
    request->share = g_ascii_strtod (options->sample, &end) / 100;
    if (end == options->sample || (*end && strcmp (end, "%") != 0)
        || !(request->share > 0 && request->share <= 1))
      return error_set (error, EINVAL, "--sample=%s is no percentage; write a "
                        "number above 0 and up to 100", options->sample);
  }
  return options_seed (options, &request->seed, error);
}

static bool
check_words (const Options *options, GError **error)
{
  const char *path = g_ptr_array_index (options->words, 0);

  if (options->full && (options->since || options->taken_at))
    return error_set (error, EINVAL, "--full compares all of the disk; leave out "
                      "--%s", options->since ? "since" : "taken-at");
  /* Before a job of a running guest's is begun.  Names on a network have one. */
  if (!strchr (path, ':') && access (path, R_OK) < 0)
    return error_set (error, errno, "cannot read the backup %s: %s", path,
                      g_strerror (errno));
  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    return error_set (error, EISDIR, "the backup %s is a folder; name an image in "
                      "it", path);
  return true;
}

/* ── What is compared ── */

typedef struct {
  OpenView *disk, *backup, *since, *taken;
} Views;

static void
views_clear (Views *views)
{
  open_view_free (views->disk);
  open_view_free (views->backup);
  open_view_free (views->since);
  open_view_free (views->taken);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Views, views_clear)

/* A backup job of ours is of now. */
static bool
runs (const Reading *reading)
{
  return reading->source->keeps_connections && reading->request.uris->len == 0;
}

static bool
has_checkpoints (const Reading *reading, const char *target)
{
  const GPtrArray *all = forest_all (reading->source->offer->forest);

  for (guint i = 0; i < all->len; i++)
    if (checkpoint_bitmap (g_ptr_array_index (all, i), target))
      return true;
  return false;
}

/* *name: of the checkpoint that it is since; NULL with NULL: all counts as
 * changed.
 */
static bool
open_since (const Reading *reading, const Options *options, Verified *verified,
            OpenView **since, GError **error)
{
  if (options->full || (options->taken_at && !options->since)
      || (!options->since && !has_checkpoints (reading, verified->target)))
    return true;
  const DiskView *view = catalogue_lookup (reading->catalogue, verified->target,
                                           options->since, error);
  if (!view && !options->since)
    g_prefix_error (error, "since which checkpoint was the backup made "
                    "(--since=NAME; or --full, to compare all)?  ");
  if (!view)
    return false;
  if (!view->checkpoint)
    return true;
  verified->since = view->checkpoint->name;
  verified->several_parts = view->parts->len > 1;
  return (*since = open_view_new (reading->parts, view, error)) != NULL;
}

static bool
open_views (const Reading *reading, const Options *options, Verified *verified,
            Views *views, GError **error)
{
  const DiskView *disk = catalogue_lookup (reading->catalogue, NULL, "", error);

  if (!disk)
    return false;
  if (disk->disk->clean_unreadable)
    return error_set (error, ENOTSUP, "disk %s: view=guard lets nobody read what "
                      "did not change, which is to be compared, too; start that "
                      "server with view=overlay", disk->disk->target);
  verified->disk = disk->disk;
  verified->target = disk->disk->target;
  /* A disk may be the only one that has a record. */
  verified->several_disks = reading->source->disks->len > 1
    || verified->options->request.disk;
  verified->taken = options->taken_at;
  if (!open_since (reading, options, verified, &views->since, error))
    return false;
  if (options->taken_at
      && !(views->taken = reading_view (reading, verified->target,
                                        options->taken_at, error)))
    return false;
  views->disk = open_view_new (reading->parts, disk, error);
  return views->disk != NULL;
}

static bool
open_backup (const Backup *backup, Verified *verified, Views *views,
             GError **error)
{
  const Disk *disk = g_ptr_array_index (backup->reading.source->disks, 0);
  const Layer *layer = disk_layer (disk, 0);

  if (!backup_check_apart (backup, verified->disk, error))
    return false;
  verified->base = layer->backing_name;
  verified->base_format = layer->backing_format;
  views->backup = backup_view (backup, error);
  return views->backup != NULL;
}

/* ── The command ── */

static void
add_progress (void *opaque, guint64 bytes)
{
  progress_add (opaque, bytes);
}

static bool
compare (const Views *views, CompareRequest *request, Verified *verified,
         GError **error)
{
  request->views = (CompareViews) {
    .disk = views->disk, .backup = views->backup,
    .since = views->since, .taken = views->taken,
  };
  verified->disk_size = open_view_size (views->disk);
  verified->backup_size = open_view_size (views->backup);
  g_autoptr (Progress) progress
    = progress_new ("verifying", compare_end (&request->views));
  request->progress = add_progress;
  request->opaque = progress;
  return compare_run (request, &verified->result, error);
}

static Status
print (const Verified *verified)
{
  if (verified->options->json)
    verified_print_json (verified);
  else
    verified_print (verified);
  return verified_is_equal (verified) ? STATUS_FINE : STATUS_FOUND;
}

/* Both are open. */
static Status
verify (const Reading *reading, const Backup *backup, Verified *verified,
        CompareRequest *request, GError **error)
{
  g_auto (Views) views = { 0 };
  Status status = STATUS_FAILED;

  verified->is_export = reading->request.uris->len > 0;
  verified->runs = runs (reading);
  if (open_views (reading, verified->options, verified, &views, error)
      && open_backup (backup, verified, &views, error)) {
    if (compare (&views, request, verified, error))
      status = print (verified);
    compare_result_clear (&verified->result);
  }
  return status;
}

Status
command_verify (const Options *options, GError **error)
{
  const char *path = g_ptr_array_index (options->words, 0);
  const char *base = options->taken_at ? options->taken_at : options->since;
  Options wanted = *options;    /* what it points to is borrowed */
  Verified verified = { .options = options, .backup = path };
  CompareRequest request = { 0 };
  g_auto (Reading) reading
    = { .say_which = "--since=NAME, --taken-at=NAME, or --full" };
  g_auto (Backup) backup = { 0 };

  /* A job is begun for it; images are there. */
  wanted.request.on_missing_full
    = options->full && (wanted.request.libvirt || wanted.request.qmp);
  if (!read_sample (options, &request, error) || !check_words (options, error))
    return STATUS_FAILED;
  if (!reading_open (&reading, &wanted, base, error)) {
    if (reading.lacks_checkpoint)
      g_prefix_error (error, "to compare all, add --full: ");
    return STATUS_FAILED;
  }
  if (options->since && options->taken_at && runs (&reading)) {
    error_set (error, EINVAL, "a running guest is read since one checkpoint: "
               "with --taken-at, leave --since out");
    return STATUS_FAILED;
  }
  if (!backup_open (&backup, options, path, error))
    return STATUS_FAILED;
  verified.share = request.share;
  verified.seed = request.seed;
  return verify (&reading, &backup, &verified, &request, error);
}
