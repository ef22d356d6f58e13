/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/source/told-chain.c: definitions that end elsewhere than the
 * images, and that have another data file.  libvirt tells of data files since
 * 10.10 only.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "base/error.h"
#include "source/told-chain.h"

/* "/top+/data /base": layers. */
static GPtrArray *
make_layers (const char *text)
{
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  GPtrArray *layers
    = g_ptr_array_new_with_free_func ((GDestroyNotify) layer_free);

  for (guint i = 0; words[i]; i++) {
    g_auto (GStrv) parts = g_strsplit (words[i], "+", 2);
    Layer *layer = layer_new (parts[0]);
    if (parts[1]) {
      layer->data = g_new0 (ImageFile, 1);
      layer->data->path = g_strdup (parts[1]);
      layer->data->fd = -1;
      stat (parts[1], &layer->data->stamp);
    }
    g_ptr_array_add (layers, layer);
  }
  return layers;
}

/* The same, with a point if nothing is below. */
static Guest *
make_guest (const char *text)
{
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  g_autoptr (GString) xml = g_string_new (
    "<domain><name>g</name><uuid>u</uuid><devices><disk>"
    "<target dev='vda'/>");
  g_autoptr (GError) error = NULL;
  const guint count = g_strv_length (words);
  bool ends = false;

  for (guint i = 0; i < count; i++) {
    ends = g_str_has_suffix (words[i], ".");
    words[i][strlen (words[i]) - ends] = '\0';
    g_auto (GStrv) parts = g_strsplit (words[i], "+", 2);
    g_string_append_printf (xml, "%s<source file='%s'>",
                            i ? "<backingStore type='file'>" : "", parts[0]);
    if (parts[1])
      g_string_append_printf (xml, "<dataStore type='file'>"
                              "<source file='%s'/></dataStore>", parts[1]);
    g_string_append (xml, "</source>");
  }
  g_string_append (xml, ends ? "<backingStore/>" : "");
  for (guint i = 1; i < count; i++)
    g_string_append (xml, "</backingStore>");
  g_string_append (xml, "</disk></devices></domain>");
  Guest *guest = guest_parse (xml->str, xml->len, &error);
  g_assert_no_error (error);
  return guest;
}

static void
assert_fits (const char *told, const char *images, const char *why)
{
  g_autoptr (Guest) guest = make_guest (told);
  g_autoptr (GPtrArray) layers = make_layers (images);
  g_autoptr (GError) error = NULL;
  const bool fits = told_chain_fits (guest_chain (guest, "vda"), layers,
                                     "EDIT", &error);

  g_test_message ("%s told, %s: %s", told, images,
                  error ? error->message : "fits");
  g_assert_true (fits == !why);
  if (!why)
    return;
  g_assert_error (error, CHECKPOINT_ERROR, ENOTSUP);
  g_assert_nonnull (strstr (error->message, why));
  g_assert_true (g_str_has_suffix (error->message, ": EDIT"));
}

static void
test_depth (void)
{
  assert_fits ("/a", "/a", NULL);
  assert_fits ("/a", "/a /b", NULL);
  assert_fits ("/a.", "/a", NULL);
  assert_fits ("/a /b", "/a /b /c", NULL);
  assert_fits ("/a /b.", "/a /b", NULL);
  assert_fits ("/a.", "/a /b", "has nothing below /a");
  assert_fits ("/a /b.", "/a /b /c", "has nothing below /b");
  assert_fits ("/a /b", "/a", "has /b below /a");
  assert_fits ("/a /b /c.", "/a /b", "has /c below /b");
}

static void
test_data (void)
{
  assert_fits ("/a", "/a+/d", NULL);
  assert_fits ("/a+/d", "/a+/d", NULL);
  assert_fits ("/a /b+/d", "/a /b+/d", NULL);
  assert_fits ("/a+/e", "/a+/d", "data of /a in /e (<dataStore>), and the "
               "image itself has them in /d");
  assert_fits ("/a+/e", "/a", "has them in no other file");
  assert_fits ("/a /b+/e.", "/a /b+/d", "data of /b in /e");
}

/* Another name of the same file. */
static void
test_links (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("told-chain-XXXXXX", &error);
  g_assert_no_error (error);
  g_autofree char *data = g_build_filename (folder, "data", NULL);
  g_autofree char *link = g_build_filename (folder, "link", NULL);
  g_autofree char *other = g_build_filename (folder, "other", NULL);
  g_autofree char *by_link = g_strconcat ("/a+", link, NULL);
  g_autofree char *by_other = g_strconcat ("/a+", other, NULL);
  g_autofree char *images = g_strconcat ("/a+", data, NULL);

  g_assert_true (g_file_set_contents (data, "x", 1, NULL));
  g_assert_true (g_file_set_contents (other, "x", 1, NULL));
  g_assert_cmpint (symlink ("data", link), ==, 0);
  assert_fits (by_link, images, NULL);
  assert_fits (by_other, images, "(<dataStore>)");
  g_unlink (link);
  g_unlink (data);
  g_unlink (other);
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/told-chain/depth", test_depth);
  g_test_add_func ("/told-chain/data", test_data);
  g_test_add_func ("/told-chain/links", test_links);
  return g_test_run ();
}
