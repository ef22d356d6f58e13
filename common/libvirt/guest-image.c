/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See guest-image.h.
 */
#include <config.h>

#include <string.h>

#include "base/xml-text.h"
#include "libvirt/guest-image.h"
#include "libvirt/network-source.h"
#include "tree/source-key.h"

void
guest_image_free (GuestImage *image)
{
  if (!image)
    return;
  g_free (image->key);
  g_free (image->name);
  g_free (image->format);
  g_free (image->data);
  g_free (image->pool);
  g_free (image->volume);
  g_free (image->unfollowed);
  g_free (image->missing);
  g_free (image);
}

/* Both places are read, as by libvirt. */
static void
heed_encryption (GuestImage *image, const xmlNode *node,
                 const xmlNode *source)
{
  const xmlNode *encryption = xml_child (source, "encryption");
  encryption = encryption ? encryption : xml_child (node, "encryption");
  g_autofree char *format = xml_attribute (encryption, "format");
  g_autofree char *engine = xml_attribute (encryption, "engine");

  if (!encryption)
    return;
  if (g_strcmp0 (format, "luks") != 0
      || (engine && strcmp (engine, "qemu") != 0))
    image->unfollowed
      = g_strdup_printf ("its encryption (%s%s%s) is not followed",
                         format ? format : "", engine ? " by " : "",
                         engine ? engine : "");
  else if (strcmp (image->format, "raw") == 0) {
    g_free (image->format);
    image->format = g_strdup ("luks");
  }
}

/* A volume's name is found later; other kinds have none. */
static void
find_name (GuestImage *image, const xmlNode *source, const char *type)
{
  if (*image->key == '/' && strcmp (type, "dir") != 0)
    image->name = g_strdup (image->key);
  else if (strcmp (type, "network") == 0)
    image->name = network_source_name (source, &image->unfollowed);
  else if (strcmp (type, "volume") == 0) {
    g_autofree char *mode = xml_attribute (source, "mode");
    image->pool = xml_attribute (source, "pool");
    image->volume = xml_attribute (source, "volume");
    image->direct = g_strcmp0 (mode, "direct") == 0;
  }
  if (!image->name && !image->unfollowed && !(image->pool && image->volume))
    image->unfollowed = g_strdup_printf ("its type %s is not followed", type);
}

GuestImage *
guest_image_new (const xmlNode *node, const xmlNode *format)
{
  g_autofree char *key = source_key (node);
  const xmlNode *source = xml_child (node, "source");
  g_autofree char *type = xml_attribute (node, "type");
  g_autofree char *descriptors = xml_attribute (source, "fdgroup");

  if (!key)
    return NULL;
  GuestImage *image = g_new0 (GuestImage, 1);
  image->key = g_steal_pointer (&key);
  image->format = xml_attribute (format, "type");
  if (!image->format)
    image->format = g_strdup ("");
  const xmlNode *data = xml_child (source, "dataStore");
  image->data = data ? source_key (data) : NULL;
  find_name (image, source, type ? type : "file");
  if (!image->unfollowed)
    heed_encryption (image, node, source);
  /* That of a <source> is heeded with it; libvirt reads both. */
  if (!image->unfollowed && xml_child (node, "auth")
      && g_strcmp0 (type, "network") == 0)
    image->unfollowed = g_strdup ("its <auth> is not followed");
  if (!image->unfollowed && xml_child (source, "slices"))
    image->unfollowed = g_strdup ("only a part of it is the disk (<slices>), "
                                  "which is not followed");
  if (!image->unfollowed && descriptors)
    image->unfollowed = g_strdup ("its file is handed over at each start "
                                  "(fdgroup), and may be another");
  return image;
}
