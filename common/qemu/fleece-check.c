/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Which QEMUs are left alone: those of libvirt's, those that are too old, and those
 * that would die of it.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/json-text.h"
#include "qemu/fleece-kept.h"

/* libvirt has a monitor of its own, of this name. */
static bool
check_not_libvirts (Qmp *qmp, const char *path, GError **error)
{
  g_autoptr (JsonNode) chardevs
    = fleece_ask (qmp, "query-chardev", NULL, NULL);
  JsonArray *array = json_text_node_array (chardevs);

  for (guint i = 0; array && i < json_array_get_length (array); i++) {
    JsonObject *chardev = json_text_element (array, i);
    if (strcmp (json_text_string (chardev, "label", ""), "charmonitor") != 0)
      continue;
    g_autoptr (JsonNode) answer = NULL;
    qmp_execute (qmp, "query-name", NULL, &answer, NULL);
    const char *name = JSON_NODE_HOLDS_OBJECT (answer)
      ? json_text_string (json_node_get_object (answer), "name", "?") : "?";
    return error_set (error, ENOTSUP, "the QEMU at %s runs the guest %s of "
                      "libvirt's, which must know of its backup jobs",
                      path, name)
      || error_advise (error, REMEDY_MONITOR_HELD, NULL);
  }
  return true;
}

static bool
get_version (Qmp *qmp, gint64 *major, gint64 *minor, GError **error)
{
  g_autoptr (JsonNode) answer = NULL;

  if (!qmp_execute (qmp, "query-version", NULL, &answer, error))
    return false;
  JsonObject *version = json_text_object (
    JSON_NODE_HOLDS_OBJECT (answer) ? json_node_get_object (answer) : NULL,
    "qemu");
  *major = json_text_int (version, "major");
  *minor = json_text_int (version, "minor");
  return true;
}

static bool
has_plugged (JsonArray *blocks)
{
  for (guint i = 0; blocks && i < json_array_get_length (blocks); i++)
    if (json_text_object (json_text_element (blocks, i), "inserted"))
      return true;
  return false;
}

/* Where there are no objects, QEMU knows no such path. */
static bool
has_iothread (Qmp *qmp)
{
  g_autoptr (JsonNode) answer = fleece_ask (
    qmp, "qom-list", qmp_texts ("path", "/objects", NULL), NULL);
  JsonArray *objects = json_text_node_array (answer);

  for (guint i = 0; objects && i < json_array_get_length (objects); i++)
    if (strcmp (json_text_string (json_text_element (objects, i), "type", ""),
                "child<iothread>") == 0)
      return true;
  return false;
}

/* Where a disk's node is in an iothread, and whoever uses it lets it move, as
 * exports do, and guests' devices do not, QEMU 7.2 unlocks what it has not locked
 * when an image is opened on top of it, and aborts (bdrv_try_change_aio_context,
 * called by blockdev-add).  There is no such lock since 9.0.
 */
static bool
check_bears_it (Qmp *qmp, const char *path, gint64 major, GError **error)
{
  g_autoptr (JsonNode) blocks
    = fleece_ask (qmp, "query-block", NULL, error);

  if (!blocks)
    return false;
  return major >= 9 || has_plugged (json_text_node_array (blocks))
    || !has_iothread (qmp)
    || error_set (error, ENOTSUP, "the QEMU at %s serves others in an iothread, "
                  "and before version 9 it would die if a backup began; have it "
                  "export its disks without an iothread, or use a newer one",
                  path);
}

bool
fleece_check_qemu (Qmp *qmp, const char *path, GError **error)
{
  gint64 major, minor;

  if (!get_version (qmp, &major, &minor, error))
    return false;
  if (major < 7 || (major == 7 && minor < 2))
    return error_set (error, ENOTSUP, "the QEMU at %s is of version %d.%d; a "
                      "backup needs 7.2 or later", path, (int) major,
                      (int) minor);
  return check_not_libvirts (qmp, path, error)
    && check_bears_it (qmp, path, major, error);
}
