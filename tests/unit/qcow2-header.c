/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/image/qcow2-header.c: headers made by hand, and what QEMU reads in
 * images of its own after some bytes of them were changed.  --seed=... as
 * printed repeats a failure.
 */
#include <config.h>

#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "base/json-text.h"
#include "image/qcow2-header.h"
#include "qcow2-put.h"

#define CLUSTER_BITS 12
#define CLUSTER_SIZE (1 << CLUSTER_BITS)
#define END 0
#define FORMAT 0xe2792acaU
#define UNKNOWN 0x12345678U
/* Of an image of QEMU: what is changed, and in it the header proper. */
#define CHANGED 700
#define HEADER 160

/* A first cluster, filled up to at. */
typedef struct {
  guint8 bytes[CLUSTER_SIZE];
  gsize at;
} Image;

static Image
image_new (guint32 version)
{
  Image image = { .bytes = "QFI\xfb", .at = version == 3 ? 104 : 72 };

  put (image.bytes + 4, 4, version);
  put (image.bytes + 20, 4, CLUSTER_BITS);
  if (version == 3)
    put (image.bytes + 100, 4, image.at);
  return image;
}

static void
add_extension (Image *image, guint32 type, const void *data, gsize length)
{
  put (image->bytes + image->at, 4, type);
  put (image->bytes + image->at + 4, 4, length);
  memcpy (image->bytes + image->at + 8, data, length);
  image->at += 8 + (length + 7) / 8 * 8;
}

static void
add_format (Image *image, const char *format)
{
  add_extension (image, FORMAT, format, strlen (format));
}

static void
add_backing (Image *image, const void *name, gsize length)
{
  add_extension (image, END, "", 0);
  put (image->bytes + 8, 8, image->at);
  put (image->bytes + 16, 4, length);
  memcpy (image->bytes + image->at, name, length);
  image->at += length;
}

static bool
parse (const guint8 *bytes, gsize length, Qcow2Header *header,
       const char **why)
{
  /* An exact copy, so that the sanitizers see reads beyond the end. */
  g_autofree guint8 *copy = g_memdup2 (bytes, length);

  return qcow2_header_parse (copy ? copy : (const guint8 *) "", length,
                             header, why);
}

static void
refuse_length (const Image *image, gsize length, const char *part)
{
  g_auto (Qcow2Header) header = { 0 };
  const char *why = NULL;

  g_assert_false (parse (image->bytes, length, &header, &why));
  g_assert_nonnull (why);
  g_assert_cmpstr (why, !=, "");
  g_assert_null (strpbrk (why, "\n\r"));
  if (!strstr (why, part))
    g_error ("refused since %s, not %s", why, part);
}

/* That path and format, or refused: why. */
static void
check (const Image *image, const char *path, const char *format,
       const char *part)
{
  g_auto (Qcow2Header) header = { 0 };
  const char *why = "";

  if (part) {
    refuse_length (image, sizeof image->bytes, part);
    return;
  }
  if (!parse (image->bytes, sizeof image->bytes, &header, &why))
    g_error ("refused: %s", why);
  g_assert_cmpuint (header.version, ==, image->bytes[7]);
  g_assert_cmpstr (header.backing_path, ==, path);
  g_assert_cmpstr (header.backing_format, ==, format);
  g_assert_false (header.corrupt || header.external_data || header.encryption);
}

static void
test_backing (void)
{
  for (guint32 version = 2; version <= 3; version++) {
    Image image = image_new (version);
    check (&image, NULL, NULL, NULL);
    add_backing (&image, "base.img", 8);
    check (&image, "base.img", NULL, NULL);

    /* In version 2 the length of this is where version 3 has its flags. */
    image = image_new (version);
    add_format (&image, "vmdk++");
    check (&image, NULL, "vmdk++", NULL);
    add_extension (&image, UNKNOWN, "odd length", 9);
    add_format (&image, "qcow2");
    add_backing (&image, "/b", 2);
    check (&image, "/b", "qcow2", NULL);

    image = image_new (version);
    add_format (&image, "qcow2");
    add_format (&image, "");
    add_backing (&image, "nbd://host/\303\274", 13);
    check (&image, "nbd://host/\303\274", NULL, NULL);
    /* What follows the end, or is in the name, is no extension. */
    add_format (&image, "raw");
    check (&image, "nbd://host/\303\274", NULL, NULL);
  }
}

