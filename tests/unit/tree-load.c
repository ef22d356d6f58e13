/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/tree/load.c in a temporary directory: libvirt's layout, bad
 * files among good ones, other guests' files, and 100,000 checkpoints.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "base/error.h"
#include "plugin/remedies.h"
#include "tree/load.h"

#define MANY 100000
#define UUID1 "11111111-aaaa-4000-8000-000000000001"
#define UUID2 "22222222-bbbb-4000-8000-000000000002"

typedef struct Fixture {
  char *path;
  GPtrArray *skipped;
  GError *error;
  Forest *forest;
} Fixture;

static void
setup (Fixture *f, const void *data G_GNUC_UNUSED)
{
  f->path = g_dir_make_tmp ("unit-tree-load-XXXXXX", &f->error);
  g_assert_no_error (f->error);
  f->skipped = g_ptr_array_new_with_free_func (g_free);
}

/* Depth is at most what these tests make. */
static void
remove_tree (const char *path)
{
  g_autoptr (GDir) directory = NULL;
  const char *name;

  if (g_file_test (path, G_FILE_TEST_IS_DIR) &&
      !g_file_test (path, G_FILE_TEST_IS_SYMLINK) &&
      (directory = g_dir_open (path, 0, NULL)) != NULL)
    while ((name = g_dir_read_name (directory)) != NULL) {
      g_autofree char *inner = g_build_filename (path, name, NULL);
      remove_tree (inner);
    }
  g_assert_cmpint (g_remove (path), ==, 0);
}

static void
teardown (Fixture *f, const void *data G_GNUC_UNUSED)
{
  remove_tree (f->path);
  g_free (f->path);
  g_ptr_array_unref (f->skipped);
  g_clear_error (&f->error);
  g_clear_pointer (&f->forest, forest_free);
}

static void
put_text (const Fixture *f, const char *name, const char *text, gssize length)
{
  g_autofree char *path = g_build_filename (f->path, name, NULL);
  g_autofree char *directory = g_path_get_dirname (path);
  const gsize size = length < 0 ? strlen (text) : (gsize) length;
  int fd;

  g_assert_cmpint (g_mkdir_with_parents (directory, 0700), ==, 0);
  /* g_file_set_contents () would sync each file. */
  fd = g_open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (write (fd, text, size), ==, (gssize) size);
  close (fd);
}

/* Write the document of a checkpoint, without <domain> if uuid is NULL. */
static void
put (const Fixture *f, const char *file, const char *name, const char *parent,
     const char *guest, const char *uuid)
{
  g_autoptr (GString) text = g_string_new ("<!-- WARNING -->\n");

  g_string_append_printf (text, "<domaincheckpoint><name>%s</name>", name);
  if (parent != NULL)
    g_string_append_printf (text, "<parent><name>%s</name></parent>", parent);
  if (uuid != NULL)
    g_string_append_printf (text, "<domain><name>%s</name><uuid>%s</uuid>"
                            "<devices><disk><source file='/a'/><target "
                            "dev='vda'/></disk></devices></domain>", guest,
                            uuid);
  g_string_append (text, "</domaincheckpoint>");
  put_text (f, file, text->str, text->len);
}

static const Forest *
load_ok (Fixture *f, const char *inner, const char *domain)
{
  g_autofree char *path = inner ? g_build_filename (f->path, inner, NULL)
    : g_strdup (f->path);

  g_clear_pointer (&f->forest, forest_free);
  g_ptr_array_set_size (f->skipped, 0);
  f->forest = tree_load (path, domain, f->skipped, &f->error);
  g_assert_no_error (f->error);
  g_assert_nonnull (f->forest);
  return f->forest;
}

static void
load_fails (Fixture *f, const char *inner, const char *domain, int code,
            const char *part)
{
  g_autofree char *path = inner ? g_build_filename (f->path, inner, NULL)
    : g_strdup (f->path);

  g_ptr_array_set_size (f->skipped, 0);
  g_assert_null (tree_load (path, domain, f->skipped, &f->error));
  g_assert_error (f->error, CHECKPOINT_ERROR, code);
  g_autofree char *line = error_line (f->error, nbdkit_remedies);
  g_test_message ("%s", line);
  if (strstr (line, part) == NULL)
    g_error ("'%s' is not in: %s", part, line);
  g_assert_nonnull (strstr (f->error->message, f->path));
  g_clear_error (&f->error);
}

static void
assert_skipped (const Fixture *f, guint index, const char *file,
                const char *part)
{
  const char *line;

  g_assert_cmpuint (f->skipped->len, >, index);
  line = g_ptr_array_index (f->skipped, index);
  g_test_message ("%s", line);
  if (strstr (line, file) == NULL || strstr (line, part) == NULL ||
      strchr (line, '\n') != NULL)
    g_error ("'%s' or '%s' is not in: %s", file, part, line);
}

