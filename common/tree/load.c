/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See tree-load.h.  One bad file must not hide the good ones, as in libvirt's
 * loader, but unlike there each is reported: a checkpoint that is missing in
 * the tree is a backup that starts from the wrong place.
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

/* Blocking is what O_NONBLOCK prevents for a FIFO without a writer. */
#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)

/* How many names an error message shows, and how many subdirectories are
 * looked into to find them. */
#define SHOWN_NAMES 5
#define MAX_SUBDIRECTORIES 1000

typedef struct Entry {
  unsigned char type;           /* DT_*, DT_UNKNOWN on some file systems */
  char name[];
} Entry;

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
loader_clear (Loader *loader)
{
  g_clear_pointer (&loader->forest, forest_free);
  g_clear_pointer (&loader->skipped, g_ptr_array_unref);
  g_clear_pointer (&loader->subdirectories, g_ptr_array_unref);
  g_clear_pointer (&loader->guests, g_hash_table_unref);
  g_clear_pointer (&loader->buffer, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Loader, loader_clear)

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

/* Is the document the wanted guest's?  Which guests were let in is kept: a
 * guest that was made anew has its predecessor's name, but not its disks.
 */
static bool
check_guest (Loader *loader, const Checkpoint *checkpoint, GError **error)
{
  const char *name = checkpoint->domain_name;
  g_autofree char *uuid = checkpoint->domain_uuid != NULL
    ? canonical_uuid (checkpoint->domain_uuid) : NULL;

  if (loader->domain && (name || uuid)) {
    g_autofree char *wanted = canonical_uuid (loader->domain);
    if (g_strcmp0 (name, loader->domain) != 0
        && g_strcmp0 (uuid, wanted) != 0)
      return error_set (error, EINVAL, "is a checkpoint of the guest '%.64s' "
                        "(%s), not of %s", name ? name : "?",
                        uuid ? checkpoint->domain_uuid : "no UUID",
                        loader->domain);
  }
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
    /* The size is known: saves the read at the end of file. */
    if (*length == (gsize) status.st_size && *length <= CHECKPOINT_MAX_BYTES)
      return true;
  }
  return error_set (error, EFBIG, "is larger than the %d bytes libvirt takes; "
                    "is it a checkpoint?", CHECKPOINT_MAX_BYTES);
}

/* Errors do not name the file yet. */
static bool
load_fd (Loader *loader, int fd, GError **error)
{
  g_autoptr (Checkpoint) checkpoint = NULL;
  gsize length = 0;

  if (!read_file (loader, fd, &length, error))
    return false;
  checkpoint = checkpoint_parse (loader->buffer, length,
                                 CHECKPOINT_PARSE_DEFAULT, error);
  if (!checkpoint || !check_guest (loader, checkpoint, error)
      || !forest_add (loader->forest, checkpoint, error))
    return false;
  (void) g_steal_pointer (&checkpoint);
  return true;
}

/* Load one entry of a directory.  Other kinds of files are not even opened,
 * for opening a device can have effects. */
static bool
load_entry (Loader *loader, int directory, const Entry *entry, GError **error)
{
  const char *name = entry->name;
  struct stat status = { .st_mode = S_IFREG };

  if (entry->type != DT_REG && fstatat (directory, name, &status, 0) == -1)
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
  return load_fd (loader, fd, error);
}

static int
compare_entries (const void *a, const void *b)
{
  return strcmp ((*(Entry *const *) a)->name, (*(Entry *const *) b)->name);
}

/* The entries of a directory (Entry *), sorted by name. */
static GPtrArray *
list_directory (DIR *directory, const char *path, GError **error)
{
  g_autoptr (GPtrArray) entries = g_ptr_array_new_with_free_func (g_free);
  const struct dirent *found;

  while (errno = 0, (found = readdir (directory)) != NULL) {
    const gsize size = strlen (found->d_name) + 1;
    Entry *entry;

    if (is_dots (found->d_name))
      continue;
    if (entries->len >= TREE_LOAD_MAX_FILES)
      return error_null (error, E2BIG, "'%s' has more than %d files; is it a "
                         "directory of checkpoints?", path,
                         TREE_LOAD_MAX_FILES);
    entry = g_malloc (sizeof *entry + size);
    entry->type = found->d_type;
    memcpy (entry->name, found->d_name, size);
    g_ptr_array_add (entries, entry);
  }
  if (errno != 0)
    return error_null (error, errno, "cannot read the directory '%s': %s",
                       path, g_strerror (errno));
  g_ptr_array_sort (entries, compare_entries);
  return g_steal_pointer (&entries);
}

static bool
has_entries (int parent, const char *name)
{
  auto_fd fd = openat (parent, name, OPEN_FLAGS | O_DIRECTORY);
  g_autoptr (DIR) directory = fd == -1 ? NULL : fdopendir (fd);
  const struct dirent *entry;

  if (!directory)
    return false;
  g_steal_fd (&fd);
  while ((entry = readdir (directory)) != NULL)
    if (!is_dots (entry->d_name))
      return true;
  return false;
}

/* Nothing was loaded: say why, and where checkpoints could be. */
static bool
nothing_found (const Loader *loader, int directory, const char *path,
               GError **error)
{
  g_autoptr (GPtrArray) candidates = g_ptr_array_new ();
  g_autofree char *names = NULL;
  const guint bad = loader->skipped->len - loader->skipped_before;

  for (guint i = 0; i < loader->subdirectories->len; i++) {
    char *name = g_ptr_array_index (loader->subdirectories, i);
    if (has_entries (directory, name))
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
                    "make one with 'virsh checkpoint-create-as', or is it "
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
  g_autoptr (GPtrArray) entries = list_directory (directory, path, error);

  if (!entries)
    return false;
  for (guint i = 0; i < entries->len; i++) {
    const Entry *entry = g_ptr_array_index (entries, i);
    g_autoptr (GError) reason = NULL;
    g_autoptr (GError) line = NULL;

    if (!check_bounds (loader, path, error))
      return false;
    if (load_entry (loader, dirfd (directory), entry, &reason))
      continue;
    error_set (&line, reason->code, "%s/%s: %s", path, entry->name,
               reason->message);
    g_ptr_array_add (loader->skipped, g_strdup (line->message));
  }
  if (forest_size (loader->forest) == 0)
    return nothing_found (loader, dirfd (directory), path, error);
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
  return load_fd (loader, fd, &reason)
    || error_set (error, reason->code, "%s: %s", path,
                          reason->message);
}

static int
compare_strings (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
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
  g_auto (Loader) loader = { .domain = domain };
  g_autofree char *inner = NULL;

  loader.forest = forest_new ();
  loader.skipped = skipped ? g_ptr_array_ref (skipped)
    : g_ptr_array_new_with_free_func (g_free);
  loader.skipped_before = loader.skipped->len;
  loader.subdirectories = g_ptr_array_new_with_free_func (g_free);
  loader.guests = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                         g_free);
  loader.buffer = g_malloc (CHECKPOINT_MAX_BYTES + 1);
  loader.deadline = g_get_monotonic_time ()
    + TREE_LOAD_MAX_SECONDS * G_TIME_SPAN_SECOND;

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
  forest_link (loader.forest);
  return g_steal_pointer (&loader.forest);
}
