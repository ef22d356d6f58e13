/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Asking for an export behind its contexts: whatever pieces libnbd's bytes come in,
 * the server gets one question for each, and libnbd's own goes nowhere.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "nbd/go-ahead.h"

#define EXPORT "vda"

enum { EXPORT_NAME = 1, ABORT = 2, GO = 7, STRUCTURED = 8, CONTEXTS = 10 };

static void
add_option (GByteArray *bytes, guint32 option, const char *data, guint32 length)
{
  const guint32 wire[] = { GUINT32_TO_BE (option), GUINT32_TO_BE (length) };

  g_byte_array_append (bytes, (const guint8 *) "IHAVEOPT", 8);
  g_byte_array_append (bytes, (const guint8 *) wire, sizeof wire);
  g_byte_array_append (bytes, (const guint8 *) data, length);
}

/* With so many kinds of information wanted, of which block sizes are the first. */
static void
add_go (GByteArray *bytes, guint8 infos)
{
  static const char data[] = "\0\0\0\3" EXPORT "\0\0\0\3\0\1\0\2";
  char wanted[sizeof data];

  memcpy (wanted, data, sizeof data);
  wanted[8] = (char) infos;
  add_option (bytes, GO, wanted, 9 + 2U * infos);
}

static void
add_contexts (GByteArray *bytes)
{
  static const char data[] = "\0\0\0\3" EXPORT "\0\0\0\1\0\0\0\4a:bc";

  add_option (bytes, CONTEXTS, data, sizeof data - 1);
}

static void
test_asks_once (void)
{
  for (guint8 infos = 0; infos <= 3; infos++) {
    g_autoptr (GByteArray) libnbd = g_byte_array_new ();
    g_autoptr (GByteArray) expected = g_byte_array_new ();

    add_contexts (libnbd);
    add_contexts (expected);
    add_go (expected, 1);
    const guint asked = libnbd->len;
    add_go (libnbd, infos);
    for (guint piece = 1; piece <= libnbd->len; piece++) {
      g_autoptr (GByteArray) sent = g_byte_array_new ();
      g_autoptr (GByteArray) option = g_byte_array_new ();
      NbdGoAhead ahead = { .export_name = EXPORT, .option = option };
      for (guint at = 0; at < libnbd->len; at += piece) {
        g_assert_true (nbd_go_ahead (&ahead, (const char *) libnbd->data + at,
                                     MIN (piece, libnbd->len - at), sent));
        /* All at once, and no piece of an option. */
        g_assert_cmpmem (sent->data, sent->len, expected->data,
                         at + piece < asked ? 0 : expected->len);
      }
      g_assert_false (ahead.is_ahead);
    }
  }
}

/* A server that knows no GO is asked in another way, and that goes on. */
static void
test_goes_on (void)
{
  g_autoptr (GByteArray) libnbd = g_byte_array_new ();
  g_autoptr (GByteArray) expected = g_byte_array_new ();
  g_autoptr (GByteArray) sent = g_byte_array_new ();
  g_autoptr (GByteArray) option = g_byte_array_new ();
  NbdGoAhead ahead = { .export_name = EXPORT, .option = option };

  add_contexts (libnbd);
  add_go (libnbd, 1);
  g_byte_array_append (expected, libnbd->data, libnbd->len);
  add_option (libnbd, EXPORT_NAME, EXPORT, 3);
  add_option (expected, EXPORT_NAME, EXPORT, 3);
  g_assert_true (nbd_go_ahead (&ahead, (const char *) libnbd->data, libnbd->len,
                               sent));
  g_assert_cmpmem (sent->data, sent->len, expected->data, expected->len);
}

/* Without contexts there is nothing to be ahead of. */
static void
test_leaves_alone (void)
{
  g_autoptr (GByteArray) libnbd = g_byte_array_new ();
  g_autoptr (GByteArray) sent = g_byte_array_new ();
  g_autoptr (GByteArray) option = g_byte_array_new ();
  NbdGoAhead ahead = { .export_name = EXPORT, .option = option };

  add_option (libnbd, STRUCTURED, "", 0);
  add_go (libnbd, 3);
  g_assert_true (nbd_go_ahead (&ahead, (const char *) libnbd->data, libnbd->len,
                               sent));
  g_assert_cmpmem (sent->data, sent->len, libnbd->data, libnbd->len);
}

/* What nobody could keep is no option of libnbd's. */
static void
test_refuses_long (void)
{
  g_autoptr (GByteArray) sent = g_byte_array_new ();
  g_autoptr (GByteArray) option = g_byte_array_new ();
  g_autofree char *data = g_malloc0 (60000);
  NbdGoAhead ahead = { .export_name = EXPORT, .option = option };

  memset (data, 0x7f, 60000);
  g_assert_true (nbd_go_ahead (&ahead, data, 60000, sent));
  g_assert_false (nbd_go_ahead (&ahead, data, 60000, sent));
  g_assert_cmpuint (sent->len, ==, 0);
}

static void
test_refuses_other (void)
{
  g_autoptr (GByteArray) libnbd = g_byte_array_new ();
  g_autoptr (GByteArray) sent = g_byte_array_new ();
  g_autoptr (GByteArray) option = g_byte_array_new ();
  NbdGoAhead ahead = { .export_name = EXPORT, .option = option };

  add_contexts (libnbd);
  add_option (libnbd, ABORT, "", 0);
  g_assert_false (nbd_go_ahead (&ahead, (const char *) libnbd->data,
                                libnbd->len, sent));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/go-ahead/asks-once", test_asks_once);
  g_test_add_func ("/go-ahead/goes-on", test_goes_on);
  g_test_add_func ("/go-ahead/leaves-alone", test_leaves_alone);
  g_test_add_func ("/go-ahead/refuses-long", test_refuses_long);
  g_test_add_func ("/go-ahead/refuses-other", test_refuses_other);
  return g_test_run ();
}
