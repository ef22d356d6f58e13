/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Where the numbers of a qcow2 header are, all big-endian.  Source: QEMU 7.2
 * docs/interop/qcow2.txt.
 */
#pragma once

#include <glib.h>

#define QCOW2_MAGIC "QFI\xfb"
#define QCOW2_MAGIC_LENGTH 4

/* Offsets. */
#define QCOW2_AT_VERSION 4
#define QCOW2_AT_BACKING_OFFSET 8
#define QCOW2_AT_BACKING_LENGTH 16
#define QCOW2_AT_CLUSTER_BITS 20
#define QCOW2_AT_SIZE 24
#define QCOW2_AT_CRYPT_METHOD 32
#define QCOW2_AT_L1_SIZE 36
#define QCOW2_AT_L1_OFFSET 40
#define QCOW2_AT_INCOMPATIBLE 72 /* from version 3 on, as what follows */
#define QCOW2_AT_AUTOCLEAR 88
#define QCOW2_AT_HEADER_LENGTH 100

/* The header's length, without extensions; at least, in version 3. */
#define QCOW2_LENGTH_2 72
#define QCOW2_LENGTH_3 104

#define QCOW2_CLUSTER_BITS_LEAST 9
#define QCOW2_CLUSTER_BITS_MOST 21

/* The number in so many bytes, at most 8. */
static inline guint64
qcow2_number (const guint8 *bytes, guint length)
{
  guint64 value = 0;

  for (guint i = 0; i < length; i++)
    value = value << 8 | bytes[i];
  return value;
}
