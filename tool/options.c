/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "tool/options.h"
#include "tool/virsh.h"

#define NAMES_SHOWN 8

static bool
set_flag (void *member, const char *value G_GNUC_UNUSED,
          GError **error G_GNUC_UNUSED)
{
  *(bool *) member = true;
  return true;
}

static bool
set_text (void *member, const char *value, GError **error G_GNUC_UNUSED)
{
  *(char **) member = g_strdup (value);
  return true;
}

static bool
add_text (void *member, const char *value, GError **error G_GNUC_UNUSED)
{
  g_ptr_array_add (*(GPtrArray **) member, g_strdup (value));
  return true;
}

static bool
add_file (void *member, const char *value, GError **error)
{
  return requested_file_add (*(GPtrArray **) member, value, error);
}

static bool
add_word (void *member, const char *value, GError **error)
{
  return requested_word_add (*(GPtrArray **) member, value, error);
}

static bool
add_format (void *member, const char *value, GError **error)
{
  return requested_format_add (*(GPtrArray **) member, value, error);
}

static bool
add_secret (void *member, const char *value, GError **error)
{
  return requested_secret_add (*(GPtrArray **) member, value, error);
}

/* What libvirt is told goes in XML. */
static bool
set_utf8 (void *member, const char *value, GError **error)
{
  return g_utf8_validate (value, -1, NULL)
    ? set_text (member, value, error)
    : error_set (error, EINVAL, "%s is not valid UTF-8, which libvirt requires",
                 value);
}

/* Also of no words. */
static bool
set_prose (void *member, const char *value, GError **error)
{
  return set_utf8 (member, value, error);
}

#define MEMBER(path) G_STRUCT_OFFSET (Options, path)
#define FLAG(name, groups, path, help) \
  { name, NULL, groups, MEMBER (path), set_flag, true, false, help }

/* --tree draws, as virsh's does, and --tree=DIR says where documents are, as
 * nbdkit's tree=DIR does: a command that has both tells them by the =.
 */
