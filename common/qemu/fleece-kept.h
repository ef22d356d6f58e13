/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A fleecing job, as the keeper keeps it (keeper/job-ops.h).  A void *kept is a
 * KeptFleece: such functions stand in the JobOps.
 *
 * The names of all that is made in QEMU bear our mark, whose digits are HEX:
 * jobs and exports are called nbdkit-checkpoint-HEX-TARGET, and nodes, whose names
 * QEMU keeps short, nbdkit-HEX-NUMBER and a letter for what they are.
 */
#pragma once

#include "base/own-folder.h"
#include "keeper/job-ops.h"
#include "keeper/scratch.h"
#include "qemu/fleece.h"

/* How long it may take until all is gone that was told to go. */
#define FLEECE_GONE_MS 20000
#define FLEECE_POLL_MS 10

typedef struct {
  Telling *telling;
  NbdLife *life;                /* for the monitor; never ends */
  char *path;                   /* of the monitor's socket */
  Monitor *monitor;             /* NULL: it is lost */
  guint watch;                  /* of its descriptor, in the loop; 0: none */
  int qemu_fd;                  /* QEMU's process; -1: not known */
  uid_t user;                   /* QEMU's, as far as that is known */
  gid_t group;
  Fleece *plan;                 /* what is begun, or was; NULL: nothing */
  OwnFolder folder;             /* says that we live */
  GArray *scratch;              /* of int: its files, which have no names */
  bool begun;                   /* QEMU has agreed to the transaction, or may */
  bool undocumented;            /* the checkpoint's document was not written */
  ScratchWatch watched;
} KeptFleece;

/* Names, new strings.  kind: of a node. */
#define FLEECE_NODE_FILE 'f'    /* the scratch file */
#define FLEECE_NODE_IMAGE 's'   /* what is in it, on top of the disk */
#define FLEECE_NODE_FILTER 'c'  /* what copies before a write */
#define FLEECE_NODE_BITS 'b'    /* has no data, but the bitmap of a part */
char *fleece_node_name (const char *mark, guint disk, char kind);
char *fleece_id (const char *mark, const char *target);

/* The same of a disk's part: the node that is exported; the id of that. */
char *fleece_part_node (const Fleece *fleece, guint disk, guint part);
char *fleece_part_id (const char *mark, guint disk, guint part);

/* The mark in the name of a job or an export, or of a node, which is of ours then; or
 * NULL.  g_free ().
 */
char *fleece_mark_of_id (const char *id);
char *fleece_mark_of_node (const char *node);

/* What to type to have the monitor execute these (of char *: JSON; "" for a pause),
 * and to end all that a plan begins.  New strings.
 */
char *fleece_by_hand (const char *path, const GPtrArray *commands);
char *fleece_end_by_hand (const char *path, const Fleece *fleece);
/* The same of what was found: nodes in the order in which they can go.  stops_server:
 * QEMU's NBD server is ours, and nobody else has an export in it.
 */
char *fleece_end_names_by_hand (const char *path, const GPtrArray *jobs,
                                const GPtrArray *exports, bool stops_server,
                                const GPtrArray *nodes);

/* QEMU's answer, as an array: one of NULL, with an error.  json_node_unref. */
JsonNode *fleece_ask (Qmp *qmp, const char *command, JsonObject *arguments,
                      GError **error);

/* All or nothing; on failure, what was begun is still to be undone. */
bool fleece_begin_all (KeptFleece *kept, GError **error);

/* Would this QEMU bear it? */
bool fleece_check_qemu (Qmp *qmp, const char *path, GError **error);

/* Make the scratch image of a disk, on top of its node. */
bool fleece_make_scratch (KeptFleece *kept, guint index, GError **error);

/* What a disk's parts need: nodes for bitmaps; what to do in the transaction, after
 * the jobs; and exports.
 */
bool fleece_make_parts (KeptFleece *kept, guint index, GError **error);
void fleece_freeze_disk (JsonArray *actions, const KeptFleece *kept,
                         guint index);
bool fleece_export_disk (const KeptFleece *kept, guint index,
                         GError **error);

/* Does QEMU still tell of the same layers as when the job of that disk began?  False
 * also if it does not say (*why: as of fleece_ask).
 */
bool fleece_layers_stay (const KeptFleece *kept, const char *target,
                         GError **why);

/* Add an action to a transaction.  data is taken. */
void fleece_add_action (JsonArray *actions, const char *type,
                        JsonObject *data);

/* Bytes that scratch files occupy, and that are left for them; in which folder the
 * least is (borrowed).
 */
bool fleece_scratch_use (const KeptFleece *kept, guint64 *used,
                         guint64 *left, const char **tightest);

/* End a job of ours, but not this one, that a killed keeper left, if that is asked
 * for, or refuse (EBUSY) and say whose it is.
 */
bool fleece_clear_way (const KeptFleece *kept, GError **error);

/* End all that bears the mark.  has_server: the NBD server is ours, too, if it has
 * no export of ours any more.
 */
bool fleece_undo (Qmp *qmp, const char *mark, bool has_server, GError **error);

/* JobOps.end, .is_left. */
bool fleece_end (void *kept, bool keep_checkpoint, GError **error);
bool fleece_is_left (const void *kept);

/* Connect to the monitor, and let the loop hear of it. */
bool fleece_connect (KeptFleece *kept, GError **error);
void fleece_disconnect (KeptFleece *kept);

/* Has QEMU ended, or does it within that time?  Only true if it is known. */
bool fleece_qemu_is_gone (const KeptFleece *kept, int wait_ms);
