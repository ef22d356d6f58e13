/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * libnbd verifies a server's certificate only if it finds a file ca-cert.pem.
 * Without one it encrypts (1.14, lib/crypto.c), for whoever answers.  That may
 * be so in the folder that is named in a URI, too.  So the file is looked for
 * before each connection, and libnbd is told where.
 *
 * Limit: over a Unix socket or vsock there is no name of a host that a
 * certificate could be for, and libnbd verifies nothing.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "nbd/trust.h"

#define AUTHORITY "ca-cert.pem"

char *
nbd_trust_parameter (const char *query, const char *name)
{
  g_auto (GStrv) pairs = g_strsplit_set (query ? query : "", "&;", -1);
  char *found = NULL;

  for (guint i = 0; pairs[i]; i++) {
    char *value = strchr (pairs[i], '=');
    if (!value)
      continue;
    *value++ = '\0';
    g_autofree char *key = g_uri_unescape_string (pairs[i], NULL);
    if (g_strcmp0 (key, name) != 0)
      continue;
    g_free (found);
    found = g_uri_unescape_string (value, NULL);
  }
  return found;
}

static bool
is_verifiable (const xmlURI *uri)
{
  g_autofree char *key = nbd_trust_parameter (uri->query_raw, "tls-psk-file");

  return g_strcmp0 (uri->scheme, "nbds") == 0 && !(key && key[0]);
}

/* Where libnbd would look, or where it is told to.  To be freed. */
static GPtrArray *
folders (const xmlURI *uri)
{
  GPtrArray *list = g_ptr_array_new_with_free_func (g_free);
  char *named = nbd_trust_parameter (uri->query_raw, "tls-certificates");
  const char *home = g_getenv ("HOME");

  if (named)
    g_ptr_array_add (list, named);
  else if (geteuid () == 0)
    g_ptr_array_add (list, g_strdup ("/etc/pki/libnbd"));
  else if (home) {
    g_ptr_array_add (list, g_build_filename (home, ".pki/libnbd", NULL));
    g_ptr_array_add (list, g_build_filename (home, ".config/pki/libnbd",
                                             NULL));
  }
  return list;
}

static bool
find_authority (struct nbd_handle *nbd, const xmlURI *uri, const char *what,
                GError **error)
{
  g_autoptr (GPtrArray) list = folders (uri);
  g_autoptr (GString) tried = g_string_new (NULL);
  int failure = ENOENT;

  for (guint i = 0; i < list->len; i++) {
    const char *folder = g_ptr_array_index (list, i);
    g_autofree char *file = g_build_filename (folder, AUTHORITY, NULL);
    if (access (file, R_OK) == 0)
      return nbd_set_tls_certificates (nbd, folder) == 0
        || error_set (error, nbd_get_errno (), "%s: %s", what,
                      nbd_get_error ());
    failure = errno;
    g_string_append_printf (tried, "%s%s: %s", tried->len ? ", " : "", file,
                            g_strerror (failure));
  }
  error_set (error, failure, "%s: not connected, as anybody could answer in this "
             "server's place: the certificate of the authority that vouches for "
             "it is not found (%s)", what,
             tried->len ? tried->str : "HOME is not set");
  return error_advise (error, REMEDY_CERTIFICATES, NULL);
}

bool
nbd_trust_check (struct nbd_handle *nbd, const char *uri, const char *what,
                 GError **error)
{
  g_autoptr (ParsedUri) parsed = xmlParseURI (uri);

  return !parsed || !is_verifiable (parsed)
    || find_authority (nbd, parsed, what, error);
}
