/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a source can be asked for: which checkpoints there are, and since which
 * of them a view may be.  Images have views since any of them.  A running
 * backup job has one base, or none, whatever else libvirt knows of.
 *
 * Made once by the source that looks; any thread may ask it.
 */
#ifndef COMMON_SOURCE_OFFER_H
#define COMMON_SOURCE_OFFER_H

#include "tree/forest.h"

typedef struct Offer Offer;

/* All checkpoints of a forest (taken). */
Offer *offer_new (Forest *forest);

/* What a job was begun since: served has that one checkpoint, or none, and
 * known all that libvirt knows of (both taken).  base: its name, or NULL.
 */
Offer *offer_new_job (Forest *served, Forest *known, const char *base);

/* A disk that has no usable record since this checkpoint is served whole.
 * NULL: none is.
 */
void offer_set_whole (Offer *offer, const char *checkpoint);

/* NULL is fine. */
void offer_free (Offer *offer);

/* The checkpoints that can be asked for; borrowed. */
const Forest *offer_forest (const Offer *offer);

/* One of them by its name, borrowed; or NULL. */
const Checkpoint *offer_lookup (const Offer *offer, const char *name);

/* The checkpoint that the running job was begun since; NULL if there is no job,
 * or it has no base.
 */
const char *offer_job_base (const Offer *offer);

/* Is there such a checkpoint, but not in the running job? */
bool offer_excludes (const Offer *offer, const char *name);

/* Is a disk that has no usable record since this checkpoint served whole? */
bool offer_is_whole (const Offer *offer, const char *checkpoint);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Offer, offer_free)

#endif /* COMMON_SOURCE_OFFER_H */
