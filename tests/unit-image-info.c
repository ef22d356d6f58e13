/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/image-info.c: what QEMU 7.2's qemu-img really prints (file
 * names and order of members apart), and what it never should.  GLib's test
 * framework makes its criticals fatal, so json-glib's complaints fail.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include <glib.h>
#include <json-glib/json-glib.h>

#include "error.h"
#include "image-info.h"

#define PATH "/images/vda.qcow2"

static const char with_bitmaps[] =
  "{\"virtual-size\": 1048576, \"filename\": \"/images/base.qcow2\", "
  "\"cluster-size\": 65536, \"format\": \"qcow2\", \"actual-size\": 225280, "
  "\"format-specific\": {\"type\": \"qcow2\", \"data\": {"
  "\"compat\": \"1.1\", \"compression-type\": \"zlib\", "
  "\"lazy-refcounts\": false, \"bitmaps\": ["
  "{\"flags\": [\"auto\"], \"name\": \"monday\", \"granularity\": 65536}, "
  "{\"flags\": [], \"name\": \"old one\", \"granularity\": 4096}], "
  "\"refcount-bits\": 16, \"corrupt\": false, \"extended-l2\": false}}, "
  "\"dirty-flag\": false}";

/* After QEMU was killed. */
static const char in_use[] =
  "{\"virtual-size\": 1048576, \"filename\": \"/images/inuse.qcow2\", "
  "\"cluster-size\": 65536, \"format\": \"qcow2\", \"actual-size\": 274432, "
  "\"format-specific\": {\"type\": \"qcow2\", \"data\": {"
  "\"compat\": \"1.1\", \"compression-type\": \"zlib\", "
  "\"lazy-refcounts\": false, \"bitmaps\": ["
  "{\"flags\": [\"in-use\", \"auto\"], \"name\": \"monday\", "
  "\"granularity\": 65536}, "
  "{\"flags\": [\"in-use\"], \"name\": \"old one\", \"granularity\": 4096}"
  "], \"refcount-bits\": 16, \"corrupt\": false, \"extended-l2\": false}}, "
  "\"dirty-flag\": false}";

static const char with_backing[] =
  "{\"backing-filename-format\": \"qcow2\", \"virtual-size\": 1048576, "
  "\"filename\": \"/images/top.qcow2\", \"cluster-size\": 65536, "
  "\"format\": \"qcow2\", \"actual-size\": 208896, "
  "\"format-specific\": {\"type\": \"qcow2\", \"data\": {"
  "\"compat\": \"1.1\", \"compression-type\": \"zlib\", "
  "\"lazy-refcounts\": false, \"bitmaps\": ["
  "{\"flags\": [\"auto\"], \"name\": \"monday\", \"granularity\": 65536}], "
  "\"refcount-bits\": 16, \"corrupt\": false, \"extended-l2\": false}}, "
  "\"full-backing-filename\": \"/images/base.qcow2\", "
  "\"backing-filename\": \"base.qcow2\", \"dirty-flag\": false}";

static const char data_file[] =
  "{\"virtual-size\": 1048576, \"filename\": \"/images/df.qcow2\", "
  "\"cluster-size\": 65536, \"format\": \"qcow2\", \"actual-size\": 266240, "
  "\"format-specific\": {\"type\": \"qcow2\", \"data\": {"
  "\"compat\": \"1.1\", \"compression-type\": \"zlib\", "
  "\"lazy-refcounts\": false, \"refcount-bits\": 16, "
  "\"data-file\": \"/images/ext.data\", \"data-file-raw\": true, "
  "\"corrupt\": false, \"extended-l2\": false}}, \"dirty-flag\": false}";

static const char version_2[] =
  "{\"virtual-size\": 1048576, \"filename\": \"/images/v2.qcow2\", "
  "\"cluster-size\": 65536, \"format\": \"qcow2\", \"actual-size\": 200704, "
  "\"format-specific\": {\"type\": \"qcow2\", \"data\": {"
  "\"compat\": \"0.10\", \"compression-type\": \"zlib\", "
  "\"refcount-bits\": 16}}, \"dirty-flag\": false}";

