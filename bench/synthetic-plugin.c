/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * An nbdkit plugin that costs as little as one can: every other block is
 * data, the others are holes, both known by arithmetic, and bytes are set, not
 * fetched.  What a client takes on it is what client and nbdkit take.
 *
 *   nbdkit ./nbdkit-bench-plugin.so size=4G block=64k
 */
#include <stdint.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define UNUSED __attribute__ ((unused))

static int64_t size = INT64_C (1) << 32;
static int64_t block = 65536;

static int
synthetic_config (const char *key, const char *value)
{
  int64_t *setting = NULL;

  if (strcmp (key, "size") == 0)
    setting = &size;
  else if (strcmp (key, "block") == 0)
    setting = &block;
  if (setting == NULL) {
    nbdkit_error ("unknown parameter: %s", key);
    return -1;
  }
  *setting = nbdkit_parse_size (value);
  return *setting > 0 ? 0 : -1;
}

static void *
synthetic_open (int readonly UNUSED)
{
  return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t
synthetic_get_size (void *handle UNUSED)
{
  return size;
}

static int
synthetic_yes (void *handle UNUSED)
{
  return 1;
}

/* As QEMU tells of its exports, so that clients do the same. */
static int
synthetic_block_size (void *handle UNUSED, uint32_t *minimum,
                      uint32_t *preferred, uint32_t *maximum)
{
  *minimum = 1;
  *preferred = 4096;
  *maximum = 32 * 1024 * 1024;
  return 0;
}

/* Not zero, which qemu-img would look for and leave out. */
static int
synthetic_pread (void *handle UNUSED, void *buffer, uint32_t count,
                 uint64_t offset UNUSED,
                 uint32_t flags UNUSED)
{
  memset (buffer, 0x5a, count);
  return 0;
}

static int
synthetic_extents (void *handle UNUSED, uint32_t count, uint64_t offset,
                   uint32_t flags, struct nbdkit_extents *extents)
{
  const uint64_t end = offset + count;
  uint64_t at = offset;

  while (at < end) {
    const uint64_t number = at / (uint64_t) block;
    const uint64_t next = (number + 1) * (uint64_t) block;
    const uint64_t stop = next < end ? next : end;

    if (nbdkit_add_extent (extents, at, stop - at,
                           number % 2 ? 0 : NBDKIT_EXTENT_HOLE) == -1)
      return -1;
    if (flags & NBDKIT_FLAG_REQ_ONE)
      break;
    at = stop;
  }
  return 0;
}

static struct nbdkit_plugin plugin = {
  .name = "bench",
  .config = synthetic_config,
  .open = synthetic_open,
  .get_size = synthetic_get_size,
  .block_size = synthetic_block_size,
  .can_multi_conn = synthetic_yes,
  .can_extents = synthetic_yes,
  .pread = synthetic_pread,
  .extents = synthetic_extents,
};

NBDKIT_REGISTER_PLUGIN (plugin)
