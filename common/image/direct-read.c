/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Find where a qcow2 image keeps its data.  L1 tables are read once; L2 entries
 * with each request, from the page cache, which costs less than a cache of our
 * own would be worth.  Nothing found in a table is trusted: an entry that is
 * odd in any way is left to QEMU.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "image/direct-read.h"
#include "image/qcow2-format.h"

/* Incompatible features that do not change what standard clusters mean: 0 is
 * "refcounts may be wrong", 3 another compression.
 */
#define HARMLESS_FEATURES ((1U << 0) | (1U << 3))
#define EXTERNAL_DATA (1U << 2)
#define EXTENDED_L2 (1U << 4)

#define OFFSET_MASK G_GUINT64_CONSTANT (0x00fffffffffffe00)
#define L1_RESERVED G_GUINT64_CONSTANT (0x7f000000000001ff)
#define L2_RESERVED G_GUINT64_CONSTANT (0x3f000000000001fe)
#define L2_COPIED (G_GUINT64_CONSTANT (1) << 63)
#define L2_COMPRESSED (G_GUINT64_CONSTANT (1) << 62)
#define L2_ZERO G_GUINT64_CONSTANT (1)

/* An extended entry has a bitmap in a second number: which subclusters are in
 * the cluster, in its lower half, and which are zero, in its upper one.
 */
#define SUBCLUSTERS_BITS 5
#define SUBCLUSTERS (1U << SUBCLUSTERS_BITS)
#define ALL_SUBCLUSTERS G_MAXUINT32
#define SUBCLUSTER_BITS_LEAST 9 /* QEMU's own limit */

#define L1_LIMIT (4 * 1024 * 1024) /* entries; QEMU's own limit */
#define L2_BATCH 64             /* entries read at once */

typedef struct {
  int fd;                       /* of the layer's tables, or raw */
  int data_fd;                  /* of its clusters: the same, or its data file's */
  DropBehind *behind;           /* borrowed; NULL: what is read stays cached */
  guint64 size;                 /* virtual */
  guint64 data_size;            /* 0: a block device, which has no end here */
  bool raw;
  bool tells_zeroes;            /* not in version 2 */
  bool is_extended;             /* its L2 entries */
  guint cluster_bits;
  guint32 l1_size;
  guint64 *l1;                  /* offsets of L2 tables, 0: none; or NULL */
} LayerFile;

struct DirectRead {
  guint count;
  LayerFile layers[];           /* top first */
};

typedef enum {
  HERE,                         /* in a layer's file, at host */
  ZERO,
  BELOW,                        /* the layer says nothing of it */
  OTHERS,                       /* QEMU must be asked */
  KINDS
} Kind;

/* What an entry says of the subclusters of its cluster, whose bits are in one
 * kind each.  Those of a plain cluster are all alike.
 */
typedef struct {
  guint64 host;
  guint32 of[KINDS];
} Cluster;

typedef struct {
  Kind kind;
  const LayerFile *layer;       /* whose file, if it is here */
  guint64 host;
  guint64 length;
} Run;

static bool
read_whole (const LayerFile *layer, int fd, void *buffer, gsize count,
            guint64 offset)
{
  gsize done = 0;

  while (done < count) {
    const ssize_t got = pread (fd, (guint8 *) buffer + done,
                               count - done, (off_t) (offset + done));
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      break;
    done += (gsize) got;
  }
  if (layer->behind)
    drop_behind_note (layer->behind, fd, offset, done);
  return done == count;
}

static bool
read_l1 (LayerFile *layer, guint64 offset)
{
  const gsize length = (gsize) layer->l1_size * sizeof (guint64);

  layer->l1 = g_malloc (MAX (length, 1));
  if (!read_whole (layer, layer->fd, layer->l1, length, offset))
    return false;
  for (guint32 i = 0; i < layer->l1_size; i++) {
    layer->l1[i] = GUINT64_FROM_BE (layer->l1[i]);
    if (layer->l1[i] & L1_RESERVED)
      return false;
    layer->l1[i] &= OFFSET_MASK;
    if (layer->l1[i] & ((G_GUINT64_CONSTANT (1) << layer->cluster_bits) - 1))
      return false;
  }
  return true;
}

static bool
has_data_file (const LayerFile *layer)
{
  return layer->data_fd != layer->fd;
}

/* Of plain clusters, too, where it may be less than a sector. */
static guint
subcluster_bits (const LayerFile *layer)
{
  return layer->cluster_bits - SUBCLUSTERS_BITS;
}

static guint
numbers_per_entry (const LayerFile *layer)
{
  return layer->is_extended ? 2 : 1;
}

