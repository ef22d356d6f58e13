/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * redefine: virsh's checkpoint-create --redefine, of many documents at once.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/printable.h"
#include "record/redefine.h"
#include "tool/change.h"
#include "tool/json-print.h"
#include "tree/schema.h"

typedef struct {
  const char *path;
  char *text;
  gsize length;
} Document;

typedef struct {
  GPtrArray *documents;         /* of Document, as they were named */
  GPtrArray *checkpoints;       /* of Checkpoint, each one's */
  GArray *order;                /* of guint: parents first */
} Documents;

static void
document_free (gpointer data)
{
  Document *document = data;

  g_free (document->text);
  g_free (document);
}

static void
documents_clear (Documents *documents)
{
  g_clear_pointer (&documents->documents, g_ptr_array_unref);
  g_clear_pointer (&documents->checkpoints, g_ptr_array_unref);
  g_clear_pointer (&documents->order, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Documents, documents_clear)

static bool
read_document (Documents *documents, const char *path, GError **error)
{
  Document *document = g_new0 (Document, 1);

  g_ptr_array_add (documents->documents, document);
  document->path = path;
  document->text = change_read (path, &document->length, error);
  if (!document->text)
    return false;
  Checkpoint *checkpoint
    = schema_check (document->text, document->length, error)
    ? checkpoint_parse (document->text, document->length,
                        CHECKPOINT_PARSE_DEFAULT, error) : NULL;
  if (!checkpoint) {
    g_prefix_error (error, "%s: ", path);
    return false;
  }
  g_ptr_array_add (documents->checkpoints, checkpoint);
  return true;
}

static bool
check_stdin (const GPtrArray *paths, GError **error)
{
  guint times = 0;

  for (guint i = 0; i < paths->len; i++)
    times += strcmp (g_ptr_array_index (paths, i), "-") == 0;
  return times < 2
    || error_set (error, EINVAL, "- is the standard input, which can be read "
                  "once only");
}

static bool
read_documents (Documents *documents, const Options *options, GError **error)
{
  if (!check_stdin (options->words, error))
    return false;
  documents->documents = g_ptr_array_new_with_free_func (document_free);
  documents->checkpoints
    = g_ptr_array_new_with_free_func ((GDestroyNotify) checkpoint_free);
  for (guint i = 0; i < options->words->len; i++) {
    const char *path = g_ptr_array_index (options->words, i);
    if (!read_document (documents, path, error))
      return false;
  }
  documents->order = redefine_order (documents->checkpoints, error);
  return documents->order != NULL;
}

/* What can be known before the first one is kept. */
static bool
check (Record *record, const Documents *documents, bool validate,
       GError **error)
{
  g_autoptr (GPtrArray) sorted = g_ptr_array_new ();

  for (guint i = 0; i < documents->order->len; i++) {
    const guint place = g_array_index (documents->order, guint, i);
    const Document *document = g_ptr_array_index (documents->documents, place);
    const Checkpoint *checkpoint
      = g_ptr_array_index (documents->checkpoints, place);
    g_ptr_array_add (sorted, (gpointer) checkpoint);
    if (record->ops->check
        && !record->ops->check (record, checkpoint, validate, error)) {
      g_prefix_error (error, "%s: ", document->path);
      return false;
    }
  }
  return redefine_check_all (record->forest, sorted, error);
}

static void
print_line (const Checkpoint *checkpoint, const char *path)
{
  g_autofree char *shown = g_strdup (path);

  printable_make (shown);
  printf ("Domain checkpoint %s redefined from '%s'\n", checkpoint->name,
          shown);
}

static void
print_json (const Documents *documents, guint kept)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "redefined");
  json_builder_begin_array (builder);
  for (guint i = 0; i < kept; i++) {
    const guint place = g_array_index (documents->order, guint, i);
    const Checkpoint *checkpoint
      = g_ptr_array_index (documents->checkpoints, place);
    json_builder_add_string_value (builder, checkpoint->name);
  }
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  json_print (builder);
}

/* How many were kept. */
static guint
keep (Record *record, const Documents *documents, const Options *options,
      GError **error)
{
  for (guint i = 0; i < documents->order->len; i++) {
    const guint place = g_array_index (documents->order, guint, i);
    const Document *document = g_ptr_array_index (documents->documents, place);
    const Checkpoint *checkpoint
      = g_ptr_array_index (documents->checkpoints, place);
    if (!record->ops->redefine (record, checkpoint, document->text,
                                document->length, options->validate, error)) {
      g_prefix_error (error, "%s (%u of %u are kept): ", document->path, i,
                      documents->order->len);
      return i;
    }
    if (!options->json)
      print_line (checkpoint, document->path);
  }
  return documents->order->len;
}

Status
command_redefine (const Options *options, GError **error)
{
  g_auto (Documents) documents = { NULL };

  if (!read_documents (&documents, options, error))
    return STATUS_FAILED;
  g_autoptr (Record) record = change_open (options, error);
  if (!record || !check (record, &documents, options->validate, error))
    return STATUS_FAILED;
  const guint kept = keep (record, &documents, options, error);
  if (options->json)
    print_json (&documents, kept);
  return kept == documents.order->len ? STATUS_FINE : STATUS_FAILED;
}