const Option all_options[] = {
  { "file", "[TARGET:]IMG", OPTIONS_SOURCE,
    MEMBER (request.files), add_file, true, false,
    "A stopped guest's disk (repeat for more)" },
  { "libvirt", "URI", OPTIONS_SOURCE,
    MEMBER (request.libvirt), set_utf8, false, false,
    "A guest of this libvirt's, running or stopped (with --domain)" },
  { "qmp", "SOCKET", OPTIONS_SOURCE,
    MEMBER (request.qmp), set_text, false, false,
    "A QEMU that runs, by its monitor's socket" },
  { "agent", "SOCKET", OPTIONS_CREATE,
    MEMBER (request.agent), set_text, false, false,
    "With --qmp and --quiesce, the guest agent's socket" },
  { "uri", "NBD-URI", OPTIONS_READING | OPTIONS_ESTIMATE,
    MEMBER (request.uris), add_text, true, false,
    "A view of nbdkit's, or QEMU's export of a bitmap" },
  { "domain", "NAME|UUID", OPTIONS_SOURCE,
    MEMBER (request.domain), set_utf8, false, false,
    "The guest, of --libvirt, or in --tree" },
  { "tree", "DIR|FILE", OPTIONS_SOURCE,
    MEMBER (tree), set_text, false, false,
    "libvirt's checkpoint documents, alone or with --file" },
  { "format", "[TARGET:]FORMAT", OPTIONS_SOURCE,
    MEMBER (request.formats), add_word, true, false,
    "What an image is, if not qcow2" },
  { "backing-format", "[NAME:]FORMAT", OPTIONS_SOURCE,
    MEMBER (request.backing_formats), add_format, true, false,
    "What a backing file is, where that is not recorded" },
  { "backing", "NAME", OPTIONS_SOURCE,
    MEMBER (request.backings), add_text, true, false,
    "A backing file on a network that may be read" },
  { "secret", "[TARGET:]FILE", OPTIONS_SOURCE,
    MEMBER (request.secrets), add_secret, true, false,
    "The passphrase of encrypted images, or -FD" },

  FLAG ("tree", OPTIONS_LIST, draw,
        "Draw the forest"),
  FLAG ("roots", OPTIONS_LIST, roots,
        "Only checkpoints without a parent"),
  FLAG ("leaves", OPTIONS_LIST, leaves,
        "Only checkpoints without children"),
  FLAG ("no-leaves", OPTIONS_LIST, no_leaves,
        "Only checkpoints with children"),
  FLAG ("topological", OPTIONS_LIST, topological,
        "Parents before children, rather than by name"),
  FLAG ("parent", OPTIONS_LIST, parent,
        "Show each one's parent"),
  { "from", "NAME", OPTIONS_LIST,
    MEMBER (from), set_text, false, true,
    "Only the children of this checkpoint" },
  FLAG ("descendants", OPTIONS_LIST, descendants,
        "With --from, all its descendants"),
  FLAG ("name", OPTIONS_LIST, name_only,
        "Names only"),

  FLAG ("no-domain", OPTIONS_SHOW, no_domain,
        "Leave the guest's definition out"),
  FLAG ("security-info", OPTIONS_SHOW, security_info,
        "With --libvirt, passwords in the definition, too"),

  { "disk", "TARGET[,WORDS]", OPTIONS_CREATE,
    MEMBER (disks), add_text, true, false,
    "A disk, as virsh's --diskspec has it (repeat for more)" },
  { "description", "TEXT", OPTIONS_CREATE | OPTIONS_EDIT,
    MEMBER (description), set_prose, false, false,
    "What is to be known of it" },
  { "xml", "FILE", OPTIONS_CREATE,
    MEMBER (xml), set_text, false, false,
    "A document that says it all" },
  FLAG ("print-xml", OPTIONS_CREATE, print_xml,
        "Print the document, and make nothing"),
  FLAG ("quiesce", OPTIONS_CREATE, quiesce,
        "Freeze the guest's file systems meanwhile"),
  FLAG ("no-metadata", OPTIONS_CREATE, no_metadata,
        "Make bitmaps, and keep no document"),
  FLAG ("validate", OPTIONS_REDEFINE, validate,
        "Refuse unless each disk has a bitmap that records"),
  FLAG ("children", OPTIONS_DELETE, children,
        "All its descendants, too"),
  FLAG ("children-only", OPTIONS_DELETE, children_only,
        "Its descendants, and not itself"),
  FLAG ("leftovers", OPTIONS_DELETE, leftovers,
        "At libvirt, bitmaps that it forgot, or has of some disks only"),
  FLAG ("metadata", OPTIONS_DELETE, metadata,
        "The document only, and leave the bitmaps"),
  FLAG ("fix", OPTIONS_CHECK, fix,
        "Mend what can be mended safely, after asking"),
  FLAG ("yes", OPTIONS_CHECK, yes,
        "With --fix, do not ask"),

  { "disk", "TARGET", OPTIONS_READING,
    MEMBER (request.disk), set_text, false, false,
    "Of which disk, if there are several" },

  { "since", "NAME", OPTIONS_VERIFY,
    MEMBER (since), set_text, false, true,
    "The checkpoint that the backup was made since" },
  { "taken-at", "NAME", OPTIONS_VERIFY,
    MEMBER (taken_at), set_text, false, true,
    "The one made with it: what changed after may differ" },
  FLAG ("full", OPTIONS_VERIFY, full,
        "Compare all of it, whatever is recorded"),
  { "sample", "PERCENT", OPTIONS_VERIFY,
    MEMBER (sample), set_text, false, false,
    "Of what did not change, so much, chosen at random" },
  { "seed", "NUMBER", OPTIONS_VERIFY | OPTIONS_ESTIMATE,
    MEMBER (seed), set_text, false, false,
    "Of what is chosen at random, choose the same again" },
  { "backup-format", "FORMAT", OPTIONS_VERIFY,
    MEMBER (backup_format), set_text, false, false,
    "What the backup is, if not qcow2" },

  FLAG ("text", OPTIONS_MAP, text,
        "Draw the map in letters, as on a terminal"),
  { "svg", "FILE", OPTIONS_MAP,
    MEMBER (svg), set_text, false, false,
    "Draw it for a report, or to the standard output (-)" },
  FLAG ("extents", OPTIONS_MAP, extents,
        "Print a list for nbdkit's extentlist filter"),
  FLAG ("imageio", OPTIONS_MAP, imageio,
        "Print JSON as oVirt imageio has it"),
  FLAG ("kubevirt", OPTIONS_MAP, kubevirt,
        "Print JSON as KubeVirt's map endpoint has it"),

  FLAG ("size", OPTIONS_LIST | OPTIONS_SHOW, size,
        "How many bytes are dirty since the checkpoint"),
  FLAG ("json", OPTIONS_ALL, json,
        "Print JSON, for programs"),
  FLAG ("help", OPTIONS_ALL, help,
        "Print this, and leave"),
  { .name = NULL }
};

