/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * edit: virsh's checkpoint-edit, as far as libvirt lets anything be changed: the
 * description.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "tool/change.h"
#include "tool/editor.h"
#include "tool/json-print.h"
#include "tool/say.h"
#include "tool/subject.h"
#include "tree/amend.h"
#include "tree/load.h"

/* A document and what it says. */
typedef struct {
  char *text;
  gsize length;
  Checkpoint *checkpoint;
} Document;

static void
document_clear (Document *document)
{
  g_clear_pointer (&document->text, g_free);
  g_clear_pointer (&document->checkpoint, checkpoint_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Document, document_clear)

static bool
document_read (Document *document, GError **error)
{
  document->checkpoint
    = checkpoint_parse (document->text, document->length,
                        CHECKPOINT_PARSE_DEFAULT, error);
  return document->checkpoint != NULL;
}

/* Where documents are, no disk is looked at.  Passwords in the definition would
 * be lost if libvirt left them out.
 */
static Options
documents_only (const Options *options)
{
  Options only = *options;

  only.size = only.no_domain = false;
  only.security_info = true;
  if (options->tree) {
    only.request.files = NULL;
    only.request.qmp = NULL;
  }
  return only;
}

static Status
fetch (Document *document, const Options *options, GPtrArray *no_files,
       const Reporter *reporter, GError **error)
{
  const char *name = g_ptr_array_index (options->words, 0);
  g_auto (Subject) subject = { 0 };
  Options only = documents_only (options);

  if (!only.request.files)
    only.request.files = no_files;
  if (!subject_open (&subject, &only, name, reporter, error))
    return STATUS_FAILED;
  const Checkpoint *checkpoint = subject_checkpoint (&subject, name, error);
  if (!checkpoint)
    return STATUS_FOUND;
  if (!subject.has_documents) {
    error_set (error, EINVAL, "there are bitmaps, and no documents are kept "
               "of them");
    error_advise (error, REMEDY_NAME_TREE, NULL);
    return STATUS_FAILED;
  }
  document->text = options->request.libvirt
    ? g_steal_pointer (&subject.document)
    : tree_load_document (checkpoint, &document->length, error);
  if (!document->text && options->request.libvirt)
    error_set (error, EAGAIN, "checkpoint %s was deleted meanwhile",
               checkpoint->name);
  if (!document->text)
    return STATUS_FAILED;
  if (options->request.libvirt)
    document->length = strlen (document->text);
  return document_read (document, error) ? STATUS_FINE : STATUS_FAILED;
}

/* What may not be changed, in libvirt's words where it has some. */
static bool
check_edited (const Document *old, const Document *new, GError **error)
{
  const Checkpoint *before = old->checkpoint, *after = new->checkpoint;

  if (strcmp (before->name, after->name) != 0)
    return error_set (error, EINVAL, "cannot rename checkpoint %s to %s",
                      before->name, after->name);
  if (g_strcmp0 (before->parent_name, after->parent_name) != 0)
    return error_set (error, EINVAL, "the parent of checkpoint %s cannot be "
                      "edited; a document with another is made known by "
                      "redefine", before->name);
  return amend_same_rest (old->text, old->length, new->text, new->length)
    || error_set (error, EINVAL, "only the description of a checkpoint can be "
                  "edited, and something else of %s was changed",
                  before->name);
}

static bool
edit_once (const Document *old, Document *new, GError **error)
{
  g_autofree char *name = g_strconcat (old->checkpoint->name, ".xml", NULL);
  g_autofree char *text = g_steal_pointer (&new->text);

  document_clear (new);
  new->text = editor_run (name, text ? text : old->text,
                          text ? new->length : old->length, &new->length,
                          error);
  return new->text && document_read (new, error)
    && check_edited (old, new, error);
}

/* What was typed stays for another try. */
static bool
edit (const Document *old, Document *new, GError **error)
{
  GError *why = NULL;

  while (!edit_once (old, new, &why)) {
    if (!new->text || !editor_ask_again (why->message)) {
      g_propagate_error (error, why);
      return false;
    }
    g_clear_error (&why);
  }
  return true;
}

/* Has nobody else changed it since? */
static bool
is_unchanged (const Document *old, const Options *options,
              GPtrArray *no_files, GError **error)
{
  g_auto (Document) now = { NULL };

  if (fetch (&now, options, no_files, &silent_reporter, error) != STATUS_FINE)
    return false;
  return (now.length == old->length
          && memcmp (now.text, old->text, now.length) == 0)
    || error_set (error, EAGAIN, "the document of checkpoint %s was changed by "
                  "another user meanwhile; edit it again",
                  old->checkpoint->name);
}

static bool
keep (const Document *old, const Options *options, const char *description,
      GPtrArray *no_files, GError **error)
{
  gsize length;
  Options only = documents_only (options);

  if (!only.request.files)
    only.request.files = no_files;
  g_autofree char *amended = amend_description (
    old->text, old->length, description, &length, error);
  g_autoptr (Checkpoint) checkpoint = amended
    ? checkpoint_parse (amended, length, CHECKPOINT_PARSE_DEFAULT, error)
    : NULL;
  /* What is wrong beside it was said when it was fetched. */
  g_autoptr (Record) record = checkpoint
    ? record_open (&only.request, only.tree, &silent_reporter, error) : NULL;
  return record && is_unchanged (old, options, no_files, error)
    && record->ops->redefine (record, checkpoint, amended, length, false,
                              error);
}

static void
print_edited (const Options *options, const char *name,
              const char *description, bool changed)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  if (!options->json) {
    printf (changed ? "Checkpoint %s edited.\n"
            : "Checkpoint %s XML configuration not changed.\n", name);
    return;
  }
  json_builder_begin_object (builder);
  json_add_text (builder, "name", name);
  json_add_text (builder, "description", description);
  json_add_bool (builder, "changed", changed);
  json_builder_end_object (builder);
  json_print (builder);
}

Status
command_edit (const Options *options, GError **error)
{
  g_auto (Document) old = { NULL }, new = { NULL };
  g_autoptr (GPtrArray) no_files = g_ptr_array_new ();
  const Status status = fetch (&old, options, no_files, &tool_reporter,
                               error);

  if (status != STATUS_FINE)
    return status;
  if (!options->description && !edit (&old, &new, error))
    return STATUS_FAILED;
  const char *description = options->description ? options->description
    : new.checkpoint->description;
  const bool changed
    = g_strcmp0 (description, old.checkpoint->description) != 0;
  if (changed && !keep (&old, options, description, no_files, error))
    return STATUS_FAILED;
  print_edited (options, old.checkpoint->name, description, changed);
  return STATUS_FINE;
}
