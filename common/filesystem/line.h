/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * One line of the answer: whose some of the dirty bytes are.
 */
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef enum {
  LINE_FILE,
  LINE_DIRECTORY,
  LINE_SYMLINK,
  LINE_REMOVED,                 /* a file without a name that is still open */
  LINE_METADATA,                /* of a file system */
  LINE_JOURNAL,
  LINE_FREE,                    /* in no file now */
  LINE_TABLE,                   /* which partitions there are */
  LINE_MANAGER,                 /* of a volume manager */
  LINE_UNPARTITIONED,
  LINE_SWAP,
  LINE_UNKNOWN,
  LINE_KINDS
} LineKind;

/* Was a file changed since, or does it only lie beside what was? */
typedef enum {
  CHANGED_PERHAPS,
  CHANGED_YES,
  CHANGED_NO,
} Changed;

typedef struct {
  LineKind kind;
  Changed changed;              /* of files, directories and links */
  guint64 bytes;                /* dirty, and counted in no other line */
  guint64 shared;               /* dirty, and counted in another file's */
  guint64 inode;                /* 0: none */
  guint links;                  /* how many names it has */
  char *volume;                 /* "vda1" */
  char *text;                   /* a path from the file system's root; or what it
                                 * is; may be any bytes */
  GPtrArray *others;            /* of char *: all paths, text first, if there are
                                 * several; else NULL */
} Line;

void line_free (Line *line);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Line, line_free)

/* "file": for programs. */
const char *line_kind_name (LineKind kind);

/* Does a path tell which it is? */
bool line_kind_is_file (LineKind kind);
