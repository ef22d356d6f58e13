/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Change bitmaps in images, as checkpoints never would:
 *   change-bitmaps [TARGET:]IMAGE… -- CHANGE…
 *   CHANGE: add|off|enable|remove|merge TARGET LAYER NAME [FROM LAYER|GRANULARITY]
 * CHANGE is one word, parted by commas.  With CHANGE_BITMAPS_WAIT, it says
 * when it has looked, and waits for a line of input; with
 * CHANGE_BITMAPS_ROOM, all file systems seem to have room;
 * CHANGE_BITMAPS_SECRET is a file of a passphrase.
 */
#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include "base/error.h"
#include "record/apart.h"
#include "source/request.h"

static void
warn (const char *line)
{
  fprintf (stderr, "change-bitmaps: %s\n", line);
}

/* In the place of the C library's. */
int
fstatvfs (int fd, struct statvfs *system)
{
  struct statfs real;

  if (fstatfs (fd, &real) < 0)
    return -1;
  *system = (struct statvfs) { .f_frsize = (unsigned long) real.f_bsize };
  system->f_bfree = system->f_bavail
    = getenv ("CHANGE_BITMAPS_ROOM") ? 1UL << 30 : real.f_bavail;
  return 0;
}

static const char *const remedies[REMEDY_COUNT] = { NULL };
static const Reporter reporter
  = { .name = "change-bitmaps", .warn = warn, .remedies = remedies };

static const Disk *
find_disk (const Bitmaps *bitmaps, const char *target)
{
  for (guint i = 0; i < bitmaps->disks->len; i++) {
    const Disk *disk = g_ptr_array_index (bitmaps->disks, i);
    if (strcmp (disk->target, target) == 0)
      return disk;
  }
  g_error ("no disk %s", target);
}

static void
add_change (const Bitmaps *bitmaps, GPtrArray *changes, const char *text)
{
  static const char *const words[] = { "add", "merge", "enable", "remove",
                                       "off", NULL };
  static const BitmapAction actions[] = { BITMAP_ADD, BITMAP_MERGE,
                                          BITMAP_ENABLE, BITMAP_REMOVE,
                                          BITMAP_ADD };
  g_auto (GStrv) parts = g_strsplit (text, ",", -1);
  guint which = 0;

  while (words[which] && strcmp (words[which], parts[0]) != 0)
    which++;
  g_assert_nonnull (words[which]);
  BitmapChange *change = bitmap_changes_add (
    changes, actions[which], find_disk (bitmaps, parts[1]),
    (guint) atoi (parts[2]), parts[3]);
  change->recording = strcmp (parts[0], "add") == 0;
  if (actions[which] == BITMAP_ADD)
    change->granularity = parts[4] ? (guint64) atoi (parts[4]) : 0;
  else
    change->from = g_strdup (parts[4]);
  change->from_layer
    = parts[4] && parts[5] ? (guint) atoi (parts[5]) : change->layer;
}

static bool
run (const SourceRequest *request, char **texts, GError **error)
{
  Bitmaps *bitmaps = bitmaps_of_files (request, NULL, &reporter, error);
  g_autoptr (GPtrArray) changes = bitmap_changes_new ();

  if (!bitmaps)
    return false;
  for (guint i = 0; texts[i]; i++)
    add_change (bitmaps, changes, texts[i]);
  if (getenv ("CHANGE_BITMAPS_WAIT")) {
    puts ("looked");
    fflush (stdout);
    getchar ();
  }
  const bool ok = bitmaps->ops->apply (bitmaps, changes, error);
  bitmaps->ops->free (bitmaps);
  return ok;
}

int
main (int argc G_GNUC_UNUSED, char *argv[])
{
  g_autoptr (GError) error = NULL;
  SourceRequest request;
  const char *secret = getenv ("CHANGE_BITMAPS_SECRET");
  bool ok = true;
  guint i;

  signal (SIGPIPE, SIG_IGN);
  source_request_init (&request);
  for (i = 1; ok && argv[i] && strcmp (argv[i], "--") != 0; i++)
    ok = requested_file_add (request.files, argv[i], &error);
  ok = ok && (!secret
              || requested_secret_add (request.secrets, secret, &error))
    && argv[i] && run (&request, argv + i + 1, &error);
  if (!ok && error) {
    g_autofree char *line = error_line (error, remedies);
    fprintf (stderr, "change-bitmaps: error %d: %s\n", error->code, line);
  }
  source_request_clear (&request);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
