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
 *
 * An option goes on when it is whole: QEMU before 7.2.14 would wait for the rest of
 * one for ever, and hang as its job ends.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

/* Between libnbd and the server. */
typedef struct {
  const char *export_name;      /* borrowed; NULL: it is not asked for (any more) */
  GByteArray *option;           /* of the one that libnbd is sending, what has come */
  bool is_ahead;                /* the export was asked for, by us alone yet */
} NbdGoAhead;

/* Take what libnbd sends, from an option's beginning on and in any pieces; what is to
 * be sent on is appended to sent.  False: libnbd does not ask for the export after
 * all, so nobody knows any more what the server is answering, or says nothing that is
 * an option; then nothing more may be taken.
 */
bool nbd_go_ahead (NbdGoAhead *ahead, const char *bytes, gsize length,
                   GByteArray *sent);
