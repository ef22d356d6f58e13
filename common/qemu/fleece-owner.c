/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Whose is a fleecing job?  Ours is what bears a mark of ours; and its owner lives
 * as long as the folder of that name, in which its socket is, is locked.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/json-text.h"
#include "qemu/fleece-kept.h"

typedef enum { OWNER_ALIVE, OWNER_DEAD, OWNER_UNKNOWN } Owner;

/* All names in QEMU that bear a mark of ours, or one mark. */
typedef struct {
  const char *wanted;           /* NULL: any */
  GPtrArray *jobs, *exports, *nodes; /* of char *: owned */
  GHashTable *marks;
  bool has_guests;              /* exports of others' in QEMU's NBD server */
} Found;

static void
found_clear (Found *found)
{
  g_clear_pointer (&found->jobs, g_ptr_array_unref);
  g_clear_pointer (&found->exports, g_ptr_array_unref);
  g_clear_pointer (&found->nodes, g_ptr_array_unref);
  g_clear_pointer (&found->marks, g_hash_table_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Found, found_clear)

/* Takes mark.  Is it one that was looked for? */
static bool
note (Found *found, GPtrArray *names, const char *name, char *mark)
{
  if (mark && (!found->wanted || strcmp (mark, found->wanted) == 0)) {
    g_ptr_array_add (names, g_strdup (name));
    g_hash_table_add (found->marks, mark);
    return true;
  }
  g_free (mark);
  return false;
}

static bool
look_for (Found *found, Qmp *qmp, const char *mark, GError **error)
{
  JsonObject *flat = json_object_new ();

  found->wanted = mark;
  found->jobs = g_ptr_array_new_with_free_func (g_free);
  found->exports = g_ptr_array_new_with_free_func (g_free);
  found->nodes = g_ptr_array_new_with_free_func (g_free);
  found->marks = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  json_object_set_boolean_member (flat, "flat", true);
  g_autoptr (JsonNode) nodes
    = fleece_ask (qmp, "query-named-block-nodes", flat, error);
  g_autoptr (JsonNode) jobs
    = nodes ? fleece_ask (qmp, "query-jobs", NULL, error) : NULL;
  g_autoptr (JsonNode) exports
    = jobs ? fleece_ask (qmp, "query-block-exports", NULL, error) : NULL;
  if (!exports)
    return false;
  const struct {
    JsonNode *answer;
    const char *member;
    GPtrArray *names;
    char *(*mark_of) (const char *name);
  } kinds[] = {
    { nodes, "node-name", found->nodes, fleece_mark_of_node },
    { jobs, "id", found->jobs, fleece_mark_of_id },
    { exports, "id", found->exports, fleece_mark_of_id },
  };
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++) {
    JsonArray *array = json_text_node_array (kinds[i].answer);
    for (guint j = 0; array && j < json_array_get_length (array); j++) {
      JsonObject *one = json_text_element (array, j);
      const char *name = json_text_string (one, kinds[i].member, "");
      const bool is_ours
        = note (found, kinds[i].names, name, kinds[i].mark_of (name));
      found->has_guests |= !is_ours && kinds[i].answer == exports
        && strcmp (json_text_string (one, "type", ""), "nbd") == 0;
    }
  }
  return true;
}

JsonNode *
fleece_ask (Qmp *qmp, const char *command, JsonObject *arguments,
            GError **error)
{
  g_autoptr (JsonNode) answer = NULL;

  if (!qmp_execute (qmp, command, arguments, &answer, error))
    return NULL;
  return JSON_NODE_HOLDS_ARRAY (answer) ? g_steal_pointer (&answer)
    : error_null (error, EPROTO, "QEMU's answer to %s is not understood",
                  command);
}

/* ── Undo ── */

/* Images first, which are on top of the files. */
static bool
delete_nodes (Qmp *qmp, const Found *found, char kind, GError **error)
{
  for (guint i = 0; i < found->nodes->len; i++) {
    const char *node = g_ptr_array_index (found->nodes, i);
    if (node[strlen (node) - 1] == kind
        && !qmp_execute (qmp, "blockdev-del",
                         qmp_texts ("node-name", node, NULL), NULL, error))
      return false;
  }
  return true;
}

