/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Where the bytes of one part, and its dirty bits, are read.
 */
#ifndef COMMON_NBD_ENDPOINT_H
#define COMMON_NBD_ENDPOINT_H

#include <stdbool.h>
#include <glib.h>

#include "child.h"

struct nbd_handle;

typedef struct NbdEndpoint NbdEndpoint;
struct NbdEndpoint {
  char *uri;                    /* connect here, or */
  char *socket;                 /* to this Unix socket, and */
  char *export_name;            /* ask for this (NULL: what the URI says) */
  char *bitmap_context;         /* "qemu:dirty-bitmap:NAME", or NULL: what
                                 * is allocated counts as dirty */
  bool full;                    /* everything counts as dirty */
  NbdEndpoint *bits;            /* the dirty bits are read there instead, and
                                 * all beyond its end is dirty; owned */
  guint depth;                  /* without bitmap_context: allocated in the
                                 * top `depth` layers is dirty */
  guint64 dirty_from;           /* everything from here on is dirty */
  char *what;                   /* how messages name it */
  Child *server;                /* our own, which serves this; borrowed */
  bool single;                  /* one connection is enough */
  struct nbd_handle *first;     /* a connection already made with these
                                 * contexts, or NULL; owned */
};

#define NBD_CONTEXT_ALLOCATION "base:allocation"
#define NBD_CONTEXT_DEPTH "qemu:allocation-depth"
#define NBD_CONTEXT_BITMAP "qemu:dirty-bitmap:"

/* Release what it points to.  A zeroed endpoint is valid. */
void nbd_endpoint_clear (NbdEndpoint *endpoint);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (NbdEndpoint, nbd_endpoint_clear)

#endif /* COMMON_NBD_ENDPOINT_H */
