/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Walk a backing chain one image at a time, not by qemu-img's --backing-chain:
 * each name is looked at before it is opened, so an image cannot make us
 * connect to a server, and a format is never guessed from contents that a guest
 * could write.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "image/chain.h"
#include "image/json-name.h"
#include "image/layer.h"
#include "image/remote-name.h"

/* Far above any chain that performs, far below where QEMU's recursion over
 * the layers becomes a risk.
 */
#define LAYERS_LIMIT 200

/* What a layer says lies below it, or what is known of that otherwise. */
typedef struct {
  char *path;                   /* of a local file, absolute; or its name */
  const char *format;           /* image_format_driver's */
} Below;

/* QEMU takes the name relative to the folder of the image. */
static char *
local_path (const char *path, const char *name)
{
  const char *colon_or_slash = name + strcspn (name, ":/");

  if (*name == '/')
    return g_strdup (name);
  if (*colon_or_slash == ':')
    return g_str_has_prefix (name, "file:/")
      ? g_strdup (name + strlen ("file:")) : NULL;
  const int folder_length = (int) (strrchr (path, '/') + 1 - path);
  return g_strdup_printf ("%.*s%s", folder_length, path, name);
}

/* Names may be written differently, and lead to the same. */
static bool
is_same_remote (const char *a, const char *b)
{
  g_autoptr (JsonObject) first = remote_name_options (a, NULL, NULL);
  g_autoptr (JsonObject) second = remote_name_options (b, NULL, NULL);
  g_autoptr (JsonNode) left = json_node_new (JSON_NODE_OBJECT);
  g_autoptr (JsonNode) right = json_node_new (JSON_NODE_OBJECT);

  if (!first || !second)
    return false;
  json_node_set_object (left, first);
  json_node_set_object (right, second);
  return json_node_equal (left, right);
}

static bool
is_named (const ChainRequest *request, const char *name)
{
  for (guint i = 0; request->backings && i < request->backings->len; i++) {
    const char *named = g_ptr_array_index (request->backings, i);
    if (strcmp (named, name) == 0 || is_same_remote (named, name))
      return true;
  }
  return false;
}

static bool
is_told (const ToldImage *told, const char *path)
{
  struct stat ours, theirs;

  if (strcmp (told->path, path) == 0)
    return true;
  if (path[0] != '/')
    return is_same_remote (told->path, path);
  return stat (told->path, &ours) == 0 && stat (path, &theirs) == 0
    && ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/* A guest runs with what its definition says, whatever its images say. */
static bool
check_told (const Layer *layer, const ToldImage *told, const Below *below,
            GError **error)
{
  if (is_told (told, below->path))
    return true;
  return error_set (error, EINVAL, "%s names %s as its backing file, and the "
                    "guest's definition %s; make them agree (virsh edit)",
                    layer->path, below->path, told->path);
}

static bool
refuse_format (const Layer *layer, const Below *below, const char *format,
               GError **error)
{
  error_set (error, ENOTSUP, "%s: its backing file %s has format %s, and only "
             IMAGE_FORMATS " are read here", layer->path, below->path, format);
  return error_advise (error, REMEDY_EXPORT_DISK, NULL);
}

static bool
refuse_unknown_format (const Layer *layer, const Below *below, GError **error)
{
  g_autofree char *name = error_shell_word (layer->backing_name);
  g_autofree char *command
    = g_strdup_printf ("rebase -u -f qcow2 -b %s -F FORMAT", name);

  error_set (error, EINVAL, "%s does not record the format of its backing file "
             "%s, and guessing it is unsafe", layer->path, below->path);
  g_autofree char *advice = image_change_advice (command, layer->path);
  error_sort (error, REASON_NO_FORMAT, layer->path);
  return error_advise (error, REMEDY_BACKING_FORMAT, advice, NULL);
}

/* What is said of one image goes before what is said of all. */
static const char *
said_format (const ChainRequest *request, const Layer *layer)
{
  const char *format = NULL;

  for (guint i = 0; request->backing_formats
         && i < request->backing_formats->len; i++) {
    const ToldImage *said = g_ptr_array_index (request->backing_formats, i);
    if (said->path ? strcmp (said->path, layer->backing_name) == 0 : !format)
      format = said->format;
  }
  return format;
}

/* All who tell of it must agree; a person is asked last.  name: what a json:
 * name says.
 */
static bool
find_format (const ChainRequest *request, const Layer *layer,
             const ToldImage *told, const char *name, Below *below,
             GError **error)
{
  const char *const words[] = {
    layer->backing_format, name, told && *told->format ? told->format : NULL,
  };
  const char *first = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (words); i++) {
    const char *driver = words[i] ? image_format_driver (words[i]) : NULL;
    if (words[i] && !driver)
      return refuse_format (layer, below, words[i], error);
    if (driver && first && strcmp (driver, image_format_driver (first)) != 0)
      return error_set (error, EINVAL, "%s: its backing file %s is said to be "
                        "%s, and by %s to be %s; make them agree", layer->path,
                        below->path, first, i == 1 ? "its name"
                        : "the guest's definition", words[i])
        || error_advise (error, REMEDY_EXPORT_DISK, NULL);
    first = first ? first : words[i];
  }
  if (!first)
    first = json_name_is_raw (layer->backing_name) ? "raw"
      : said_format (request, layer);
  if (!first)
    return refuse_unknown_format (layer, below, error);
  below->format = image_format_driver (first);
  return below->format || refuse_format (layer, below, first, error);
}

