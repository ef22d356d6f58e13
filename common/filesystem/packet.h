/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What goes between who wants to know and who looks into file systems: packets of
 * a socket; runs and bytes are in memory that both see.
 */
#pragma once

#include "filesystem/cached-media.h"
#include "filesystem/line.h"

/* A path, and what else is said, may be cut to this. */
#define PACKET_TEXT 4200

typedef enum {
  PACKET_LOOK,                 /* to it: a volume */
  PACKET_BYTES,                /* to it: they are there; or not */
  PACKET_READ,                 /* from it: offset, length */
  PACKET_LINE,
  PACKET_PATH,                  /* one more of the line before */
  PACKET_NOTE,
  PACKET_FAILED,               /* it does not know: why */
  PACKET_DONE,                 /* all is told */
  PACKET_ENDED,                /* the process that looked has ended */
} PacketKind;

typedef struct {
  guint32 kind;                 /* PacketKind */
  guint32 has_since, ok;
  guint32 line_kind, changed, links;
  guint64 size, runs, granule, phase, offset, length;
  guint64 bytes, shared, inode;
  gint64 since;
  char text[PACKET_TEXT];      /* ends in NUL */
} Packet;

/* Without what of text is not used.  False: nobody is there. */
bool packet_send (int fd, const Packet *message);
bool packet_receive (int fd, Packet *message);
/* What fits, and ends in NUL. */
void packet_set_text (Packet *message, const char *text);

/* The process: never returns.  fd: its end of the socket; bytes: shared, of
 * CACHED_MEDIA_READ; runs: a file of them.
 */
void examiner_process_run (int fd, guint8 *bytes, int runs) G_GNUC_NORETURN;
