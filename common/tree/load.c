/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Load a tree from a directory.  As in libvirt's loader, one bad file must not
 * hide the good ones, but unlike there each is reported: a checkpoint that is
 * missing in the tree is a backup that starts from the wrong place.
 */

#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/nearest.h"
#include "tree/load.h"
#include "tree/store.h"

/* Blocking is what O_NONBLOCK prevents for a FIFO without a writer. */
#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)

/* How many names an error message shows, and how many subdirectories are
 * looked into to find them. */
#define SHOWN_NAMES 5
#define MAX_SUBDIRECTORIES 1000

/* What one load is about; all is borrowed. */
typedef struct Loader {
  const char *domain;
  Forest *forest;
  GPtrArray *skipped;
  guint skipped_before;         /* the caller's lines in it */
  GPtrArray *subdirectories;    /* char *, at most MAX_SUBDIRECTORIES */
  GHashTable *guests;           /* canonical UUID -> "NAME (UUID)" */
  char *buffer;                 /* CHECKPOINT_MAX_BYTES + 1 */
  guint64 bytes;                /* read so far */
  gint64 deadline;              /* monotonic, microseconds */
} Loader;

static void
close_directory (DIR *directory)
{
  if (directory)
    closedir (directory);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DIR, close_directory)

static bool
is_dots (const char *name)
{
  return strcmp (name, ".") == 0 || strcmp (name, "..") == 0;
}

/* virUUIDParse: case does not matter, dashes and blanks are free. */
static char *
canonical_uuid (const char *text)
{
  GString *uuid = g_string_new (NULL);

  for (; *text != '\0'; text++)
    if (*text != '-' && *text != ' ')
      g_string_append_c (uuid, g_ascii_tolower (*text));
  return g_string_free (uuid, FALSE);
}

bool
tree_is_of_guest (const Checkpoint *checkpoint, const char *domain)
{
  const char *name = checkpoint->domain_name;
  g_autofree char *uuid = checkpoint->domain_uuid
    ? canonical_uuid (checkpoint->domain_uuid) : NULL;
  g_autofree char *wanted = canonical_uuid (domain);

  return (!name && !uuid) || g_strcmp0 (name, domain) == 0
    || g_strcmp0 (uuid, wanted) == 0;
}

/* Is the document the wanted guest's?  Which guests were let in is kept: a
 * guest that was made anew has its predecessor's name, but not its disks.
 */
static bool
check_guest (Loader *loader, const Checkpoint *checkpoint, GError **error)
{
  const char *name = checkpoint->domain_name;
  g_autofree char *uuid = checkpoint->domain_uuid != NULL
    ? canonical_uuid (checkpoint->domain_uuid) : NULL;

  if (loader->domain && !tree_is_of_guest (checkpoint, loader->domain))
    return error_set (error, EINVAL, "is a checkpoint of the guest '%.64s' "
                      "(%s), not of %s", name ? name : "?",
                      uuid ? checkpoint->domain_uuid : "no UUID",
                      loader->domain);
  if (uuid && !g_hash_table_contains (loader->guests, uuid))
    g_hash_table_insert (loader->guests, g_steal_pointer (&uuid),
                         g_strdup_printf ("%s (%s)", name ? name : "?",
                                          checkpoint->domain_uuid));
  return true;
}

/* Read fd, which may grow meanwhile, into the buffer. */
static bool
read_file (Loader *loader, int fd, gsize *length, GError **error)
{
  struct stat status;

  if (fstat (fd, &status) == -1)
    return error_set (error, errno, "cannot be examined: %s",
                      g_strerror (errno));
  if (!S_ISREG (status.st_mode))
    return error_set (error, EINVAL, "is no regular file");

  *length = 0;
  while (*length <= CHECKPOINT_MAX_BYTES) {
    const ssize_t n = read (fd, loader->buffer + *length,
                            CHECKPOINT_MAX_BYTES + 1 - *length);

    if (n == 0)
      return true;
    if (n == -1 && errno != EINTR)
      return error_set (error, errno, "cannot be read: %s",
                        g_strerror (errno));
    if (n > 0) {
      *length += n;
      loader->bytes += n;
    }
  }
  return error_set (error, EFBIG, "is larger than the %d bytes libvirt takes; "
                    "is it a checkpoint?", CHECKPOINT_MAX_BYTES);
}

/* Errors do not name the file yet.  path: taken. */
static bool
load_fd (Loader *loader, int fd, char *path, GError **error)
{
  g_autofree char *file = path;
  g_autoptr (Checkpoint) checkpoint = NULL;
  gsize length = 0;

  if (!read_file (loader, fd, &length, error))
    return false;
  checkpoint = checkpoint_parse (loader->buffer, length,
                                 CHECKPOINT_PARSE_DEFAULT, error);
  if (!checkpoint || !check_guest (loader, checkpoint, error)
      || !forest_add (loader->forest, checkpoint, error))
    return false;
  g_steal_pointer (&checkpoint)->file = g_steal_pointer (&file);
  return true;
}

