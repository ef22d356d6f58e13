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
  GHashTable *first;            /* target → connected struct nbd_handle * */
  guint64 scratch_used, scratch_left;
  bool scratch_known;
} LiveSource;

/* For inspect: start a keeper of such jobs.  The caller fills in who. */
LiveSource *live_new (const SourceOps *ops, const JobOps *jobs,
                      const SourceRequest *request, const Reporter *reporter,
                      GError **error);

/* Add a disk of the job, and the first connection to its export (taken). */
void live_add_disk (LiveSource *self, const char *target,
                    struct nbd_handle *nbd);

/* What a job serves of one disk. */
typedef struct {
  char *target, *uri;
  char *bitmap;                 /* NULL: all of it is dirty */
} LiveExport;

/* A new array of LiveExport, to be filled. */
GPtrArray *live_exports_new (void);
void live_exports_add (GPtrArray *exports, const char *target,
                       const char *uri, const char *bitmap);

/* An export at a socket, as a new string. */
char *live_unix_uri (const char *socket, const char *export_name);

/* Connect to all of them, all at once, and add their disks, which have one layer.
 * False: not all are there, as they must be.
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
