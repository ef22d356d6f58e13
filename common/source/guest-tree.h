/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The checkpoints of a guest as its libvirt knows them.  Its disks are not
 * looked at, and nothing is begun.
 */
#pragma once

#include "base/reporter.h"
#include "source/request.h"
#include "tree/forest.h"

/* A checkpoint's document, which libvirt itself writes. */
typedef struct {
  const char *checkpoint;       /* its name; NULL: none is wanted */
  bool no_domain;               /* without the guest's definition */
  bool size;                    /* with what is dirty, if the guest runs */
  bool security_info;           /* with passwords in the definition */
  bool sizes;                   /* of each checkpoint, whose disks then say what
                                 * is dirty, if the guest runs and no job does */
} DocumentRequest;

typedef struct {
  Forest *forest;
  bool running;
  char *document;               /* what was wanted; NULL: there is no such
                                 * checkpoint */
  GError *job;                  /* why there are no sizes: a job runs; or NULL */
} GuestTree;

void guest_tree_clear (GuestTree *tree);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GuestTree, guest_tree_clear)

/* Ask the request's libvirt for its domain's checkpoints.  What is wrong with
 * some is reported.  ENOTSUP in a build without libvirt.
 */
bool guest_tree_load (const SourceRequest *request,
                      const DocumentRequest *wanted, const Reporter *reporter,
                      GuestTree *tree, GError **error);
