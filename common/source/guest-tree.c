/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>

#include "base/error.h"
#include "base/own-folder.h"
#ifdef HAVE_LIBVIRT
#include "libvirt/guest.h"
#endif
#include "source/guest-tree.h"

void
guest_tree_clear (GuestTree *tree)
{
  g_clear_pointer (&tree->forest, forest_free);
  g_clear_pointer (&tree->document, g_free);
  g_clear_error (&tree->job);
}

#ifdef HAVE_LIBVIRT
bool
guest_tree_load (const SourceRequest *request, const DocumentRequest *wanted,
                 const Reporter *reporter, GuestTree *tree, GError **error)
{
  const GuestQuestion question = {
    .uri = request->libvirt, .domain = request->domain,
    .writable = wanted->security_info, .checkpoint = wanted->checkpoint,
    .no_domain = wanted->no_domain, .size = wanted->size,
    .security_info = wanted->security_info, .examine = wanted->sizes,
    .socket_dir = wanted->sizes ? own_folder_place () : NULL,
  };
  g_auto (GuestLook) look = { 0 };

  if (!guest_look_once (&question, reporter, &look, error))
    return false;
  reporter_warn_all (reporter, look.skipped);
  reporter_warn_all (reporter, forest_problems (look.tree));
  tree->forest = g_steal_pointer (&look.tree);
  tree->document = g_steal_pointer (&look.document);
  tree->running = look.running;
  tree->job = g_steal_pointer (&look.job);
  return true;
}
#else
bool
guest_tree_load (const SourceRequest *request,
                 const DocumentRequest *wanted G_GNUC_UNUSED,
                 const Reporter *reporter G_GNUC_UNUSED,
                 GuestTree *tree G_GNUC_UNUSED, GError **error)
{
  return error_set (error, ENOTSUP, "%s cannot be asked: this build has no "
                    "libvirt (configure found none)", request->libvirt);
}
#endif
