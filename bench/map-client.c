/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * How long a server takes to tell all of a map, to a client that does nothing
 * with it:
 *
 *   map-client URI CONTEXT
 *
 * asks for CONTEXT and base:allocation at once, as a map of dirty data and dirty
 * zeroes needs, and prints the seconds from connecting on, and how many extents
 * came.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libnbd.h>

#define QUESTION (UINT64_C (2) << 30)

typedef struct {
  const char *context;
  uint64_t dirty, zeroes;       /* bytes that the answer told of */
  uint64_t extents;
} Answer;

static void
die (void)
{
  fprintf (stderr, "map-client: %s\n", nbd_get_error ());
  exit (EXIT_FAILURE);
}

static double
now (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int
take (void *data, const char *context,
      uint64_t offset __attribute__ ((unused)), uint32_t *entries, size_t n,
      int *error __attribute__ ((unused)))
{
  Answer *answer = data;
  const bool is_dirty = strcmp (context, answer->context) == 0;

  for (size_t i = 0; i + 1 < n; i += 2)
    *(is_dirty ? &answer->dirty : &answer->zeroes) += entries[i];
  if (is_dirty)
    answer->extents += n / 2;
  return 0;
}

int
main (int argc, char *argv[])
{
  const double start = now ();
  struct nbd_handle *nbd = nbd_create ();
  uint64_t size, at = 0;

  if (argc != 3) {
    fprintf (stderr, "Usage: map-client URI CONTEXT\n");
    return EXIT_FAILURE;
  }
  Answer answer = { .context = argv[2] };
  if (!nbd || nbd_add_meta_context (nbd, argv[2]) == -1
      || nbd_add_meta_context (nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == -1
      || nbd_connect_uri (nbd, argv[1]) == -1
      || nbd_can_meta_context (nbd, argv[2]) != 1
      || nbd_can_meta_context (nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) != 1)
    die ();
  size = (uint64_t) nbd_get_size (nbd);
  while (at < size) {
    answer.dirty = answer.zeroes = 0;
    if (nbd_block_status (nbd, size - at < QUESTION ? size - at : QUESTION, at,
                          (nbd_extent_callback) {
                            .callback = take, .user_data = &answer }, 0) == -1)
      die ();
    at += answer.dirty < answer.zeroes ? answer.dirty : answer.zeroes;
  }
  printf ("%.6f %" PRIu64 "\n", now () - start, answer.extents);
  nbd_close (nbd);
  return EXIT_SUCCESS;
}