void
options_init (Options *options)
{
  *options = (Options) {
    .words = g_ptr_array_new_with_free_func (g_free),
    .disks = g_ptr_array_new_with_free_func (g_free),
  };
  source_request_init (&options->request);
  options->request.takes_views = true;
}

void
options_clear (Options *options)
{
  source_request_clear (&options->request);
  g_ptr_array_unref (options->words);
  g_ptr_array_unref (options->disks);
  g_free (options->description);
  g_free (options->xml);
  g_free (options->tree);
  g_free (options->from);
  g_free (options->since);
  g_free (options->taken_at);
  g_free (options->backup_format);
  g_free (options->sample);
  g_free (options->seed);
  g_free (options->svg);
}

const char *
options_word (const Options *options)
{
  return options->words->len > 0 ? g_ptr_array_index (options->words, 0) : NULL;
}

bool
options_seed (const Options *options, guint64 *seed, GError **error)
{
  *seed = g_random_int ();
  return !options->seed
    || g_ascii_string_to_unsigned (options->seed, 10, 0, G_MAXINT64, seed, NULL)
    || error_set (error, EINVAL, "--seed=%s is no number; write the one that was "
                  "printed", options->seed);
}

const Option *
option_lookup (const char *argument, guint groups, const char **value)
{
  const char *equals = strchr (argument, '=');
  const gsize length = equals ? (gsize) (equals - argument) : strlen (argument);
  const Option *found = NULL;

  *value = equals ? equals + 1 : NULL;
  for (const Option *row = all_options; row->name; row++) {
    if (!(row->groups & groups) || length != strlen (row->name) + 2
        || strncmp (row->name, argument + 2, length - 2) != 0)
      continue;
    if (!found || !row->argument == !equals)
      found = row;
  }
  return found;
}

static bool
unknown_option (const char *argument, guint groups, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *name = g_strndup (argument, strcspn (argument, "="));
  const char *ours = virsh_option (name);

  if (ours)
    return error_set (error, EINVAL, "there is no option %s; write %s",
                      name, ours);
  for (const Option *row = all_options; row->name; row++) {
    g_autofree char *option = g_strconcat ("--", row->name, NULL);
    if ((row->groups & groups)
        && !g_ptr_array_find_with_equal_func (names, option, g_str_equal, NULL))
      g_ptr_array_add (names, g_steal_pointer (&option));
  }
  g_autofree char *nearest = nearest_names (name, names, NAMES_SHOWN);
  return error_set (error, EINVAL, "there is no option %s; there are: %s",
                    name, nearest);
}

/* *arguments: at the option; left at the last word that was read. */
static bool
read_option (Options *options, guint groups, GHashTable *given,
             char ***arguments, GError **error)
{
  const char *argument = strcmp (**arguments, "-h") == 0
    ? "--help" : **arguments;
  const char *value;
  const Option *row = g_str_has_prefix (argument, "--")
    ? option_lookup (argument, groups, &value) : NULL;

  if (!row)
    return unknown_option (argument, groups, error);
  if (value && !row->argument)
    return error_set (error, EINVAL, "--%s takes no value, and is given %s",
                      row->name, value);
  /* What looks like an option is one, and this one's value was forgotten. */
  if (row->argument && !value && !g_str_has_prefix (
        (*arguments)[1] ? (*arguments)[1] : "--", "--"))
    value = *++*arguments;
  if (row->argument && (!value || (!*value && row->set != set_prose)))
    return error_set (error, EINVAL, "--%s has no value; write --%s=%s",
                      row->name, row->name, row->argument);
  if (!g_hash_table_add (given, (gpointer) row) && !row->repeats)
    return error_set (error, EINVAL, "--%s is given twice", row->name);
  if (row->set (G_STRUCT_MEMBER_P (options, row->member), value, error))
    return true;
  g_prefix_error (error, "--%s=", row->name);
  return false;
}

bool
options_parse (Options *options, guint groups, char **arguments,
               GError **error)
{
  g_autoptr (GHashTable) given = g_hash_table_new (NULL, NULL);
  bool only_words = false;

  for (; *arguments; arguments++) {
    const char *argument = *arguments;
    if (!only_words && strcmp (argument, "--") == 0)
      only_words = true;
    else if (only_words || argument[0] != '-' || !argument[1])
      g_ptr_array_add (options->words, g_strdup (argument));
    else if (!read_option (options, groups, given, &arguments, error))
      return false;
  }
  return true;
}
