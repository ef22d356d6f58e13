/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Which files a guest's disks lie in today, to be compared with where they lay
 * when a checkpoint was made.
 *
 * Bitmaps and checkpoints go by names, and disks change theirs: what was vdc
 * is vdb once the old vdb is gone, and its bitmap of the same checkpoint comes
 * along.  A checkpoint's document has the guest's definition of its time, and
 * so tells which file was which disk.
 */
#pragma once

#include <stdbool.h>
#include <glib.h>

#include "tree/forest.h"

typedef struct Roster Roster;

/* local: the files are on this machine.  Then a file is known also by another
 * name that leads to it (stat (2), as it is when it is added).
 */
Roster *roster_new (bool local);
/* NULL is fine. */
void roster_free (Roster *roster);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Roster, roster_free)

/* Add the next file of a disk's chain, the top one first.  Copies both. */
void roster_add (Roster *roster, const char *target, const char *path);

/* The file at that place of the chain, 0 on top, has another name in documents:
 * that of a volume, or of a server's disk, as of source-key.h.  Nothing is done
 * if there is none.  Copies it.
 */
void roster_call (Roster *roster, const char *target, guint place,
                  const char *called);

/* True if that file is in the disk's chain. */
bool roster_has (const Roster *roster, const char *target, const char *path);

/* Look where the documents' paths lead, and what they say of the disks.  To be
 * called once all files were added, and again should more be; from then on the
 * roster is only read, by any thread.  forest is linked, and must outlive it.
 */
void roster_learn (Roster *roster, const Forest *forest);

/* False (EIO) unless the disk of that name is the one that it was at the
 * checkpoint, and at each one from there to the current one: another's file has
 * its name today, or its file another's name.  The message names both.  True
 * also where it cannot be known: no roster (NULL), no definition in the
 * document, or a file of which neither knows (see roster_strayed).
 */
bool roster_check (const Roster *roster, const Checkpoint *checkpoint,
                   const char *target, GError **error);

/* The place in its chain, 0 on top, of the file that the disk was at the
 * checkpoint; -1 if that is not known.  What lies below it need not be older: a
 * snapshot's name that is used again takes the place of the one before.
 */
int roster_place (const Roster *roster, const Checkpoint *checkpoint,
                  const char *target);

/* The file that the disk was at the checkpoint, if it is not in the disk's
 * chain any more; else NULL.  Borrowed.
 */
const char *roster_strayed (const Roster *roster,
                            const Checkpoint *checkpoint,
                            const char *target);
