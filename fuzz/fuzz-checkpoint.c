/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Fuzz the checkpoint parser.  Whatever it accepts must format, parse again
 * and format to the same bytes, and be changed in nothing but what is to be changed.
 * For libFuzzer, or with replay.c for any
 * compiler.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <glib.h>

#include "tree/amend.h"
#include "tree/checkpoint.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
round_trip (const Checkpoint *checkpoint)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *first = checkpoint_format (checkpoint);
  g_autofree char *second = NULL;
  g_autoptr (Checkpoint) again = NULL;

  /* Escapes and defaults make it longer than what was read. */
  if (strlen (first) > CHECKPOINT_MAX_BYTES)
    return;
  again = checkpoint_parse (first, strlen (first), CHECKPOINT_PARSE_DEFAULT,
                            &error);
  if (again == NULL)
    g_error ("own output is refused: %s\n%s", error->message, first);
  second = checkpoint_format (again);
  if (strcmp (first, second) != 0)
    g_error ("output changed:\n%s\n%s", first, second);

  g_assert_cmpuint (checkpoint->disks->len, ==, again->disks->len);
  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);
    g_assert_cmpstr (disk->bitmap, ==,
                     checkpoint_bitmap (again, disk->name));
  }
}

/* What is pruned from <domain> while parsing must not be missed. */
static void
compare_pruned (const char *text, size_t size, const Checkpoint *whole)
{
  g_autoptr (Checkpoint) pruned
    = checkpoint_parse (text, size, CHECKPOINT_PARSE_DEFAULT, NULL);

  g_assert_true ((pruned != NULL) == (whole != NULL));
  if (!whole)
    return;
  g_autofree char *want = checkpoint_format (whole);
  g_autofree char *got = checkpoint_format (pruned);
  g_assert_cmpstr (got, ==, want);
  g_assert_cmpstr (pruned->domain_name, ==, whole->domain_name);
  g_assert_cmpstr (pruned->domain_uuid, ==, whole->domain_uuid);
  g_assert_true ((pruned->domain_disks != NULL)
                 == (whole->domain_disks != NULL));
  if (!whole->domain_disks)
    return;
  g_assert_cmpuint (pruned->domain_disks->len, ==, whole->domain_disks->len);
  for (guint i = 0; i < whole->domain_disks->len; i++) {
    const DomainDisk *a = g_ptr_array_index (pruned->domain_disks, i);
    const DomainDisk *b = g_ptr_array_index (whole->domain_disks, i);
    g_assert_cmpstr (a->target, ==, b->target);
    g_assert_cmpstr (a->source, ==, b->source);
    g_assert_true (a->read_only == b->read_only);
  }
}

/* It may be written in a way in which it cannot be changed; the rest stays. */
static void
amend (const char *text, gsize size)
{
  static const char *const values[] = { "new", "<&>\"'", NULL };

  for (guint i = 0; i < G_N_ELEMENTS (values); i++) {
    gsize length, again_length;
    g_autofree char *changed
      = amend_description (text, size, values[i], &length, NULL);
    if (!changed)
      continue;
    g_assert_true (amend_same_rest (text, size, changed, length));
    g_autofree char *again
      = amend_description (changed, length, values[i], &again_length, NULL);
    g_assert_cmpuint (again_length, ==, length);
    g_assert_true (again && memcmp (again, changed, length) == 0);
  }
  for (const char *parent = "p"; ; parent = NULL) {
    gsize length;
    g_autofree char *changed
      = amend_parent (text, size, parent, &length, NULL);
    g_autoptr (Checkpoint) moved = changed
      ? checkpoint_parse (changed, length, CHECKPOINT_PARSE_DEFAULT, NULL)
      : NULL;
    g_assert_true (!changed == !moved);
    if (moved)
      g_assert_cmpstr (moved->parent_name, ==, parent);
    if (!parent)
      break;
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (Checkpoint) checkpoint = NULL;

  checkpoint = checkpoint_parse ((const char *) data, size,
                                 CHECKPOINT_PARSE_WHOLE_DOMAIN, &error);
  compare_pruned ((const char *) data, size, checkpoint);
  if (checkpoint == NULL) {
    if (error == NULL || error->code == 0 || *error->message == '\0' ||
        strpbrk (error->message, "\n\r") != NULL)
      g_error ("refused without one line saying why");
    return 0;
  }
  if (error != NULL)
    g_error ("accepted with an error: %s", error->message);
  round_trip (checkpoint);
  amend ((const char *) data, size);
  return 0;
}
