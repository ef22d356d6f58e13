/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Where bytes and bitmaps come from.  A new kind of source is one file that
 * fills in a SourceOps, and one row in source.c.
 */
#pragma once

#include "base/reporter.h"
#include "image/direct-read.h"
#include "image/disk.h"
#include "nbd/endpoint.h"
#include "parts/parts.h"
#include "source/offer.h"
#include "source/request.h"
#include "tree/roster.h"

typedef struct Source Source;

typedef struct {
  const char *name;

  /* Look at what is there without changing it: fill in disks, and the offer
   * from tree (taken; NULL: none was given, so one is made of the bitmaps).
   * The user still sees errors.  No threads may be started: the process may
   * fork before it serves.
   */
  Source *(*inspect) (const SourceRequest *request, Forest *tree,
                      const Reporter *reporter, GError **error);

  /* Start what serving needs, in the main thread of the process that serves.
   * What can fail belongs into inspect, where the user sees it.  NULL: nothing is
   * needed.
   */
  bool (*start) (Source *source, GError **error);

  /* Where one part of a disk since a checkpoint is read; layer is the
   * part's own, bitmap is NULL for its allocation.  Any thread.
   */
  bool (*endpoint) (Source *source, const Disk *disk, const Part *part,
                    NbdEndpoint *endpoint, GError **error);

  /* How the disk can be read without the endpoint's server, which must still
   * be there afterwards; NULL, or returning NULL: not at all.  Borrowed, as
   * long as the source is there.  Any thread.
   */
  const DirectRead *(*direct) (Source *source, const Disk *disk);

  /* In a process that stays beside the one that serves (nbdkit's with --run): hold
   * nothing that must end with that one.  NULL: nothing must.
   */
  void (*disown) (Source *source);

  /* A client has opened an export.  NULL: nothing to do.  Any thread. */
  void (*served) (Source *source);

  /* Add to an export's description.  NULL: nothing.  Any thread. */
  void (*describe) (Source *source, GString *text);

  /* Nothing is read any more: end what was begun at the server, while its
   * connections are still open.  Comes before the last of them is closed.
   * NULL: nothing was.
   */
  void (*stop) (Source *source);

  /* End what start started, and free. */
  void (*free) (Source *source);
} SourceOps;

struct Source {
  const SourceOps *ops;
  const Reporter *reporter;     /* borrowed */
  GPtrArray *disks;             /* of Disk */
  Offer *offer;                 /* checkpoints that can be asked for */
  NbdLife *life;                /* of all its connections */
  Roster *roster;               /* the disks' own; see source_call_roll */
  /* The server is not ours.  Connections made later could fail, or meet another
   * server under the same name, which a map that was read before would not fit:
   * so the default view is connected before serving begins, with all its
   * connections, and none is closed.
   */
  bool keeps_connections;
  GPtrArray *left_out;          /* of LeftOut: disks of the guest that are not
                                 * served, for each export's description */
  GError *look_only;            /* nothing can be read, and why; or NULL */
  bool can_serve_whole;         /* a disk that has no usable record, if that
                                 * is asked for */
};

/* What is said of a disk first if it is not served beside others. */
#define SOURCE_LEFT_OUT "NOT in this backup"

extern const SourceOps source_file_ops;
extern const SourceOps source_uri_ops;
extern const SourceOps source_libvirt_ops; /* only with HAVE_LIBVIRT */

/* The source that the request asks for; EINVAL for none or two. */
const SourceOps *source_choose (const SourceRequest *request, GError **error);

/* "file uri".  Returns a new string; g_free (). */
char *source_names (void);

/* A disk that is not served.  belongs: a backup of the guest could have it, so
 * the others are not all that there is.
 */
typedef struct {
  char *target;
  GError *why;                  /* "NOT in this backup: disk vdb: …" */
  bool belongs;
} LeftOut;

/* Say that a disk is not served, and why (taken): to the log now ("NOT in this
 * backup: …"), in each export's description, and to who asks for it.  Before
 * there are clients.
 */
void source_leave_out (Source *source, const char *target, GError *why,
                       bool belongs);

/* A disk was refused for want of a usable record: if it could be served whole,
 * that comes first, since the message may end in what to type.
 */
void source_prefix_missing (const Source *source, GError **error);

/* Say to the log that a disk is served whole, and why it has no usable record. */
void source_warn_whole (const Source *source, const char *target,
                        const GError *reason);

/* The disk of that target that is left out, or NULL.  target: NULL: the first that
 * belongs into a backup.
 */
const LeftOut *source_left_out (const Source *source, const char *target);

/* For sources: add a layer that the server at uri tells of, below those that
 * the disk has.  Returns it, borrowed.
 */
Layer *source_add_export (Disk *disk, const char *uri);

/* For sources: the server of the last layer offers a bitmap, which records as
 * far as we are told.
 */
void source_add_bitmap (Disk *disk, const char *name);

/* For sources: say what of an endpoint is dirty.  depth: of the part's layer
 * as the server counts, 1 on top; told_to: where the server's word on it ends
 * (bytes).
 */
void source_set_dirty (NbdEndpoint *endpoint, const Part *part, guint depth,
                       guint64 told_to);

/* For sources: give all disks the source's roster, once that knows all files
 * and the offer is there.
 */
void source_call_roll (Source *source);

/* For sources: set up and release the common part. */
void source_init (Source *source, const SourceOps *ops,
                  const SourceRequest *request, const Reporter *reporter);
void source_clear (Source *source);