static const char extended_l2[] =
  "{\"virtual-size\": 1048576, \"filename\": \"/images/el2.qcow2\", "
  "\"cluster-size\": 131072, \"format\": \"qcow2\", "
  "\"actual-size\": 405504, "
  "\"format-specific\": {\"type\": \"qcow2\", \"data\": {"
  "\"compat\": \"1.1\", \"compression-type\": \"zlib\", "
  "\"lazy-refcounts\": false, \"bitmaps\": ["
  "{\"flags\": [\"auto\"], \"name\": \"m\", \"granularity\": 65536}], "
  "\"refcount-bits\": 16, \"corrupt\": false, \"extended-l2\": true}}, "
  "\"dirty-flag\": false}";

static const char luks[] =
  "{\"virtual-size\": 1048576, \"filename\": \"luks.qcow2\", "
  "\"cluster-size\": 65536, \"format\": \"qcow2\", "
  "\"actual-size\": 2297856, "
  "\"format-specific\": {\"type\": \"qcow2\", \"data\": {"
  "\"compat\": \"1.1\", \"compression-type\": \"zlib\", "
  "\"lazy-refcounts\": false, \"refcount-bits\": 16, \"encrypt\": {"
  "\"ivgen-alg\": \"plain64\", \"hash-alg\": \"sha256\", "
  "\"cipher-alg\": \"aes-256\", "
  "\"uuid\": \"b4d14498-8c4b-4c9a-8218-56dde06aa4b5\", "
  "\"format\": \"luks\", \"cipher-mode\": \"xts\", \"slots\": ["
  "{\"active\": true, \"iters\": 866878, \"key-offset\": 4096, "
  "\"stripes\": 4000}, {\"active\": false, \"key-offset\": 262144}], "
  "\"payload-offset\": 2068480, \"master-key-iters\": 220138}, "
  "\"corrupt\": false, \"extended-l2\": false}}, \"encrypted\": true, "
  "\"dirty-flag\": false}";

static const char aes[] =
  "{\"virtual-size\": 1048576, \"filename\": \"/images/aes.qcow2\", "
  "\"cluster-size\": 65536, \"format\": \"qcow2\", \"actual-size\": 200704, "
  "\"format-specific\": {\"type\": \"qcow2\", \"data\": {"
  "\"compat\": \"1.1\", \"compression-type\": \"zlib\", "
  "\"lazy-refcounts\": false, \"refcount-bits\": 16, "
  "\"encrypt\": {\"format\": \"aes\"}, \"corrupt\": false, "
  "\"extended-l2\": false}}, \"encrypted\": true, \"dirty-flag\": false}";

static const char corrupt[] =
  "{\"virtual-size\": 1048576, \"filename\": \"/images/corrupt.qcow2\", "
  "\"cluster-size\": 65536, \"format\": \"qcow2\", \"actual-size\": 20480, "
  "\"format-specific\": {\"type\": \"qcow2\", \"data\": {"
  "\"compat\": \"1.1\", \"compression-type\": \"zlib\", "
  "\"lazy-refcounts\": false, \"bitmaps\": ["
  "{\"flags\": [\"auto\"], \"name\": \"monday\", \"granularity\": 65536}], "
  "\"refcount-bits\": 16, \"corrupt\": true, \"extended-l2\": false}}, "
  "\"dirty-flag\": false}";

/* With the line breaks that qemu-img prints. */
static const char raw[] =
  "{\n    \"virtual-size\": 65536,\n    \"filename\": \"plain.raw\",\n"
  "    \"format\": \"raw\",\n    \"actual-size\": 4096,\n"
  "    \"dirty-flag\": false\n}\n";

/* Of a bitmap whose name is Latin-1, and of one that is full of escapes. */
static const char odd_names[] =
  "{\"virtual-size\": 1048576, \"filename\": \"/images/odd.qcow2\", "
  "\"cluster-size\": 65536, \"format\": \"qcow2\", \"actual-size\": 225280, "
  "\"format-specific\": {\"type\": \"qcow2\", \"data\": {"
  "\"compat\": \"1.1\", \"compression-type\": \"zlib\", "
  "\"lazy-refcounts\": false, \"bitmaps\": ["
  "{\"flags\": [\"auto\"], \"name\": \"a\\uFFFDb\", "
  "\"granularity\": 65536}, "
  "{\"flags\": [\"auto\"], \"name\": \"t\\t\\u00FC\\\"\\\\n@/0\", "
  "\"granularity\": 65536}], \"refcount-bits\": 16, \"corrupt\": false, "
  "\"extended-l2\": false}}, \"dirty-flag\": false}";

