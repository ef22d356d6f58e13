/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Which parameters go together.
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "plugin/settings-internal.h"

/* Does each parameter mean something with the source, whatever the others are? */
static bool
check_each (const Settings *settings, GError **error)
{
  const SourceRequest *request = &settings->request;
  const bool of_job = request->libvirt || request->qmp;
  const char *server = request->uris->len > 0 ? "uri= the server"
    : request->qmp ? "qmp= the guest's QEMU" : NULL;

  for (const Parameter *parameter = settings_parameters; parameter->key;
       parameter++) {
    const char *key = parameter->key;
    const guint flags = parameter->flags;
    const char *value = g_hash_table_lookup (settings->given, key);
    if (!value)
      continue;
    if (!of_job && (flags & OF_JOBS))
      return error_set (error, EINVAL, "%s= goes with libvirt= and qmp=, and "
                        "neither is given", key);
    if (!request->libvirt && (flags & OF_LIBVIRT))
      return error_set (error, EINVAL, "%s= goes with libvirt=, which is not "
                        "given", key);
    if (server && (flags & OF_FILES))
      return error_set (error, EINVAL, "%s= goes with file= and libvirt=; with "
                        "%s reads the images", key, server);
    if (of_job && (flags & AS_TEXT) && !g_utf8_validate (value, -1, NULL))
      return error_set (error, EINVAL, "%s= is not valid UTF-8, which %s "
                        "requires", key, request->libvirt ? "libvirt" : "QEMU");
  }
  return true;
}

static bool
check_libvirt (const Settings *settings, GError **error)
{
  const SourceRequest *request = &settings->request;

  if (!request->libvirt)
    return true;
  if (request->bitmaps->len > 0)
    return error_set (error, EINVAL, "bitmap= goes with file= and uri=; with "
                      "libvirt=, name a checkpoint, or, of a stopped guest, "
                      "its disks with file=");
  if (!request->domain) {
    g_autofree char *list
      = error_virsh (request->libvirt, "list --all", NULL, NULL);
    return error_set (error, EINVAL, "libvirt=%s: which guest?  Add "
                      "domain=NAME; to see their names, type %s",
                      request->libvirt, list);
  }
  return !settings->tree
    || error_set (error, EINVAL, "tree= goes with file=, uri= and qmp=; with "
                  "libvirt= the tree is libvirt's");
}

static bool
check_qmp (const Settings *settings, GError **error)
{
  const SourceRequest *request = &settings->request;

  if (!request->qmp)
    return true;
  if (request->bitmaps->len > 0)
    return error_set (error, EINVAL, "bitmap= goes with file= and uri=; with "
                      "qmp= and no tree=, checkpoint=NAME is the bitmap of "
                      "that name");
  if (request->drops_cache)
    return error_set (error, EINVAL, "cache=none goes with file=; with qmp= the "
                      "guest's QEMU reads the disks, as its own options say");
  return true;
}

static bool
check_uri (const Settings *settings, GError **error)
{
  if (settings->request.uris->len == 0)
    return true;
  if (g_hash_table_contains (settings->given, "on-missing"))
    return error_set (error, EINVAL, "on-missing= goes with file=, libvirt= and "
                      "qmp=; with uri=, a disk without a bitmap is copied "
                      "whole from its server itself");
  return !settings->request.drops_cache
    || error_set (error, EINVAL, "cache=none goes with file=; with uri= the "
                  "server reads the images, and can be told so itself: "
                  "qemu-nbd --cache=none");
}

bool
settings_check (const Settings *settings, GError **error)
{
  if (settings->request.domain && !settings->tree && !settings->request.libvirt)
    return error_set (error, EINVAL, "domain= says which guest's documents "
                      "in tree= to use; add tree=/var/lib/libvirt/qemu/"
                      "checkpoint, or libvirt=qemu:///system");
  return check_each (settings, error) && check_uri (settings, error)
    && check_libvirt (settings, error) && check_qmp (settings, error);
}