/* What is elsewhere is read only if libvirt or a person names it. */
static bool
find_below (const ChainRequest *request, const Layer *layer,
            const ToldImage *told, Below *below, GError **error)
{
  const char *name = layer->backing_name;
  g_autofree char *in_name = NULL;
  const bool elsewhere = remote_name_is (name);

  if (elsewhere) {
    g_autoptr (JsonObject) options
      = remote_name_options (name, &in_name, error);
    below->path = g_strdup (name);
    if (!options) {
      g_prefix_error (error, "%s: its backing file: ", layer->path);
      return error_advise (error, REMEDY_EXPORT_DISK, NULL);
    }
    if (!told && !is_named (request, name))
      return error_set (error, ENOTSUP, "%s: its backing file \"%s\" is not a "
                        "local file, and is read only if you name it",
                        layer->path, name)
        || error_advise (error, REMEDY_NAME_BACKING, name, NULL);
  }
  else if (json_name_is (name))
    below->path = json_name_local (name, &in_name, error);
  else
    below->path = local_path (layer->path, name);
  if (!below->path || (!elsewhere && below->path[0] != '/')) {
    g_clear_error (error);
    return error_set (error, ENOTSUP, "%s: its backing file \"%s\" is not a "
                      "local file with an absolute path, nor on a network that "
                      "is known here", layer->path, name)
      || error_advise (error, REMEDY_EXPORT_DISK, NULL);
  }
  return (!told || check_told (layer, told, below, error))
    && find_format (request, layer, told, in_name, below, error);
}

static Layer *
open_layer (const Below *at, LayerRole role, GError **error)
{
  if (at->path[0] == '/')
    return image_layer_open (at->path, at->format, role, error);
  Layer *layer = layer_new (at->path);
  layer->format = g_strdup (at->format);
  return layer;
}

static bool
is_same_layer (const Layer *a, const Layer *b)
{
  return a->file && b->file && image_file_is_same (a->file, b->file);
}

static bool
is_file_of (const ImageFile *data, const Layer *layer)
{
  return data && ((layer->file && image_file_is_same (data, layer->file))
                  || (layer->data && image_file_is_same (data, layer->data)));
}

/* The data file of one that is a file of the other, or NULL. */
static const ImageFile *
shared_data (const Layer *a, const Layer *b)
{
  return is_file_of (a->data, b) ? a->data
    : is_file_of (b->data, a) ? b->data : NULL;
}

