/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * XFS, versions 4 and 5.  No library reads it: xfsprogs' is for itself only, and
 * its xfs_db wants a file or a device, which would take FUSE and its rights.
 *
 * The format: "XFS Algorithms & Data Structures", and Linux's
 * fs/xfs/libxfs/xfs_format.h.
 */
#pragma once

#include "filesystem/names.h"

/* The first owners of its census; then follow its files. */
enum {
  XFS_HEADERS,
  XFS_FREE_TREES,
  XFS_INODE_TREES,
  XFS_OTHER_TREES,
  XFS_FREE_LISTS,
  XFS_INODES,
  XFS_BLOCK_MAPS,
  XFS_ATTRIBUTES,
  XFS_QUOTA,
  XFS_RESERVED,
  XFS_LOG,
  XFS_FREE,
  XFS_CLASSES
};

typedef struct {
  guint64 blocks;               /* in all */
  guint64 root, quota[3], reserved[2]; /* inodes; 0 or G_MAXUINT64: none */
  guint64 log_start;            /* block, as inodes have it */
  guint block, sector, inode;   /* bytes */
  guint block_log, inode_log, group_log; /* group_log: bits of a block's number
                                          * in its group */
  guint32 group_blocks, groups, log_blocks;
  guint directory_block;        /* bytes */
  bool is_v5, has_types;
} XfsGeometry;

typedef struct {
  Examination *examination;
  XfsGeometry geometry;
  Census *census;
  GArray *files;                /* of NamedFile: the owners from XFS_CLASSES on */
  bool broken;                  /* something could not be read */
  bool elsewhere;               /* a file is on a device of its own (realtime) */
} XfsLook;

/* Bytes from the start; G_MAXUINT64: there is no such block. */
guint64 xfs_block_at (const XfsGeometry *geometry, guint64 block);

/* What is in one group's btrees, and in its inodes. */
typedef struct {
  guint32 group;
  guint64 start;                /* bytes */
  guint32 blocks;               /* how many it has */
} XfsGroup;

void xfs_claim (const XfsLook *self, guint owner, const XfsGroup *group,
                guint64 block, guint64 count);

/* Walk a btree of a group: claim its blocks for owner, and call visit for each
 * record; record: size of one, key: of what tells records apart above them.
 */
typedef void (*XfsRecord) (XfsLook *self, const XfsGroup *group,
                           const guint8 *record);
void xfs_tree_walk (XfsLook *self, const XfsGroup *group, guint owner,
                    guint32 root, guint levels, guint record, guint key,
                    XfsRecord visit);

/* Claim what an inode that is in use has. */
void xfs_inode_look (XfsLook *self, guint64 number, const guint8 *inode);

/* Blocks that follow one another in a file: where they are in it, and on disk. */
typedef struct {
  guint64 offset, block, count;
} XfsExtent;

/* A fork's: *inner is called for blocks of its btree.  False: some of it could not
 * be read.
 */
typedef struct {
  void *opaque;
  void (*extent) (void *opaque, const XfsExtent *extent);
  void (*inner) (void *opaque, guint64 block);
} XfsForkVisit;

typedef enum { XFS_FORK_DATA, XFS_FORK_ATTRIBUTES } XfsForkKind;

bool xfs_fork_walk (const XfsLook *self, const guint8 *inode, XfsForkKind kind,
                    const XfsForkVisit *visit);

/* Where a fork lies in its inode: *length bytes; NULL: there is none. */
const guint8 *xfs_fork (const XfsLook *self, const guint8 *inode,
                        XfsForkKind kind, guint *length, guint *format);

/* Read one inode into a buffer of its size.  False: there is none. */
bool xfs_inode_read (const XfsLook *self, guint64 number, guint8 *inode);
bool xfs_inode_is_directory (const guint8 *inode);

/* Read all directories. */
void xfs_names_find (XfsLook *self, Names *names);

/* Is all in its place?  False also if that cannot be told. */
bool xfs_log_is_empty (const XfsLook *self);

/* Fields of an inode. */
enum { XFS_LOCAL = 1, XFS_EXTENTS = 2, XFS_BTREE = 3 };
