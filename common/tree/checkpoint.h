/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * One checkpoint: libvirt's <domaincheckpoint> document as a structure, read
 * from and written as XML.  Documents are untrusted input.  The source of the
 * format is libvirt's src/conf/schemas/domaincheckpoint.rng and
 * src/conf/checkpoint_conf.c.
 */

#pragma once

#include <stdbool.h>

#include <glib.h>

/* libvirt's loader skips larger files (qemuDomainCheckpointLoad). */
#define CHECKPOINT_MAX_BYTES (1024 * 1024)

/* More disks than this in one document are refused.  No hypervisor attaches
 * as many; the limit keeps the cost of a hostile document small. */
#define CHECKPOINT_MAX_DISKS 4096

/* Strings of type GRefString are interned (g_ref_string_new_intern): 100,000
 * checkpoints of one guest share one copy of "vda".  Assign them only through
 * the functions below. */

/* What a checkpoint says about one disk. */
typedef struct CheckpointDisk {
  GRefString *name;             /* target ("vda"); the source path if no
                                 * <domain> tells the target for it */
  GRefString *bitmap;           /* the bitmap's name; NULL: not covered */
  bool has_size;
  guint64 size;                 /* bytes dirty when the document was written */
} CheckpointDisk;

/* A disk of the guest as it was when the checkpoint was made. */
typedef struct DomainDisk {
  GRefString *target;           /* "vda": not empty, does not start with / */
  GRefString *source;           /* see source-key.h; NULL: no medium */
  bool read_only;               /* <readonly/> or a CD-ROM drive */
} DomainDisk;

typedef struct Checkpoint Checkpoint;
struct Checkpoint {
  GRefString *name;             /* never NULL */
  char *file;                   /* the document that it was loaded from
                                 * (load.h); NULL: none */
  char *description;            /* g_malloc'd, may be set; NULL if none */
  GRefString *parent_name;      /* NULL: a root */
  bool has_creation_time;
  guint64 creation_time;        /* seconds since the Epoch, UTC */

  /* CheckpointDisk *, each name once; never NULL.  From <disks>, or without it
   * from the guest's disks.  Other disks are not covered. */
  GPtrArray *disks;
  /* The document has neither (or a guest without any disk, which libvirt never
   * writes): which disks have a bitmap is unknown.  Assume any, named like the
   * checkpoint; disks is empty. */
  bool covers_any_disk;

  /* From <domain>; all NULL if the document has none. */
  GRefString *domain_name;
  GRefString *domain_uuid;      /* as written there */
  GPtrArray *domain_disks;      /* DomainDisk *, each target once; NULL only
                                 * without <domain> */

  /* Owned by the forest (forest.h), NULL and 0 before forest_link ().
   * position: in forest_all (); the descendants are the entries after it up
   * to and including last_position. */
  Checkpoint *parent;
  Checkpoint *first_child;
  Checkpoint *last_child;
  Checkpoint *next_sibling;
  guint position;
  guint last_position;
};

typedef enum {
  CHECKPOINT_PARSE_DEFAULT = 0,
  CHECKPOINT_PARSE_WHOLE_DOMAIN = 1 << 0, /* build a tree of all of <domain>;
                                           * gives the same, but slower (for
                                           * tests) */
  CHECKPOINT_PARSE_TO_CREATE = 1 << 1,    /* it is to be made: as
                                           * checkpoint_new_now, with the
                                           * document's description and disks;
                                           * what it says of its parent, its
                                           * time and the guest is ignored */
} CheckpointParseFlags;

/* Parse a stored <domaincheckpoint> document and apply libvirt's defaults
 * (virDomainCheckpointAlignDisks), except that a disk which the guest's
 * definition lacks is kept: the bitmap decides later.
 *
 * text: length bytes of UTF-8, need not end in NUL.
 *
 * Unknown elements and attributes are ignored.  The name is required, but for
 * CHECKPOINT_PARSE_TO_CREATE.  A document with a DOCTYPE, nested
 * too deeply (libxml2's own limit: 256 levels, 2048 from 2.13) or in another
 * encoding than UTF-8 is refused; nothing outside text is ever read.
 *
 * Returns a new checkpoint (checkpoint_free), or NULL with EFBIG (over
 * CHECKPOINT_MAX_BYTES, or over CHECKPOINT_MAX_DISKS), ENOMEM or, for
 * anything else wrong with it, EINVAL.  The message does not name the file;
 * callers put that in front.  Any thread. */
Checkpoint *checkpoint_parse (const char *text, gsize length,
                              CheckpointParseFlags flags, GError **error);

/* Write a checkpoint in libvirt's own layout, without <domain>, as with
 * VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN.  Parsing the result and writing that
 * gives the same bytes, unless the checkpoint was made with checkpoint_new ()
 * and has names that XML cannot hold (such characters become U+FFFD) or that
 * checkpoint_parse () refuses.
 *
 * Returns a new string ending in a newline; g_free ().  Cannot fail. */
char *checkpoint_format (const Checkpoint *checkpoint);

/* The document text, which is the checkpoint's, with the sizes that the
 * checkpoint has for its disks, and else as it is.  Returns a new string;
 * g_free ().  NULL with an error as checkpoint_parse. */
char *checkpoint_fill_sizes (const Checkpoint *checkpoint, const char *text,
                             gsize length, GError **error);

/* A new checkpoint that covers no disk, for trees that do not come from XML.
 * name: any string that is not empty, such as a QEMU bitmap name; copied. */
Checkpoint *checkpoint_new (const char *name);

/* A new checkpoint that is to be made now.  name: NULL: as libvirt has it, the
 * time in seconds. */
Checkpoint *checkpoint_new_now (const char *name);

/* Add an entry to checkpoint->disks, which must not have that name.  Copies
 * both; bitmap NULL: not covered.  Returns the entry, borrowed. */
CheckpointDisk *checkpoint_add_disk (Checkpoint *checkpoint, const char *name,
                                     const char *bitmap);

/* Say that checkpoint has a bitmap on the disk target (both copied).  If the
 * disk is there already, its bitmap is replaced. */
void checkpoint_cover (Checkpoint *checkpoint, const char *target,
                       const char *bitmap);

/* Set or, with NULL, clear the parent's name (copied).  Not once the checkpoint
 * is in a linked forest. */
void checkpoint_set_parent_name (Checkpoint *checkpoint, const char *name);

/* The entry for a disk, or NULL if there is none, which means not covered
 * unless covers_any_disk.  Borrowed.  Linear in the number of disks. */
const CheckpointDisk *checkpoint_disk (const Checkpoint *checkpoint,
                                       const char *target);

/* The name of the bitmap that records what changed on a disk since the
 * checkpoint, or NULL if the checkpoint does not cover the disk.  Borrowed.
 * No proof that the bitmap exists or is usable. */
const char *checkpoint_bitmap (const Checkpoint *checkpoint,
                               const char *target);

/* True if name is one libvirt accepts for a checkpoint, by the pattern
 * [a-zA-Z0-9_\-][a-zA-Z0-9_\-.]* of its schema; such a name has no '/' and no
 * '@', is not hidden as a file name, and may be of any length. */
bool checkpoint_name_valid (const char *name);

/* True if target may be the name of a disk: a letter, then letters, digits,
 * '-', '_' and '.'.  ('@' and '/' part the pieces of an export name.) */
bool disk_target_is_valid (const char *target);

/* NULL is fine. */
void checkpoint_free (Checkpoint *checkpoint);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Checkpoint, checkpoint_free)
