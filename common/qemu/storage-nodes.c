/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Open a disk's layers in a storage daemon.  The file and the image in it are
 * two nodes, as they fail for different reasons; an external data file is a
 * third.  All that an image could name is told QEMU, so that it follows no name
 * by itself.  Source: QEMU 7.2 qapi/block-core.json, qapi/qom.json.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <json-glib/json-glib.h>

#include "base/error.h"
#include "image/layer.h"
#include "image/qcow2-header.h"
#include "image/remote-name.h"
#include "qemu/storage-describe.h"
#include "qemu/storage-nodes.h"

/* Per layer, instead of QEMU's up to 32 MiB (qcow2's l2-cache-size): 8 GiB of
 * the disk at 64 KiB clusters.  What is read through it is mostly in order.
 */
#define L2_CACHE_SIZE (1024 * 1024)

/* A disk of iSCSI's is read in whole sectors, of 4096 bytes at most. */
#define LOOK_BYTES 4096

char *
storage_node_name (const Disk *disk, guint layer)
{
  return g_strdup_printf ("d%" G_GINTPTR_MODIFIER "x-%u", (gsize) disk, layer);
}

/* QEMU is gone, which is not the image's fault. */
static bool
no_answer (const char *path, const GError *refusal, GError **error)
{
  return error_set (error, refusal->code, "opening %s: %s", path,
                    refusal->message);
}

/* Takes node, its options. */
static bool
add_node (const StorageNodes *nodes, JsonObject *node, const char *name,
          bool read_only, GError **error)
{
  json_object_set_string_member (node, "node-name", name);
  json_object_set_boolean_member (node, "read-only", read_only);
  return qmp_execute (nodes->qmp, "blockdev-add", node, NULL, error);
}

/* By what name the daemon opens a file that it has as that descriptor. */
static char *
passed_path (int daemon_fd)
{
  return g_strdup_printf ("/proc/self/fd/%d", daemon_fd);
}

static bool
add_file (const StorageNodes *nodes, const ImageFile *file, const char *name,
          bool uncached, GError **error)
{
  JsonObject *node = json_object_new ();
  g_autofree char *passed
    = file->daemon_fd ? passed_path (file->daemon_fd) : NULL;

  json_object_set_string_member (node, "driver",
                                 S_ISBLK (file->stamp.st_mode)
                                 ? "host_device" : "file");
  json_object_set_string_member (node, "filename",
                                 passed ? passed : file->path);
  if (uncached) {
    JsonObject *cache = json_object_new ();
    json_object_set_boolean_member (cache, "direct", true);
    json_object_set_object_member (node, "cache", cache);
  }
  return add_node (nodes, node, name, !nodes->writes, error);
}

/* A file that cannot be read past the page cache is read through it: tmpfs, of
 * which that is the only copy, or a file system in user space.
 */
static bool
open_file (const StorageNodes *nodes, const ImageFile *file, const char *name,
           GError **error)
{
  g_autoptr (GError) refusal = NULL;

  if ((nodes->uncached && add_file (nodes, file, name, true, NULL))
      || add_file (nodes, file, name, false, &refusal))
    return true;
  if (refusal->code == EIO)
    return no_answer (file->path, refusal, error);
  g_autofree char *user = error_user ();
  return error_set (error, refusal->code, "the private qemu-storage-daemon "
                    "cannot open %s: %s; may %s %s it, also under a "
                    "security profile?", file->path, refusal->message, user,
                    nodes->writes ? "write to" : "read");
}

static bool
refuse_remote (const Layer *layer, const GError *refusal, GError **error)
{
  if (refusal->code == EIO)
    return no_answer (layer->path, refusal, error);
  return error_set (error, refusal->code, "%s cannot be read: %s", layer->path,
                    refusal->message);
}

/* It has been opened, but not read.  As long a header as it says. */
static bool
look_at_remote (const StorageNodes *nodes, Layer *layer, const char *name,
                LayerRole role, GError **error)
{
  g_autofree guint8 *bytes = g_malloc (QCOW2_HEADER_MOST);
  g_autoptr (GError) refusal = NULL;
  gsize length = LOOK_BYTES, needed;
  bool ok = nodes->read (nodes->opaque, name, bytes, &length, &refusal);

  if (ok && qcow2_header_begins (bytes, length, &needed)) {
    length = MAX (LOOK_BYTES, needed);
    ok = nodes->read (nodes->opaque, name, bytes, &length, &refusal);
  }
  return ok ? image_layer_heed_bytes (layer, bytes, length, role, error)
    : refuse_remote (layer, refusal, error);
}