/* One export after another, and the next when it is gone.  With nbd-server-stop all go
 * at once, and QEMU 7.2 lets go of their clients in its main thread and in the disk's
 * iothread without a lock (nbd/server.c, nbd_client_put): after a snapshot one guest in
 * a dozen died of it (test-qmp-iothread-ends.sh).
 */
static bool
stop_export (Qmp *qmp, const char *id, GError **error)
{
  g_autoptr (GError) why = NULL;

  if (!qmp_execute (qmp, "block-export-del",
                    qmp_texts ("id", id, "mode", "hard", NULL), NULL, &why)
      && why->code == EIO) {
    g_propagate_error (error, g_steal_pointer (&why));
    return false;
  }
  return error_set (error, EBUSY, "the export %s does not end%s%s", id,
                    why ? ": " : "", why ? why->message : "");
}

/* Another program may have put an export of its own into QEMU's server, which then
 * stays; or have stopped it.
 */
static bool
stop_server (Qmp *qmp, const Found *found, bool *has_server, GError **error)
{
  g_autoptr (GError) why = NULL;
  const bool stops = *has_server && !found->has_guests;

  *has_server = false;
  if (!stops || qmp_execute (qmp, "nbd-server-stop", NULL, NULL, &why)
      || why->code != EIO)
    return true;
  g_propagate_error (error, g_steal_pointer (&why));
  return false;
}

/* Jobs first: while they run, no connection may be closed (keeper/held.c), and no
 * node be deleted.  What QEMU refuses now, it may do a moment later.
 */
static bool
undo_step (Qmp *qmp, const Found *found, bool *has_server, GError **error)
{
  for (guint i = 0; i < found->jobs->len; i++) {
    const char *id = g_ptr_array_index (found->jobs, i);
    if (!qmp_execute (qmp, "job-cancel", qmp_texts ("id", id, NULL), NULL,
                      NULL))
      qmp_execute (qmp, "job-dismiss", qmp_texts ("id", id, NULL), NULL, NULL);
  }
  if (found->jobs->len > 0)
    return error_set (error, EBUSY, "the job %s does not end",
                      (const char *) g_ptr_array_index (found->jobs, 0));
  if (found->exports->len > 0) {
    *has_server = true;
    return stop_export (qmp, g_ptr_array_index (found->exports, 0), error);
  }
  if (!stop_server (qmp, found, has_server, error))
    return false;
  return delete_nodes (qmp, found, FLEECE_NODE_IMAGE, error)
    && delete_nodes (qmp, found, FLEECE_NODE_FILE, error)
    && delete_nodes (qmp, found, FLEECE_NODE_BITS, error);
}

bool
fleece_undo (Qmp *qmp, const char *mark, bool has_server, GError **error)
{
  gint64 deadline = 0;
  guint exports = G_MAXUINT;

  for (;;) {
    g_auto (Found) found = { 0 };
    g_autoptr (GError) why = NULL;
    if (!look_for (&found, qmp, mark, error))
      return false;
    if (g_hash_table_size (found.marks) == 0 && !has_server)
      return true;
    if (found.exports->len < exports) { /* each has its time */
      exports = found.exports->len;
      deadline = g_get_monotonic_time () + FLEECE_GONE_MS * 1000LL;
    }
    const bool ok = undo_step (qmp, &found, &has_server, &why);
    const bool late = g_get_monotonic_time () > deadline;
    if (ok && late)             /* what the job was to take away */
      return error_set (error, EBUSY, "something of the job %s stays", mark);
    if (!ok && (why->code == EIO || late)) {
      g_propagate_error (error, g_steal_pointer (&why));
      return false;
    }
    g_usleep (FLEECE_POLL_MS * 1000);
  }
}

/* ── What is there already ── */

/* The folder of that mark, locked, if its maker is dead.  Somebody may have swept
 * one away in which there was no server yet; then nobody reads what there is, and
 * one that lives, and has its folder elsewhere, will say that it was disturbed.
 */
