/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The socket: it is bound in a folder that exists for a moment only.  Once
 * an O_PATH descriptor to the socket is open, name and folder are removed;
 * connect (2) through /proc/self/fd finds it all the same, and nobody else
 * can.  (An abstract socket would be open to every local user, and QEMU
 * 7.2's storage daemon leaves the file behind when it is terminated.)
 *
 * Nodes are added and exports made over QMP as they are wanted: hundreds of
 * checkpoints do not slow the start, and QEMU's refusals come with its own
 * words.  Source: QEMU 7.2 qapi/block-core.json, qapi/block-export.json.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <json-glib/json-glib.h>

#include "child.h"
#include "error.h"
#include "image-chain.h"
#include "qmp.h"
#include "storage-daemon.h"

#define STOP_GRACE_MS 5000
/* Per layer, instead of QEMU's up to 32 MiB (qapi/block-core.json, qcow2's
 * l2-cache-size): 8 GiB of the disk at 64 KiB clusters.  What is read through
 * it is mostly in order.
 */
#define L2_CACHE_SIZE (1024 * 1024)

struct StorageDaemon {
  Child child;
  int socket_path_fd;           /* O_PATH; -1 if none */
  GMutex lock;                  /* guards what follows */
  Qmp *qmp;                     /* NULL until the first file is opened */
  guint tried;                  /* files, for the nodes' names */
  GHashTable *exports;          /* "node/bitmap" or "node" → export name */
  guint exports_tried;          /* names are never used again: an export whose
                                 * making was not answered may exist */
};

/* A listening socket without a name; *path_fd is how to reach it. */
static int
listen_unnamed (int *path_fd, GError **error)
{
  g_autofree char *folder
    = g_build_filename (g_get_tmp_dir (), "nbdkit-checkpoint.XXXXXX", NULL);
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  const int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd < 0 || !g_mkdtemp_full (folder, 0700)) {
    error_set (error, errno, "cannot make a private socket in %s: %s",
               g_get_tmp_dir (), g_strerror (errno));
    if (fd >= 0)
      close (fd);
    return -1;
  }
  const int length = snprintf (address.sun_path, sizeof address.sun_path,
                               "%s/nbd", folder);
  bool ok = length < (int) sizeof address.sun_path;
  if (!ok)
    error_set (error, ENAMETOOLONG, "the temporary folder %s is too long a "
               "name for a socket; set TMPDIR to a shorter one", folder);
  else {
    ok = bind (fd, (struct sockaddr *) &address, sizeof address) == 0
      && listen (fd, SOMAXCONN) == 0
      && (*path_fd = open (address.sun_path, O_PATH | O_CLOEXEC)) >= 0;
    if (!ok)
      error_set (error, errno, "cannot make a private socket in %s: %s",
                 folder, g_strerror (errno));
    unlink (address.sun_path);
  }
  rmdir (folder);
  if (!ok) {
    close (fd);
    return -1;
  }
  return fd;
}

StorageDaemon *
storage_daemon_start (GError **error)
{
  static const char *const argv[] = {
    "qemu-storage-daemon",
    "--chardev", "stdio,id=qmp", "--monitor", "chardev=qmp",
    "--nbd-server", "addr.type=fd,addr.str=3,max-connections=0",
    NULL
  };
  StorageDaemon *daemon = g_new0 (StorageDaemon, 1);

  daemon->child = (Child) CHILD_INIT;
  daemon->socket_path_fd = -1;
  g_mutex_init (&daemon->lock);
  daemon->exports
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);

  const int fd = listen_unnamed (&daemon->socket_path_fd, error);
  if (fd >= 0) {
    const bool started = child_start (argv, fd, &daemon->child, error);
    close (fd);
    if (started)
      return daemon;
  }
  storage_daemon_stop (daemon);
  return NULL;
}

void
storage_daemon_stop (StorageDaemon *daemon)
{
  if (!daemon)
    return;
  qmp_free (daemon->qmp);
  child_stop (&daemon->child, STOP_GRACE_MS);
  if (daemon->socket_path_fd >= 0)
    close (daemon->socket_path_fd);
  g_hash_table_unref (daemon->exports);
  g_mutex_clear (&daemon->lock);
  g_free (daemon);
}

/* QEMU's node names are identifiers of at most 31 characters, so they are
 * built from where the disk is in memory, not from its target.
 */
static char *
node_name (const Disk *disk, guint layer)
{
  return g_strdup_printf ("d%" G_GINTPTR_MODIFIER "x-%u",
                          (gsize) disk, layer);
}

static void
begin_member (JsonBuilder *builder, const char *name, const char *value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_string_value (builder, value);
}

