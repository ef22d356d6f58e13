/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A source that reads from a job of a running guest, whatever the kind of job:
 * its keeper, its connections, the proofs that it lives, and its scratch files.
 */
#pragma once

#include "keeper/keeper.h"
#include "source/source.h"

typedef struct {
  Source source;
  Keeper *keeper;
  char *who;                    /* "guest web1 (qemu:///system)" */
  char *certificates;           /* folder, or NULL */
  GHashTable *witnesses;        /* target → Witness; constant when serving */
  GMutex lock;                  /* guards what follows */
  GHashTable *first;            /* URI → connected struct nbd_handle * */
  guint64 scratch_used, scratch_left;
  bool scratch_known;
} LiveSource;

/* For inspect: start a keeper of such jobs.  The caller fills in who. */
LiveSource *live_new (const SourceOps *ops, const JobOps *jobs,
                      const SourceRequest *request, const Reporter *reporter,
                      GError **error);

/* Add the first connection to an export of the job (taken). */
void live_add_first (LiveSource *self, const char *uri,
                     struct nbd_handle *nbd);

/* Add who proves that the job lives on a disk. */
void live_add_witness (LiveSource *self, const char *target);

/* What a job serves of one disk, or what tells of a part of it. */
typedef struct {
  char *target, *uri;
  char *bitmap;                 /* NULL: all of the disk is dirty, or what is
                                 * allocated there of a part */
  bool is_part;                 /* of the disk that stands before it */
} LiveExport;

/* A new array of LiveExport, to be filled. */
GPtrArray *live_exports_new (void);
void live_exports_add (GPtrArray *exports, const char *target,
                       const char *uri, const char *bitmap);
void live_exports_add_part (GPtrArray *exports, const char *target,
                            const char *uri, const char *bitmap);

/* An export at a socket, as a new string. */
char *live_unix_uri (const char *socket, const char *export_name);

/* Connect to all of them, all at once, and add their disks, which have a layer for
 * each.  False: not all are there, as they must be.
 */
bool live_connect (LiveSource *self, const GPtrArray *exports,
                   GError **error);

/* Warn that a disk is in this backup, and would not be in the next one, since that
 * checkpoint, which is made with this one.
 */
void live_warn_unrecorded (const Source *source, const char *target,
                           const char *checkpoint);

/* As of SourceOps. */
bool live_start (Source *source, GError **error);
bool live_endpoint (Source *source, const Disk *disk, const Part *part,
                    NbdEndpoint *endpoint, GError **error);
void live_disown (Source *source);
void live_served (Source *source);
void live_describe (Source *source, GString *text);
void live_stop (Source *source);
void live_free (Source *source);
