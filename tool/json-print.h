/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What --json prints.
 */
#pragma once

#include <json-glib/json-glib.h>

#include "tool/subject.h"

/* Members of the object that is being built.  text: NULL is null; what is not
 * UTF-8 in it becomes U+FFFD.
 */
void json_add_text (JsonBuilder *builder, const char *name, const char *text);
void json_add_number (JsonBuilder *builder, const char *name, guint64 number);
/* texts: of char *. */
void json_add_texts (JsonBuilder *builder, const char *name,
                     const GPtrArray *texts);
void json_add_bool (JsonBuilder *builder, const char *name, bool value);

/* The members that tell of a checkpoint; with its sizes if subject has a source
 * or knows why not, and with_sizes.
 */
void json_add_checkpoint (JsonBuilder *builder, const Subject *subject,
                          const Checkpoint *checkpoint, bool with_sizes);

/* The member that tells which disks the checkpoint has bitmaps of. */
void json_add_disks (JsonBuilder *builder, const Checkpoint *checkpoint);

/* What --json prints of a document. */
void json_print_document (const char *name, const char *text);

/* All of it. */
void json_print (JsonBuilder *builder);
