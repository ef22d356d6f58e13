/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Servers send their pieces in ascending order, so that one number nearly
 * always tells what has come; the rest is kept as islands beyond it, which
 * vanish as the gaps before them are filled.
 */
#include <config.h>

#include <errno.h>
#include <sys/socket.h>

#include "nbd/read.h"

#define SECTOR 512
/* Beside one a sector: a server may be as odd as that. */
#define MORE_PIECES 1024

typedef struct {
  guint64 begin, end;
} Island;

static void
note_wrong (NbdRead *read, const char *wrong)
{
  if (!read->wrong)
    read->wrong = wrong;
}

/* What lies beyond a gap.  False if some of it has come before. */
static bool
add_island (NbdRead *read, guint64 begin, guint64 end)
{
  const Island island = { begin, end };
  guint i = 0;

  if (!read->islands)
    read->islands = g_array_new (FALSE, FALSE, sizeof island);
  while (i < read->islands->len
         && g_array_index (read->islands, Island, i).begin < begin)
    i++;
  if ((i > 0 && g_array_index (read->islands, Island, i - 1).end > begin)
      || (i < read->islands->len
          && g_array_index (read->islands, Island, i).begin < end))
    return false;
  g_array_insert_val (read->islands, i, island);
  return true;
}

/* Islands that what has come before reaches now. */
static void
join_islands (NbdRead *read)
{
  guint joined = 0;

  while (read->islands && joined < read->islands->len) {
    const Island *next = &g_array_index (read->islands, Island, joined);
    if (next->begin != read->covered_to)
      break;
    read->covered_to = next->end;
    joined++;
  }
  if (joined > 0)
    g_array_remove_range (read->islands, 0, joined);
}

static bool
cover (NbdRead *read, guint64 begin, guint64 end)
{
  if (begin != read->covered_to)
    return begin > read->covered_to && add_island (read, begin, end);
  if (read->islands && read->islands->len > 0
      && g_array_index (read->islands, Island, 0).begin < end)
    return false;
  read->covered_to = end;
  join_islands (read);
  return true;
}

static int
piece_came (void *opaque, const void *bytes G_GNUC_UNUSED, size_t count,
            uint64_t offset, unsigned status, int *error)
{
  NbdRead *read = opaque;

  /* libnbd would go on receiving for ever: it finds the connection closed. */
  if (++read->pieces > read->length / SECTOR + MORE_PIECES) {
    note_wrong (read, "an answer in more pieces than there are sectors");
    shutdown (read->fd, SHUT_RDWR);
  }
  if (*error)
    return -1;
  if (status != LIBNBD_READ_DATA && status != LIBNBD_READ_HOLE)
    note_wrong (read, "a piece of an unknown kind");
  /* libnbd has looked that it is within the request. */
  else if (count > 0 && !cover (read, offset, offset + count))
    note_wrong (read, "an answer that tells the same bytes twice");
  return 0;
}

static int
completed (void *opaque, int *error)
{
  NbdRead *read = opaque;

  if (!*error && !nbd_read_is_whole (read))
    note_wrong (read, "an answer that is not whole");
  read->ended (read, *error ? *error : read->wrong ? EIO : 0);
  return 1;
}

gint64
nbd_read_begin (NbdRead *read, struct nbd_handle *nbd, void *buffer,
                guint32 length, guint64 offset, NbdReadEnded ended)
{
  *read = (NbdRead) {
    .offset = offset, .length = length, .covered_to = offset,
    .fd = nbd_aio_get_fd (nbd), .ended = ended,
  };
  return nbd_aio_pread_structured (
    nbd, buffer, length, offset,
    (nbd_chunk_callback) { .callback = piece_came, .user_data = read },
    (nbd_completion_callback) { .callback = completed, .user_data = read }, 0);
}

bool
nbd_read_is_whole (const NbdRead *read)
{
  return !read->wrong && read->covered_to == read->offset + read->length;
}

void
nbd_read_clear (NbdRead *read)
{
  g_clear_pointer (&read->islands, g_array_unref);
}
