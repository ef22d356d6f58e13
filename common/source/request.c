/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "source/request.h"
#include "tree/checkpoint.h"

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
  g_free (request->qmp);
  g_free (request->agent);
  g_free (request->tree);
  g_free (request->checkpoint);
  g_free (request->disk);
  g_free (request->create);
  g_free (request->socket_dir);
  g_free (request->scratch_dir);
  g_free (request->nbd_tls);
}

const char *
requested_target (const char *value, char **target)
{
  const char *colon = strchr (value, ':');

  *target = NULL;
  if (!colon)
    return value;
  *target = g_strndup (value, (gsize) (colon - value));
  if (disk_target_is_valid (*target))
    return colon + 1;
  g_clear_pointer (target, g_free);
  return value;
}

/* Not g_canonicalize_filename, for which a link's ".." is where the link is. */
static char *
absolute_path (const char *path)
{
  g_autofree char *here = g_get_current_dir ();

  return g_path_is_absolute (path) ? g_strdup (path)
    : g_build_filename (here, path, NULL);
}

static bool
is_new (const GPtrArray *files, const char *path, GError **error)
{
  struct stat ours, theirs;

  for (guint i = 0; i < files->len; i++) {
    const RequestedFile *other = g_ptr_array_index (files, i);
    if (stat (path, &ours) == 0 && stat (other->path, &theirs) == 0
        && ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino)
      return error_set (error, EINVAL, "%s is given twice (%s is the same "
                        "file), and a disk is served once; remove one",
                        path, other->path);
  }
  return true;
}

bool
requested_file_add (GPtrArray *files, const char *value, GError **error)
{
  g_autofree char *target = NULL;
  const char *path = requested_target (value, &target);

  if (!*path)
    return error_set (error, EINVAL, "%s names no file; write TARGET:PATH",
                      value);
  if (target && access (path, F_OK) < 0 && access (value, F_OK) == 0)
    return error_set (error, EINVAL, "%s means disk %s in %s, which does not "
                      "exist", value, target, path)
      || error_advise (error, REMEDY_NO_TARGET, value, NULL);
  g_autofree char *absolute = absolute_path (path);
  if (!is_new (files, absolute, error))
    return false;
  RequestedFile *file = g_new0 (RequestedFile, 1);
  file->target = g_steal_pointer (&target);
  file->path = g_steal_pointer (&absolute);
  g_ptr_array_add (files, file);
  return true;
}

static bool
add_word (GPtrArray *words, const char *value, GError **error)
{
  RequestedWord *word = g_new0 (RequestedWord, 1);
  const char *rest = requested_target (value, &word->target);

  word->value = g_strdup (rest);
  g_ptr_array_add (words, word);
  return *rest || error_set (error, EINVAL, "%s says nothing of disk %s",
                             value, word->target ? word->target : "?");
}

bool
requested_word_add (GPtrArray *words, const char *value, GError **error)
{
  if (!add_word (words, value, error))
    return false;
  const RequestedWord *word = g_ptr_array_index (words, words->len - 1);
  for (guint i = 0; i + 1 < words->len; i++) {
    const RequestedWord *other = g_ptr_array_index (words, i);
    if (g_strcmp0 (word->target, other->target) == 0)
      return error_set (error, EINVAL, "%s: %s is said of the same disk; leave "
                        "out one of the two", value, other->value);
  }
  return true;
}

bool
requested_format_add (GPtrArray *formats, const char *value, GError **error)
{
  const char *colon = strrchr (value, ':');
  g_autofree char *name
    = colon ? g_strndup (value, (gsize) (colon - value)) : NULL;

  if (colon && (!*name || !colon[1]))
    return error_set (error, EINVAL, "%s is not NAME:FORMAT", value);
  for (guint i = 0; i < formats->len; i++) {
    const ToldImage *other = g_ptr_array_index (formats, i);
    if (g_strcmp0 (name, other->path) == 0)
      return error_set (error, EINVAL, "%s: %s is said of the same image; "
                        "leave out one of the two", value, other->format);
  }
  g_ptr_array_add (formats, told_image_new (name, colon ? colon + 1 : value));
  return true;
}

bool
requested_secret_add (GPtrArray *words, const char *value, GError **error)
{
  guint64 fd;

  /* A disk's layers may each have one. */
  if (!add_word (words, value, error))
    return false;
  RequestedWord *word = g_ptr_array_index (words, words->len - 1);
  if (word->value[0] == '-')
    return g_ascii_string_to_unsigned (word->value + 1, 10, 3, G_MAXINT, &fd,
                                       NULL)
      || error_set (error, EINVAL, "%s: after the - belongs the number of a "
                    "file descriptor, at least 3 (write ./-NAME for a file of "
                    "that name)", value);
  char *path = absolute_path (word->value);
  g_free (word->value);
  word->value = path;
  return true;
}
