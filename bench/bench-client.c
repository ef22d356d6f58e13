/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A client that does the same to any server:
 *
 *   bench-client status URI CONTEXT STEP
 *     asks for the status of one extent at every STEP bytes.
 *   bench-client read URI CONTEXT BLOCK CONNECTIONS
 *     reads the map, then every dirty block in it, BLOCK bytes at a time, as
 *     nbdcopy would: one thread a connection, 64 requests under way.
 *
 * CONTEXT is base:allocation, where what is no hole is dirty, or one of QEMU's
 * dirty bitmaps.  Prints seconds (without those of connecting), dirty bytes
 * and a sum, by which two servers can be compared.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libnbd.h>

#define IN_FLIGHT 64
#define MAX_CONNECTIONS 16
/* Connections take turns at parts of this size: nbdcopy's THREAD_WORK_SIZE. */
#define PART (UINT64_C (128) << 20)

typedef struct {
  uint64_t offset, length;
} Range;

typedef struct {
  const char *context;
  bool bitmap;                  /* else base:allocation */
  Range *ranges;                /* dirty, ascending */
  size_t n, room;
  uint64_t dirty;
  uint64_t offset, seen;        /* of the reply being taken */
} Map;

typedef struct {
  struct nbd_handle *nbd;
  const Map *map;
  uint64_t block;
  unsigned number, readers;     /* which parts of the disk: see PART */
  uint64_t sum;
} Reader;

static void
die (void)
{
  fprintf (stderr, "bench-client: %s\n", nbd_get_error ());
  exit (EXIT_FAILURE);
}

static void *
need (void *p)
{
  if (p == NULL) {
    perror ("bench-client");
    exit (EXIT_FAILURE);
  }
  return p;
}

