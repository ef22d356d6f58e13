/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See told-chain.h.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "source/told-chain.h"

static bool
is_as_deep (const GuestChain *chain, const GPtrArray *layers, const char *edit,
            GError **error)
{
  const guint told = chain->images->len;
  const Layer *last = g_ptr_array_index (layers, layers->len - 1);

  if (layers->len < told)
    return error_set (error, ENOTSUP, "the guest's definition has %s below "
                      "%s, which itself names none, so the guest reads what "
                      "the images do not tell; if that is wrong, remove its "
                      "<backingStore>: %s",
                      guest_chain_image (chain, layers->len)->key, last->path,
                      edit);
  if (layers->len > told && chain->ends)
    return error_set (error, ENOTSUP, "the guest's definition has nothing "
                      "below %s (<backingStore/>), which itself names %s, so "
                      "the guest does not read that; if that is wrong, remove "
                      "its <backingStore/>: %s",
                      guest_chain_image (chain, told - 1)->key,
                      ((const Layer *) g_ptr_array_index (layers, told))->path,
                      edit);
  return true;
}

static bool
is_file (const ImageFile *file, const char *path)
{
  ImageFile other = { .fd = -1 };

  return strcmp (file->path, path) == 0
    || (*path == '/' && stat (path, &other.stamp) == 0
        && image_file_is_same (file, &other));
}

/* Where the definition does not tell, QEMU goes by the image. */
static bool
has_its_data (const GuestImage *image, const Layer *layer, const char *edit,
              GError **error)
{
  if (!image->data || (layer->data && is_file (layer->data, image->data)))
    return true;
  return error_set (error, ENOTSUP, "the guest's definition has the data of %s "
                    "in %s (<dataStore>), and the image itself has them in %s, "
                    "which the guest does not read; if that is wrong, change "
                    "its <dataStore>: %s", layer->path, image->data,
                    layer->data ? layer->data->path : "no other file", edit);
}

bool
told_chain_fits (const GuestChain *chain, const GPtrArray *layers,
                 const char *edit, GError **error)
{
  bool fits = is_as_deep (chain, layers, edit, error);

  for (guint i = 0; fits && i < chain->images->len; i++)
    fits = has_its_data (guest_chain_image (chain, i),
                         g_ptr_array_index (layers, i), edit, error);
  return fits;
}