static void
test_path (void)
{
  g_autofree char *name = g_strnfill (1024, 'n');
  g_autofree char *longest = g_strndup (name, 1023);
  const struct {
    const char *name;
    gsize length;
    const char *path, *why;
  } cases[] = {
    { name, 1023, longest, NULL }, { name, 1024, NULL, "too long" },
    { "base\0img", 8, "base", NULL }, { "\0base", 5, NULL, NULL },
    { "", 0, NULL, NULL }, { "base\377", 5, "base\377", NULL },
    { "base\303", 5, "base\303", NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    Image image = image_new (3);
    add_backing (&image, cases[i].name, cases[i].length);
    check (&image, cases[i].path, NULL, cases[i].why);
  }
}

/* Where the name may lie: in the first cluster, or even in the header. */
static void
test_path_offset (void)
{
  static const char no[] = "not in its first cluster";
  static const struct {
    guint64 offset;
    guint32 length;
    const char *path, *why;
  } cases[] = {
    { CLUSTER_SIZE - 4, 4, "name", NULL }, { CLUSTER_SIZE - 4, 5, NULL, no },
    { CLUSTER_SIZE - 4, G_MAXUINT32, NULL, no },
    { CLUSTER_SIZE, 0, NULL, NULL }, { CLUSTER_SIZE, 1, NULL, no },
    { CLUSTER_SIZE + 1, 0, NULL, no },
    { G_GUINT64_CONSTANT (1) << 32, 4, NULL, no },
    { G_MAXUINT64, 1, NULL, no }, { G_MAXUINT64, 4, NULL, no },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    Image image = image_new (3);
    add_format (&image, "raw");
    memcpy (image.bytes + CLUSTER_SIZE - 4, "name", 4);
    put (image.bytes + 8, 8, cases[i].offset);
    put (image.bytes + 16, 4, cases[i].length);
    check (&image, cases[i].path, "raw", cases[i].why);
  }
  Image image = image_new (3);
  put (image.bytes + 8, 8, 1);
  put (image.bytes + 16, 4, 2);
  check (&image, "FI", NULL, NULL);
  /* The file may be longer than the cluster. */
  put (image.bytes + 20, 4, 9);
  put (image.bytes + 8, 8, 600);
  check (&image, NULL, NULL, no);
}

static void
test_format (void)
{
  static const struct {
    const char *data;
    gsize length;
    const char *format, *why;
  } cases[] = {
    { "fifteen bytes..", 15, "fifteen bytes..", NULL },
    { "sixteen bytes...", 16, NULL, "no known name" },
    { "raw\0qcow2", 9, "raw", NULL }, { "\0raw", 4, NULL, NULL },
    { "\377", 1, NULL, "no known name" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    Image image = image_new (3);
    add_extension (&image, FORMAT, cases[i].data, cases[i].length);
    check (&image, NULL, cases[i].format, cases[i].why);
  }
}

static void
test_extensions (void)
{
  static const char zeros[CLUSTER_SIZE];
  const gsize room = CLUSTER_SIZE - 104 - 8;
  Image image = image_new (3);

  /* No end but that of the cluster. */
  add_extension (&image, UNKNOWN, zeros, room);
  check (&image, NULL, NULL, NULL);
  put (image.bytes + 108, 4, room + 1);
  check (&image, NULL, NULL, "do not fit");
  put (image.bytes + 108, 4, G_MAXUINT32);
  check (&image, NULL, NULL, "do not fit");
  put (image.bytes + 104, 4, END);
  check (&image, NULL, NULL, "do not fit");
  put (image.bytes + 108, 4, room);
  check (&image, NULL, NULL, NULL);
  image = image_new (3);
  add_extension (&image, UNKNOWN, zeros, room - 16);
  add_format (&image, "raw");
  check (&image, NULL, "raw", NULL);

  /* No end but the name: "raw", and what it is padded with, end at 120. */
  for (guint64 end = 104; end <= 120; end++) {
    image = image_new (3);
    add_format (&image, "raw");
    put (image.bytes + 8, 8, end);
    check (&image, NULL, end < 115 ? NULL : "raw",
           end > 104 && end < 115 ? "do not fit" : NULL);
  }
}

static void
test_numbers (void)
{
  static const struct { guint32 bits, length; bool good; } cases[] = {
    { 0, 104, false }, { 8, 104, false }, { 9, 104, true }, { 21, 104, true },
    { 22, 104, false }, { 64, 104, false }, { 65536 + 12, 104, false },
    { G_MAXUINT32, 104, false }, { 12, 0, false }, { 12, 72, false },
    { 12, 103, false }, { 12, 112, true }, { 12, 4096, true },
    { 12, 4097, false }, { 9, 512, true }, { 9, 513, false },
    { 12, G_MAXUINT32, false },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (guint32 version = 2; version <= 3; version++) {
      Image image = image_new (version);
      put (image.bytes + 20, 4, cases[i].bits);
      if (version == 3)
        put (image.bytes + 100, 4, cases[i].length);
      else if (cases[i].length != 104)
        continue;
      check (&image, NULL, NULL, cases[i].good ? NULL : "make no sense");
    }
  /* A long header, of which not all is there. */
  Image image = image_new (3);
  put (image.bytes + 100, 4, 3000);
  refuse_length (&image, 2999, "cut off");
}

static void
test_cut_off (void)
{
  for (guint32 version = 2; version <= 3; version++) {
    Image image = image_new (version);
    const gsize least = image.at;
    add_format (&image, "qcow2");
    add_backing (&image, "/images/base.qcow2", 18);
    check (&image, "/images/base.qcow2", "qcow2", NULL);
    for (gsize n = 0; n < image.at; n++)
      refuse_length (&image, n, n < least ? "cut off" : "first cluster");
    g_auto (Qcow2Header) header = { 0 };
    const char *why;
    g_assert_true (parse (image.bytes, image.at, &header, &why));
    g_assert_cmpstr (header.backing_path, ==, "/images/base.qcow2");
    g_assert_cmpstr (header.backing_format, ==, "qcow2");
  }
}

static void
test_flags (void)
{
  static const char *const encryptions[] = { NULL, "aes", "luks" };

  for (guint i = 0; i < 24; i++) {
    Image image = image_new (3);
    g_auto (Qcow2Header) header = { 0 };
    const char *why;
    put (image.bytes + 72, 8, i);
    put (image.bytes + 32, 4, i / 8);
    put (image.bytes + 88, 8, i & 1 ? 2 : 0);
    g_assert_true (parse (image.bytes, sizeof image.bytes, &header, &why));
    g_assert_cmpint (header.corrupt, ==, (i & 2) != 0);
    g_assert_cmpint (header.external_data, ==, (i & 4) != 0);
    g_assert_cmpint (header.data_raw, ==, (i & 1) != 0);
    g_assert_cmpstr (header.encryption, ==, encryptions[i / 8]);
    put (image.bytes + 4, 4, 2);
    memset (image.bytes + 72, 0, 8);
    qcow2_header_clear (&header);
    header = (Qcow2Header) { 0 };
    g_assert_true (parse (image.bytes, sizeof image.bytes, &header, &why));
    g_assert_cmpstr (header.encryption, ==, encryptions[i / 8]);
    qcow2_header_clear (&header);
    header = (Qcow2Header) { 0 };
    put (image.bytes + 32, 4, 3);
    g_assert_false (parse (image.bytes, sizeof image.bytes, &header, &why));
    g_assert_nonnull (strstr (why, "encrypted"));
  }
}

static void
test_other_versions (void)
{
  static const guint32 versions[] = { 0, 1, 4, 0x102, G_MAXUINT32 };

  for (guint i = 0; i < G_N_ELEMENTS (versions); i++) {
    g_auto (Qcow2Header) header = { 0 };
    Image image = { .bytes = "QFI\xfb" };
    const char *why;
    memset (image.bytes + 4, 0xff, sizeof image.bytes - 4);
    put (image.bytes + 4, 4, versions[i]);
    g_assert_true (parse (image.bytes, sizeof image.bytes, &header, &why));
    g_assert_cmpuint (header.version, ==, versions[i]);
    g_assert_null (header.backing_path);
    g_assert_null (header.backing_format);
    g_assert_false (header.corrupt || header.external_data
                    || header.encryption);
  }
}

static void
test_begins (void)
{
  static const struct { guint32 bits; gsize needed; } cases[] = {
    { 0, 104 }, { 8, 256 }, { 9, 512 }, { 16, 65536 },
    { 21, QCOW2_HEADER_MOST }, { 22, 104 }, { 64, 104 }, { G_MAXUINT32, 104 },
  };
  Image image = image_new (3);
  gsize needed;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    put (image.bytes + 20, 4, cases[i].bits);
    for (gsize n = 0; n <= 128; n++) {
      g_autofree guint8 *copy = g_memdup2 (image.bytes, n);
      const bool is_qcow2
        = qcow2_header_begins (copy ? copy : (const guint8 *) "", n, &needed);
      g_assert_cmpint (is_qcow2, ==, n >= 8);
      if (is_qcow2)
        g_assert_cmpuint (needed, ==, n < 72 ? 104 : cases[i].needed);
    }
  }
  for (guint i = 0; i < 4; i++) {
    Image other = image_new (3);
    other.bytes[i] ^= 1;
    g_assert_false (qcow2_header_begins (other.bytes, 128, &needed));
  }
}

/* What it prints, or NULL if it refuses. */
static char *
qemu_img (const char **arguments)
{
  g_autofree char *out = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  /* With descriptors left open GLib need not fork, which is slow under the
   * sanitizers.
   */
  g_spawn_sync (NULL, (char **) arguments, NULL,
                G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL
                | G_SPAWN_LEAVE_DESCRIPTORS_OPEN, NULL, NULL, &out, NULL,
                &status, &error);
  g_assert_no_error (error);
  return status == 0 ? g_steal_pointer (&out) : NULL;
}

#define ONE_OF(array) array[g_test_rand_int_range (0, G_N_ELEMENTS (array))]

static void
make_image (const char *path)
{
  static const char *const clusters[] = { "512", "4096", "65536", "2M" };
  static const char *const names[] = {
    NULL, "b", "/images/base.img", "nbd://host/\303\274",
    "json:{\"driver\": \"null-co\"}",
  };
  const char *name = ONE_OF (names);
  g_autofree char *options
    = g_strdup_printf ("cluster_size=%s,compat=%s", ONE_OF (clusters),
                       g_test_rand_bit () ? "1.1" : "0.10");
  const char *arguments[] = {
    "qemu-img", "create", "-q", "-u", "-f", "qcow2", "-o", options, path,
    "1M", name ? "-b" : NULL, name, "-F",
    g_test_rand_bit () ? "raw" : "qcow2", NULL,
  };
  g_autofree char *out = qemu_img (arguments);

  g_assert_nonnull (out);
}

/* One more extension before all others. */
static void
insert_extension (guint8 *bytes)
{
  static const guint32 types[] = { FORMAT, FORMAT, UNKNOWN, END };
  static const char *const data[] = {
    "", "raw", "vmdk", "eight...", "fifteen bytes..", "sixteen bytes...",
  };
  const char *text = ONE_OF (data);
  const gsize size = 8 + (strlen (text) + 7) / 8 * 8;
  guint8 *at = bytes + (bytes[7] == 3 ? bytes[103] : 72);

  memmove (at + size, at, (gsize) (bytes + 512 - at) - size);
  memset (at, 0, size);
  put (at, 4, ONE_OF (types));
  put (at + 4, 4, strlen (text));
  memcpy (at + 8, text, strlen (text));
  /* The offset of the name; unless it is now to be found in the extensions. */
  if (bytes[15] > 0 && g_test_rand_int_range (0, 4) > 0)
    put (bytes + 14, 2, bytes[14] * 256U + bytes[15] + size);
}

static void
change_bytes (guint8 *bytes)
{
  while (g_test_rand_bit ())
    insert_extension (bytes);
  /* Its flags; in version 2, the length of the first extension. */
  if (g_test_rand_int_range (0, 4) == 0)
    bytes[79] ^= (guint8) g_test_rand_int_range (1, 8);
  for (gint32 n = g_test_rand_int_range (0, 5); n > 0; n--) {
    guint8 *byte = bytes + g_test_rand_int_range (
      0, g_test_rand_bit () ? CHANGED : HEADER);
    if (g_test_rand_bit ())
      *byte = (guint8) g_test_rand_int_range (0, 256);
    else
      *byte ^= (guint8) (1 << g_test_rand_int_range (0, 8));
  }
}

/* Change the image, and read of it what the parser wants: NULL if it is no
 * qcow2 image any more.
 */
static guint8 *
change_image (const char *path, gsize *length)
{
  guint8 begin[CHANGED];
  guint8 *bytes = NULL;
  gsize needed;
  FILE *file = fopen (path, "r+b");

  g_assert_nonnull (file);
  g_assert_cmpuint (fread (begin, 1, CHANGED, file), ==, CHANGED);
  change_bytes (begin);
  rewind (file);
  g_assert_cmpuint (fwrite (begin, 1, CHANGED, file), ==, CHANGED);
  g_assert_cmpint (fflush (file), ==, 0);
  if (g_test_rand_int_range (0, 8) == 0)
    g_assert_cmpint (ftruncate (fileno (file),
                                g_test_rand_int_range (HEADER, CHANGED)),
                     ==, 0);
  if (qcow2_header_begins (begin, CHANGED, &needed)) {
    bytes = g_malloc (needed);
    rewind (file);
    *length = fread (bytes, 1, needed, file);
  }
  fclose (file);
  return bytes;
}

static void
compare_text (const char *what, const char *ours, const char *theirs,
              const char *path)
{
  /* QEMU writes others in place of bytes that are not UTF-8. */
  if (ours && theirs && !g_utf8_validate (ours, -1, NULL))
    return;
  if (g_strcmp0 (ours, theirs) != 0)
    g_error ("the backing %s of %s is %s, but %s to QEMU", what, path,
             ours ? ours : "(none)", theirs ? theirs : "(none)");
}

static void
compare (const Qcow2Header *header, JsonObject *info, const char *path)
{
  JsonObject *specific
    = json_object_get_object_member (info, "format-specific");
  JsonObject *data = json_object_get_object_member (specific, "data");
  const char *compat = json_object_get_string_member (data, "compat");

  g_assert_cmpstr (compat, ==, header->version == 2 ? "0.10" : "1.1");
  compare_text ("path", header->backing_path,
                json_object_get_string_member_with_default (
                  info, "backing-filename", NULL), path);
  /* QEMU tells the format only of what is there. */
  if (header->backing_path)
    compare_text ("format", header->backing_format,
                  json_object_get_string_member_with_default (
                    info, "backing-filename-format", NULL), path);
  g_assert_cmpint (header->corrupt, ==,
                   json_object_get_boolean_member_with_default (
                     data, "corrupt", FALSE));
  g_assert_cmpint (header->encryption != NULL, ==,
                   json_object_get_boolean_member_with_default (
                     info, "encrypted", FALSE));
  /* "data-file" is there if it has a name, needed or not. */
  g_assert_cmpint (header->external_data, ==,
                   json_object_has_member (data, "data-file-raw"));
  if (header->external_data)
    g_assert_cmpint (header->data_raw, ==,
                     json_object_get_boolean_member (data, "data-file-raw"));
}

static void
test_like_qemu (void)
{
  const guint rounds = g_test_slow () ? 600 : 60;
  g_autofree char *folder = g_dir_make_tmp ("qcow2-header.XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "image", NULL);
  guint accepted = 0, both = 0, backed = 0;

  for (guint i = 0; i < rounds; i++) {
    const char *info[] = {
      "qemu-img", "info", "--output=json", "-f", "qcow2", path, NULL,
    };
    g_auto (Qcow2Header) header = { 0 };
    g_autoptr (JsonParser) parser = json_parser_new ();
    const char *why;
    gsize length;

    make_image (path);
    g_autofree guint8 *bytes = change_image (path, &length);
    g_autofree char *text = qemu_img (info);
    if (text && !bytes)
      g_error ("to QEMU, %s is a qcow2 image", path);
    if (!text)
      continue;
    accepted++;
    if (!parse (bytes, length, &header, &why))
      continue;
    JsonObject *object = json_text_parse (parser, text, strlen (text));
    g_assert_nonnull (object);
    compare (&header, object, path);
    both++;
    if (header.backing_path)
      backed++;
  }
  g_test_message ("of %u, QEMU accepts %u, both accept %u, %u with a backing "
                  "file", rounds, accepted, both, backed);
  /* It was about something. */
  g_assert_cmpuint (both, >=, rounds / 4);
  g_assert_cmpuint (backed, >=, rounds / 12);
  g_assert_cmpint (g_remove (path), ==, 0);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_assert_true (g_setenv ("LC_ALL", "C", TRUE));
  g_test_add_func ("/qcow2-header/backing", test_backing);
  g_test_add_func ("/qcow2-header/path", test_path);
  g_test_add_func ("/qcow2-header/path-offset", test_path_offset);
  g_test_add_func ("/qcow2-header/format", test_format);
  g_test_add_func ("/qcow2-header/extensions", test_extensions);
  g_test_add_func ("/qcow2-header/numbers", test_numbers);
  g_test_add_func ("/qcow2-header/cut-off", test_cut_off);
  g_test_add_func ("/qcow2-header/flags", test_flags);
  g_test_add_func ("/qcow2-header/other-versions", test_other_versions);
  g_test_add_func ("/qcow2-header/begins", test_begins);
  g_test_add_func ("/qcow2-header/like-qemu", test_like_qemu);
  return g_test_run ();
}