static Layer *
parse (const char *text, gsize length, GError **error)
{
  /* An exact copy without NUL, so that reading beyond it is seen. */
  g_autofree char *copy = g_memdup2 (text, length);

  return image_info_parse (copy ? copy : "", length, PATH, error);
}

static Layer *
accept (const char *text)
{
  g_autoptr (GError) error = NULL;
  Layer *layer = parse (text, strlen (text), &error);

  g_assert_no_error (error);
  g_assert_nonnull (layer);
  g_assert_cmpstr (layer->path, ==, PATH);
  return layer;
}

static void
refuse_length (const char *text, gsize length, const char *part)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (Layer) layer = parse (text, length, &error);

  if (layer)
    g_error ("accepted: %.*s", (int) MIN (length, 2000), text);
  g_assert_error (error, CHECKPOINT_ERROR, EINVAL);
  g_assert_nonnull (strstr (error->message, PATH));
  g_assert_nonnull (strstr (error->message, part));
  g_assert_null (parse (text, length, NULL));
}

static void
refuse (const char *text)
{
  refuse_length (text, strlen (text), "");
}

static void
assert_bitmap (const Layer *layer, guint index, const char *name,
               guint64 granularity, bool recording, bool inconsistent)
{
  g_assert_cmpuint (index, <, layer->bitmaps->len);
  const Bitmap *bitmap = g_ptr_array_index (layer->bitmaps, index);

  g_assert_cmpstr (bitmap->name, ==, name);
  g_assert_cmpuint (bitmap->granularity, ==, granularity);
  g_assert_cmpint (bitmap->recording, ==, recording);
  g_assert_cmpint (bitmap->inconsistent, ==, inconsistent);
  g_assert_false (bitmap->counted);
}

static void
test_bitmaps (void)
{
  g_autoptr (Layer) layer = accept (with_bitmaps);
  g_autoptr (Layer) crashed = accept (in_use);

  g_assert_cmpstr (layer->format, ==, "qcow2");
  g_assert_cmpuint (layer->size, ==, 1048576);
  g_assert_null (layer->backing_path);
  g_assert_null (layer->backing_format);
  g_assert_cmpuint (layer->bitmaps->len, ==, 2);
  assert_bitmap (layer, 0, "monday", 65536, true, false);
  assert_bitmap (layer, 1, "old one", 4096, false, false);
  g_assert_cmpuint (crashed->bitmaps->len, ==, 2);
  assert_bitmap (crashed, 0, "monday", 65536, true, true);
  assert_bitmap (crashed, 1, "old one", 4096, false, true);
}

static void
test_backing (void)
{
  g_autoptr (Layer) layer = accept (with_backing);
  /* qemu-img leaves the full name out when it cannot make one. */
  g_autoptr (Layer) plain = accept (
    "{\"virtual-size\": 1, \"format\": \"qcow2\", "
    "\"backing-filename\": \"base.img\"}");

  g_assert_cmpstr (layer->backing_path, ==, "/images/base.qcow2");
  g_assert_cmpstr (layer->backing_format, ==, "qcow2");
  g_assert_cmpuint (layer->bitmaps->len, ==, 1);
  assert_bitmap (layer, 0, "monday", 65536, true, false);
  g_assert_cmpstr (plain->backing_path, ==, "base.img");
  g_assert_null (plain->backing_format);
}

static void
test_other_kinds (void)
{
  g_autoptr (Layer) plain = accept (raw);
  g_autoptr (Layer) old = accept (version_2);
  g_autoptr (Layer) subclusters = accept (extended_l2);
  g_autoptr (Layer) odd = accept (odd_names);

  g_assert_cmpstr (plain->format, ==, "raw");
  g_assert_cmpuint (plain->size, ==, 65536);
  g_assert_cmpuint (plain->bitmaps->len, ==, 0);
  g_assert_cmpstr (old->format, ==, "qcow2");
  g_assert_cmpuint (old->bitmaps->len, ==, 0);
  g_assert_cmpuint (subclusters->bitmaps->len, ==, 1);
  assert_bitmap (subclusters, 0, "m", 65536, true, false);
  g_assert_cmpuint (odd->bitmaps->len, ==, 2);
  assert_bitmap (odd, 0, "a\357\277\275b", 65536, true, false);
  assert_bitmap (odd, 1, "t\t\303\274\"\\n@/0", 65536, true, false);
}

