/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Start and end the daemon, and make its exports.  Its socket is bound in a
 * folder that exists for a moment only.  Once an O_PATH descriptor to the
 * socket is open, name and folder are removed; connect (2) through
 * /proc/self/fd finds it all the same, and nobody else can.  (An abstract
 * socket would be open to every local user, and QEMU 7.2's storage daemon
 * leaves the file behind when it is terminated.)
 *
 * Exports are made over QMP as they are wanted: hundreds of checkpoints do not
 * slow the start, and QEMU's refusals come with its own words.  Source: QEMU
 * 7.2 qapi/block-export.json.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <json-glib/json-glib.h>

#include "base/child.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/on-quit.h"
#include "base/own-folder.h"
#include "nbd/pool.h"
#include "qemu/qmp.h"
#include "qemu/storage-daemon.h"
#include "qemu/storage-nodes.h"

/* It has nothing to save. */
#define STOP_GRACE_MS 2000
/* It waits for its own reads, from far away perhaps, and somebody for us. */
#define QUIT_GRACE_MS 200

struct StorageDaemon {
  Child child;
  NbdLife *life;                /* borrowed */
  uid_t user;                   /* whose it is */
  gid_t group;
  int socket_path_fd;           /* O_PATH; -1 if none */
  NbdTurnstile turnstile;       /* none connects while an export is added */
  GMutex lock;                  /* guards what follows */
  Qmp *qmp;                     /* NULL until the first file is opened */
  GHashTable *exports;          /* "node/bitmap" or "node" → export name */
  guint exports_tried;          /* names are never used again: an export whose
                                 * making was not answered may exist */
};

/* Returns a listening socket in that folder, or -1.  *path_fd is how to reach
 * it: its name is removed before anybody can know of it.
 */
static int
listen_in (const char *folder, int *path_fd, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  const int length = snprintf (address.sun_path, sizeof address.sun_path,
                               "%s/" OWN_SOCKET, folder);

  if (length >= (int) sizeof address.sun_path) {
    error_set (error, ENAMETOOLONG, "the temporary folder %s is too long a "
               "name for a socket; set TMPDIR to a shorter one", folder);
    return -1;
  }
  auto_fd fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && bind (fd, (struct sockaddr *) &address, sizeof address) == 0
      && (*path_fd = open (address.sun_path, O_PATH | O_CLOEXEC)) >= 0
      && listen (fd, SOMAXCONN) == 0)
    return g_steal_fd (&fd);
  error_set (error, errno, "cannot make a private socket in %s: %s", folder,
             g_strerror (errno));
  return -1;
}

/* Only SIGKILL leaves the folder behind, for the next start to remove. */
static int
listen_unnamed (int *path_fd, GError **error)
{
  g_autofree char *name = own_folder_name ();
  g_autofree char *path = g_build_filename (g_get_tmp_dir (), name, NULL);
  OwnFolder folder = OWN_FOLDER_INIT;
  sigset_t all, before;
  int fd = -1;

  own_folder_sweep (g_get_tmp_dir (), geteuid ());
  sigfillset (&all);
  pthread_sigmask (SIG_BLOCK, &all, &before);
  if (own_folder_make (&folder, path, error))
    fd = listen_in (path, path_fd, error);
  own_folder_remove (&folder);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  return fd;
}

/* QEMU is spoken to in JSON, in which a name that is not UTF-8 cannot be said.
 * It opens such a file anew, with its own rights, through /proc/self/fd.
 */
static void
pass_file (ImageFile *file, GArray *fds)
{
  if (!file || g_utf8_validate (file->path, -1, NULL))
    return;
  file->daemon_fd = CHILD_FD (fds->len);
  g_array_append_val (fds, file->fd);
}

/* Not by the monitor: copies of its commands stay in memory that was freed. */
static void
pass_secrets (const Disk *disk, GArray *fds)
{
  for (guint i = 0; disk->secrets && i < disk->secrets->len; i++) {
    const int fd = secret_pass (g_ptr_array_index (disk->secrets, i),
                                CHILD_FD (fds->len));
    g_array_append_val (fds, fd);
  }
}

static void
pass_files (const GPtrArray *disks, GArray *fds)
{
  for (guint i = 0; i < disks->len; i++) {
    const Disk *disk = g_ptr_array_index (disks, i);
    pass_secrets (disk, fds);
    for (guint j = 0; j < disk->layers->len; j++) {
      pass_file (disk_layer (disk, j)->file, fds);
      pass_file (disk_layer (disk, j)->data, fds);
    }
  }
}

StorageDaemon *
storage_daemon_start (NbdLife *life, const GPtrArray *disks, GError **error)
{
  static const char *const argv[] = {
    "qemu-storage-daemon",
    "--chardev", "stdio,id=qmp", "--monitor", "chardev=qmp",
    "--nbd-server", "addr.type=fd,addr.str=3,max-connections=0",
    NULL
  };
  StorageDaemon *daemon = g_new0 (StorageDaemon, 1);

  daemon->child = (Child) CHILD_INIT;
  daemon->life = life;
  daemon->user = geteuid ();
  daemon->group = getegid ();
  daemon->socket_path_fd = -1;
  g_mutex_init (&daemon->lock);
  nbd_turnstile_init (&daemon->turnstile);
  daemon->exports
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);

  auto_fd fd = listen_unnamed (&daemon->socket_path_fd, error);
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  g_array_append_vals (fds, &fd, 1);
  pass_files (disks, fds);
  if (fd >= 0 && child_start (argv, &g_array_index (fds, int, 0), fds->len,
                              CHILD_KILLED, &daemon->child, error))
    return daemon;
  storage_daemon_stop (daemon);
  return NULL;
}

