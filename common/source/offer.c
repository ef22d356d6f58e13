/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See offer.h.
 */
#include <config.h>

#include "source/offer.h"

struct Offer {
  Forest *forest;               /* what can be asked for */
  Forest *known;                /* to libvirt; NULL without a job */
  char *base;                   /* of the job; NULL: none */
  char *whole;                  /* served whole where nothing is recorded */
};

Offer *
offer_new (Forest *forest)
{
  Offer *offer = g_new0 (Offer, 1);

  offer->forest = forest;
  return offer;
}

Offer *
offer_new_job (Forest *served, Forest *known, const char *base)
{
  Offer *offer = offer_new (served);

  offer->known = known;
  offer->base = g_strdup (base);
  return offer;
}

void
offer_set_whole (Offer *offer, const char *checkpoint)
{
  g_free (offer->whole);
  offer->whole = g_strdup (checkpoint);
}

void
offer_free (Offer *offer)
{
  if (!offer)
    return;
  forest_free (offer->forest);
  forest_free (offer->known);
  g_free (offer->base);
  g_free (offer->whole);
  g_free (offer);
}

const Forest *
offer_forest (const Offer *offer)
{
  return offer->forest;
}

const Checkpoint *
offer_lookup (const Offer *offer, const char *name)
{
  return forest_lookup (offer->forest, name);
}

const char *
offer_job_base (const Offer *offer)
{
  return offer->base;
}

bool
offer_excludes (const Offer *offer, const char *name)
{
  return offer->known && forest_lookup (offer->known, name)
    && g_strcmp0 (offer->base, name) != 0;
}

bool
offer_is_whole (const Offer *offer, const char *checkpoint)
{
  return offer->whole && g_strcmp0 (offer->whole, checkpoint) == 0;
}
