/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What a front end asks a source for.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

#include "image/chain.h"

typedef struct {
  char *target;                 /* NULL: not said */
  char *path;                   /* absolute; or a name that leads elsewhere, as
                                 * of remote_name_options */
  char *format;                 /* "raw"; NULL: not said */
  GPtrArray *told;              /* of ToldImage: what the guest's definition
                                 * says lies below, top first; NULL: nothing */
  GPtrArray *called;            /* of char *: what checkpoints' documents call
                                 * it and those, top first, as of
                                 * source-key.h; NULL: that is its path */
} RequestedFile;

/* A word about one disk, or (target NULL) about all. */
typedef struct {
  char *target;
  char *value;
} RequestedWord;

/* NULL and empty lists: not said. */
typedef struct {
  GPtrArray *files;             /* of RequestedFile */
  GPtrArray *uris;              /* of char *: layers, top first */
  char *libvirt;                /* URI */
  char *domain;                 /* name or UUID */
  char *qmp;                    /* a running QEMU's monitor: a socket's path */
  bool read;                    /* it will be read, and not only looked at: of
                                 * a running QEMU a job is begun for that */
  bool takes_views;             /* one of uris may show a view of our plugin's:
                                 * its map is read before it is served from */
  char *tree;                   /* where the document of a checkpoint goes that
                                 * is made with qmp; NULL: there is none */
  char *agent;                  /* its guest's agent: a socket's path */
  char *checkpoint;             /* what changed since */
  char *disk;                   /* target */
  bool drops_cache;             /* of files, nothing stays in the page cache */
  GPtrArray *formats;           /* of RequestedWord: what images are */
  GPtrArray *backing_formats;   /* of ToldImage: what backing files are whose
                                 * formats their overlays do not record, by
                                 * their names there; path NULL: all */
  GPtrArray *backings;          /* of char *: names of backing files, as their
                                 * overlays have them, that may lead elsewhere */
  GPtrArray *secrets;           /* of RequestedWord: a file's absolute path, or
                                 * "-" and the number of a descriptor */
  GPtrArray *bitmaps;           /* of char *: of a server's */
  /* Of a running guest of libvirt's. */
  char *create;                 /* a checkpoint to make with the backup */
  bool on_missing_full;         /* what has no usable record is served whole */
  char *socket_dir;             /* absolute */
  char *scratch_dir;            /* absolute */
  bool take_over;               /* end a job that a killed process left */
  char *nbd_tls;                /* "yes", "no" or a folder's path */
  guint patience_ms;            /* how long one request of a client may take;
                                 * 0: as long as usual */
} SourceRequest;

void source_request_init (SourceRequest *request);
void source_request_clear (SourceRequest *request);
void requested_file_free (RequestedFile *file);
void requested_word_free (RequestedWord *word);

/* How front ends read what is asked for.  Messages begin with the value, so
 * that the name of a parameter can be put in front.
 */

/* Take "vda:PATH" apart: *target is "vda" then (g_free ()), else NULL.  Returns
 * the rest, or all of it if that begins with no target.
 */
const char *requested_target (const char *value, char **target);

/* Add "[TARGET:]PATH" to files.  EINVAL if there is no such file but one that
 * is called like all of it, or it is there already.
 */
bool requested_file_add (GPtrArray *files, const char *value, GError **error);

/* Add "[TARGET:]WORD" to words (of RequestedWord): one of each disk, and one of
 * all others.
 */
bool requested_word_add (GPtrArray *words, const char *value, GError **error);

/* Add "[NAME:]FORMAT" to formats (of ToldImage): of one image, or of all. */
bool requested_format_add (GPtrArray *formats, const char *value,
                           GError **error);

/* Add "[TARGET:]FILE" or "[TARGET:]-FD" to words.  The file is read once it is
 * known which disks there are.
 */
bool requested_secret_add (GPtrArray *words, const char *value,
                           GError **error);