static void
test_layout (Fixture *f, const void *data G_GNUC_UNUSED)
{
  put (f, "web1/monday.xml", "monday", NULL, "web1", UUID1);
  put (f, "web1/tuesday", "tuesday", "monday", "web1", UUID1);
  put (f, "web1/.hidden.bak", "wednesday", "tuesday", NULL, NULL);
  put (f, "web1/sub/x.xml", "x", NULL, NULL, NULL);

  g_assert_cmpstr (forest_current (load_ok (f, "web1", NULL))->name, ==,
                   "wednesday");
  g_assert_cmpuint (f->skipped->len, ==, 0);
  g_assert_cmpuint (forest_size (load_ok (f, NULL, "web1")), ==, 3);
  g_assert_cmpuint (forest_size (load_ok (f, "web1", "web1")), ==, 3);
  g_assert_cmpuint (forest_size (load_ok (f, "web1", UUID1)), ==, 3);
  g_assert_cmpuint (forest_size (
    load_ok (f, "web1", "11111111AAAA40008000000000000001")), ==, 3);
  g_assert_cmpstr (checkpoint_bitmap (forest_lookup (f->forest, "monday"),
                                      "vda"), ==, "monday");
  /* A single file is one checkpoint, its parent unknown. */
  g_assert_cmpuint (forest_size (load_ok (f, "web1/tuesday", NULL)), ==, 1);
  g_assert_cmpuint (forest_problems (f->forest)->len, ==, 1);
}

static void
test_bad_files (Fixture *f, const void *data G_GNUC_UNUSED)
{
  g_autofree char *large = g_strnfill (CHECKPOINT_MAX_BYTES + 1, ' ');
  g_autofree char *fifo = g_build_filename (f->path, "d-fifo", NULL);
  g_autofree char *dangling = g_build_filename (f->path, "e-dangling", NULL);
  g_autofree char *link = g_build_filename (f->path, "f-link", NULL);
  g_autofree char *device = g_build_filename (f->path, "g-device", NULL);

  put_text (f, "a-empty", "", 0);
  put_text (f, "b-large", large, -1);
  put_text (f, "c-bad\nname", "<domaincheckpoint>", -1);
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  g_assert_cmpint (symlink ("nowhere", dangling), ==, 0);
  put (f, "target/good", "linked", NULL, NULL, NULL);
  g_assert_cmpint (symlink ("target/good", link), ==, 0);
  g_assert_cmpint (symlink ("/dev/zero", device), ==, 0);
  put (f, "h-first", "twin", NULL, NULL, NULL);
  put (f, "i-second", "twin", "linked", NULL, NULL);

  g_assert_cmpuint (forest_size (load_ok (f, NULL, NULL)), ==, 2);
  g_assert_null (forest_lookup (f->forest, "twin")->parent_name);
  assert_skipped (f, 0, "/a-empty: ", "checkpoint XML");
  assert_skipped (f, 1, "/b-large: ", "larger");
  assert_skipped (f, 2, "/c-bad name: ", "line 1");
  assert_skipped (f, 3, "/d-fifo: ", "no regular file");
  assert_skipped (f, 4, "/e-dangling: ", "No such file");
  assert_skipped (f, 5, "/g-device: ", "no regular file");
  assert_skipped (f, 6, "/i-second: ", "'twin'");
  g_assert_cmpuint (f->skipped->len, ==, 7);

  load_fails (f, "a-empty", NULL, EINVAL, "/a-empty: checkpoint XML");
  load_fails (f, "b-large", NULL, EFBIG, "/b-large: is larger");
  load_fails (f, "d-fifo", NULL, EINVAL, "/d-fifo: is no regular file");
  load_fails (f, "g-device", NULL, EINVAL, "is no regular file");
}

static void
test_nothing (Fixture *f, const void *data G_GNUC_UNUSED)
{
  load_fails (f, NULL, NULL, ENOENT, "which is empty");
  load_fails (f, "missing", NULL, ENOENT, "No such file");
  put_text (f, "only/bad", "x", -1);
  load_fails (f, "only", NULL, ENOENT, "of the 1 files there none");
  put (f, "web1/a", "a", NULL, "web1", UUID1);
  put (f, "db/a", "a", NULL, "db", UUID2);
  put_text (f, "empty/x/y", "", 0);
  load_fails (f, NULL, NULL, ENOENT, "UUID of one: db, empty, only, web1");
  load_fails (f, NULL, "wen1", ENOENT, "'wen1'; add domain= with the name or, "
              "where they share it, the UUID of one: web1,");
  load_fails (f, NULL, "../", ENOENT, "UUID of one: ");
  load_fails (f, NULL, "only", ENOENT, "/only'");
}

