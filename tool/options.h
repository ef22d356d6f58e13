/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The one table of options: how they are read, what --help says of them, and
 * what the shell completes.
 */
#pragma once

#include "source/request.h"

/* Which commands take an option. */
typedef enum {
  OPTIONS_ALL    = 1 << 0,
  OPTIONS_SOURCE = 1 << 1,      /* whose checkpoints are meant */
  OPTIONS_LIST   = 1 << 2,
  OPTIONS_SHOW   = 1 << 3,
  OPTIONS_CREATE = 1 << 4,
  OPTIONS_REDEFINE = 1 << 5,
  OPTIONS_EDIT   = 1 << 6,
  OPTIONS_DELETE = 1 << 7,
  OPTIONS_CHECK  = 1 << 8,
  OPTIONS_READING = 1 << 9,     /* which disk is read, or view */
  OPTIONS_MAP    = 1 << 10,
  OPTIONS_ESTIMATE = 1 << 11,
  OPTIONS_FILES  = 1 << 12,
  OPTIONS_VERIFY = 1 << 13,
} OptionGroup;

typedef struct {
  SourceRequest request;
  char *tree;                   /* where libvirt's documents are; NULL */
  bool help, json;
  /* What a list, or a document, has */
  bool draw, roots, leaves, no_leaves, topological, parent, descendants, size,
    name_only, no_domain, security_info;
  char *from;
  /* How a map is printed */
  bool extents, imageio, kubevirt, text;
  char *svg;                    /* where to; "-": the standard output */
  /* What is changed */
  GPtrArray *disks;             /* of char *: virsh's --diskspec */
  char *description, *xml;
  bool print_xml, quiesce, no_metadata, validate, children, children_only,
    metadata, leftovers, fix, yes;
  /* What a backup is compared with */
  char *since, *taken_at;       /* checkpoints; NULL */
  char *backup_format, *sample, *seed; /* as typed; NULL */
  bool full;
  GPtrArray *words;             /* of char *: what is no option */
} Options;

typedef struct {
  const char *name;             /* without the dashes */
  const char *argument;         /* "NAME"; NULL: it takes none */
  guint groups;
  glong member;                 /* of Options */
  bool (*set) (void *member, const char *value, GError **error);
  bool repeats;
  bool names_checkpoint;        /* the argument does */
  const char *help;
} Option;

/* All of them, up to one without a name. */
extern const Option all_options[];

void options_init (Options *options);
void options_clear (Options *options);

/* Read what follows a command that takes options of these groups.  EINVAL, and
 * what is wrong with which.
 */
bool options_parse (Options *options, guint groups, char **arguments,
                    GError **error);

/* The word that a command with one word, or with none, was given; or NULL. */
const char *options_word (const Options *options);

/* What --seed says, or a random number.  EINVAL. */
bool options_seed (const Options *options, guint64 *seed, GError **error);

/* "--from" or "--from=NAME" → its row; *value: what follows the =, borrowed,
 * or NULL.  NULL: these groups have none of that name.
 */
const Option *option_lookup (const char *argument, guint groups,
                             const char **value);
