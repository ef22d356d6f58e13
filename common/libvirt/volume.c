/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Where a volume of a storage pool lies, as libvirt finds it when it starts the
 * guest.  Source: libvirt 9.0, src/conf/domain_conf.c,
 * virDomainStorageSourceTranslateSourcePool.
 */
#include <config.h>

#include <string.h>

#include "base/error.h"
#include "base/xml-text.h"
#include "libvirt/kept.h"
#include "libvirt/network-source.h"
#include "libvirt/volume.h"

#define MAX_POOL_BYTES (1024 * 1024)

G_DEFINE_AUTOPTR_CLEANUP_FUNC (virStoragePool, virStoragePoolFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (virStorageVol, virStorageVolFree)

static virStoragePoolPtr
find_pool (const Hypervisor *hypervisor, const char *name, GError **error)
{
  g_autoptr (virStoragePool) pool
    = virStoragePoolLookupByName (hypervisor->connection, name);

  if (!pool) {
    const bool unknown = virGetLastErrorCode () == VIR_ERR_NO_STORAGE_POOL;
    hypervisor_error (error, "its pool %s", name);
    g_autofree char *command
      = error_virsh (hypervisor->uri, "pool-list --all", NULL, NULL);
    if (unknown)
      hypervisor_advise (error, "to see which there are, type:", command);
    return NULL;
  }
  const int active = virStoragePoolIsActive (pool);
  if (active == 1)
    return g_steal_pointer (&pool);
  g_autofree char *command
    = error_virsh (hypervisor->uri, "pool-start", name, NULL);
  if (active == 0)
    error_set (error, ENOTSUP, "its pool %s is not active; to start it, type: "
               "%s", name, command);
  else
    hypervisor_error (error, "its pool %s", name);
  return NULL;
}

/* libvirt knows none, or (asked what it is) finds no file of it any more. */
static char *
refuse_volume (const Hypervisor *hypervisor, const GuestImage *image,
               GError **error)
{
  const bool gone = virGetLastErrorCode () == VIR_ERR_NO_STORAGE_VOL;

  hypervisor_error (error, "pool %s", image->pool);
  g_autofree char *look
    = error_virsh (hypervisor->uri, "pool-refresh", image->pool, NULL);
  g_autofree char *list
    = error_virsh (hypervisor->uri, "vol-list", image->pool, NULL);
  g_autofree char *command = g_strdup_printf ("%s && %s", look, list);
  if (gone)
    hypervisor_advise (error, "to have libvirt look again, and see what there "
                       "is, type:", command);
  return NULL;
}

/* What QEMU reads over the network by itself. */
static char *
iscsi_name (virStoragePoolPtr pool, const GuestImage *image, GError **error)
{
  static const XmlRules rules = {
    .what = "pool XML", .kind = "pool", .root = "pool",
    .max_bytes = MAX_POOL_BYTES,
  };
  g_autofree char *text = virStoragePoolGetXMLDesc (pool, 0);
  g_autofree char *unfollowed = NULL;
  const xmlNode *root;

  if (!text) {
    hypervisor_error (error, "its pool %s", image->pool);
    return NULL;
  }
  g_autoptr (xmlDoc) document
    = xml_parse (text, strlen (text), &rules, &root, error);
  g_autofree char *type = document ? xml_attribute (root, "type") : NULL;
  const xmlNode *source = document ? xml_child (root, "source") : NULL;
  if (!document)
    return NULL;
  if (!source || !type || !g_str_has_prefix (type, "iscsi"))
    return error_null (error, ENOTSUP, "what is read over the network from a "
                       "pool of type %s is not followed", type ? type : "\"\"");
  char *name
    = network_source_iscsi_volume (source, image->volume, &unfollowed);
  return name ? name : error_null (error, ENOTSUP, "%s", unfollowed);
}

char *
volume_name (const Hypervisor *hypervisor, const GuestImage *image,
             GError **error)
{
  virStorageVolInfo info;
  g_autoptr (virStoragePool) pool
    = find_pool (hypervisor, image->pool, error);
  g_autoptr (virStorageVol) volume
    = pool ? virStorageVolLookupByName (pool, image->volume) : NULL;

  if (!pool)
    return NULL;
  if (!volume || virStorageVolGetInfo (volume, &info) < 0)
    return refuse_volume (hypervisor, image, error);
  if (image->direct || info.type == VIR_STORAGE_VOL_NETWORK)
    return iscsi_name (pool, image, error);
  if (info.type != VIR_STORAGE_VOL_FILE && info.type != VIR_STORAGE_VOL_BLOCK)
    return error_null (error, ENOTSUP, "it is a folder, which is not read");
  g_autofree char *path = virStorageVolGetPath (volume);
  if (!path)
    return refuse_volume (hypervisor, image, error);
  return *path == '/' ? g_steal_pointer (&path)
    : error_null (error, ENOTSUP, "libvirt tells no path of it: %s", path);
}