static void
test_data_file (void)
{
  g_autoptr (Layer) layer = accept (data_file);

  g_assert_cmpstr (layer->format, ==, "qcow2");
  g_assert_cmpuint (layer->bitmaps->len, ==, 0);
  g_assert_null (layer->backing_path);
}

static void
test_unusable (void)
{
  refuse_length (luks, strlen (luks), "encrypted");
  refuse_length (aes, strlen (aes), "encrypted");
  refuse_length (corrupt, strlen (corrupt), "qemu-img check -r all " PATH);
}

static void
test_truncated (void)
{
  static const char *const texts[] = { with_bitmaps, with_backing, luks, raw };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++) {
    /* White space after the document is no part of it. */
    g_autofree char *text = g_strchomp (g_strdup (texts[i]));
    const gsize length = strlen (text);

    for (gsize n = 0; n < length; n++)
      refuse_length (text, n, "");
  }
}

static void
test_no_document (void)
{
  static const char *const texts[] = {
    "", " \n", "null", "true", "1", "\"qcow2\"", "[]", "{}",
    "[{\"virtual-size\": 1, \"format\": \"qcow2\"}]",
    "{\"virtual-size\": 1, \"format\": \"qcow2\"} x",
    "{\"virtual-size\": 1}", "{\"format\": \"qcow2\"}",
    "{\"virtual-size\": 1, \"format\": \"q\377\"}",
    "image: vda.qcow2\nfile format: qcow2\n",
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    refuse (texts[i]);
  refuse_length ("\0\0\0\0", 4, "");
}

static void
test_sizes (void)
{
  static const struct { const char *number; guint64 size; } good[] = {
    { "0", 0 }, { "1", 1 }, { "1099511627776", 1099511627776 },
    { "9223372036854775296", 9223372036854775296 },
  };
  static const char *const bad[] = {
    "-1", "-1048576", "-9223372036854775808", "9223372036854775808",
    "18446744073709551615", "18446744073709551616",
    "100000000000000000000000000000", "1.5", "1e18", "1e400", "-1e400",
    "\"1048576\"",
  };

  for (guint i = 0; i < G_N_ELEMENTS (good); i++) {
    g_autofree char *text = g_strdup_printf (
      "{\"virtual-size\": %s, \"format\": \"raw\"}", good[i].number);
    g_autoptr (Layer) layer = accept (text);
    g_assert_cmpuint (layer->size, ==, good[i].size);
  }
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autofree char *text = g_strdup_printf (
      "{\"virtual-size\": %s, \"format\": \"raw\"}", bad[i]);
    refuse (text);
  }
}

