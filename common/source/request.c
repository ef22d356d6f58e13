/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "source/request.h"

void
requested_file_free (RequestedFile *file)
{
  g_free (file->target);
  g_free (file->path);
  g_free (file->format);
  g_clear_pointer (&file->told, g_ptr_array_unref);
  g_clear_pointer (&file->called, g_ptr_array_unref);
  g_free (file);
}

void
requested_word_free (RequestedWord *word)
{
  g_free (word->target);
  g_free (word->value);
  g_free (word);
}

void
source_request_init (SourceRequest *request)
{
  *request = (SourceRequest) {
    .files = g_ptr_array_new_with_free_func (
      (GDestroyNotify) requested_file_free),
    .uris = g_ptr_array_new_with_free_func (g_free),
    .bitmaps = g_ptr_array_new_with_free_func (g_free),
    .backings = g_ptr_array_new_with_free_func (g_free),
    .backing_formats = g_ptr_array_new_with_free_func (
      (GDestroyNotify) told_image_free),
    .formats = g_ptr_array_new_with_free_func (
      (GDestroyNotify) requested_word_free),
    .secrets = g_ptr_array_new_with_free_func (
      (GDestroyNotify) requested_word_free),
  };
}

void
source_request_clear (SourceRequest *request)
{
  g_ptr_array_unref (request->files);
  g_ptr_array_unref (request->uris);
  g_ptr_array_unref (request->bitmaps);
  g_ptr_array_unref (request->backings);
  g_ptr_array_unref (request->formats);
  g_ptr_array_unref (request->secrets);
  g_ptr_array_unref (request->backing_formats);
  g_free (request->libvirt);
  g_free (request->domain);
  g_free (request->checkpoint);
  g_free (request->disk);
  g_free (request->create);
  g_free (request->socket_dir);
  g_free (request->scratch_dir);
  g_free (request->nbd_tls);
}