static void
test_guests (Fixture *f, const void *data G_GNUC_UNUSED)
{
  put (f, "1", "a", NULL, "web1", UUID1);
  put (f, "2", "b", NULL, "db", UUID2);
  put (f, "3", "c", NULL, NULL, NULL);
  load_fails (f, NULL, NULL, EINVAL, "one: db (" UUID2 "), web1 (" UUID1 ")");
  g_assert_cmpuint (forest_size (load_ok (f, NULL, "web1")), ==, 2);
  assert_skipped (f, 0, "/2: ", "guest 'db' (" UUID2 "), not of web1");
  g_assert_cmpuint (forest_size (load_ok (f, NULL, UUID2)), ==, 2);
  assert_skipped (f, 0, "/1: ", "'web1'");
  load_fails (f, "1", "db", EINVAL, "not of db");
  g_assert_cmpuint (forest_size (load_ok (f, "1", "web1")), ==, 1);
  /* A guest that was made anew under the same name is another guest. */
  put (f, "4", "d", NULL, "web1", UUID2);
  load_fails (f, NULL, "web1", EINVAL, "several guests");
  g_assert_cmpuint (forest_size (load_ok (f, NULL, UUID1)), ==, 2);
  /* Nothing for this guest but the one that names none. */
  g_assert_cmpuint (forest_size (load_ok (f, NULL, "other")), ==, 1);
}

static void
test_unreadable (Fixture *f, const void *data G_GNUC_UNUSED)
{
  g_autofree char *file = g_build_filename (f->path, "d/closed", NULL);
  g_autofree char *directory = g_build_filename (f->path, "d", NULL);

  if (geteuid () == 0) {
    g_test_skip ("root may read everything");
    return;
  }
  put (f, "d/closed", "a", NULL, NULL, NULL);
  put (f, "d/open", "b", NULL, NULL, NULL);
  g_assert_cmpint (g_chmod (file, 0), ==, 0);
  g_assert_cmpuint (forest_size (load_ok (f, "d", NULL)), ==, 1);
  assert_skipped (f, 0, "/closed: ", "Permission denied");
  load_fails (f, "d/closed", NULL, EACCES, "/closed'");
  g_assert_cmpint (g_chmod (directory, 0), ==, 0);
  load_fails (f, "d", NULL, EACCES, "Permission denied");
  g_assert_cmpint (g_chmod (directory, 0700), ==, 0);
}

/* Between loading and showing, files change. */
static void
test_document (Fixture *f, const void *data G_GNUC_UNUSED)
{
  g_autofree char *path = g_build_filename (f->path, "d/any", NULL);
  gsize length;

  put (f, "d/any", "monday", NULL, "web1", UUID1);
  const Checkpoint *monday = forest_lookup (load_ok (f, "d", NULL), "monday");
  g_assert_cmpstr (monday->file, ==, path);
  g_autofree char *text = tree_load_document (monday, &length, &f->error);
  g_assert_no_error (f->error);
  g_assert_true (g_str_has_prefix (text, "<!-- WARNING -->\n"));
  g_assert_cmpuint (length, ==, strlen (text));

  put (f, "d/any", "tuesday", NULL, "web1", UUID1);
  g_assert_null (tree_load_document (monday, &length, &f->error));
  g_assert_error (f->error, CHECKPOINT_ERROR, EAGAIN);
  g_clear_error (&f->error);
  put_text (f, "d/any", "x", -1);
  g_assert_null (tree_load_document (monday, &length, &f->error));
  g_assert_error (f->error, CHECKPOINT_ERROR, EAGAIN);
  g_clear_error (&f->error);
  g_assert_cmpint (g_unlink (path), ==, 0);
  g_assert_null (tree_load_document (monday, &length, &f->error));
  g_assert_error (f->error, CHECKPOINT_ERROR, ENOENT);
  g_clear_error (&f->error);
}

static void
load_many (Fixture *f, guint from, guint to)
{
  gint64 start;

  for (guint i = from; i < to; i++) {
    g_autofree char *name = g_strdup_printf ("c%06u", i);
    g_autofree char *file = g_strdup_printf ("many/%s.xml", name);
    g_autofree char *parent = i ? g_strdup_printf ("c%06u", i - 1) : NULL;

    put (f, file, name, parent, "web1", UUID1);
  }
  start = g_get_monotonic_time ();
  load_ok (f, "many", NULL);
  start = g_get_monotonic_time () - start;
  g_test_message ("%u checkpoints in %.3f s", to, start / 1e6);
  g_assert_cmpint (start, <, 60 * G_USEC_PER_SEC);
  g_assert_cmpuint (forest_size (f->forest), ==, to);
  g_assert_cmpuint (f->skipped->len, ==, 0);
  g_assert_cmpuint (forest_current (f->forest)->position, ==, to - 1);
}

static void
test_many (Fixture *f, const void *data G_GNUC_UNUSED)
{
  load_many (f, 0, MANY / 10);
  load_many (f, MANY / 10, MANY);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function)                                             \
  g_test_add ("/tree-load/" name, Fixture, NULL, setup, function, teardown)
  ADD ("layout", test_layout);
  ADD ("bad-files", test_bad_files);
  ADD ("nothing", test_nothing);
  ADD ("guests", test_guests);
  ADD ("unreadable", test_unreadable);
  ADD ("document", test_document);
  ADD ("many", test_many);
  return g_test_run ();
}
