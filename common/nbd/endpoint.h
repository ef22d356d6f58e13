/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Where the bytes of one part, and its dirty bits, are read.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

#include "base/child.h"
#include "base/reporter.h"
#include "nbd/turnstile.h"
#include "nbd/witness.h"

struct nbd_handle;

/* What is clean where the server tells of no bitmap, but shows a view of ours, by
 * base:allocation.  Everywhere else a hole means nothing of the kind.
 */
typedef enum {
  NBD_HOLES_MEAN_NOTHING,
  NBD_HOLES_CLEAN,              /* a hole that is not zero; one that is zero is
                                 * dirty */
  NBD_ZEROES_CLEAN,             /* a hole that is zero */
} NbdHoles;

/* One that is all zero says that everything is dirty: whoever forgets to say
 * who tells what is dirty, and how far, makes a copy too large, not too small.
 */
typedef struct NbdEndpoint NbdEndpoint;
struct NbdEndpoint {
  char *uri;                    /* connect here, or */
  char *socket;                 /* to this Unix socket, and */
  char *export_name;            /* ask for this (NULL: what the URI says) */
  guint64 told_to;              /* bytes from 0 on of which the server tells
                                 * what is dirty; all beyond is */
  char *bitmap_context;         /* "qemu:dirty-bitmap:NAME" tells it, or NULL:
                                 * what is allocated counts as dirty, */
  guint depth;                  /* in the top `depth` layers */
  NbdHoles holes;               /* tell it instead; then these are no zeroes of
                                 * the disk's */
  guint64 data, zeroes;         /* with holes: what the server itself shows: at
                                 * least so many bytes as dirty data, and just
                                 * so many as dirty zeroes */
  NbdEndpoint *bits;            /* the dirty bits are read there instead, and
                                 * all beyond its end is dirty; owned */
  char *what;                   /* how messages name it */
  NbdLife *life;                /* shared by all endpoints of a source;
                                 * borrowed, never NULL */
  NbdWitness *witness;          /* who proves that what is read there is true;
                                 * NULL: nobody has to; borrowed */
  Child *server;                /* our own, which serves this; borrowed */
  NbdTurnstile *turnstile;      /* to connect to it through; borrowed */
  const Reporter *reporter;     /* told why a further connection ends the life;
                                 * NULL: further ones are made before
                                 * nbd_pool_open returns; borrowed */
  bool single;                  /* one connection is enough */
  struct nbd_handle *first;     /* a connection already made with these
                                 * contexts, or NULL; owned */
};

#define NBD_TOLD_TO_THE_END G_MAXUINT64

/* The context that has to be asked for what is dirty; NULL: nobody has to be
 * asked there.  Borrowed.
 */
const char *nbd_endpoint_dirty_context (const NbdEndpoint *endpoint);

#define NBD_CONTEXT_ALLOCATION "base:allocation"
#define NBD_CONTEXT_DEPTH "qemu:allocation-depth"
#define NBD_CONTEXT_BITMAP "qemu:dirty-bitmap:"

/* What is needed to make one more such connection. */
void nbd_endpoint_copy (NbdEndpoint *to, const NbdEndpoint *from);

/* Release what it points to.  A zeroed endpoint is valid. */
void nbd_endpoint_clear (NbdEndpoint *endpoint);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (NbdEndpoint, nbd_endpoint_clear)
