/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Proof that what was read of a running guest's disk is of the time when its
 * backup began.
 *
 * When somebody else ends the backup job, QEMU first drops what keeps old data
 * (copy-before-write) and only some milliseconds later is told to close the
 * export, which reads the guest's new data meanwhile.  So nothing that was read
 * is handed out until a look that began after it had come saw the job alive.
 * One look proves all that came before it, whoever waits for it.
 */
#pragma once

#include "nbd/life.h"

typedef struct NbdWitness NbdWitness;

/* Begin to look whether the job lives, without waiting.  nbd_witness_told must
 * follow, from any thread.
 */
typedef void (*NbdWitnessLook) (void *opaque);

/* life is borrowed, and over once a look finds the job dead. */
NbdWitness *nbd_witness_new (NbdLife *life, NbdWitnessLook look,
                             void *opaque);
/* Nobody may wait any more.  NULL is fine. */
void nbd_witness_free (NbdWitness *witness);

typedef enum {
  NBD_WITNESS_ALIVE,
  NBD_WITNESS_DEAD,
  NBD_WITNESS_UNKNOWN,          /* it could not be looked at just now */
} NbdWitnessWord;

/* The look that was begun last has ended. */
void nbd_witness_told (NbdWitness *witness, NbdWitnessWord word);

/* Was the job alive after this moment (monotonic, microseconds)?  If that is
 * not known yet, a look is begun, unless one is under way or the last one was
 * just now.  witness NULL: nobody has to prove it.  Any thread.
 */
bool nbd_witness_confirms (NbdWitness *witness, gint64 came);

/* Wait until it does: 0, or EIO (it is over), ETIMEDOUT, ESHUTDOWN. */
int nbd_witness_wait (NbdWitness *witness, gint64 came,
                      const NbdBudget *budget);