static bool
open_remote (const StorageNodes *nodes, Layer *layer, const char *name,
             LayerRole role, GError **error)
{
  g_autoptr (GError) refusal = NULL;
  JsonObject *node = remote_name_options (layer->path, NULL, error);

  if (!node)
    return false;
  return add_node (nodes, node, name, true, &refusal)
    ? look_at_remote (nodes, layer, name, role, error)
    : refuse_remote (layer, refusal, error);
}

/* The name of QEMU's object, a new string. */
static char *
secret_name (const StorageNodes *nodes, guint index)
{
  return g_strdup_printf ("s%" G_GINTPTR_MODIFIER "x-%u", (gsize) nodes->disk,
                          index);
}

static bool
add_secret (const StorageNodes *nodes, guint index, GError **error)
{
  const Secret *secret = g_ptr_array_index (nodes->disk->secrets, index);
  JsonObject *object = json_object_new ();
  g_autofree char *name = secret_name (nodes, index);
  g_autofree char *path = passed_path (secret_daemon_fd (secret));

  json_object_set_string_member (object, "qom-type", "secret");
  json_object_set_string_member (object, "id", name);
  json_object_set_string_member (object, "file", path);
  return qmp_execute (nodes->qmp, "object-add", object, NULL, error);
}

bool
storage_nodes_add_secrets (const StorageNodes *nodes, GError **error)
{
  const GPtrArray *secrets = nodes->disk->secrets;

  for (guint i = 0; secrets && i < secrets->len; i++)
    if (!add_secret (nodes, i, error))
      return false;
  return true;
}

static void
set_secret (const StorageNodes *nodes, const Layer *layer, guint index,
            JsonObject *node)
{
  g_autofree char *name = secret_name (nodes, index);

  if (strcmp (layer->format, "qcow2") != 0) {
    json_object_set_string_member (node, "key-secret", name);
    return;
  }
  JsonObject *encrypt = json_object_new ();
  json_object_set_string_member (encrypt, "format", layer->encryption);
  json_object_set_string_member (encrypt, "key-secret", name);
  json_object_set_object_member (node, "encrypt", encrypt);
}

/* The options of an image over those nodes, but its secret. */
static JsonObject *
image_options (const StorageNodes *nodes, guint index, const char *file,
               const char *data)
{
  static const char *const with_backing[] = { "qcow2", "vmdk", "qed", NULL };
  const Disk *disk = nodes->disk;
  const Layer *layer = disk_layer (disk, index);
  JsonObject *node = json_object_new ();

  json_object_set_string_member (node, "driver", layer->format);
  json_object_set_string_member (node, "file", file);
  if (layer->data)
    json_object_set_string_member (node, "data-file", data);
  if (strcmp (layer->format, "qcow2") == 0)
    json_object_set_int_member (node, "l2-cache-size", L2_CACHE_SIZE);
  if (layer->backing_path && !nodes->apart) {
    g_autofree char *below = storage_node_name (disk, index + 1);
    json_object_set_string_member (node, "backing", below);
  }
  else if (g_strv_contains (with_backing, layer->format))
    json_object_set_null_member (node, "backing");
  return node;
}

static bool
refuse_image (const Layer *layer, const GError *refusal, GError **error)
{
  static const char *const checked[] = {
    "qcow2", "vmdk", "vdi", "vhdx", "qed", NULL
  };
  g_autofree char *word = error_shell_word (layer->path);

  if (strstr (refusal->message, "needs to be replayed"))
    return image_refuse_with (error, refusal->code, "check -r all -f vhdx",
                              layer->path, "%s was not closed, so its log must "
                              "be replayed; to do that,", layer->path);
  return error_set (error, refusal->code, "QEMU cannot read %s: %s; is the "
                    "image whole?  Try: qemu-img %s -f %s %s", layer->path,
                    refusal->message,
                    g_strv_contains (checked, layer->format) ? "check" : "info",
                    layer->format, word);
}