/* A granularity that is none is as good as not known. */
static void
test_granularity (void)
{
  static const struct { const char *member; guint64 granularity; } cases[] = {
    { "", 0 }, { ", \"granularity\": 512", 512 },
    { ", \"granularity\": 2147483648", 2147483648 },
    { ", \"granularity\": -65536", 0 },
    { ", \"granularity\": 18446744073709551616", 0 },
    { ", \"granularity\": 1e5", 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text = g_strdup_printf (
      "{\"virtual-size\": 1, \"format\": \"qcow2\", \"format-specific\": "
      "{\"data\": {\"bitmaps\": [{\"name\": \"m\", \"flags\": [\"auto\"]%s}"
      "]}}}", cases[i].member);
    g_autoptr (Layer) layer = accept (text);
    g_assert_cmpuint (layer->bitmaps->len, ==, 1);
    assert_bitmap (layer, 0, "m", cases[i].granularity, true, false);
  }
}

/* The document with one value replaced; NULL: the member removed. */
static char *
replace (const char *text, const char *const *path, const char *value)
{
  g_autoptr (JsonNode) root = json_from_string (text, NULL);
  JsonNode *node = root;
  const char *const *at = path;

  for (; at[1]; at++)
    node = g_ascii_isdigit (**at)
      ? json_array_get_element (json_node_get_array (node),
                                (guint) g_ascii_strtoull (*at, NULL, 10))
      : json_object_get_member (json_node_get_object (node), *at);
  JsonObject *object = json_node_get_object (node);
  g_assert_true (json_object_has_member (object, *at));
  json_object_remove_member (object, *at);
  if (value)
    json_object_set_member (object, *at, json_from_string (value, NULL));
  return json_to_string (root, FALSE);
}

typedef struct {
  const char *path[6];
  char type;                    /* of what belongs there */
} Member;

/* 's'tring, 'n'umber, 'b'oolean, 'o'bject, 'a'rray */
static const struct { char type; const char *value; } values[] = {
  { 's', "\"x\"" }, { 's', "\"\"" }, { 'n', "0" }, { 'n', "-7" },
  { 'f', "1.5" }, { 'b', "true" }, { 'b', "false" }, { 'o', "{}" },
  { 'o', "{\"data\": 1}" }, { 'a', "[]" }, { 'a', "[[1], \"auto\"]" },
};

/* Had these been taken for absent, bitmaps or whole layers below would be
 * overlooked, and what they record with them.  qemu-img never prints it.
 */
static void
test_types_refused (void)
{
  static const Member members[] = {
    { { "format" }, 's' },
    { { "virtual-size" }, 'n' },
    { { "full-backing-filename" }, 's' },
    { { "backing-filename-format" }, 's' },
    { { "format-specific" }, 'o' },
    { { "format-specific", "data" }, 'o' },
    { { "format-specific", "data", "corrupt" }, 'b' },
    { { "format-specific", "data", "bitmaps" }, 'a' },
    { { "format-specific", "data", "bitmaps", "0", "name" }, 's' },
    { { "format-specific", "data", "bitmaps", "0", "flags" }, 'a' },
  };
  g_autoptr (GString) accepted = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (members); i++)
    for (guint j = 0; j < G_N_ELEMENTS (values); j++) {
      if (values[j].type == members[i].type)
        continue;
      g_autofree char *text = replace (with_backing, members[i].path,
                                       values[j].value);
      g_autoptr (GError) error = NULL;
      g_autoptr (Layer) layer = parse (text, strlen (text), &error);
      if (!layer)
        g_assert_error (error, CHECKPOINT_ERROR, EINVAL);
      else
        g_string_append_printf (
          accepted, "\n%s: %s",
          members[i].path[g_strv_length ((char **) members[i].path) - 1],
          values[j].value);
    }
  g_assert_cmpstr (accepted->str, ==, "");
}

static void
test_types_encrypted (void)
{
  static const char *const path[] = { "encrypted", NULL };

  for (guint j = 0; j < G_N_ELEMENTS (values); j++) {
    g_autofree char *text = replace (luks, path, values[j].value);
    if (values[j].type != 'b')
      refuse (text);
  }
  g_autofree char *no = replace (luks, path, "false");
  g_autoptr (Layer) layer = accept (no);
}

/* Members that nobody reads may be anything. */
static void
test_types_ignored (void)
{
  static const Member members[] = {
    { { "filename" }, 's' },
    { { "cluster-size" }, 'n' },
    { { "dirty-flag" }, 'b' },
    { { "format-specific", "type" }, 's' },
    { { "format-specific", "data", "compat" }, 's' },
    { { "format-specific", "data", "refcount-bits" }, 'n' },
  };

  for (guint i = 0; i < G_N_ELEMENTS (members); i++)
    for (guint j = 0; j <= G_N_ELEMENTS (values); j++) {
      g_autofree char *text = replace (
        with_backing, members[i].path,
        j < G_N_ELEMENTS (values) ? values[j].value : NULL);
      g_autoptr (Layer) layer = accept (text);
      g_assert_cmpstr (layer->backing_path, ==, "/images/base.qcow2");
      assert_bitmap (layer, 0, "monday", 65536, true, false);
    }
}

