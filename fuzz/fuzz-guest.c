/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Fuzz the parser of guests.  Whatever it accepts must have disks that can be
 * told apart and served by name.  For libFuzzer, or with replay.c for any
 * compiler.
 */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <glib.h>

#include "libvirt/guest-xml.h"
#include "tree/checkpoint.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check_disk (const Guest *guest, const GuestDisk *disk)
{
  const bool image = disk->type && (strcmp (disk->type, "file") == 0
                                    || strcmp (disk->type, "block") == 0);

  if (disk->type == NULL || disk->target == NULL
      || !disk_target_is_valid (disk->target)
      || guest_disk (guest, disk->target) != disk)
    g_error ("accepted with a strange disk");
  if (image != (disk->source != NULL) || (image && *disk->source == '\0'))
    g_error ("disk '%s' has a strange source", disk->target);
  if (guest_chain (guest, disk->target) == NULL)
    g_error ("disk '%s' has no images", disk->target);
}

/* It can be opened, libvirt knows where it is, or there is a reason. */
static void
check_chain (const GuestChain *chain)
{
  for (guint i = 0; i < chain->images->len; i++) {
    const GuestImage *image = guest_chain_image (chain, i);
    if (image->key == NULL || image->format == NULL
        || (image->name == NULL && image->unfollowed == NULL
            && (image->pool == NULL || image->volume == NULL)))
      g_error ("disk '%s' has a strange image", chain->target);
    if (image->name && *image->name != '/' && !strchr (image->name, ':'))
      g_error ("disk '%s' has the name %s", chain->target, image->name);
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (Guest) guest = NULL;

  g_log_set_always_fatal (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
  guest = guest_parse ((const char *) data, size, &error);
  if (guest == NULL) {
    if (error == NULL || *error->message == '\0'
        || strpbrk (error->message, "\n\r") != NULL)
      g_error ("refused without one line saying why");
    if (error->code != EINVAL && error->code != EFBIG)
      g_error ("refused with errno %d", error->code);
    return 0;
  }
  if (error != NULL)
    g_error ("accepted with an error: %s", error->message);
  if (guest->name == NULL || *guest->name == '\0' || guest->uuid == NULL
      || guest->disks->len > CHECKPOINT_MAX_DISKS)
    g_error ("accepted with too little or too much");
  if (guest->owner_known ? guest->owner == (uid_t) -1
      || guest->group == (gid_t) -1 : guest->owner || guest->group)
    g_error ("accepted with a strange owner");
  for (guint i = 0; i < guest->disks->len; i++)
    check_disk (guest, g_ptr_array_index (guest->disks, i));
  for (guint i = 0; i < guest->chains->len; i++)
    check_chain (g_ptr_array_index (guest->chains, i));
  return 0;
}
