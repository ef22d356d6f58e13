/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "nbd/check.h"
#include "nbd/endpoint.h"

const char *
nbd_check_reason (int failure)
{
  const char *text = nbd_get_error ();

  /* It may be of an earlier call, such as one in tls.c, which must fail. */
  if (!text || (nbd_get_errno () && nbd_get_errno () != failure)
      || g_str_has_prefix (text, "nbd_aio_connect_tcp: "))
    return g_strerror (failure);
  const char *colon = g_str_has_prefix (text, "nbd_")
    ? strstr (text, ": ") : NULL;
  return colon ? colon + 2 : text;
}

bool
nbd_check_export (struct nbd_handle *nbd, bool want_zeroes, const char *dirty,
                  const char *what, GError **error)
{
  const gint64 size = nbd_get_size (nbd);

  if (size < 0) {
    /* libnbd 1.14 hands on what is over 2^63 as it is, without an error; 1.22
     * calls it EOVERFLOW.
     */
    const char *why = nbd_get_error ();
    return error_set (error, EOVERFLOW, "%s: the server tells no size of the "
                      "export that a disk can have (%s)", what,
                      why && g_str_has_prefix (why, "nbd_get_size: ")
                      && nbd_get_errno () != EOVERFLOW
                      ? why + strlen ("nbd_get_size: ")
                      : "more than 2^63 bytes");
  }
  if (nbd_is_read_only (nbd) != 1)
    return error_set (error, EPERM, "%s is exported writable, so its data "
                      "and its bitmap could change while they are read; "
                      "export it read-only (qemu-nbd --read-only, or "
                      "\"writable\": false)", what);
  if (want_zeroes
      && nbd_can_meta_context (nbd, NBD_CONTEXT_ALLOCATION) != 1)
    return error_set (error, ENOTSUP, "%s: the server does not offer "
                      NBD_CONTEXT_ALLOCATION ", which every server has that "
                      "tells what is dirty; is one between that leaves it "
                      "out?", what);
  if (dirty && nbd_can_meta_context (nbd, dirty) != 1)
    return error_set (error, ENOENT, "%s: the server does not offer %s%s",
                      what, dirty,
                      strcmp (dirty, NBD_CONTEXT_DEPTH) == 0
                      ? ", which tells what is allocated in this layer: "
                      "export it with qemu-nbd -A, or with "
                      "\"allocation-depth\": true" : " any more");
  return true;
}
