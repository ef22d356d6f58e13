/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A client that reads at random places, aligned to what it reads at once:
 *
 *   random-client [OPTION…] URI
 *     -s BYTES    read at once (default: 4096)
 *     -f NUMBER   reads in flight on each connection (default: 1)
 *     -c NUMBER   connections, each with a thread of its own (default: 1)
 *     -n NUMBER   reads of all connections together (default: 1000)
 *     -t SECONDS  begin no more reads after that, though -n is not reached
 *     -r SEED     of the places (default: 1)
 *     -k          check: each 4096 bytes begin with their offset + 1, in 64
 *                 bits, little endian
 *
 * Prints the seconds from the first read to the last answer, without those of
 * connecting, and how many reads were done.
 */
#include <config.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libnbd.h>

#define MAX_CONNECTIONS 16
#define MAX_IN_FLIGHT 1024
#define TAGGED 4096             /* bytes, which begin with their offset */

typedef struct {
  uint64_t bytes;
  unsigned in_flight, connections;
  uint64_t count;
  double seconds;               /* 0: no limit */
  uint64_t seed;
  bool check;
} Options;

typedef struct Reader Reader;

/* A buffer, and the read that fills it. */
typedef struct {
  Reader *reader;
  char *buffer;
  uint64_t offset;
} Slot;

struct Reader {
  const Options *options;
  struct nbd_handle *nbd;
  uint64_t places;              /* to choose from */
  uint64_t state;               /* of the random numbers */
  uint64_t wanted, begun, done;
  double end;                   /* begin nothing after that; 0: no limit */
  Slot slots[MAX_IN_FLIGHT];
  Slot *idle[MAX_IN_FLIGHT];
  unsigned n_idle;
};

static void
die (const char *what)
{
  fprintf (stderr, "random-client: %s\n", what);
  exit (EXIT_FAILURE);
}

static double
now (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* SplitMix64: one number costs a few cycles, and any seed is a good one. */
static uint64_t
next_random (uint64_t *state)
{
  uint64_t z = *state += UINT64_C (0x9e3779b97f4a7c15);

  z = (z ^ z >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C (0x94d049bb133111eb);
  return z ^ z >> 31;
}

static void
check (const Slot *slot, uint64_t bytes)
{
  for (uint64_t at = 0; at < bytes; at += TAGGED) {
    const unsigned char *tag = (const unsigned char *) slot->buffer + at;
    uint64_t found = 0;

    for (int i = 7; i >= 0; i--)
      found = found << 8 | tag[i];
    if (found != slot->offset + at + 1)
      die ("bytes of another place");
  }
}

/* libnbd holds its lock here, so the slot is used again later.  1: libnbd need
 * not remember the read. */
static int
on_answer (void *data, int *error)
{
  Slot *slot = data;
  Reader *reader = slot->reader;

  if (*error != 0)
    die (strerror (*error));
  if (reader->options->check)
    check (slot, reader->options->bytes);
  reader->idle[reader->n_idle++] = slot;
  reader->done++;
  return 1;
}

static void
begin (Reader *reader)
{
  Slot *slot = reader->idle[--reader->n_idle];
  const uint64_t bytes = reader->options->bytes;

  slot->offset = next_random (&reader->state) % reader->places * bytes;
  reader->begun++;
  if (nbd_aio_pread (reader->nbd, slot->buffer, bytes, slot->offset,
                     (nbd_completion_callback) {
                       .callback = on_answer, .user_data = slot }, 0) == -1)
    die (nbd_get_error ());
}

static void *
read_places (void *data)
{
  Reader *reader = data;

  for (;;) {
    if (reader->end > 0 && now () >= reader->end)
      reader->wanted = reader->begun;
    while (reader->n_idle > 0 && reader->begun < reader->wanted)
      begin (reader);
    if (reader->done == reader->begun)
      return NULL;
    if (nbd_poll (reader->nbd, -1) == -1)
      die (nbd_get_error ());
  }
}

/* Connects, too. */
static Reader *
new_reader (const Options *options, const char *uri, unsigned number)
{
  Reader *reader = calloc (1, sizeof *reader);

  if (reader == NULL)
    die ("no memory");
  *reader = (Reader) { .options = options, .nbd = nbd_create () };
  if (reader->nbd == NULL || nbd_connect_uri (reader->nbd, uri) == -1)
    die (nbd_get_error ());
  reader->places = (uint64_t) nbd_get_size (reader->nbd) / options->bytes;
  if (reader->places == 0)
    die ("the disk is too small");
  reader->state = options->seed << 8 | number;
  reader->wanted = options->count / options->connections
    + (number < options->count % options->connections);
  for (unsigned i = 0; i < options->in_flight; i++) {
    Slot *slot = &reader->slots[i];
    *slot = (Slot) { .reader = reader, .buffer = malloc (options->bytes) };
    if (slot->buffer == NULL)
      die ("no memory");
    reader->idle[reader->n_idle++] = slot;
  }
  return reader;
}

static uint64_t
free_reader (Reader *reader)
{
  const uint64_t done = reader->done;

  nbd_close (reader->nbd);
  for (unsigned i = 0; i < reader->options->in_flight; i++)
    free (reader->slots[i].buffer);
  free (reader);
  return done;
}

static void
parse (int argc, char *argv[], Options *options)
{
  for (int c; (c = getopt (argc, argv, "s:f:c:n:t:r:k")) != -1;)
    switch (c) {
    case 's': options->bytes = strtoull (optarg, NULL, 10); break;
    case 'f': options->in_flight = (unsigned) atoi (optarg); break;
    case 'c': options->connections = (unsigned) atoi (optarg); break;
    case 'n': options->count = strtoull (optarg, NULL, 10); break;
    case 't': options->seconds = atof (optarg); break;
    case 'r': options->seed = strtoull (optarg, NULL, 10); break;
    case 'k': options->check = true; break;
    default: die ("usage: see bench/random-client.c");
    }
  if (optind + 1 != argc || options->bytes == 0
      || (options->check && options->bytes % TAGGED != 0)
      || options->in_flight == 0 || options->in_flight > MAX_IN_FLIGHT
      || options->connections == 0
      || options->connections > MAX_CONNECTIONS)
    die ("usage: see bench/random-client.c");
}

int
main (int argc, char *argv[])
{
  Options options = { .bytes = 4096, .in_flight = 1, .connections = 1,
                      .count = 1000, .seed = 1 };
  Reader *readers[MAX_CONNECTIONS];
  pthread_t threads[MAX_CONNECTIONS];
  unsigned n;
  uint64_t done = 0;
  double start, took;

  parse (argc, argv, &options);
  n = options.connections;
  for (unsigned i = 0; i < n; i++)
    readers[i] = new_reader (&options, argv[optind], i);
  start = now ();
  for (unsigned i = 0; i < n; i++) {
    readers[i]->end = options.seconds > 0 ? start + options.seconds : 0;
    if (pthread_create (&threads[i], NULL, read_places, readers[i]) != 0)
      die ("no thread");
  }
  for (unsigned i = 0; i < n; i++)
    pthread_join (threads[i], NULL);
  took = now () - start;
  for (unsigned i = 0; i < n; i++)
    done += free_reader (readers[i]);
  printf ("%.6f %llu\n", took, (unsigned long long) done);
  return EXIT_SUCCESS;
}
