/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What kind of trouble an error tells of, for who sorts them.  Only those that
 * somebody asks for.
 */
#pragma once

typedef enum {
  REASON_NONE,

  /* Of the record of a disk since a checkpoint */
  REASON_MISSING,               /* a bitmap is in no layer */
  REASON_LOST,                  /* nor in the layer that was the disk then */
  REASON_INCONSISTENT,
  REASON_VOID,
  REASON_DISABLED,              /* it ends, and nothing goes on */
  REASON_NO_WAY,                /* it ends, and what goes on is not known */
  REASON_MISNAMED,
  REASON_OTHER_DISK,

  /* Of an image */
  REASON_NOT_QCOW2,
  REASON_VERSION_2,
  REASON_CORRUPT,
  REASON_IN_USE,
  REASON_NO_FORMAT,             /* of a backing file */

  /* Of a guest's backup job */
  REASON_JOB_SERVED,
  REASON_JOB_LEFT,
  REASON_JOB_UNKNOWN,
  REASON_JOB_OTHER,

  REASON_COUNT
} Reason;
