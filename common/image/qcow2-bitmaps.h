/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What the bitmaps in a qcow2 image are called, also those that QEMU does not
 * tell of since they are void.
 */
#pragma once

#include "image/qcow2-header.h"

/* The names (char *, a new array) in the bitmap directory of the image open at
 * fd.  NULL if it cannot be read whole, or is not certain to be one (it may
 * have been written over): then any name may have been there.  Any thread.
 * Source: docs/interop/qcow2.txt of QEMU 7.2, "Bitmaps extension".
 */
GPtrArray *qcow2_bitmap_names (int fd, const Qcow2Header *header);

/* The same; *ended: does one of them not record any more ("auto")? */
GPtrArray *qcow2_bitmap_names_flags (int fd, const Qcow2Header *header,
                                     bool *ended);
