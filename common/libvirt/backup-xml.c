/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See backup-xml.h.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/xml-text.h"
#include "libvirt/backup-xml.h"
#include "tree/checkpoint.h"

/* NBD's limit on strings, and QEMU's BDRV_BITMAP_MAX_NAME_SIZE. */
#define MAX_EXPORT_NAME 4096
#define MAX_BITMAP_NAME 1023

static const XmlRules rules = {
  "backup XML", "backup", "domainbackup", BACKUP_MAX_BYTES, 0, false,
};

static void
backup_disk_free (void *data)
{
  BackupDisk *disk = data;

  g_free (disk->target);
  g_free (disk->incremental);
  g_free (disk->scratch);
  g_free (disk->export_name);
  g_free (disk->export_bitmap);
  g_free (disk);
}

Backup *
backup_new (void)
{
  Backup *backup = g_new0 (Backup, 1);

  backup->disks = g_ptr_array_new_with_free_func (backup_disk_free);
  return backup;
}

void
backup_free (Backup *backup)
{
  if (!backup)
    return;
  g_free (backup->socket);
  g_free (backup->host);
  g_ptr_array_unref (backup->disks);
  g_free (backup);
}

BackupDisk *
backup_add_disk (Backup *backup, const char *target)
{
  BackupDisk *disk = g_new0 (BackupDisk, 1);

  disk->target = g_strdup (target);
  g_ptr_array_add (backup->disks, disk);
  return disk;
}

const BackupDisk *
backup_disk (const Backup *backup, const char *target)
{
  for (guint i = 0; i < backup->disks->len; i++) {
    const BackupDisk *disk = g_ptr_array_index (backup->disks, i);
    if (strcmp (disk->target, target) == 0)
      return disk;
  }
  return NULL;
}

static void
append_server (GString *out, const Backup *backup)
{
  g_string_append (out, "  <server");
  xml_append_attribute (out, "transport", backup->socket ? "unix" : "tcp");
  xml_append_attribute (out, "tls", backup->tls ? "yes" : NULL);
  xml_append_attribute (out, "socket", backup->socket);
  if (!backup->socket) {
    xml_append_attribute (out, "name", backup->host ? backup->host : "");
    g_string_append_printf (out, " port='%u'", backup->port);
  }
  g_string_append (out, "/>\n");
}

static void
append_disk (GString *out, const BackupDisk *disk)
{
  g_string_append (out, "    <disk");
  xml_append_attribute (out, "name", disk->target);
  xml_append_attribute (out, "backup", "yes");
  xml_append_attribute (out, "type", "file");
  xml_append_attribute (out, "backupmode",
                        disk->incremental ? "incremental" : "full");
  xml_append_attribute (out, "incremental", disk->incremental);
  xml_append_attribute (out, "exportname", disk->export_name);
  if (disk->incremental)
    xml_append_attribute (out, "exportbitmap", disk->export_bitmap);
  if (!disk->scratch) {
    g_string_append (out, "/>\n");
    return;
  }
  g_string_append (out, ">\n      <driver type='qcow2'/>\n      <scratch");
  xml_append_attribute (out, "file", disk->scratch);
  g_string_append (out, "/>\n    </disk>\n");
}

char *
backup_format (const Backup *backup, const GPtrArray *left_out)
{
  GString *out = g_string_new ("<domainbackup mode='pull'>\n");

  append_server (out, backup);
  g_string_append (out, "  <disks>\n");
  for (guint i = 0; i < backup->disks->len; i++)
    append_disk (out, g_ptr_array_index (backup->disks, i));
  for (guint i = 0; left_out && i < left_out->len; i++) {
    g_string_append (out, "    <disk");
    xml_append_attribute (out, "name", g_ptr_array_index (left_out, i));
    g_string_append (out, " backup='no'/>\n");
  }
  g_string_append (out, "  </disks>\n</domainbackup>\n");
  return g_string_free (out, FALSE);
}

