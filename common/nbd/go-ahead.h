/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Two round trips less for a connection to a server that is far away.  libnbd asks
 * for an export (NBD_OPT_GO) once it knows its meta contexts
 * (NBD_OPT_SET_META_CONTEXT), whatever the answer is (libnbd 1.14 and 1.22,
 * generator/states-newstyle-opt-meta-context.c).  QEMU takes one option after the
 * other, and answers each in two pieces, the second only when the first is
 * acknowledged (handshake.c).  So who passes libnbd's bytes on asks for the export
 * right behind the contexts, and lets libnbd's own question go nowhere.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* Between libnbd and the server.  { .export_name = … } is the start of one. */
typedef struct {
  const char *export_name;      /* borrowed */
  guchar header[16];            /* of the option that libnbd is sending: */
  gsize had;                    /* so many bytes of it */
  gsize left;                   /* of its data, bytes to come */
  bool drops;                   /* it has been sent already */
  bool is_ahead;                /* the export was asked for, by us alone yet */
} NbdGoAhead;

/* Take what libnbd sends, from an option's beginning on and in any pieces; what is to
 * be sent on is appended to sent.  False: libnbd does not ask for the export after
 * all, so nobody knows any more what the server is answering.
 */
bool nbd_go_ahead (NbdGoAhead *ahead, const char *bytes, gsize length,
                   GByteArray *sent);