/* The members of a node for the file itself (BlockdevOptionsFile). */
static void
add_file_members (JsonBuilder *builder, const char *path,
                  bool is_block_device)
{
  begin_member (builder, "driver", is_block_device ? "host_device" : "file");
  begin_member (builder, "filename", path);
  json_builder_set_member_name (builder, "read-only");
  json_builder_add_boolean_value (builder, TRUE);
}

static void
add_qcow2_members (JsonBuilder *builder, const Disk *disk, guint index)
{
  json_builder_set_member_name (builder, "backing");
  if (index + 1 < disk->layers->len) {
    g_autofree char *below = node_name (disk, index + 1);
    json_builder_add_string_value (builder, below);
  }
  else
    json_builder_add_null_value (builder);
  json_builder_set_member_name (builder, "l2-cache-size");
  json_builder_add_int_value (builder, L2_CACHE_SIZE);
}

static bool
is_ready (StorageDaemon *daemon, GError **error)
{
  if (!daemon->qmp)
    daemon->qmp = qmp_new (daemon->child.out, daemon->child.in, error);
  return daemon->qmp != NULL;
}

static bool
add_node (StorageDaemon *daemon, JsonBuilder *builder, GError **error)
{
  return qmp_execute (daemon->qmp, "blockdev-add",
                      json_builder_get_root (builder), NULL, error);
}

static bool
open_layer (StorageDaemon *daemon, const Disk *disk, guint index,
            GError **error)
{
  const Layer *layer = disk_layer (disk, index);
  g_autofree char *node = node_name (disk, index);
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (GError) refusal = NULL;

  json_builder_begin_object (builder);
  begin_member (builder, "driver", layer->format);
  begin_member (builder, "node-name", node);
  json_builder_set_member_name (builder, "read-only");
  json_builder_add_boolean_value (builder, TRUE);
  if (strcmp (layer->format, "qcow2") == 0)
    add_qcow2_members (builder, disk, index);
  json_builder_set_member_name (builder, "file");
  json_builder_begin_object (builder);
  add_file_members (builder, layer->path, S_ISBLK (layer->stamp.st_mode));
  json_builder_end_object (builder);
  json_builder_end_object (builder);

  if (!add_node (daemon, builder, &refusal))
    return error_set (error, refusal->code, "disk %s: cannot open layer %u, "
                      "%s: %s", disk->target, index, layer->path,
                      refusal->message);
  return image_chain_unchanged (layer, error);
}

/* One entry of query-named-block-nodes' "dirty-bitmaps" (BlockDirtyInfo). */
static Bitmap *
bitmap_from_qmp (JsonObject *object)
{
  Bitmap *bitmap = bitmap_new (
    json_object_get_string_member_with_default (object, "name", ""));

  bitmap->granularity = (guint64)
    json_object_get_int_member_with_default (object, "granularity", 0);
  bitmap->dirty_bytes = (guint64)
    json_object_get_int_member_with_default (object, "count", 0);
  bitmap->counted = true;
  bitmap->recording
    = json_object_get_boolean_member_with_default (object, "recording", FALSE);
  bitmap->inconsistent
    = json_object_get_boolean_member_with_default (object, "inconsistent",
                                                   FALSE);
  return bitmap;
}

static JsonObject *
find_node (JsonArray *nodes, const char *wanted)
{
  for (guint i = 0; i < json_array_get_length (nodes); i++) {
    JsonObject *object = json_array_get_object_element (nodes, i);
    const char *name = json_object_get_string_member_with_default (
      object, "node-name", "");
    if (strcmp (name, wanted) == 0)
      return object;
  }
  return NULL;
}

/* A block device has no time of change: its size must still be the same. */
static bool
has_size (JsonObject *node, guint64 size)
{
  JsonObject *image = json_object_has_member (node, "image")
    ? json_object_get_object_member (node, "image") : NULL;

  return image
    && (guint64) json_object_get_int_member_with_default (
      image, "virtual-size", -1) == size;
}

static bool
update_layer (Layer *layer, JsonArray *nodes, const char *name,
              GError **error)
{
  JsonObject *node = find_node (nodes, name);

  if (!node || !has_size (node, layer->size))
    return error_set (error, EBUSY, "%s changed while it was being opened; "
                      "is a guest using it?  Try again", layer->path);
  g_ptr_array_set_size (layer->bitmaps, 0);
  if (!json_object_has_member (node, "dirty-bitmaps"))
    return true;
  JsonArray *bitmaps = json_object_get_array_member (node, "dirty-bitmaps");
  for (guint i = 0; i < json_array_get_length (bitmaps); i++) {
    Bitmap *bitmap
      = bitmap_from_qmp (json_array_get_object_element (bitmaps, i));
    bitmap->dirty_bytes = MIN (bitmap->dirty_bytes, layer->size);
    g_ptr_array_add (layer->bitmaps, bitmap);
  }
  return true;
}