static void
test_bitmap_types (void)
{
  static const char *const bad[] = {
    "null", "true", "1", "\"monday\"", "[]", "{}", "{\"name\": \"m\"}",
    "{\"flags\": []}", "{\"name\": null, \"flags\": []}",
    "{\"name\": \"m\", \"flags\": null}",
    "{\"name\": \"m\", \"flags\": {\"auto\": true}}",
    "{\"name\": [\"m\"], \"flags\": []}",
  };
  static const char format[] =
    "{\"virtual-size\": 1, \"format\": \"qcow2\", \"format-specific\": "
    "{\"data\": {\"bitmaps\": [{\"name\": \"a\", \"flags\": []}, %s]}}}";

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autofree char *text = g_strdup_printf (format, bad[i]);
    refuse (text);
  }
  /* Flags of the wrong type say nothing, above all not that it records. */
  g_autofree char *text = g_strdup_printf (
    format, "{\"name\": \"m\", \"flags\": [1, null, [\"auto\"], {}, true, "
    "\"AUTO\", \"auto \", 1.5]}");
  g_autoptr (Layer) layer = parse (text, strlen (text), NULL);
  if (layer)
    assert_bitmap (layer, 1, "m", 0, false, false);
}

/* QEMU refuses to open such an image ("Bitmap already exists"). */
static void
test_duplicate (void)
{
  const char *text =
    "{\"virtual-size\": 1, \"format\": \"qcow2\", \"format-specific\": "
    "{\"data\": {\"bitmaps\": [{\"name\": \"m\", \"flags\": [\"auto\"]}, "
    "{\"name\": \"m\", \"flags\": [\"in-use\"]}]}}}";
  g_autoptr (GError) error = NULL;
  g_autoptr (Layer) layer = parse (text, strlen (text), &error);

  if (!layer) {
    g_assert_error (error, CHECKPOINT_ERROR, EINVAL);
    return;
  }
  /* Nothing may be lost on the way to where it will be refused. */
  g_assert_cmpuint (layer->bitmaps->len, ==, 2);
  assert_bitmap (layer, 0, "m", 0, true, false);
  assert_bitmap (layer, 1, "m", 0, false, true);
}

static char *
with_many_bitmaps (guint count)
{
  GString *text = g_string_new (
    "{\"virtual-size\": 1, \"format\": \"qcow2\", \"format-specific\": "
    "{\"data\": {\"bitmaps\": [");

  for (guint i = 0; i < count; i++)
    g_string_append_printf (
      text, "%s{\"flags\": [\"auto\"], \"name\": \"b%u\", "
      "\"granularity\": 65536}", i ? ", " : "", i);
  g_string_append (text, "]}}}");
  return g_string_free (text, FALSE);
}

static void
test_many (void)
{
  g_autofree char *most = with_many_bitmaps (65535);
  g_autofree char *too_many = with_many_bitmaps (65536);
  g_autoptr (Layer) layer = accept (most);

  g_assert_cmpuint (layer->bitmaps->len, ==, 65535);
  assert_bitmap (layer, 65534, "b65534", 65536, true, false);
  refuse_length (too_many, strlen (too_many), "65535");
}

/* What comes before the levels, how each begins and, if it is to be closed,
 * how it ends.  json-glib knows more strings and comments than JSON does.
 */
typedef struct {
  const char *before, *open, *close;
} Nesting;