static bool
read_header (LayerFile *layer)
{
  const guint64 known
    = HARMLESS_FEATURES | EXTENDED_L2
    | (has_data_file (layer) ? EXTERNAL_DATA : 0);
  guint8 header[QCOW2_LENGTH_3];

  if (!read_whole (layer, layer->fd, header, sizeof header, 0)
      || memcmp (header, QCOW2_MAGIC, QCOW2_MAGIC_LENGTH) != 0)
    return false;
  const guint64 version = qcow2_number (header + QCOW2_AT_VERSION, 4);
  const guint64 features
    = version >= 3 ? qcow2_number (header + QCOW2_AT_INCOMPATIBLE, 8) : 0;
  const guint64 l1_size = qcow2_number (header + QCOW2_AT_L1_SIZE, 4);
  const guint64 cluster_bits = qcow2_number (header + QCOW2_AT_CLUSTER_BITS, 4);

  if (version < 2 || version > 3 || (features & ~known)
      || qcow2_number (header + QCOW2_AT_CRYPT_METHOD, 4) != 0
      || cluster_bits < QCOW2_CLUSTER_BITS_LEAST
      || cluster_bits > QCOW2_CLUSTER_BITS_MOST || l1_size > L1_LIMIT
      || qcow2_number (header + QCOW2_AT_SIZE, 8) != layer->size)
    return false;
  layer->tells_zeroes = version >= 3;
  layer->is_extended = features & EXTENDED_L2;
  layer->cluster_bits = (guint) cluster_bits;
  if (layer->is_extended && subcluster_bits (layer) < SUBCLUSTER_BITS_LEAST)
    return false;
  layer->l1_size = (guint32) l1_size;
  return read_l1 (layer, qcow2_number (header + QCOW2_AT_L1_OFFSET, 8));
}

static bool
open_layer (LayerFile *file, const Layer *layer, DropBehind *behind)
{
  const ImageFile *data = layer->data ? layer->data : layer->file;

  if (!layer->file || layer->encryption)
    return false;
  file->fd = layer->file->fd;
  file->data_fd = data->fd;
  file->behind = behind;
  file->size = layer->size;
  file->data_size = S_ISREG (data->stamp.st_mode)
    ? (guint64) data->stamp.st_size : 0;
  file->raw = strcmp (layer->format, "raw") == 0;
  return file->raw
    || (strcmp (layer->format, "qcow2") == 0 && read_header (file));
}

DirectRead *
direct_read_open (const Disk *disk, DropBehind *behind)
{
  const guint count = disk->layers->len;
  g_autoptr (DirectRead) direct
    = g_malloc0 (sizeof *direct + count * sizeof direct->layers[0]);

  direct->count = count;
  for (guint i = 0; i < direct->count; i++)
    if (!open_layer (&direct->layers[i], disk_layer (disk, i), behind))
      return NULL;
  return g_steal_pointer (&direct);
}

void
direct_read_free (DirectRead *direct)
{
  if (!direct)
    return;
  for (guint i = 0; i < direct->count; i++)
    g_free (direct->layers[i].l1);
  g_free (direct);
}

/* How many of the subclusters, from the first on, lie in the file whole.  Those
 * of a plain cluster do together, or none.
 */
static guint
count_in_file (const LayerFile *layer, guint64 host)
{
  const guint64 cluster = G_GUINT64_CONSTANT (1) << layer->cluster_bits;

  if (layer->data_size == 0 || host + cluster <= layer->data_size)
    return SUBCLUSTERS;
  return layer->is_extended && host < layer->data_size
    ? (guint) ((layer->data_size - host) >> subcluster_bits (layer)) : 0;
}

static Cluster
all_are (Kind kind, guint64 host)
{
  Cluster cluster = { .host = host };

  cluster.of[kind] = ALL_SUBCLUSTERS;
  return cluster;
}

/* Where those with a bit in here are in the file, as far as it goes. */
static Cluster
divide (const LayerFile *layer, guint32 here, guint32 zero, guint64 host)
{
  const guint count = count_in_file (layer, host);
  const guint32 in_file
    = count < SUBCLUSTERS ? (1U << count) - 1 : ALL_SUBCLUSTERS;

  return (Cluster) { host, { [HERE] = here & in_file, [ZERO] = zero,
                             [BELOW] = ~(here | zero),
                             [OTHERS] = here & ~in_file } };
}

