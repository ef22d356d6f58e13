/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Where bytes and bitmaps come from: one file for each kind of source, which
 * fills in a SourceOps, and a row in source.c.
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

/* look, start, direct, disown, served, describe and stop may be NULL. */
typedef struct {
  const char *name;
  /* The instant that all views of the disk show: "as it was when …".  Static. */
  const char *(*instant) (const Disk *disk);

  /* Are the disks read from files of a guest that does not run?  Called before
   * inspect; what it starts, it ends.  NULL: they are not.
   */
  bool (*look) (const SourceRequest *request, const Reporter *reporter,
                bool *at_rest, GError **error);

  /* Look at what is there, and change nothing: fill in disks, and the offer
   * from tree (taken; NULL: none was given, so one is made of the bitmaps).
   * The user still sees errors.  Starts no threads, as the process may fork
   * before it serves.
   */
  Source *(*inspect) (const SourceRequest *request, Forest *tree,
                      const Reporter *reporter, GError **error);

  /* Start what serving needs, in the main thread of the process that serves.
   * What can fail belongs into inspect, where the user sees it.  Called by
   * catalogue_start: the disks' bitmaps may be other objects after it.
   */
  bool (*start) (Source *source, GError **error);

  /* Where one part of a disk is read.  Any thread. */
  bool (*endpoint) (Source *source, const Disk *disk, const Part *part,
                    NbdEndpoint *endpoint, GError **error);

  /* How the disk can be read without the endpoint's server, which must still
   * be there afterwards; returns NULL if it cannot.  Borrowed from the source.
   * Any thread.
   */
  const DirectRead *(*direct) (Source *source, const Disk *disk);

  /* In a process that stays beside the one that serves (nbdkit's with --run):
   * hold nothing that must end with that one.
   */
  void (*disown) (Source *source);

  /* A client has opened an export.  Any thread. */
  void (*served) (Source *source);

  /* Add to an export's description.  Any thread. */
  void (*describe) (Source *source, GString *text);

  /* Nothing is read any more: end what was begun at the server, before the last
   * of its connections is closed.
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
  Roster *roster;               /* of all disks: see source_call_roll */
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
extern const SourceOps source_qmp_ops;

/* The source that the request asks for; EINVAL for none or two. */
const SourceOps *source_choose (const SourceRequest *request, GError **error);

/* "file uri".  Returns a new string; g_free (). */
char *source_names (void);

/* A disk that is not served. */
typedef struct {
  char *target;
  GError *why;                  /* "NOT in this backup: disk vdb: …" */
  bool belongs;                 /* a backup of the guest could have it, so the
                                 * others are not all that there is */
} LeftOut;

/* Say that a disk is not served, and why (taken): to the log now, in each
 * export's description, and to who asks for it.  Before there are clients.
 */
void source_leave_out (Source *source, const char *target, GError *why,
                       bool belongs);

/* A disk was refused for want of a usable record.  If it could be served whole,
 * the message begins with that, since it may end in what to type.
 */
void source_prefix_missing (const Source *source, GError **error);

/* Log that a disk is served whole, for want of a usable record (reason). */
void source_warn_whole (const Source *source, const char *target,
                        const GError *reason);

/* The disk of that target that is left out (target NULL: the first that belongs
 * into a backup), or NULL.
 */
const LeftOut *source_left_out (const Source *source, const char *target);

/* What follows is for sources. */

/* Add a layer, below those that the disk has, which the server at uri tells of.
 * Returns it, borrowed.
 */
Layer *source_add_export (Disk *disk, const char *uri);

/* The last layer's server offers a bitmap, which records as far as is told. */
void source_add_bitmap (Disk *disk, const char *name);

/* Say what of an endpoint is dirty.  depth: of the part's layer as the server
 * counts, 1 on top; told_to: where the server's word on it ends (bytes).
 */
void source_set_dirty (NbdEndpoint *endpoint, const Part *part, guint depth,
                       guint64 told_to);

/* Give all disks the source's roster, once that knows all files and the offer
 * is there.
 */
void source_call_roll (Source *source);

void source_init (Source *source, const SourceOps *ops,
                  const SourceRequest *request, const Reporter *reporter);
void source_clear (Source *source);
