/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What verify found, in words and in JSON.
 */
#pragma once

#include "tool/options.h"
#include "view/compare.h"

/* All text is borrowed. */
typedef struct {
  const Options *options;
  const char *backup;           /* as it was typed */
  const Disk *disk;
  const char *target;           /* its */
  const char *since;            /* checkpoint; NULL: all counts as changed, or */
  const char *taken;            /* what changed since this one is excused; NULL */
  bool runs;                    /* the guest does, and the disk is of now */
  bool is_export;               /* its server says of what instant it is */
  const char *base;             /* the file below the backup; NULL: it is full */
  const char *base_format;      /* NULL: not recorded */
  bool several_parts;           /* of the view since that checkpoint */
  bool several_disks;
  guint64 disk_size, backup_size; /* bytes */
  double share;                 /* of what did not change */
  guint64 seed;
  CompareResult result;
} Verified;

bool verified_is_equal (const Verified *verified);

/* To the standard output. */
void verified_print (const Verified *verified);
void verified_print_json (const Verified *verified);

/* What to type, each a new string; NULL: nobody knows. */

/* To make the backup again. */
char *verified_type_again (const Verified *verified);
/* To make a full one, with a new record. */
char *verified_type_full (const Verified *verified);
