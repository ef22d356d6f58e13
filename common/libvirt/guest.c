/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a server asks of a keeper of libvirt's jobs.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <libxml/uri.h>

#include "base/error.h"
#include "keeper/telling.h"
#include "libvirt/guest.h"

/* Texts of KEEPER_VOLUME. */
enum {
  VOLUME_TARGET, VOLUME_PLACE, VOLUME_NAME, VOLUME_WHY, VOLUME_TEXTS
};

void
guest_look_clear (GuestLook *look)
{
  g_clear_pointer (&look->guest, guest_free);
  g_clear_pointer (&look->host, g_free);
  g_clear_pointer (&look->connection, g_free);
  g_clear_pointer (&look->sizes, g_hash_table_unref);
  g_clear_pointer (&look->tree, forest_free);
  g_clear_pointer (&look->volumes, g_ptr_array_unref);
  g_clear_pointer (&look->skipped, g_ptr_array_unref);
  g_clear_pointer (&look->document, g_free);
  g_clear_error (&look->job);
}

static void
add_checkpoint (GuestLook *look, const char *domain, const char *text)
{
  g_autoptr (GError) error = NULL;
  Checkpoint *checkpoint
    = checkpoint_parse (text, strlen (text), CHECKPOINT_PARSE_DEFAULT,
                        &error);

  /* Messages name the guest, also where the document does not. */
  if (checkpoint && !checkpoint->domain_name)
    checkpoint->domain_name = g_ref_string_new_intern (domain);
  if (checkpoint && forest_add (look->tree, checkpoint, &error))
    return;
  checkpoint_free (checkpoint);
  g_ptr_array_add (look->skipped,
                   g_strdup_printf ("a checkpoint that libvirt tells of is "
                                    "left out: %s", error->message));
}

static void
add_volume (GuestLook *look, const Message *message)
{
  g_autoptr (GStrvBuilder) texts = g_strv_builder_new ();

  for (guint i = 0; i < VOLUME_TEXTS; i++)
    g_strv_builder_add (texts, message_text (message, i));
  g_ptr_array_add (look->volumes, g_strv_builder_end (texts));
}

/* Where the guest's volumes lie, into its chains. */
static void
place_volumes (const GuestLook *look)
{
  for (guint i = 0; look->guest && i < look->volumes->len; i++) {
    char **texts = g_ptr_array_index (look->volumes, i);
    const GuestChain *chain = guest_chain (look->guest, texts[VOLUME_TARGET]);
    const guint64 place
      = g_ascii_strtoull (texts[VOLUME_PLACE], NULL, 10);
    if (!chain || place >= chain->images->len)
      continue;
    GuestImage *image = g_ptr_array_index (chain->images, (guint) place);
    if (*texts[VOLUME_NAME])
      image->name = g_strdup (texts[VOLUME_NAME]);
    else
      image->missing = g_strdup (texts[VOLUME_WHY]);
  }
}

static bool
take_guest (GuestLook *look, const Message *message, GError **error)
{
  const char *xml = message_text (message, 0);
  const char *host = message_text (message, 1);

  look->guest = guest_parse (xml, strlen (xml), error);
  place_volumes (look);
  look->running = look->guest && look->guest->running;
  look->host = host[0] ? g_strdup (host) : NULL;
  look->connection = g_strdup (message_text (message, 2));
  look->privileged = message_text (message, 3)[0] != '\0';
  for (guint i = 4; message_text (message, i)[0]; i += 2) {
    guint64 *size = g_new (guint64, 1);
    *size = g_ascii_strtoull (message_text (message, i + 1), NULL, 10);
    g_hash_table_insert (look->sizes, g_strdup (message_text (message, i)),
                         size);
  }
  forest_link (look->tree);
  return look->guest != NULL;
}

char *
guest_split_uri (const char *text, bool *privileged)
{
  xmlURIPtr uri = text ? xmlParseURI (text) : NULL;
  const char *server = uri && uri->server ? uri->server : "";
  const gsize length = strlen (server);
  char *host = length == 0 ? NULL
    : server[0] == '[' && server[length - 1] == ']'
    ? g_strndup (server + 1, length - 2) : g_strdup (server);

  *privileged = uri && uri->path && strcmp (uri->path, "/system") == 0;
  xmlFreeURI (uri);
  return host;
}

/* In the order of kept.h's LOOK_ texts. */
static bool
ask_to_look (Keeper *keeper, const GuestQuestion *question, GError **error)
{
  const char *const texts[] = {
    question->uri, question->domain, question->writable ? "1" : "",
    question->checkpoint ? question->checkpoint : "",
    question->no_domain ? "1" : "", question->size ? "1" : "",
    question->security_info ? "1" : "",
    question->no_checkpoints ? "1" : "", question->examine ? "1" : "",
    question->socket_dir ? question->socket_dir : "",
    question->begin ? "1" : "", NULL,
  };

  return keeper_ask (keeper, KEEPER_LOOK, texts, error);
}