bool
storage_daemon_try (StorageDaemon *daemon, const char *path,
                    bool is_block_device, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&daemon->lock);
  g_autofree char *node = g_strdup_printf ("t%u", daemon->tried++);
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (GError) refusal = NULL;

  if (!is_ready (daemon, error))
    return false;
  json_builder_begin_object (builder);
  begin_member (builder, "node-name", node);
  add_file_members (builder, path, is_block_device);
  json_builder_end_object (builder);
  return add_node (daemon, builder, &refusal)
    || error_set (error, refusal->code, "the private qemu-storage-daemon "
                  "cannot open %s: %s", path, refusal->message);
}

bool
storage_daemon_open (StorageDaemon *daemon, Disk *disk, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&daemon->lock);
  g_autoptr (JsonNode) answer = NULL;
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  if (!is_ready (daemon, error))
    return false;
  for (guint i = disk->layers->len; i > 0; i--)
    if (!open_layer (daemon, disk, i - 1, error))
      return false;

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "flat");
  json_builder_add_boolean_value (builder, TRUE);
  json_builder_end_object (builder);
  if (!qmp_execute (daemon->qmp, "query-named-block-nodes",
                    json_builder_get_root (builder), &answer, error))
    return false;
  for (guint i = 0; i < disk->layers->len; i++) {
    g_autofree char *node = node_name (disk, i);
    if (!update_layer (g_ptr_array_index (disk->layers, i),
                       json_node_get_array (answer), node, error))
      return false;
  }
  return true;
}

static bool
add_export (StorageDaemon *daemon, const char *top, const char *node,
            const char *bitmap, const char *name, GError **error)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  begin_member (builder, "type", "nbd");
  begin_member (builder, "id", name);
  begin_member (builder, "name", name);
  begin_member (builder, "node-name", top);
  json_builder_set_member_name (builder, "writable");
  json_builder_add_boolean_value (builder, FALSE);
  json_builder_set_member_name (builder, "allocation-depth");
  json_builder_add_boolean_value (builder, TRUE);
  if (bitmap) {
    json_builder_set_member_name (builder, "bitmaps");
    json_builder_begin_array (builder);
    json_builder_begin_object (builder);
    begin_member (builder, "node", node);
    begin_member (builder, "name", bitmap);
    json_builder_end_object (builder);
    json_builder_end_array (builder);
  }
  json_builder_end_object (builder);
  return qmp_execute (daemon->qmp, "block-export-add",
                      json_builder_get_root (builder), NULL, error);
}

/* The name of the export for key, made now if it is new. */
static const char *
find_or_add_export (StorageDaemon *daemon, const char *top, const char *node,
                    const char *bitmap, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&daemon->lock);
  g_autofree char *key = bitmap
    ? g_strconcat (node, "/", bitmap, NULL) : g_strdup (top);
  const char *known = g_hash_table_lookup (daemon->exports, key);

  if (known)
    return known;
  g_autofree char *name = g_strdup_printf ("e%u", daemon->exports_tried++);
  if (!add_export (daemon, top, node, bitmap, name, error))
    return NULL;
  known = name;
  g_hash_table_insert (daemon->exports, g_steal_pointer (&key),
                       g_steal_pointer (&name));
  return known;
}

bool
storage_daemon_export (StorageDaemon *daemon, const Disk *disk, guint layer,
                       const char *bitmap, NbdEndpoint *endpoint,
                       GError **error)
{
  g_autofree char *top = node_name (disk, 0);
  g_autofree char *node = node_name (disk, layer);
  const Layer *at = disk_layer (disk, layer);
  g_autoptr (GError) refusal = NULL;
  const char *name
    = find_or_add_export (daemon, top, node, bitmap, &refusal);

  if (!name)
    return error_set (error, refusal->code, "disk %s: cannot export %s%s of "
                      "%s: %s", disk->target, bitmap ? "bitmap " : "",
                      bitmap ? bitmap : "the allocation", at->path,
                      refusal->message);
  endpoint->socket
    = g_strdup_printf ("/proc/self/fd/%d", daemon->socket_path_fd);
  endpoint->export_name = g_strdup (name);
  endpoint->bitmap_context
    = bitmap ? g_strconcat (NBD_CONTEXT_BITMAP, bitmap, NULL) : NULL;
  endpoint->depth = layer + 1;
  /* A bitmap of a shorter layer is silent about what lies beyond it. */
  endpoint->dirty_from = at->size;
  endpoint->private_server = true;
  endpoint->what = g_strdup_printf ("disk %s (%s, bitmap %s)", disk->target,
                                    at->path, bitmap ? bitmap : "none");
  return true;
}
