#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The cookbook's recipes that prove a backup; and they find a wrong one.
. "$(dirname "$0")/cookbook.sh"

guest_web1
virsh checkpoint-create-as web1 monday
qemu-img convert -U -O qcow2 $images/web1.qcow2 vda-monday.qcow2
writes vda "write -P 2 1M 64k"
now web1
cp vda-monday.qcow2 "$tmpdir/good.qcow2"

# Monday's has a wrong byte where nothing changed.
qemu-io -f qcow2 -c 'write -q -P 99 5M 1' vda-monday.qcow2
recipe_status=1 recipe verify-now
grep -q '^vda-tuesday.qcow2 differs from disk vda$' "$tmpdir/printed"
virsh checkpoint-delete web1 tuesday
rm vda-tuesday.qcow2
cp "$tmpdir/good.qcow2" vda-monday.qcow2

recipe verify-now
same_as "$tmpdir/web1.now" vda-tuesday.qcow2
grep -q '^vda-tuesday.qcow2 equals disk vda: 64.0 KiB that changed since monday, and ' \
  "$tmpdir/printed"

writes vda "write -P 3 2M 64k"
now web1
recipe verify-later
grep -q 'not compared: 64.0 KiB that changed after tuesday' "$tmpdir/printed"
grep -q 'that would be found with' "$tmpdir/printed"

recipe verify-compare
same_as "$tmpdir/web1.now" vda-wednesday.qcow2
grep -qx 'Images are identical.' "$tmpdir/printed"
virsh checkpoint-delete web1 wednesday
qemu-io -f qcow2 -c 'write -q -P 99 5M 1' vda-tuesday.qcow2
recipe_status=1 recipe verify-compare
grep -q '^Content mismatch at offset 5242880' "$tmpdir/printed"