/* In a process of its own, for a parser that recurses is out of stack. */
static void
test_deep (const void *data)
{
  const guint levels = 100000;
  const Nesting *nesting = data;

  if (g_test_subprocess ()) {
    g_autoptr (GString) text = g_string_new (
      "{\"virtual-size\": 1, \"format\": \"qcow2\", \"x\": ");

    g_string_append (text, nesting->before);
    for (guint i = 0; i < levels; i++)
      g_string_append (text, nesting->open);
    if (nesting->close) {
      g_string_append (text, "1");
      for (guint i = 0; i < levels; i++)
        g_string_append (text, nesting->close);
      g_string_append (text, "}");
    }
    refuse (text->str);
    return;
  }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

/* Braces in strings are no nesting. */
static void
test_brackets_in_strings (void)
{
  g_autoptr (GString) text = g_string_new (
    "{\"virtual-size\": 1, \"format\": \"qcow2\", \"format-specific\": "
    "{\"data\": {\"bitmaps\": [{\"flags\": [], \"name\": \"\\\"");

  for (guint i = 0; i < 1000; i++)
    g_string_append (text, "[{");
  g_string_append (text, "\\\\\"}]}}}");
  g_autoptr (Layer) layer = accept (text->str);
  g_assert_cmpuint (layer->bitmaps->len, ==, 1);
  const Bitmap *bitmap = g_ptr_array_index (layer->bitmaps, 0);
  g_assert_cmpuint (strlen (bitmap->name), ==, 2002);
}

/* Change bytes at random: whatever happens, no GLib critical and no value
 * out of bounds.
 */
static void
test_random (void)
{
  static const char *const texts[] = {
    with_bitmaps, in_use, with_backing, data_file, luks, corrupt, odd_names,
  };
  static const char bytes[] = "{}[]\",:0-9.eE+\\untrfalsbx \377";
  guint accepted = 0, refused = 0;

  for (int run = 0; run < 20000; run++) {
    g_autofree char *text = g_strdup (
      texts[g_test_rand_int_range (0, G_N_ELEMENTS (texts))]);
    const gsize length = strlen (text);
    const int edits = g_test_rand_int_range (1, 4);

    for (int i = 0; i < edits; i++)
      text[g_test_rand_int_range (0, (gint32) length)]
        = bytes[g_test_rand_int_range (0, sizeof bytes - 1)];
    g_autoptr (GError) error = NULL;
    g_autoptr (Layer) layer = parse (text, length, &error);
    if (layer) {
      accepted++;
      g_assert_no_error (error);
      g_assert_nonnull (layer->format);
      g_assert_cmpuint (layer->size, <=, G_MAXINT64);
      for (guint i = 0; i < layer->bitmaps->len; i++) {
        const Bitmap *bitmap = g_ptr_array_index (layer->bitmaps, i);
        g_assert_nonnull (bitmap->name);
      }
    }
    else {
      refused++;
      g_assert_error (error, CHECKPOINT_ERROR, EINVAL);
      g_assert_null (strpbrk (error->message, "\n\r"));
    }
  }
  g_assert_cmpuint (accepted, >, 100);
  g_assert_cmpuint (refused, >, 100);
}

int
main (int argc, char *argv[])
{
  static const struct { const char *path; Nesting nesting; } deep[] = {
    { "/image-info/deep/array", { "", "[", NULL } },
    { "/image-info/deep/object", { "", "{\"a\":", NULL } },
    { "/image-info/deep/closed", { "", "[", "]" } },
    { "/image-info/deep/escape", { "[\"\\\\\", \"\\\"\",", "[", NULL } },
    { "/image-info/deep/single-quote", { "['\"',", "[", NULL } },
    { "/image-info/deep/comment", { "/* \" */", "[", NULL } },
    { "/image-info/deep/line-comment", { "// \"\n", "[", NULL } },
    { "/image-info/deep/uncounted", { "", "[']',", NULL } },
  };

  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/image-info/bitmaps", test_bitmaps);
  g_test_add_func ("/image-info/backing", test_backing);
  g_test_add_func ("/image-info/other-kinds", test_other_kinds);
  g_test_add_func ("/image-info/data-file", test_data_file);
  g_test_add_func ("/image-info/unusable", test_unusable);
  g_test_add_func ("/image-info/truncated", test_truncated);
  g_test_add_func ("/image-info/no-document", test_no_document);
  g_test_add_func ("/image-info/sizes", test_sizes);
  g_test_add_func ("/image-info/granularity", test_granularity);
  g_test_add_func ("/image-info/types/refused", test_types_refused);
  g_test_add_func ("/image-info/types/encrypted", test_types_encrypted);
  g_test_add_func ("/image-info/types/ignored", test_types_ignored);
  g_test_add_func ("/image-info/types/bitmap", test_bitmap_types);
  g_test_add_func ("/image-info/duplicate", test_duplicate);
  g_test_add_func ("/image-info/many", test_many);
  for (guint i = 0; i < G_N_ELEMENTS (deep); i++)
    g_test_add_data_func (deep[i].path, &deep[i].nesting, test_deep);
  g_test_add_func ("/image-info/brackets-in-strings",
                   test_brackets_in_strings);
  g_test_add_func ("/image-info/random", test_random);
  return g_test_run ();
}