/* "yes" or "no"; absent is what *value holds. */
static bool
parse_yes_no (const xmlNode *node, const char *name, bool *value,
              GError **error)
{
  g_autofree char *text = xml_attribute (node, name);

  if (!text)
    return true;
  *value = strcmp (text, "yes") == 0;
  if (!*value && strcmp (text, "no") != 0)
    return error_set (error, EINVAL, "backup XML, line %ld: %s='%.64s'; only "
                      "'yes' and 'no' are known", xmlGetLineNo (node), name,
                      text);
  return true;
}

static bool
parse_tcp (const xmlNode *server, Backup *backup, GError **error)
{
  g_autofree char *port = xml_attribute (server, "port");
  guint64 number;

  backup->host = xml_attribute (server, "name");
  if (!backup->host || *backup->host == '\0')
    return error_set (error, EINVAL, "backup XML: <server> has no name; tcp "
                      "needs a host, or transport='unix' a socket");
  if (!port || !xml_unsigned (port, &number) || number < 1
      || number > G_MAXUINT16)
    return error_set (error, EINVAL, "backup XML: <server> has port='%.64s'; "
                      "1 to 65535 are possible", port ? port : "");
  backup->port = (guint) number;
  return true;
}

static bool
parse_server (const xmlNode *root, Backup *backup, GError **error)
{
  const xmlNode *server;

  if (!xml_sole_child (&rules, root, "server", &server, error))
    return false;
  if (!server)
    return error_set (error, EINVAL, "backup XML has no <server>; where a "
                      "pull mode backup is served must be told");
  if (!parse_yes_no (server, "tls", &backup->tls, error))
    return false;
  g_autofree char *transport = xml_attribute (server, "transport");
  if (!transport || strcmp (transport, "tcp") == 0)
    return parse_tcp (server, backup, error);
  if (strcmp (transport, "unix") != 0)
    return error_set (error, ENOTSUP, "backup XML: <server> has transport="
                      "'%.64s'; only tcp and unix are supported", transport);
  backup->socket = xml_attribute (server, "socket");
  if (!backup->socket || *backup->socket != '/')
    return error_set (error, EINVAL, "backup XML: <server> has socket='%.64s'; "
                      "it must be an absolute path",
                      backup->socket ? backup->socket : "");
  return true;
}

/* virDomainBackupAlignDisks: a disk that says neither follows the whole. */
static bool
parse_mode (const xmlNode *node, const char *since, BackupDisk *disk,
            GError **error)
{
  g_autofree char *mode = xml_attribute (node, "backupmode");

  disk->incremental = xml_attribute (node, "incremental");
  if (g_strcmp0 (mode, "full") == 0) {
    if (disk->incremental)
      return error_set (error, EINVAL, "backup XML: disk '%s' has backupmode="
                        "'full' and yet incremental; remove one of them",
                        disk->target);
    return true;
  }
  if (mode && strcmp (mode, "incremental") != 0)
    return error_set (error, EINVAL, "backup XML: disk '%s' has backupmode="
                      "'%.64s'; only 'full' and 'incremental' are known",
                      disk->target, mode);
  if (!disk->incremental)
    disk->incremental = g_strdup (since);
  if (!disk->incremental)
    return !mode
      || error_set (error, EINVAL, "backup XML: disk '%s' is incremental since "
                    "nothing; name a checkpoint", disk->target);
  if (!checkpoint_name_valid (disk->incremental))
    return error_set (error, EINVAL, "backup XML: disk '%s' is incremental "
                      "since '%.64s', which cannot be the name of a checkpoint",
                      disk->target, disk->incremental);
  return true;
}

static bool
parse_export (const xmlNode *node, BackupDisk *disk, GError **error)
{
  disk->export_name = xml_attribute (node, "exportname");
  if (!disk->export_name)
    disk->export_name = g_strdup (disk->target);
  if (strlen (disk->export_name) > MAX_EXPORT_NAME)
    return error_set (error, EINVAL, "backup XML: the export name of disk '%s' "
                      "is longer than %d bytes, NBD's limit", disk->target,
                      MAX_EXPORT_NAME);
  if (!disk->incremental)
    return true;
  disk->export_bitmap = xml_attribute (node, "exportbitmap");
  if (!disk->export_bitmap)
    disk->export_bitmap = g_strdup_printf ("backup-%s", disk->target);
  if (*disk->export_bitmap == '\0'
      || strlen (disk->export_bitmap) > MAX_BITMAP_NAME)
    return error_set (error, EINVAL, "backup XML: the bitmap name of disk '%s' "
                      "is not 1 to %d bytes long, as QEMU needs", disk->target,
                      MAX_BITMAP_NAME);
  return true;
}