static double
now (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static struct nbd_handle *
opened (const char *uri, const char *context)
{
  struct nbd_handle *nbd = nbd_create ();

  if (nbd == NULL || nbd_add_meta_context (nbd, context) == -1 ||
      nbd_connect_uri (nbd, uri) == -1)
    die ();
  if (nbd_can_meta_context (nbd, context) != 1) {
    fprintf (stderr, "bench-client: no %s at %s\n", context, uri);
    exit (EXIT_FAILURE);
  }
  return nbd;
}

static void
add_range (Map *map, uint64_t offset, uint64_t length)
{
  map->dirty += length;
  if (map->n > 0 &&
      map->ranges[map->n - 1].offset + map->ranges[map->n - 1].length
      == offset) {
    map->ranges[map->n - 1].length += length;
    return;
  }
  if (map->n == map->room) {
    map->room = map->room ? map->room * 2 : 4096;
    map->ranges = need (realloc (map->ranges,
                                 map->room * sizeof map->ranges[0]));
  }
  map->ranges[map->n++] = (Range) { offset, length };
}

static int
take_extents (void *data, const char *context, uint64_t offset,
              uint32_t *entries, size_t n,
              int *error __attribute__ ((unused)))
{
  Map *map = data;

  if (strcmp (context, map->context) != 0)
    return 0;
  for (size_t i = 0; i + 1 < n; i += 2) {
    if (map->bitmap ? entries[i + 1] & 1 : !(entries[i + 1] & 1))
      add_range (map, offset, entries[i]);
    offset += entries[i];
    map->seen += entries[i];
  }
  return 0;
}

static void
read_map (struct nbd_handle *nbd, Map *map, uint64_t size)
{
  uint64_t at = 0;

  while (at < size) {
    const uint64_t most = UINT64_C (2) << 30;

    map->seen = 0;
    if (nbd_block_status (nbd, size - at < most ? size - at : most, at,
                          (nbd_extent_callback) {
                            .callback = take_extents, .user_data = map }, 0)
        == -1)
      die ();
    at += map->seen;
  }
}

static uint64_t
status (struct nbd_handle *nbd, Map *map, uint64_t size, uint64_t step)
{
  uint64_t sum = 0;

  for (uint64_t at = 0; at < size; at += step) {
    const uint64_t most = UINT64_C (1) << 30;

    map->seen = 0;
    if (nbd_block_status (nbd, size - at < most ? size - at : most, at,
                          (nbd_extent_callback) {
                            .callback = take_extents, .user_data = map },
                          LIBNBD_CMD_FLAG_REQ_ONE) == -1)
      die ();
    sum = sum * 31 + map->seen / 512;
  }
  return sum;
}

/* Waits until the slot's request is done, and adds what it has read. */
static void
finish (Reader *reader, int64_t *cookie, const char *buffer)
{
  uint64_t word;
  int done;

  if (*cookie < 0)
    return;
  while ((done = nbd_aio_command_completed (reader->nbd,
                                            (uint64_t) *cookie)) == 0)
    if (nbd_poll (reader->nbd, -1) == -1)
      die ();
  if (done == -1)
    die ();
  memcpy (&word, buffer, sizeof word);
  reader->sum += word;
  *cookie = -1;
}

static void *
read_blocks (void *data)
{
  Reader *reader = data;
  const Map *map = reader->map;
  char *buffers = need (malloc (IN_FLIGHT * reader->block));
  int64_t cookies[IN_FLIGHT];
  size_t slot;

  for (slot = 0; slot < IN_FLIGHT; ++slot)
    cookies[slot] = -1;
  slot = 0;
  for (size_t i = 0; i < map->n; ++i) {
    const Range *range = &map->ranges[i];

    for (uint64_t at = 0; at < range->length; at += reader->block) {
      char *buffer = buffers + slot * reader->block;
      uint64_t length = range->length - at;

      if ((range->offset + at) / PART % reader->readers != reader->number)
        continue;
      finish (reader, &cookies[slot], buffer);
      if (length > reader->block)
        length = reader->block;
      cookies[slot] = nbd_aio_pread (reader->nbd, buffer, length,
                                     range->offset + at,
                                     NBD_NULL_COMPLETION, 0);
      if (cookies[slot] == -1)
        die ();
      slot = (slot + 1) % IN_FLIGHT;
    }
  }
  for (slot = 0; slot < IN_FLIGHT; ++slot)
    finish (reader, &cookies[slot], buffers + slot * reader->block);
  free (buffers);
  return NULL;
}

static uint64_t
read_all (struct nbd_handle *nbd, const char *uri, const Map *map,
          uint64_t block, unsigned connections)
{
  Reader readers[MAX_CONNECTIONS];
  pthread_t threads[MAX_CONNECTIONS];
  uint64_t sum = 0;

  for (unsigned i = 0; i < connections; ++i)
    readers[i] = (Reader) {
      .nbd = i == 0 ? nbd : opened (uri, map->context), .map = map,
      .block = block, .number = i, .readers = connections };
  for (unsigned i = 0; i < connections; ++i)
    if (pthread_create (&threads[i], NULL, read_blocks, &readers[i]) != 0)
      abort ();
  for (unsigned i = 0; i < connections; ++i) {
    pthread_join (threads[i], NULL);
    sum += readers[i].sum;
    if (i > 0)
      nbd_close (readers[i].nbd);
  }
  return sum;
}

int
main (int argc, char *argv[])
{
  const bool reads = argc == 6 && strcmp (argv[1], "read") == 0;
  const uint64_t step = argc > 4 ? strtoull (argv[4], NULL, 10) : 0;
  const unsigned connections = argc > 5 ? (unsigned) atoi (argv[5]) : 1;
  struct nbd_handle *nbd;
  Map map = { 0 };
  uint64_t sum, size;
  double start;

  if ((!reads && (argc != 5 || strcmp (argv[1], "status") != 0)) ||
      step == 0 || connections == 0 || connections > MAX_CONNECTIONS) {
    fprintf (stderr, "Usage: see bench/bench-client.c\n");
    return EXIT_FAILURE;
  }
  map.context = argv[3];
  map.bitmap = strncmp (argv[3], "qemu:", 5) == 0;
  nbd = opened (argv[2], map.context);
  size = (uint64_t) nbd_get_size (nbd);

  start = now ();
  if (reads) {
    read_map (nbd, &map, size);
    sum = read_all (nbd, argv[2], &map, step, connections);
  }
  else
    sum = status (nbd, &map, size, step);
  printf ("%.6f %" PRIu64 " %" PRIx64 "\n", now () - start, map.dirty, sum);
  nbd_close (nbd);
  free (map.ranges);
  return EXIT_SUCCESS;
}