/* refusal: of the last secret; NULL: there is none. */
static bool
refuse_secrets (const Disk *disk, const Layer *layer, const GError *refusal,
                GError **error)
{
  bool newline = false;

  for (guint i = 0; refusal && i < disk->secrets->len; i++)
    newline = newline
      || secret_has_newline (g_ptr_array_index (disk->secrets, i));
  if (!refusal)
    error_set (error, EACCES, "%s is encrypted (%s), and cannot be read without "
               "its secret", layer->path, layer->encryption);
  else
    error_set (error, EACCES, "%s is encrypted (%s), and not opened by what "
               "was given as the secret of disk %s: %s%s", layer->path,
               layer->encryption, disk->target, refusal->message,
               newline ? " (a newline at the end of a file belongs to the "
               "secret, so write it with: printf %s)" : "");
  return error_advise (error, REMEDY_GIVE_SECRET, disk->target, NULL);
}

/* Source: QEMU 7.2 to 10.0, crypto/block-luks.c ("Invalid password…"),
 * crypto/secret_common.c ("Data from secret … is not valid UTF-8").
 */
static bool
is_of_secret (const GError *refusal)
{
  return strstr (refusal->message, "password")
    || strstr (refusal->message, "secret");
}

/* Which secret is whose, QEMU finds out.  Returns the options that it took;
 * json_object_unref ().
 */
static JsonObject *
open_image (const StorageNodes *nodes, guint index, const char *name,
            const char *file, const char *data, GError **error)
{
  const Layer *layer = disk_layer (nodes->disk, index);
  const GPtrArray *secrets = nodes->disk->secrets;
  const guint tries = layer->encryption ? secrets ? secrets->len : 0 : 1;
  g_autoptr (GError) refusal = NULL;

  for (guint i = 0; i < tries; i++) {
    g_autoptr (JsonObject) node = image_options (nodes, index, file, data);
    if (layer->encryption)
      set_secret (nodes, layer, i, node);
    g_clear_error (&refusal);
    if (add_node (nodes, json_object_ref (node), name, true, &refusal))
      return g_steal_pointer (&node);
    if (refusal->code == EIO)
      no_answer (layer->path, refusal, error);
    else if (!layer->encryption || !is_of_secret (refusal))
      refuse_image (layer, refusal, error);
    else
      continue;
    return NULL;
  }
  refuse_secrets (nodes->disk, layer, refusal, error);
  return NULL;
}

static JsonObject *
open_layer (const StorageNodes *nodes, guint index, GError **error)
{
  Layer *layer = g_ptr_array_index (nodes->disk->layers, index);
  g_autofree char *name = storage_node_name (nodes->disk, index);
  g_autofree char *file = g_strconcat ("f", name, NULL);
  g_autofree char *data = g_strconcat ("x", name, NULL);
  const bool opened = layer->file ? open_file (nodes, layer->file, file, error)
    : open_remote (nodes, layer, file,
                   index == 0 ? LAYER_RECORDS : LAYER_BELOW, error);
  g_autoptr (JsonObject) options
    = opened && (!layer->data || open_file (nodes, layer->data, data, error))
    ? open_image (nodes, index, name, file, data, error) : NULL;

  return options && (!layer->file || image_layer_check_unchanged (layer, error))
    ? g_steal_pointer (&options) : NULL;
}

JsonObject *
storage_nodes_open_apart (const StorageNodes *nodes, guint layer,
                          GError **error)
{
  return open_layer (nodes, layer, error);
}

bool
storage_nodes_open (const StorageNodes *nodes, GError **error)
{
  const Disk *disk = nodes->disk;

  if (!storage_nodes_add_secrets (nodes, error))
    return false;
  for (guint i = disk->layers->len; i > 0; i--) {
    g_autoptr (JsonObject) options = open_layer (nodes, i - 1, error);
    if (options)
      continue;
    if (i > 1)
      g_prefix_error (error, "backing file of %s: ",
                      disk_layer (disk, i - 2)->path);
    return false;
  }
  return storage_nodes_describe (nodes->qmp, nodes->disk, error);
}