bool
guest_look_at (Keeper *keeper, const GuestQuestion *question,
               GuestLook *look, GError **error)
{
  const char *uri = question->uri, *domain = question->domain;
  const KeeperWords words = {
    .where = g_strdup_printf ("guest %s (%s)", domain, uri),
    .look_at_job = error_virsh (uri, "domjobinfo", domain, NULL),
    .end_job = error_virsh (uri, "domjobabort", domain, NULL),
    .look_at_peer = error_virsh (uri, "list", NULL, NULL),
  };
  g_auto (Message) message = { 0 };

  keeper_set_words (keeper, &words);
  look->tree = forest_new ();
  look->skipped = g_ptr_array_new_with_free_func (g_free);
  look->volumes
    = g_ptr_array_new_with_free_func ((GDestroyNotify) g_strfreev);
  look->sizes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                       g_free);
  if (!ask_to_look (keeper, question, error))
    return false;
  for (;;) {
    if (!keeper_answer (keeper, "tell of it", &message, error))
      return false;
    if (message.kind == KEEPER_GUEST)
      return take_guest (look, &message, error);
    if (message.kind == KEEPER_CHECKPOINT)
      add_checkpoint (look, domain, message_text (&message, 0));
    if (message.kind == KEEPER_VOLUME)
      add_volume (look, &message);
    if (message.kind == KEEPER_JOB)
      telling_take_failed (&message, &look->job);
    if (message.kind == KEEPER_DOCUMENT)
      look->document = g_strdup (message_text (&message, 0));
  }
}

bool
guest_look_once (const GuestQuestion *question, const Reporter *reporter,
                 GuestLook *look, GError **error)
{
  Keeper *keeper = keeper_start (&libvirt_job_ops, reporter, error);

  if (!keeper)
    return false;
  const bool ok = guest_look_at (keeper, question, look, error);
  g_autofree char *trouble = keeper_end (keeper);
  keeper_free (keeper);
  return ok;
}

/* In the order of kept.h's BEGIN_ texts. */
static bool
ask_to_begin (Keeper *keeper, const JobRequest *request, GError **error)
{
  g_autofree char *user = g_strdup_printf ("%u", request->qemu_user);
  g_autofree char *group = g_strdup_printf ("%u", request->qemu_group);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  g_strv_builder_add_many (
    builder, request->backup_xml,
    request->checkpoint_xml ? request->checkpoint_xml : "",
    request->checkpoint_name ? request->checkpoint_name : "",
    request->mark, request->folder, request->qemu_needs_folder ? "1" : "",
    user, group, request->take_over ? "1" : "", NULL);
  g_strv_builder_addv (builder, (const char **) request->scratch);
  g_auto (GStrv) texts = g_strv_builder_end (builder);
  return keeper_ask (keeper, KEEPER_BEGIN, (const char *const *) texts,
                     error);
}

bool
guest_begin_job (Keeper *keeper, const JobRequest *request, char **xml,
                 Checkpoint **broken, GError **error)
{
  g_auto (Message) message = { 0 };

  if (!ask_to_begin (keeper, request, error)
      || !keeper_answer (keeper, "begin the backup", &message, error))
    return false;
  if (message.kind == KEEPER_BROKEN) {
    const char *text = message_text (&message, 1);
    *broken = checkpoint_parse (text, strlen (text),
                                CHECKPOINT_PARSE_DEFAULT, NULL);
    return error_set (error, EIO, "%s", message_text (&message, 0));
  }
  *xml = g_strdup (message_text (&message, 0));
  return true;
}

bool
guest_job_lives (Keeper *keeper, GError **error)
{
  g_auto (Message) message = { 0 };

  return keeper_answer (keeper, "tell whether the backup lives", &message,
                        error)
    && (message.kind == KEEPER_LIVES
        || error_set (error, EPROTO, "whether the backup lives is not known "
                      "(message %u)", message.kind));
}

/* In the order of kept.h's CHANGE_ texts. */
static bool
ask_to_change (Keeper *keeper, const GuestChange *change, GError **error)
{
  g_autofree char *kind = g_strdup_printf ("%d", (int) change->kind);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  g_strv_builder_add_many (
    builder, kind, change->document ? change->document : "",
    change->quiesce ? "1" : "", change->validate ? "1" : "",
    change->add_domain ? "1" : "", change->metadata_only ? "1" : "", NULL);
  if (change->names)
    g_strv_builder_addv (builder, (const char **) change->names);
  g_auto (GStrv) texts = g_strv_builder_end (builder);
  return keeper_ask (keeper, KEEPER_CHANGE, (const char *const *) texts,
                     error);
}

bool
guest_change (Keeper *keeper, const GuestChange *change, GError **error)
{
  static const char *const asked[] = {
    [GUEST_CREATE] = "make the checkpoint",
    [GUEST_REDEFINE] = "take the checkpoint's document",
    [GUEST_MOVE] = "take the checkpoint's document",
    [GUEST_DELETE] = "delete the checkpoint",
  };
  g_auto (Message) message = { 0 };

  if (!ask_to_change (keeper, change, error))
    return false;
  do
    if (!keeper_answer (keeper, asked[change->kind], &message, error))
      return false;
  while (message.kind == KEEPER_CHANGING);
  return true;
}
