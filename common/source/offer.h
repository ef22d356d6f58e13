/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a source can be asked for: which checkpoints there are, and since which
 * of them a view may be.  Images have views since any of them.  A running
 * backup job has one base, or none, whatever else libvirt knows of.
 *
 * Made once by the source that looks; any thread may read it.
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

/* A forest of that checkpoint alone (taken), with what is known of its time.
 * known: libvirt's of that name; NULL: there is none.
 */
Forest *offer_single (Checkpoint *checkpoint, const Checkpoint *known);

/* NULL is fine. */
void offer_free (Offer *offer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Offer, offer_free)

/* Is there such a checkpoint, but not in the running job? */
bool offer_excludes (const Offer *offer, const char *checkpoint);
