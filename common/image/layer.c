/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * See layer.h.
 */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "image/layer.h"
#include "image/qcow2-bitmaps.h"
#include "image/qcow2-format.h"
#include "image/qcow2-header.h"

/* A vmdk of one file, and where it says how many sectors the disk has.  If that
 * is 0, QEMU reads a descriptor in it instead, which names others.  Source:
 * block/vmdk.c of QEMU 7.2, VMDK4Header and vmdk_open_vmdk4.
 */
#define VMDK_MAGIC "KDMV"
#define VMDK_AT_CAPACITY 12
#define VMDK_LENGTH 20

/* The copy of a vpc image's footer at its beginning, if it is not of fixed size. */
#define VPC_MAGIC "conectix"
#define VPC_AT_TYPE 60
#define VPC_DIFFERENCING 4
#define VPC_LENGTH 64

const char *
image_format_driver (const char *format)
{
  static const struct { const char *name, *driver; } formats[] = {
    { "qcow2", "qcow2" }, { "raw", "raw" }, { "luks", "luks" },
    { "vmdk", "vmdk" }, { "vdi", "vdi" }, { "vpc", "vpc" },
    { "vhdx", "vhdx" }, { "qed", "qed" },
    /* The bytes of a file as they are. */
    { "file", "raw" }, { "host_device", "raw" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    if (strcmp (formats[i].name, format) == 0)
      return formats[i].driver;
  return NULL;
}

char *
image_change_advice (const char *command, const char *path)
{
  g_autofree char *word = error_shell_word (path);
  g_autofree char *whole = g_strdup_printf ("qemu-img %s %s", command, word);

  return error_change_images (whole);
}

bool
image_refuse_with (GError **error, int errnum, const char *command,
                   const char *path, const char *format, ...)
{
  g_autofree char *advice = image_change_advice (command, path);
  va_list arguments;

  va_start (arguments, format);
  g_autofree char *what = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  return error_set (error, errnum, "%s %s", what, advice);
}

/* A wrong key makes other bytes of them, and no error. */
static bool
refuse_aes (const char *path, GError **error)
{
  error_set (error, ENOTSUP, "%s is encrypted in a way (aes) that does not "
             "tell a wrong secret from the right one", path);
  return error_advise (error, REMEDY_EXPORT_DISK, NULL);
}

static bool
check_header (const Qcow2Header *header, const char *path, LayerRole role,
              GError **error)
{
  if (header->version == 2 && role == LAYER_RECORDS)
    return image_refuse_with (error, EINVAL, IMAGE_CHANGE_VERSION, path,
                              "%s is qcow2 version 2, which cannot hold dirty "
                              "bitmaps; make a full backup, and to have "
                              "bitmaps from then on,", path)
      || error_sort (error, REASON_VERSION_2, path);
  if (header->corrupt)
    return image_refuse_with (error, EINVAL, "check -r all", path,
                              "%s is marked corrupt, so its bitmaps prove "
                              "nothing; make a full backup, with a new "
                              "checkpoint, once it is repaired (no bitmap "
                              "records what that changes); to repair it,",
                              path)
      || error_sort (error, REASON_CORRUPT, path);
  return true;
}

/* QEMU takes a relative name relative to the folder that it runs in, which is
 * not known, and a name with a colon for a protocol's (QEMU 7.2, block/qcow2.c,
 * qcow2_do_open; block.c, bdrv_fill_options).
 */
static bool
check_data_name (const Qcow2Header *header, const char *path, GError **error)
{
  if (!header->data_path)
    return error_set (error, EINVAL, "%s keeps its data in an external data "
                      "file, and does not record which", path)
      || error_advise (error, REMEDY_EXPORT_DISK, NULL);
  if (header->data_path[0] == '/')
    return true;
  /* Without a name of its data file, qemu-img would follow the one in it. */
  g_auto (GStrv) parts = g_strsplit (path, ",", -1);
  g_autofree char *doubled = g_strjoinv (",,", parts);
  g_autofree char *image = g_strconcat (
    "driver=qcow2,data-file.filename=PATH,file.filename=", doubled, NULL);
  g_autofree char *advice
    = image_change_advice ("amend -o data_file=PATH --image-opts", image);
  return error_set (error, EINVAL, "%s keeps its data in an external data file, "
                    "\"%s\", and QEMU looks for that in the folder in which it "
                    "runs, not beside the image, unless it has an absolute "
                    "path; to record that (PATH), %s", path,
                    header->data_path, advice);
}

/* QEMU makes it as long as the disk, or to the end of the last cluster.  Of
 * what is shorter, the end would be read as zeroes; what is longer is not the
 * file that was written.  A block device may be longer.
 */
static bool
check_data_length (const Qcow2Header *header, const Layer *layer,
                   GError **error)
{
  const guint64 length = image_file_length (layer->data);
  const guint64 rest = header->size % header->cluster_size;
  const guint64 most
    = rest ? header->size - rest + header->cluster_size : header->size;

  if (length >= header->size
      && (length <= most || S_ISBLK (layer->data->stamp.st_mode)))
    return true;
  return error_set (error, EINVAL, "%s is not what was written: it has %"
                    G_GUINT64_FORMAT " bytes, and the disk %" G_GUINT64_FORMAT
                    "; put the right file there", layer->data->path, length,
                    header->size);
}

static bool
open_data (Layer *layer, const Qcow2Header *header, GError **error)
{
  if (!check_data_name (header, layer->path, error))
    return false;
  layer->data = image_file_open (header->data_path, error);
  if (!layer->data) {
    g_prefix_error (error, "data file of %s: ", layer->path);
    return false;
  }
  if (check_data_length (header, layer, error)
      && image_file_check_lock (layer->data, error))
    return true;
  g_prefix_error (error, "data file of %s: ", layer->path);
  return false;
}

static bool
heed_qcow2 (Layer *layer, const guint8 *bytes, gsize length, LayerRole role,
            GError **error)
{
  g_auto (Qcow2Header) header = { 0 };
  const char *why;

  if (!qcow2_header_parse (bytes, length, &header, &why)) {
    g_autofree char *word = error_shell_word (layer->path);
    return error_set (error, EINVAL, "cannot read %s: %s; is the image whole?  "
                      "Try: qemu-img check -f qcow2 %s", layer->path, why,
                      word);
  }
  if (!check_header (&header, layer->path, role, error))
    return false;
  if (!layer->file && (header.external_data || header.backing_path))
    return error_set (error, ENOTSUP, "%s is not a local file, and names "
                      "another: %s, which is not followed from there",
                      layer->path, header.backing_path ? header.backing_path
                      : header.data_path ? header.data_path : "(no name)")
      || error_advise (error, REMEDY_EXPORT_DISK, NULL);
  layer->encryption = header.encryption;
  if (g_strcmp0 (header.encryption, "aes") == 0)
    return refuse_aes (layer->path, error);
  layer->backing_name = g_steal_pointer (&header.backing_path);
  layer->backing_format = g_steal_pointer (&header.backing_format);
  layer->unclean = header.unclean;
  layer->unknown_autoclear = header.unknown_autoclear;
  layer->void_bitmaps = header.void_bitmaps;
  if (layer->void_bitmaps && layer->file)
    layer->void_names = qcow2_bitmap_names (layer->file->fd, &header);
  return !header.external_data || open_data (layer, &header, error);
}

/* Others have a descriptor that names further files. */
static bool
heed_vmdk (const Layer *layer, const guint8 *bytes, gsize length,
           GError **error)
{
  const char *path = layer->path;

  if (length >= VMDK_LENGTH
      && memcmp (bytes, VMDK_MAGIC, strlen (VMDK_MAGIC)) == 0
      && qcow2_number (bytes + VMDK_AT_CAPACITY, 8) != 0)
    return true;
  g_autofree char *word = error_shell_word (path);
  return error_set (error, ENOTSUP, "%s is not a vmdk image of one file, and "
                    "others name files, which are not followed; to see them, "
                    "type: qemu-img info -f vmdk %s", path, word)
    || error_advise (error, REMEDY_EXPORT_DISK, NULL);
}

/* QEMU reads the missing blocks of one that differs from a parent as zeroes
 * (block/vpc.c of QEMU 7.2, which does not look at the type).
 */
static bool
heed_vpc (const Layer *layer, const guint8 *bytes, gsize length,
          GError **error)
{
  if (length < VPC_LENGTH || memcmp (bytes, VPC_MAGIC, strlen (VPC_MAGIC)) != 0
      || qcow2_number (bytes + VPC_AT_TYPE, 4) != VPC_DIFFERENCING)
    return true;
  return error_set (error, ENOTSUP, "%s holds only what differs from a parent, "
                    "which QEMU does not read", layer->path);
}

/* Not LUKS: a guest may encrypt its raw disk itself. */
static const char *
begins_as (const guint8 *bytes, gsize length)
{
  static const struct { const char *magic, *format; } known[] = {
    { "QFI\xfb", "qcow2" }, { "KDMV", "vmdk" }, { "vhdxfile", "vhdx" },
    { "conectix", "vpc" }, { "<<< ", "vdi" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (known); i++)
    if (length >= strlen (known[i].magic)
        && memcmp (bytes, known[i].magic, strlen (known[i].magic)) == 0)
      return known[i].format;
  return NULL;
}

bool
image_layer_heed_bytes (Layer *layer, const guint8 *bytes, gsize length,
                        LayerRole role, GError **error)
{
  gsize needed;

  if (strcmp (layer->format, "luks") == 0)
    layer->encryption = "luks";
  if (strcmp (layer->format, "vmdk") == 0)
    return heed_vmdk (layer, bytes, length, error);
  if (strcmp (layer->format, "vpc") == 0)
    return heed_vpc (layer, bytes, length, error);
  if (strcmp (layer->format, "raw") == 0)
    layer->looks_like = begins_as (bytes, length);
  if (strcmp (layer->format, "qcow2") != 0)
    return true;
  if (qcow2_header_begins (bytes, length, &needed))
    return heed_qcow2 (layer, bytes, length, role, error);
  if (role == LAYER_BELOW)
    return error_set (error, EINVAL, "%s is not a qcow2 image, though it is "
                      "said to be one; what it is, the image above it should "
                      "record: qemu-img rebase -u -f qcow2 -b NAME -F FORMAT "
                      "IMAGE", layer->path);
  return error_set (error, EINVAL, "%s is not a qcow2 image, and only qcow2 "
                    "can hold dirty bitmaps", layer->path)
    || error_sort (error, REASON_NOT_QCOW2, layer->path)
    || error_advise (error, REMEDY_NOT_QCOW2, NULL);
}

/* Read the first bytes of the file, as many as are needed. */
static bool
heed_file (Layer *layer, LayerRole role, GError **error)
{
  guint8 begin[128];
  gsize needed;
  ssize_t n = pread (layer->file->fd, begin, sizeof begin, 0);
  const bool more = n >= 0 && qcow2_header_begins (begin, (gsize) n, &needed);
  g_autofree guint8 *bytes = more ? g_malloc (needed) : NULL;

  if (bytes)
    n = pread (layer->file->fd, bytes, needed, 0);
  if (n < 0)
    return error_set (error, errno, "cannot read %s: %s", layer->path,
                      g_strerror (errno));
  return image_layer_heed_bytes (layer, bytes ? bytes : begin, (gsize) n, role,
                                 error);
}

Layer *
image_layer_open (const char *path, const char *format, LayerRole role,
                  GError **error)
{
  g_autoptr (Layer) layer = layer_new (path);

  layer->format = g_strdup (format);
  layer->file = image_file_open (path, error);
  if (!layer->file || !heed_file (layer, role, error)
      || !image_file_check_lock (layer->file, error))
    return NULL;
  return g_steal_pointer (&layer);
}

bool
image_layer_check_unchanged (const Layer *layer, GError **error)
{
  g_autoptr (Layer) now
    = image_layer_open (layer->path, layer->format, LAYER_BELOW, error);

  if (!now)
    return false;
  if (image_file_is_unchanged (now->file, layer->file)
      && !now->data == !layer->data
      && (!now->data || image_file_is_unchanged (now->data, layer->data))
      && now->encryption == layer->encryption
      && g_strcmp0 (now->backing_name, layer->backing_name) == 0
      && g_strcmp0 (now->backing_format, layer->backing_format) == 0)
    return true;
  return error_set (error, EBUSY, "%s%s changed while it was being opened; "
                    "is a guest using it?  Try again", layer->path,
                    layer->data ? ", or its data file," : "");
}
