/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A main () for the fuzz targets where libFuzzer is not at hand: runs each
 * file of the corpus, then mutations of them that depend only on the seed.
 *
 *   replay CORPUS-DIRECTORY-OR-FILE...
 *
 * FUZZ_SEED (a number) repeats a run; FUZZ_RUNS changes how many mutations
 * are tried (default 2000); FUZZ_SAVE names a file to which each input is
 * written before it is run, so that the last one is there after a crash.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#define DEFAULT_RUNS 2000
#define MAX_EDITS 8
#define MAX_BYTES (1024 * 1024)

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
free_input (void *input)
{
  g_byte_array_unref (input);
}

static void
run_one (const GByteArray *input)
{
  const char *save = g_getenv ("FUZZ_SAVE");
  /* An exact copy, so that the sanitizers see reads beyond the end. */
  g_autofree uint8_t *copy = g_malloc (MAX (input->len, 1));

  memcpy (copy, input->data ? input->data : (const uint8_t *) "", input->len);
  if (save != NULL)
    g_file_set_contents (save, (const char *) copy, input->len, NULL);
  LLVMFuzzerTestOneInput (copy, input->len);
}

static bool
add_file (GPtrArray *inputs, const char *path)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  GByteArray *input;
  gsize length;

  if (!g_file_get_contents (path, &text, &length, &error)) {
    fprintf (stderr, "replay: %s\n", error->message);
    return false;
  }
  input = g_byte_array_new ();
  g_byte_array_append (input, (const uint8_t *) text, length);
  g_ptr_array_add (inputs, input);
  return true;
}

static int
compare_names (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* Sorted, for the mutations must not depend on the file system's order. */
static bool
add_path (GPtrArray *inputs, const char *path)
{
  g_autoptr (GDir) directory = NULL;
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  if (!g_file_test (path, G_FILE_TEST_IS_DIR))
    return add_file (inputs, path);
  directory = g_dir_open (path, 0, NULL);
  if (directory == NULL) {
    fprintf (stderr, "replay: cannot open %s\n", path);
    return false;
  }
  while ((name = g_dir_read_name (directory)) != NULL)
    g_ptr_array_add (names, g_build_filename (path, name, NULL));
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++)
    if (!add_file (inputs, g_ptr_array_index (names, i)))
      return false;
  return true;
}

static guint
below (GRand *random, guint limit)
{
  return limit < 2 ? 0 : (guint) g_rand_int_range (random, 0, limit);
}

/* One edit at a random place: change a byte, delete or repeat a piece, or put
 * in a piece of another input. */
static void
edit (GByteArray *bytes, const GByteArray *other, GRand *random)
{
  const guint at = below (random, bytes->len);
  const guint length = 1 + below (random, MIN (64, bytes->len - at));
  const GByteArray *from = bytes;
  guint start = at, count = length;
  g_autofree uint8_t *piece = NULL;

  if (bytes->len == 0)
    return;
  switch (below (random, 5)) {
  case 0:
    bytes->data[at] ^= 1 << below (random, 8);
    return;
  case 1:
    bytes->data[at] = below (random, 256);
    return;
  case 2:
    g_byte_array_remove_range (bytes, at, length);
    return;
  case 3:
    break;
  default:
    from = other;
    start = below (random, other->len);
    /* MIN evaluates its arguments twice. */
    count = 1 + below (random, 200);
    count = MIN (count, other->len - start);
  }
  if (count == 0 || bytes->len + count > MAX_BYTES)
    return;
  piece = g_memdup2 (from->data + start, count);
  g_byte_array_append (bytes, piece, count);
  memmove (bytes->data + at + count, bytes->data + at,
           bytes->len - count - at);
  memcpy (bytes->data + at, piece, count);
}

static GByteArray *
pick (GPtrArray *inputs, GRand *random)
{
  return g_ptr_array_index (inputs, below (random, inputs->len));
}

static guint64
number_from (const char *variable, guint64 otherwise)
{
  const char *text = g_getenv (variable);

  return text ? g_ascii_strtoull (text, NULL, 10) : otherwise;
}

int
main (int argc, char **argv)
{
  g_autoptr (GPtrArray) inputs = g_ptr_array_new_with_free_func (free_input);
  const guint32 seed = number_from ("FUZZ_SEED", g_random_int ());
  const guint64 runs = number_from ("FUZZ_RUNS", DEFAULT_RUNS);
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);

  printf ("FUZZ_SEED=%u\n", seed);
  fflush (stdout);
  for (int i = 1; i < argc; i++)
    if (!add_path (inputs, argv[i]))
      return EXIT_FAILURE;
  if (inputs->len == 0) {
    fprintf (stderr, "replay: no input; usage: %s CORPUS...\n", argv[0]);
    return EXIT_FAILURE;
  }

  for (guint i = 0; i < inputs->len; i++)
    run_one (g_ptr_array_index (inputs, i));
  for (guint64 run = 0; run < runs; run++) {
    const GByteArray *original = pick (inputs, random);
    g_autoptr (GByteArray) bytes = g_byte_array_new ();
    guint edits = 1 + below (random, MAX_EDITS);

    g_byte_array_append (bytes, original->data, original->len);
    while (edits-- > 0)
      edit (bytes, pick (inputs, random), random);
    run_one (bytes);
  }
  printf ("%u files, %" G_GUINT64_FORMAT " mutations: ok\n", inputs->len,
          runs);
  return EXIT_SUCCESS;
}