/* What an L2 entry says of its cluster, the disk's from guest on. */
static Cluster
read_entry (const LayerFile *layer, const guint64 *numbers, guint64 guest)
{
  const guint64 entry = GUINT64_FROM_BE (numbers[0]);
  const guint64 host = entry & OFFSET_MASK;
  const bool is_zero = entry & L2_ZERO;
  /* Nothing but a data file has a cluster at its beginning. */
  const bool is_allocated = host != 0
    || (has_data_file (layer) && (entry & L2_COPIED) && !is_zero);

  if ((entry & (L2_COMPRESSED | L2_RESERVED))
      || (host & ((G_GUINT64_CONSTANT (1) << layer->cluster_bits) - 1))
      || (is_zero && (!layer->tells_zeroes || layer->is_extended))
      /* In a data file, each cluster has its own place: QEMU reads no other. */
      || (has_data_file (layer) && is_allocated && host != guest))
    return all_are (OTHERS, host);
  if (!layer->is_extended)
    return is_zero ? all_are (ZERO, host)
      : !is_allocated ? all_are (BELOW, host)
      : divide (layer, ALL_SUBCLUSTERS, 0, host);

  const guint64 bitmap = GUINT64_FROM_BE (numbers[1]);
  const guint32 here = (guint32) bitmap, zero = (guint32) (bitmap >> 32);
  if ((here & zero) || (!is_allocated && (here || (entry & L2_COPIED))))
    return all_are (OTHERS, host);
  return divide (layer, here, zero, host);
}

/* How many of the subclusters from first on are of the kind, without a gap. */
static guint
count_alike (const Cluster *cluster, Kind kind, guint first)
{
  const guint32 others = ~cluster->of[kind] >> first;

  return MIN (others ? (guint) __builtin_ctz (others) : SUBCLUSTERS,
              SUBCLUSTERS - first);
}

/* As long as entries go on as the first does at within, whose cluster begins at
 * guest.
 */
static Run
run_of_entries (const LayerFile *layer, const guint64 *numbers, guint count,
                guint64 guest, guint64 within, guint64 length)
{
  const guint64 size = G_GUINT64_CONSTANT (1) << layer->cluster_bits;
  const guint first = (guint) (within >> subcluster_bits (layer));
  const Cluster cluster = read_entry (layer, numbers, guest);
  Kind kind = HERE;

  while (!(cluster.of[kind] & 1U << first))
    kind++;
  guint end = first + count_alike (&cluster, kind, first);
  for (guint i = 1; i < count && end == i * SUBCLUSTERS; i++) {
    numbers += numbers_per_entry (layer);
    const Cluster next = read_entry (layer, numbers, guest + i * size);
    if (kind != HERE || next.host == cluster.host + i * size)
      end += count_alike (&next, kind, 0);
  }
  return (Run) { kind, layer, cluster.host + within,
                 MIN (length, ((guint64) end << subcluster_bits (layer))
                              - within) };
}

/* What a layer says of the bytes from offset on, at most length. */
static Run
look_up (const LayerFile *layer, guint64 offset, guint64 length)
{
  if (offset >= layer->size)    /* beyond a shorter layer, all is zero */
    return (Run) { ZERO, NULL, 0, length };
  length = MIN (length, layer->size - offset);
  if (layer->raw)
    return (Run) { HERE, layer, offset, length };

  const guint per_entry = numbers_per_entry (layer);
  const guint table_bits = layer->cluster_bits - 2 - per_entry;
  const guint64 cluster = offset >> layer->cluster_bits;
  const guint64 table = cluster >> table_bits;
  const guint64 index = cluster & ((G_GUINT64_CONSTANT (1) << table_bits) - 1);
  const guint64 within = offset - (cluster << layer->cluster_bits);
  const guint64 table_end = (table + 1) << (table_bits + layer->cluster_bits);

  length = MIN (length, table_end - offset);
  if (table >= layer->l1_size || layer->l1[table] == 0)
    return (Run) { BELOW, NULL, 0, length };
  const guint64 wanted
    = ((within + length - 1) >> layer->cluster_bits) + 1;
  const guint count = (guint) MIN (wanted, L2_BATCH);
  const gsize entry_size = per_entry * sizeof (guint64);
  guint64 numbers[2 * L2_BATCH] = { 0 };
  if (!read_whole (layer, layer->fd, numbers, count * entry_size,
                   layer->l1[table] + index * entry_size))
    return (Run) { OTHERS, NULL, 0, length };
  return run_of_entries (layer, numbers, count, offset - within, within,
                         length);
}

static Run
find (const DirectRead *direct, guint64 offset, guint64 length)
{
  for (guint i = 0; i < direct->count; i++) {
    const Run run = look_up (&direct->layers[i], offset, length);
    if (run.kind != BELOW)
      return run;
    length = run.length;
  }
  return (Run) { ZERO, NULL, 0, length };
}

guint32
direct_read (const DirectRead *direct, void *buffer, guint32 count,
             guint64 offset, guint32 *others)
{
  guint32 done = 0;

  *others = 0;
  while (done < count) {
    guint8 *next = (guint8 *) buffer + done;
    const Run run = find (direct, offset + done, count - done);
    if (run.kind == OTHERS
        || (run.kind == HERE
            && !read_whole (run.layer, run.layer->data_fd, next, run.length,
                            run.host))) {
      *others = (guint32) run.length;
      break;
    }
    if (run.kind == ZERO)
      memset (next, 0, run.length);
    done += (guint32) run.length;
  }
  if (done > 0)
    *others = 0;
  return done;
}
