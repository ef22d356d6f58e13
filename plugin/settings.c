/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The table of parameters: their names, how they are read, where they are kept.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/error.h"
#include "plugin/file-setting.h"
#include "plugin/settings-internal.h"
#include "tree/checkpoint.h"

const char settings_help[] =
  "[file=][TARGET:]PATH  A stopped guest's disk (repeat for more).\n"
  "uri=NBD-URI           A running QEMU's NBD export (instead of file=; repeat\n"
  "                      it for layers exported one by one, top first).\n"
  "libvirt=URI           A guest of libvirt's, running or stopped (instead).\n"
  "qmp=SOCKET            A QEMU that runs without libvirt, by its monitor\n"
  "                      (instead).\n"
  "checkpoint=NAME       Serve what changed since this checkpoint.\n"
  "format=[TARGET:]FORMAT\n"
  "                      What an image is, if not qcow2 (with on-missing=full).\n"
  "backing-format=[NAME:]FORMAT\n"
  "                      What a backing file is, where that is not recorded\n"
  "                      (repeat for more, by their names in the overlays).\n"
  "backing=NAME          A backing file on a network that may be read, by the name\n"
  "                      that its overlay has (repeat for more).\n"
  "secret=[TARGET:]FILE  The passphrase of encrypted images, or -FD for a\n"
  "                      descriptor (repeat for more).\n"
  "disk=TARGET           The disk that the empty export name means.\n"
  "tree=DIR|FILE         libvirt's checkpoint documents.\n"
  "domain=NAME|UUID|ID   The guest, with libvirt= or in tree= (there no ID).\n"
  "bitmap=NAME           With uri= or file=: the bitmap to use, as it stands\n"
  "                      (repeat to unite several).\n"
  "view=overlay|sparse|guard\n"
  "                      How blocks look to clients (default overlay).\n"
  "cache=default|none    With none, images do not fill the page cache\n"
  "                      (file= and stopped guests; default default).\n"
  "coalesce=SIZE         Join dirty runs over clean gaps up to SIZE\n"
  "                      (default 0).\n"
  "on-missing=refuse|full\n"
  "                      Disks of which nothing was recorded, such as raw\n"
  "                      ones (not with uri=; default refuse).\n"
  "With libvirt= and a running guest, and with qmp=:\n"
  "create=NAME           Make the next checkpoint with the backup.\n"
  "socket-dir=DIR        For QEMU's socket (default /run, or that of the user).\n"
  "scratch-dir=DIR       For scratch files (default: beside the disks).\n"
  "take-over=yes|no      End a job that a killed nbdkit left (default no).\n"
  "nbd-tls=yes|no|DIR    With a remote libvirt: encrypt the data; DIR holds\n"
  "                      the certificates.";

static bool
add_text (void *member, const char *key, const char *value, GError **error)
{
  GPtrArray *list = *(GPtrArray **) member;

  if (g_ptr_array_find_with_equal_func (list, value, g_str_equal, NULL))
    return error_set (error, EINVAL, "%s=%s is given twice", key, value);
  g_ptr_array_add (list, g_strdup (value));
  return true;
}

/* Whatever is wrong with the value, the message begins with that. */
static bool
prefixed (bool ok, const char *key, GError **error)
{
  if (!ok)
    g_prefix_error (error, "%s=", key);
  return ok;
}

static bool
add_word (void *member, const char *key, const char *value, GError **error)
{
  return prefixed (requested_word_add (*(GPtrArray **) member, value, error),
                   key, error);
}

static bool
add_format (void *member, const char *key, const char *value, GError **error)
{
  return prefixed (requested_format_add (*(GPtrArray **) member, value, error),
                   key, error);
}

static bool
add_secret (void *member, const char *key, const char *value, GError **error)
{
  return prefixed (requested_secret_add (*(GPtrArray **) member, value, error),
                   key, error);
}

static bool
set_text (void *text, const char *key G_GNUC_UNUSED, const char *value,
          GError **error G_GNUC_UNUSED)
{
  *(char **) text = g_strdup (value);
  return true;
}

static bool
set_path (void *path, const char *key G_GNUC_UNUSED, const char *value,
          GError **error)
{
  /* From malloc (3), which g_free () takes, too. */
  char *absolute = nbdkit_absolute_path (value);

  *(char **) path = absolute;
  return absolute || error_set (error, EINVAL, "cannot make %s an absolute "
                                "path", value);
}

static bool
set_target (void *text, const char *key, const char *value, GError **error)
{
  if (!disk_target_is_valid (value))
    return error_set (error, EINVAL, "%s=%s is not the name of a disk such "
                      "as vda", key, value);
  return set_text (text, key, value, error);
}

static bool
set_view (void *member, const char *key, const char *value, GError **error)
{
  const View *view = view_lookup (value);

  *(const View **) member = view;
  return view || error_set (error, EINVAL, "there is no %s=%s; views are: %s",
                            key, value, view_names ());
}

/* As nbdkit_parse_size, which would log a line of its own that does not
 * name the parameter.
 */
static bool
set_size (void *size, const char *key, const char *value, GError **error)
{
  static const char suffixes[] = "BKMGTPE";
  char *end;

  errno = 0;
  const guint64 number = g_ascii_strtoull (value, &end, 10);
  const char *suffix = *end ? strchr (suffixes, g_ascii_toupper (*end))
    : suffixes;
  const guint shift = suffix ? 10 * (guint) (suffix - suffixes) : 0;
  if (!g_ascii_isdigit (value[0]) || errno || !suffix || (*end && end[1])
      || number > (guint64) G_MAXINT64 >> shift)
    return error_set (error, EINVAL, "%s=%s is not a size such as 64k", key,
                      value);
  *(guint64 *) size = number << shift;
  return true;
}