static Owner
owner_of (const KeptFleece *kept, const Found *found, const char *mark,
          OwnFolder *folder, const char **why)
{
  g_autofree char *parent = g_path_get_dirname (kept->plan->folder);
  g_autofree char *path = g_build_filename (parent, mark, NULL);
  auto_fd fd = open (path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat status;

  folder->path = g_strdup (path);
  folder->fd = -1;
  if (fd < 0 && errno == ENOENT && found->jobs->len == 0
      && found->exports->len == 0)
    return OWNER_DEAD;
  if (fd >= 0 && fstat (fd, &status) == 0 && status.st_uid != geteuid ()
      && status.st_uid != kept->user) {
    *why = "another user's folder";
    return OWNER_UNKNOWN;
  }
  if (fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) == 0) {
    folder->fd = g_steal_fd (&fd);
    return OWNER_DEAD;
  }
  if (fd >= 0 && errno == EWOULDBLOCK)
    return OWNER_ALIVE;
  *why = g_strerror (errno);
  return OWNER_UNKNOWN;
}

/* What to type to end all that was found.  QEMU tells of the youngest node first,
 * which is on top of older ones.
 */
static char *
end_found (const KeptFleece *kept, const Found *found, bool has_server)
{
  g_autoptr (GPtrArray) nodes = g_ptr_array_new ();

  for (guint i = 0; i < found->nodes->len; i++) {
    const char *node = g_ptr_array_index (found->nodes, i);
    if (node[strlen (node) - 1] != FLEECE_NODE_FILTER)
      g_ptr_array_add (nodes, (gpointer) node);
  }
  const bool stops = (has_server || found->exports->len > 0)
    && !found->has_guests;
  return fleece_end_names_by_hand (kept->path, found->jobs, found->exports,
                                   stops, nodes);
}

static bool
refuse (const KeptFleece *kept, const char *command, Owner owner,
        const char *folder, const char *why, GError **error)
{

  if (owner == OWNER_ALIVE)
    return error_set (error, EBUSY, "the QEMU at %s is being served by another "
                      "of our servers (or one that QEMU did not answer is still "
                      "ending its job), which holds %s; wait until it has ended",
                      kept->path, folder)
      || error_sort (error, REASON_JOB_SERVED, folder)
      || error_advise (error, REMEDY_SEE_OTHERS, NULL);
  if (owner == OWNER_UNKNOWN)
    return error_set (error, EBUSY, "the QEMU at %s has a backup job of one of "
                      "our servers that cannot be looked at from here (%s: %s), "
                      "so it may be alive; wait until it has ended, or if it "
                      "was killed: %s", kept->path, folder, why, command)
      || error_sort (error, REASON_JOB_UNKNOWN, folder);
  error_set (error, EBUSY, "the QEMU at %s has a backup job that one of our "
             "servers left behind when it was killed", kept->path);
  error_sort (error, REASON_JOB_LEFT, folder);
  return error_advise (error, REMEDY_TAKE_OVER, command, folder, NULL);
}

/* One of the marks that were found, of which there is hardly ever a second. */
static bool
clear_one (const KeptFleece *kept, const Found *found, const char *mark,
           GError **error)
{
  OwnFolder folder = OWN_FOLDER_INIT;
  const char *why = NULL;
  const Owner owner = owner_of (kept, found, mark, &folder, &why);
  const bool has_server = own_folder_has_server (&folder);
  g_autofree char *command = end_found (kept, found, has_server);
  const bool ok = owner == OWNER_DEAD && kept->plan->take_over
    ? fleece_undo (monitor_qmp (kept->monitor), mark, has_server, error)
    : refuse (kept, command, owner, folder.path, why, error);

  if (ok)
    own_folder_remove (&folder);
  close_fd (&folder.fd);
  g_free (folder.path);
  return ok;
}

bool
fleece_clear_way (const KeptFleece *kept, GError **error)
{
  g_auto (Found) found = { 0 };
  GHashTableIter iter;
  gpointer mark;

  if (!look_for (&found, monitor_qmp (kept->monitor), NULL, error))
    return false;
  g_hash_table_iter_init (&iter, found.marks);
  while (g_hash_table_iter_next (&iter, &mark, NULL))
    if (strcmp (mark, kept->plan->mark) != 0
        && !clear_one (kept, &found, mark, error))
      return false;
  return true;
}