/* Load one entry of a directory.  Other kinds of files are not even opened,
 * for opening a device can have effects. */
static bool
load_entry (Loader *loader, int directory, const char *path, const char *name,
            GError **error)
{
  struct stat status;

  if (fstatat (directory, name, &status, 0) == -1)
    return error_set (error, errno, "cannot be examined: %s",
                      g_strerror (errno));
  if (S_ISDIR (status.st_mode)) {
    if (loader->subdirectories->len < MAX_SUBDIRECTORIES)
      g_ptr_array_add (loader->subdirectories, g_strdup (name));
    return true;
  }
  if (!S_ISREG (status.st_mode))
    return error_set (error, EINVAL, "is no regular file");
  auto_fd fd = openat (directory, name, OPEN_FLAGS);
  if (fd == -1)
    return error_set (error, errno, "cannot be opened: %s",
                      g_strerror (errno));
  return load_fd (loader, fd, g_build_filename (path, name, NULL), error);
}

static int
compare_strings (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* The names in a directory (char *), sorted. */
static GPtrArray *
list_directory (DIR *directory, const char *path, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const struct dirent *found;

  while (errno = 0, (found = readdir (directory)) != NULL) {
    if (is_dots (found->d_name))
      continue;
    if (names->len >= TREE_LOAD_MAX_FILES)
      return error_null (error, E2BIG, "'%s' has more than %d files; is it a "
                         "directory of checkpoints?", path,
                         TREE_LOAD_MAX_FILES);
    g_ptr_array_add (names, g_strdup (found->d_name));
  }
  if (errno != 0)
    return error_null (error, errno, "cannot read the directory '%s': %s",
                       path, g_strerror (errno));
  g_ptr_array_sort (names, compare_strings);
  return g_steal_pointer (&names);
}

static bool
has_entries (const char *parent, const char *name)
{
  g_autofree char *path = g_build_filename (parent, name, NULL);
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);

  return directory && g_dir_read_name (directory);
}

/* Nothing was loaded: say why, and where checkpoints could be. */
static bool
nothing_found (const Loader *loader, const char *path, GError **error)
{
  g_autoptr (GPtrArray) candidates = g_ptr_array_new ();
  g_autofree char *names = NULL;
  const guint bad = loader->skipped->len - loader->skipped_before;

  for (guint i = 0; i < loader->subdirectories->len; i++) {
    char *name = g_ptr_array_index (loader->subdirectories, i);
    if (has_entries (path, name))
      g_ptr_array_add (candidates, name);
  }
  if (candidates->len > 0) {
    names = nearest_names (loader->domain, candidates, SHOWN_NAMES);
    error_set (error, ENOENT, "no checkpoint in '%s'%s%s%s", path,
               loader->domain ? " of guest '" : "",
               loader->domain ? loader->domain : "",
               loader->domain ? "'" : "");
    return error_advise (error, REMEDY_NAME_GUEST, names, NULL);
  }
  if (bad > 0)
    return error_set (error, ENOENT, "no checkpoint in '%s'; of the %u files "
                      "there none can be used, the first: %s", path,
                      bad, (char *) g_ptr_array_index (
                        loader->skipped, loader->skipped_before));
  return error_set (error, ENOENT, "no checkpoint in '%s', which is empty; "
                    "make one with 'qemu-checkpoint create', or is it "
                    "another directory?", path);
}

/* Between two files. */
static bool
check_bounds (const Loader *loader, const char *path, GError **error)
{
  if (loader->bytes > TREE_LOAD_MAX_BYTES)
    return error_set (error, E2BIG, "the checkpoint tree is not used: the files "
                      "in '%s', or what they link to, have more than %d MiB; "
                      "does it hold one guest's checkpoints only?", path,
                      TREE_LOAD_MAX_BYTES / 1024 / 1024);
  if (g_get_monotonic_time () > loader->deadline)
    return error_set (error, ETIMEDOUT, "the checkpoint tree is not used: the "
                      "files in '%s' could not be read within %d s; does it "
                      "hold one guest's checkpoints only?", path,
                      TREE_LOAD_MAX_SECONDS);
  return true;
}

static bool
load_directory (Loader *loader, DIR *directory, const char *path,
                GError **error)
{
  g_autoptr (GPtrArray) names = list_directory (directory, path, error);

  if (!names)
    return false;
  for (guint i = 0; i < names->len; i++) {
    const char *name = g_ptr_array_index (names, i);
    g_autoptr (GError) reason = NULL;
    g_autoptr (GError) line = NULL;

    if (!check_bounds (loader, path, error))
      return false;
    if (load_entry (loader, dirfd (directory), path, name, &reason))
      continue;
    error_set (&line, reason->code, "%s/%s: %s", path, name,
               reason->message);
    g_ptr_array_add (loader->skipped, g_strdup (line->message));
  }
  if (forest_size (loader->forest) == 0)
    return nothing_found (loader, path, error);
  return true;
}

