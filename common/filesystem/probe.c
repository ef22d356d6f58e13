/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * libblkid reads from a descriptor: it gets a file in memory as large as the
 * volume, of which the parts where kinds have their marks are there.
 */
#include <config.h>

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef HAVE_LIBBLKID
#include <blkid/blkid.h>
#endif

#include "base/fd.h"
#include "filesystem/probe.h"

#define PIECE ((guint32) 65536)

/* Marks are here, and in as much at the end. */
#define HEAD ((guint64) 2 * 1024 * 1024)

#ifdef HAVE_LIBBLKID
static bool
copy (Media *media, int fd, guint64 start, guint64 end)
{
  g_autofree guint8 *buffer = g_malloc (PIECE);

  while (start < end) {
    const guint32 count = MIN (end - start, PIECE);
    if (!media->read (media, buffer, count, start, NULL)
        || pwrite (fd, buffer, count, start) != (ssize_t) count)
      return false;
    start += count;
  }
  return true;
}

static char *
ask_blkid (Media *media)
{
  auto_fd fd = memfd_create ("volume", MFD_CLOEXEC);
  const guint64 head = MIN (media->size, HEAD);
  const guint64 tail = MAX (head, (media->size - head) / PIECE * PIECE);
  blkid_probe probe;
  const char *type = NULL;
  char *name = NULL;

  if (fd < 0 || ftruncate (fd, media->size) < 0 || !copy (media, fd, 0, head)
      || !copy (media, fd, tail, media->size) || !(probe = blkid_new_probe ()))
    return NULL;
  blkid_probe_enable_superblocks (probe, 1);
  blkid_probe_set_superblocks_flags (probe, BLKID_SUBLKS_TYPE);
  if (blkid_probe_set_device (probe, fd, 0, 0) == 0
      && blkid_do_safeprobe (probe) == 0
      && blkid_probe_lookup_value (probe, "TYPE", &type, NULL) == 0)
    name = g_strdup (type);
  blkid_free_probe (probe);
  return name;
}
#else
static char *
ask_blkid (Media *media G_GNUC_UNUSED)
{
  return NULL;
}
#endif

/* The mark is in the last bytes of the first page, whose size is the guest's. */
static bool
is_swap (const guint8 *head, guint32 length)
{
  for (guint32 page = 4096; page <= length; page *= 2)
    if (memcmp (head + page - 10, "SWAPSPACE2", 10) == 0
        || memcmp (head + page - 10, "SWAP-SPACE", 10) == 0)
      return true;
  return false;
}

Probe
probe_media (Media *media, char **name, GError **error)
{
  const guint32 length = MIN (media->size, PIECE);
  g_autofree guint8 *head = g_malloc0 (PIECE);

  if (!media->read (media, head, length, 0, error))
    return PROBE_FAILED;
  if (number_le (head + 1024 + 56, 2) == 0xef53)
    return PROBE_EXT;
  if (memcmp (head, "XFSB", 4) == 0)
    return PROBE_XFS;
  if (is_swap (head, length))
    return PROBE_SWAP;
  *name = ask_blkid (media);
  return PROBE_OTHER;
}