static bool
set_libvirt (void *text G_GNUC_UNUSED, const char *key G_GNUC_UNUSED,
             const char *value G_GNUC_UNUSED, GError **error)
{
#ifdef HAVE_LIBVIRT
  return set_text (text, key, value, error);
#else
  return error_set (error, ENOTSUP, "this build has no libvirt= source "
                    "(configure found no libvirt); for a running guest use "
                    "virsh backup-begin and uri=, for a stopped one file=");
#endif
}

static bool
set_new_name (void *text, const char *key, const char *value, GError **error)
{
  /* libvirt takes a '-' at first, but virsh takes it for an option. */
  if (!checkpoint_name_valid (value) || value[0] == '-')
    return error_set (error, EINVAL, "%s=%s is not a name for a "
                      "checkpoint: use letters, digits, '-', '_' and '.', "
                      "first a letter, digit or '_'", key, value);
  return set_text (text, key, value, error);
}

/* One of two words, of which yes sets member. */
static bool
set_one_of (bool *member, const char *first, const char *second,
            const char *yes, const char *key, const char *value,
            GError **error)
{
  *member = strcmp (value, yes) == 0;
  return strcmp (value, first) == 0 || strcmp (value, second) == 0
    || error_set (error, EINVAL, "%s=%s is neither %s nor %s", key, value,
                  first, second);
}

static bool
set_full (void *member, const char *key, const char *value, GError **error)
{
  return set_one_of (member, "refuse", "full", "full", key, value, error);
}

static bool
set_cache (void *member, const char *key, const char *value, GError **error)
{
  return set_one_of (member, "default", "none", "none", key, value, error);
}

static bool
set_yes (void *member, const char *key, const char *value, GError **error)
{
  return set_one_of (member, "yes", "no", "yes", key, value, error);
}

static bool
set_tls (void *text, const char *key, const char *value, GError **error)
{
  if (strchr (value, '/'))
    return set_path (text, key, value, error);
  if (strcmp (value, "yes") != 0 && strcmp (value, "no") != 0)
    return error_set (error, EINVAL, "%s=%s is neither yes, no nor a folder of "
                      "certificates (write ./%s for that)", key, value, value);
  return set_text (text, key, value, error);
}

#define MEMBER(path) G_STRUCT_OFFSET (Settings, path)

const Parameter settings_parameters[] = {
  { "file",        file_setting_add, MEMBER (request.files), REPEATS },
  { "uri",         add_text,     MEMBER (request.uris), REPEATS },
  { "libvirt",     set_libvirt,  MEMBER (request.libvirt), AS_TEXT },
  { "qmp",         set_path,     MEMBER (request.qmp), ONCE },
  { "tree",        set_path,     MEMBER (tree), ONCE },
  { "domain",      set_text,     MEMBER (request.domain), AS_TEXT },
  { "checkpoint",  set_text,     MEMBER (request.checkpoint), ONCE },
  { "disk",        set_target,   MEMBER (request.disk), ONCE },
  { "bitmap",      add_text,     MEMBER (request.bitmaps), REPEATS },
  { "format",      add_word,     MEMBER (request.formats), REPEATS | OF_FILES },
  { "backing-format", add_format, MEMBER (request.backing_formats), REPEATS | OF_FILES },
  { "backing",     add_text,     MEMBER (request.backings), REPEATS | OF_FILES },
  { "secret",      add_secret,   MEMBER (request.secrets), REPEATS | OF_FILES },
  { "view",        set_view,     MEMBER (view), ONCE },
  { "coalesce",    set_size,     MEMBER (coalesce), ONCE },
  { "cache",       set_cache,    MEMBER (request.drops_cache), ONCE },
  { "create",      set_new_name, MEMBER (request.create), OF_JOBS },
  { "on-missing",  set_full,     MEMBER (request.on_missing_full), ONCE },
  { "socket-dir",  set_path,     MEMBER (request.socket_dir),
    OF_JOBS | AS_TEXT },
  { "scratch-dir", set_path,     MEMBER (request.scratch_dir),
    OF_JOBS | AS_TEXT },
  { "take-over",   set_yes,      MEMBER (request.take_over), OF_JOBS },
  { "nbd-tls",     set_tls,      MEMBER (request.nbd_tls), OF_LIBVIRT },
  { NULL },
};

bool
settings_set (Settings *settings, const char *key, const char *value,
              GError **error)
{
  for (const Parameter *parameter = settings_parameters; parameter->key;
       parameter++) {
    if (strcmp (parameter->key, key) != 0)
      continue;
    if (value[0] == '\0')
      return error_set (error, EINVAL, "%s= has no value", key);
    const char *before = g_hash_table_lookup (settings->given, key);
    if (before && !(parameter->flags & REPEATS))
      return error_set (error, EINVAL, "%s= is given twice: %s and %s", key,
                        before, value);
    g_hash_table_replace (settings->given, g_strdup (key), g_strdup (value));
    g_autofree char *word = error_shell_word (value);
    g_string_append_printf (settings->words, " %s=%s", key, word);
    return parameter->set (G_STRUCT_MEMBER_P (settings, parameter->member), key,
                           value, error);
  }
  return error_set (error, EINVAL, "unknown parameter %s=; nbdkit checkpoint "
                    "--help lists them all", key);
}

Settings *
settings_new (void)
{
  Settings *settings = g_new0 (Settings, 1);

  source_request_init (&settings->request);
  settings->words = g_string_new (NULL);
  settings->view = view_lookup (NULL);
  settings->given
    = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return settings;
}

void
settings_free (Settings *settings)
{
  if (!settings)
    return;
  source_request_clear (&settings->request);
  g_hash_table_unref (settings->given);
  g_string_free (settings->words, TRUE);
  g_free (settings->tree);
  g_free (settings);
}