static bool
load_path (Loader *loader, const char *path, GError **error)
{
  g_autoptr (DIR) directory = NULL;
  g_autoptr (GError) reason = NULL;
  auto_fd fd = open (path, OPEN_FLAGS);

  if (fd == -1) {
    const int failure = errno;
    g_autofree char *user = error_user ();
    return error_set (error, failure, "cannot open the checkpoint tree '%s': "
                      "%s; check the path, and that %s may read it", path,
                      g_strerror (failure), user);
  }
  directory = fdopendir (fd);
  if (directory != NULL) {
    g_steal_fd (&fd);
    return load_directory (loader, directory, path, error);
  }
  /* Not a directory. */
  return load_fd (loader, fd, g_strdup (path), &reason)
    || error_set (error, reason->code, "%s: %s", path,
                          reason->message);
}

/* Nothing tells which of several guests is meant. */
static bool
check_one_guest (const Loader *loader, const char *path, GError **error)
{
  g_autoptr (GPtrArray) guests = g_ptr_array_new ();
  g_autofree char *names = NULL;
  GHashTableIter iter;
  void *guest;

  if (g_hash_table_size (loader->guests) < 2)
    return true;
  g_hash_table_iter_init (&iter, loader->guests);
  while (g_hash_table_iter_next (&iter, NULL, &guest))
    g_ptr_array_add (guests, guest);
  g_ptr_array_sort (guests, compare_strings);
  names = nearest_names (NULL, guests, SHOWN_NAMES);
  error_set (error, EINVAL, "'%s' has checkpoints of several guests", path);
  return error_advise (error, REMEDY_NAME_GUEST, names, NULL);
}

Forest *
tree_load (const char *path, const char *domain, GPtrArray *skipped,
           GError **error)
{
  g_autoptr (Forest) forest = forest_new ();
  g_autoptr (GPtrArray) subdirectories
    = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GHashTable) guests
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autofree char *buffer = g_malloc (CHECKPOINT_MAX_BYTES + 1);
  g_autofree char *inner = NULL;
  Loader loader = {
    .domain = domain,
    .forest = forest,
    .skipped = skipped,
    .skipped_before = skipped->len,
    .subdirectories = subdirectories,
    .guests = guests,
    .buffer = buffer,
    .deadline = g_get_monotonic_time ()
      + TREE_LOAD_MAX_SECONDS * G_TIME_SPAN_SECOND,
  };

  /* A name with a slash could lead out of path; libvirt allows none. */
  if (domain && *domain != '\0' && !is_dots (domain)
      && strchr (domain, '/') == NULL) {
    inner = g_build_filename (path, domain, NULL);
    if (g_file_test (inner, G_FILE_TEST_IS_DIR))
      path = inner;
  }
  if (!load_path (&loader, path, error)
      || !check_one_guest (&loader, path, error))
    return NULL;
  forest_link (forest);
  return g_steal_pointer (&forest);
}

static bool
is_empty (const char *path)
{
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);

  return directory && !g_dir_read_name (directory);
}

Forest *
tree_load_or_new (const char *path, const char *domain, GPtrArray *skipped,
                  GError **error)
{
  const char *inner = store_find_inner (path, domain);
  g_autofree char *folder
    = inner ? g_build_filename (path, inner, NULL) : g_strdup (path);

  if (g_file_test (folder, G_FILE_TEST_EXISTS) && !is_empty (folder))
    return tree_load (path, domain, skipped, error);
  Forest *none = forest_new ();
  forest_link (none);
  return none;
}

char *
tree_load_document (const Checkpoint *checkpoint, gsize *length,
                    GError **error)
{
  g_autofree char *buffer = g_malloc (CHECKPOINT_MAX_BYTES + 2);
  Loader loader = { .buffer = buffer };
  const char *file = checkpoint->file;
  auto_fd fd = open (file, OPEN_FLAGS);

  if (fd == -1)
    return error_null (error, errno, "cannot open %s: %s", file,
                       g_strerror (errno));
  g_autoptr (GError) reason = NULL;
  if (!read_file (&loader, fd, length, &reason))
    return error_null (error, reason->code, "%s: %s", file, reason->message);
  g_autoptr (Checkpoint) now
    = checkpoint_parse (buffer, *length, CHECKPOINT_PARSE_DEFAULT, NULL);
  if (!now || strcmp (now->name, checkpoint->name) != 0)
    return error_null (error, EAGAIN, "%s was changed meanwhile, and has "
                       "checkpoint %s no more; try again", file,
                       checkpoint->name);
  buffer[*length] = '\0';
  return g_steal_pointer (&buffer);
}