/* Two layers of a chain may not share a file. */
static const Layer *
find_shared (const GPtrArray *layers, const Layer *layer)
{
  if (layer->file && layer->data
      && image_file_is_same (layer->file, layer->data))
    return layer;
  for (guint i = 0; i < layers->len; i++) {
    const Layer *other = g_ptr_array_index (layers, i);
    if (is_same_layer (layer, other) || shared_data (layer, other))
      return other;
  }
  return NULL;
}

static bool
check_new (const GPtrArray *layers, const Layer *layer, const char *path,
           GError **error)
{
  const Layer *other = find_shared (layers, layer);

  if (other && (layer->data || other->data))
    return error_set (error, EINVAL, "%s: a file of %s is one of %s, too, and "
                      "cannot hold both", path, layer->path, other->path);
  if (other) {
    g_autofree char *advice
      = error_change_images ("qemu-img rebase -u -f qcow2 -b BASE -F FORMAT "
                             "IMAGE");
    return error_set (error, ELOOP, "%s: the backing chain comes back to %s; "
                      "to set the right backing file (BASE) of the wrong layer "
                      "(IMAGE), %s", path, layer->path, advice);
  }
  return layers->len < LAYERS_LIMIT
    || error_set (error, E2BIG, "%s: more than %d layers in the backing chain; "
                  "shorten it with virsh blockcommit, which carries bitmaps "
                  "along (qemu-img commit and rebase do not: after them make a "
                  "full backup)", path, LAYERS_LIMIT);
}

/* The top image is as it was named, so it may be elsewhere. */
static bool
find_top (const ChainRequest *request, Below *top, GError **error)
{
  const char *format = request->format ? request->format : "qcow2";

  top->path = g_strdup (request->path);
  top->format = image_format_driver (format);
  if (!top->format)
    return error_set (error, EINVAL, "%s: format %s is none of " IMAGE_FORMATS,
                      request->path, format);
  return *request->path == '/' || remote_name_is (request->path)
    || error_set (error, EINVAL, "%s is not an absolute path; begin it with /",
                  request->path);
}

static void
below_clear (Below *below)
{
  g_clear_pointer (&below->path, g_free);
}

GPtrArray *
image_chain_inspect (const ChainRequest *request, GError **error)
{
  g_autoptr (GPtrArray) layers
    = g_ptr_array_new_with_free_func ((GDestroyNotify) layer_free);
  Below next = { 0 };
  bool ok = find_top (request, &next, error);

  while (ok && next.path) {
    const LayerRole role = layers->len > 0 ? LAYER_BELOW
      : request->whole ? LAYER_TOP : LAYER_RECORDS;
    Layer *layer = open_layer (&next, role, error);
    const ToldImage *told
      = request->told && layers->len < request->told->len
      ? g_ptr_array_index (request->told, layers->len) : NULL;

    if (!layer && layers->len > 0)
      g_prefix_error (error, "backing file of %s: ",
                      ((Layer *) g_ptr_array_index (
                         layers, layers->len - 1))->path);
    ok = layer && check_new (layers, layer, request->path, error);
    below_clear (&next);
    if (ok && layer->backing_name) {
      ok = find_below (request, layer, told, &next, error);
      layer->backing_path = g_strdup (next.path);
    }
    if (layer)
      g_ptr_array_add (layers, layer);
  }
  below_clear (&next);
  return ok ? g_steal_pointer (&layers) : NULL;
}

const char *
image_chains_share_data (const GPtrArray *one, const GPtrArray *other)
{
  for (guint i = 0; i < one->len * other->len; i++) {
    const Layer *a = g_ptr_array_index (one, i / other->len);
    const Layer *b = g_ptr_array_index (other, i % other->len);
    const ImageFile *data = is_same_layer (a, b) ? NULL : shared_data (a, b);
    if (data)
      return data->path;
  }
  return NULL;
}
