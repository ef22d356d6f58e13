/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "source/offer.h"

Offer *
offer_new (Forest *forest, Forest *known, const char *base)
{
  Offer *offer = g_new0 (Offer, 1);

  offer->forest = forest;
  offer->known = known;
  offer->base = g_strdup (base);
  return offer;
}

Forest *
offer_single (Checkpoint *checkpoint, const Checkpoint *known)
{
  Forest *forest = forest_new ();

  if (known) {
    checkpoint->has_creation_time = known->has_creation_time;
    checkpoint->creation_time = known->creation_time;
    if (known->domain_disks)
      checkpoint->domain_disks = g_ptr_array_ref (known->domain_disks);
  }
  forest_add (forest, checkpoint, NULL);
  forest_link (forest);
  return forest;
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

bool
offer_excludes (const Offer *offer, const char *checkpoint)
{
  return offer->known && forest_lookup (offer->known, checkpoint)
    && g_strcmp0 (offer->base, checkpoint) != 0;
}
