/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Fuzz the parser of backup jobs.  Whatever it accepts must, made a request,
 * be read back as the same.  For libFuzzer, or with replay.c for any
 * compiler.
 */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <glib.h>

#include "libvirt/backup-xml.h"
#include "tree/checkpoint.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check_disk (const BackupDisk *disk)
{
  if (!disk_target_is_valid (disk->target) || disk->export_name == NULL)
    g_error ("accepted with a strange disk");
  if ((disk->incremental != NULL) != (disk->export_bitmap != NULL))
    g_error ("a full backup with a bitmap, or the other way round");
  if (disk->scratch != NULL && *disk->scratch != '/')
    g_error ("accepted with a strange scratch");
}

static void
compare_disks (const BackupDisk *a, const BackupDisk *b)
{
  g_assert_nonnull (b);
  g_assert_cmpstr (a->incremental, ==, b->incremental);
  g_assert_cmpstr (a->scratch, ==, b->scratch);
  g_assert_cmpstr (a->export_name, ==, b->export_name);
  g_assert_cmpstr (a->export_bitmap, ==, b->export_bitmap);
}

static void
round_trip (const Backup *backup)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = backup_format (backup, NULL);
  g_autoptr (Backup) again = NULL;

  /* Defaults and escapes make it longer than what was read. */
  if (strlen (text) > BACKUP_MAX_BYTES)
    return;
  again = backup_parse (text, strlen (text), &error);
  if (again == NULL)
    g_error ("own request is refused: %s\n%s", error->message, text);
  g_assert_cmpstr (backup->socket, ==, again->socket);
  g_assert_cmpstr (backup->host, ==, again->host);
  g_assert_cmpuint (backup->port, ==, again->port);
  g_assert_true (backup->tls == again->tls);
  g_assert_cmpuint (backup->disks->len, ==, again->disks->len);
  for (guint i = 0; i < backup->disks->len; i++) {
    const BackupDisk *disk = g_ptr_array_index (backup->disks, i);
    compare_disks (disk, backup_disk (again, disk->target));
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (Backup) backup = NULL;

  g_log_set_always_fatal (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
  backup = backup_parse ((const char *) data, size, &error);
  if (backup == NULL) {
    if (error == NULL || *error->message == '\0'
        || strpbrk (error->message, "\n\r") != NULL)
      g_error ("refused without one line saying why");
    if (error->code != EINVAL && error->code != EFBIG
        && error->code != ENOTSUP)
      g_error ("refused with errno %d", error->code);
    return 0;
  }
  if (error != NULL)
    g_error ("accepted with an error: %s", error->message);
  if ((backup->socket != NULL) == (backup->host != NULL)
      || (backup->socket != NULL) != (backup->port == 0)
      || backup->disks->len > CHECKPOINT_MAX_DISKS)
    g_error ("accepted with a strange server or too many disks");
  for (guint i = 0; i < backup->disks->len; i++)
    check_disk (g_ptr_array_index (backup->disks, i));
  round_trip (backup);
  return 0;
}
