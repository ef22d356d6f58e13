/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The checkpoints that views of a source may be since.  Images have views
 * since any.  A running backup job has one base, or none, whatever else
 * libvirt knows.  Any thread may read it.
 */
#pragma once

#include "tree/forest.h"

typedef struct {
  Forest *forest;               /* the checkpoints that can be asked for */
  Forest *known;                /* all of libvirt's, where a job has its base;
                                 * NULL: there is no job */
  char *base;                   /* the job's; NULL: none */
  char *whole;                  /* a disk that has no usable record since this
                                 * one is served whole; NULL: none is */
} Offer;

/* The forests are taken.  base: copied. */
Offer *offer_new (Forest *forest, Forest *known, const char *base);

/* A forest of that checkpoint alone (taken), as old as the known one of its
 * name (or NULL).
 */
Forest *offer_single (Checkpoint *checkpoint, const Checkpoint *known);

void offer_free (Offer *offer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Offer, offer_free)

/* Is there such a checkpoint, but not in the running job? */
bool offer_excludes (const Offer *offer, const char *checkpoint);