bool
storage_daemon_is_ours (const StorageDaemon *daemon)
{
  return daemon->user == geteuid () && daemon->group == getegid ();
}

void
storage_daemon_stop (StorageDaemon *daemon)
{
  if (!daemon)
    return;
  /* A signal of ours might not reach it. */
  if (daemon->qmp && !storage_daemon_is_ours (daemon))
    qmp_execute (daemon->qmp, "quit", NULL, NULL, NULL);
  qmp_free (daemon->qmp);
  child_stop (&daemon->child, g_atomic_int_get (on_quit_flag ())
              ? QUIT_GRACE_MS : STOP_GRACE_MS);
  close_fd (&daemon->socket_path_fd);
  g_hash_table_unref (daemon->exports);
  g_mutex_clear (&daemon->lock);
  nbd_turnstile_clear (&daemon->turnstile);
  g_free (daemon);
}

Child *
storage_daemon_child (StorageDaemon *daemon)
{
  return &daemon->child;
}

static bool
add_export (StorageDaemon *daemon, const char *top, const char *node,
            const char *bitmap, const char *name, GError **error)
{
  JsonObject *export = json_object_new ();

  json_object_set_string_member (export, "type", "nbd");
  json_object_set_string_member (export, "id", name);
  json_object_set_string_member (export, "name", name);
  json_object_set_string_member (export, "node-name", top);
  json_object_set_boolean_member (export, "writable", false);
  json_object_set_boolean_member (export, "allocation-depth", true);
  if (bitmap) {
    JsonArray *bitmaps = json_array_new ();
    JsonObject *one = json_object_new ();
    json_object_set_string_member (one, "node", node);
    json_object_set_string_member (one, "name", bitmap);
    json_array_add_object_element (bitmaps, one);
    json_object_set_array_member (export, "bitmaps", bitmaps);
  }
  nbd_turnstile_clear_out (&daemon->turnstile);
  const bool added = qmp_execute (daemon->qmp, "block-export-add", export,
                                  NULL, error);
  nbd_turnstile_open (&daemon->turnstile);
  return added;
}

/* Where its exports are, and who serves them. */
static void
say_where (StorageDaemon *daemon, const char *name, NbdEndpoint *endpoint)
{
  endpoint->socket
    = g_strdup_printf ("/proc/self/fd/%d", daemon->socket_path_fd);
  endpoint->export_name = g_strdup (name);
  endpoint->life = daemon->life;
  endpoint->server = &daemon->child;
  endpoint->turnstile = &daemon->turnstile;
}

/* The export is left: nobody else can ask for it.  On a life of its own, for that
 * of the source gets a thread when bytes are waited for, and would not have it
 * any more after nbdkit has forked.
 */
static bool
read_node (void *opaque, const char *node, guint8 *bytes, gsize *length,
           GError **error)
{
  StorageDaemon *daemon = opaque;
  g_autofree char *name = g_strdup_printf ("e%u", daemon->exports_tried++);
  NbdEndpoint endpoint = { .single = true };

  if (!add_export (daemon, node, NULL, NULL, name, error))
    return false;
  say_where (daemon, name, &endpoint);
  endpoint.what = g_strdup (node);
  g_autoptr (NbdLife) life = nbd_life_new (on_quit_flag (), 0);
  endpoint.life = life;
  g_autoptr (NbdPool) pool = nbd_pool_open (&endpoint, false, error);
  nbd_endpoint_clear (&endpoint);
  if (!pool)
    return false;
  NbdBudget budget = nbd_life_budget (life);
  *length = MIN (*length, nbd_pool_size (pool));
  const int failure = nbd_pool_pread (pool, bytes, (guint32) *length, 0,
                                      &budget, error);
  if (failure == 0)
    return true;
  return (error && *error) ? false
    : error_set (error, failure, "%s", g_strerror (failure));
}

/* One that does not answer may have said why. */
static bool
with_last_words (StorageDaemon *daemon, const GError *refusal, GError **error)
{
  g_autofree char *words
    = refusal->code == EIO ? child_says (&daemon->child) : NULL;

  error_set (error, refusal->code, "%s%s%s", refusal->message,
             words ? ": " : "", words ? words : "");
  return error_advise_as (error, refusal);
}

bool
storage_daemon_open (StorageDaemon *daemon, Disk *disk, bool uncached,
                     GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&daemon->lock);
  g_autoptr (GError) refusal = NULL;

  if (!daemon->qmp)
    daemon->qmp = qmp_new ("the private qemu-storage-daemon",
                           daemon->child.out, daemon->child.in, daemon->life,
                           &refusal);
  StorageNodes nodes = { .qmp = daemon->qmp, .disk = disk, .uncached = uncached,
                         .read = read_node, .opaque = daemon };
  if (daemon->qmp && storage_nodes_open (&nodes, &refusal))
    return true;
  return with_last_words (daemon, refusal, error);
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
  g_autofree char *top = storage_node_name (disk, 0);
  g_autofree char *node = storage_node_name (disk, layer);
  const Layer *at = disk_layer (disk, layer);
  g_autoptr (GError) refusal = NULL;
  const char *name
    = find_or_add_export (daemon, top, node, bitmap, &refusal);

  if (!name) {
    g_prefix_error (&refusal, "disk %s: cannot export %s%s of %s: ",
                    disk->target, bitmap ? "bitmap " : "",
                    bitmap ? bitmap : "the allocation", at->path);
    return with_last_words (daemon, refusal, error);
  }
  say_where (daemon, name, endpoint);
  endpoint->what = g_strdup_printf ("disk %s (%s, bitmap %s)", disk->target,
                                    at->path, bitmap ? bitmap : "none");
  return true;
}
