/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * One read request, and whether its answer brought each byte once.
 *
 * A server may answer in pieces, in any order.  libnbd (1.14, lib/aio.c) only
 * adds up their lengths: two pieces for the same half would leave the other
 * half of the buffer as it was, and pass for a whole answer.  All reads go
 * through here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include <libnbd.h>

typedef struct NbdRead NbdRead;

/* errnum 0: each byte has come, once.  Else the server's refusal, or EIO if wrong
 * tells why.  In libnbd's callback.
 */
typedef void (*NbdReadEnded) (NbdRead *read, int errnum);

/* Its owner leaves it where it is until ended was called or the handle is
 * closed, and then calls nbd_read_clear.
 */
struct NbdRead {
  guint64 offset;               /* of what is asked for, and its length */
  guint32 length;
  guint64 covered_to;           /* all before has come */
  GArray *islands;              /* what has come beyond: NULL mostly */
  guint pieces;
  int fd;
  const char *wrong;            /* how the answer breaks the protocol; static */
  NbdReadEnded ended;
};

/* Ask.  The cookie, or -1 (then ended is not called).  Cut off is a server that
 * sends more pieces than there are sectors.
 */
gint64 nbd_read_begin (NbdRead *read, struct nbd_handle *nbd, void *buffer,
                       guint32 length, guint64 offset, NbdReadEnded ended);

/* Has each byte come, once? */
bool nbd_read_is_whole (const NbdRead *read);

void nbd_read_clear (NbdRead *read);