static bool
parse_scratch (const xmlNode *node, BackupDisk *disk, GError **error)
{
  g_autofree char *type = xml_attribute (node, "type");
  const bool is_device = g_strcmp0 (type, "block") == 0;
  const xmlNode *scratch;

  if (type && !is_device && strcmp (type, "file") != 0)
    return error_set (error, EINVAL, "backup XML: disk '%s' has type='%.64s'; "
                      "only 'file' and 'block' are known", disk->target, type);
  if (!xml_sole_child (&rules, node, "scratch", &scratch, error))
    return false;
  if (!scratch)
    return true;
  disk->scratch = xml_attribute (scratch, is_device ? "dev" : "file");
  if (!disk->scratch || *disk->scratch != '/')
    return error_set (error, EINVAL, "backup XML: the scratch %s of disk '%s' "
                      "is '%.64s'; it must be an absolute path",
                      is_device ? "device" : "file", disk->target,
                      disk->scratch ? disk->scratch : "");
  return true;
}

/* since: the document's <incremental>, or NULL. */
static bool
parse_disk (const xmlNode *node, const char *since, Backup *backup,
            GHashTable *seen, GError **error)
{
  g_autofree char *name = xml_attribute (node, "name");
  bool wanted = true;

  if (!name || !disk_target_is_valid (name))
    return error_set (error, EINVAL, "backup XML, line %ld: '%.64s' cannot be "
                      "the name of a disk: a letter, then letters, digits, - _ "
                      "and . make one", xmlGetLineNo (node), name ? name : "");
  if (!g_hash_table_add (seen, g_strdup (name)))
    return error_set (error, EINVAL, "backup XML: disk '%.64s' is listed "
                      "twice; remove one of them", name);
  if (g_hash_table_size (seen) > CHECKPOINT_MAX_DISKS)
    return error_set (error, EFBIG, "backup XML lists more than %d disks; is "
                      "this the right document?", CHECKPOINT_MAX_DISKS);
  if (!parse_yes_no (node, "backup", &wanted, error))
    return false;
  if (!wanted)
    return true;
  BackupDisk *disk = backup_add_disk (backup, name);
  return parse_mode (node, since, disk, error)
    && parse_export (node, disk, error) && parse_scratch (node, disk, error);
}

static bool
parse_disks (const xmlNode *root, Backup *backup, GError **error)
{
  g_autoptr (GHashTable) seen
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  const xmlNode *incremental, *disks;

  if (!xml_sole_child (&rules, root, "incremental", &incremental, error)
      || !xml_sole_child (&rules, root, "disks", &disks, error))
    return false;
  g_autofree char *since = incremental ? xml_text (incremental) : NULL;
  /* virXPathString: an empty string is none. */
  if (since && *since == '\0')
    g_clear_pointer (&since, g_free);
  for (const xmlNode *node = disks ? disks->children : NULL; node;
       node = node->next)
    if (xml_is_element (node, "disk")
        && !parse_disk (node, since, backup, seen, error))
      return false;
  return true;
}

Backup *
backup_parse (const char *text, gsize length, GError **error)
{
  const xmlNode *root;
  g_autoptr (xmlDoc) doc = xml_parse (text, length, &rules, &root, error);

  if (!doc)
    return NULL;
  g_autofree char *mode = xml_attribute (root, "mode");
  if (g_strcmp0 (mode, "pull") != 0)
    return error_null (error, ENOTSUP, "the backup is in %.64s mode, which "
                       "serves nothing over NBD; only pull mode is supported",
                       mode ? mode : "push");
  g_autoptr (Backup) backup = backup_new ();
  if (!parse_server (root, backup, error)
      || !parse_disks (root, backup, error))
    return NULL;
  return g_steal_pointer (&backup);
}
