#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The cookbook's recipes that look into a guest while it runs, which leave it as it is.
. "$(dirname "$0")/cookbook.sh"
requires nbdfuse
requires fusermount3

partitioned_disk web1
lab_start
guest_define web1 $images/web1.qcow2
guest_start web1
virsh checkpoint-create-as web1 monday
# A file of the guest's changes, where it lies.
now web1
place=$("$python" -c 'import sys
disk, file = (open(name, "rb").read() for name in sys.argv[1:])
print(disk.index(file))' "$tmpdir/web1.now" "$tmpdir/content/etc/hosts")
writes vda "write -P 65 $place 512"
size=$(stat -c %s "$tmpdir/content/etc/hosts")
head -c "$size" /dev/zero | tr "\0" A >"$tmpdir/content/etc/hosts"
lab_state web1 >"$tmpdir/before"

for round in 1 2; do
  echo "round $round"
  rm -rf etc hosts
  recipe look-mount
  diff -r etc "$tmpdir/content/etc" || fail "other files"
  wait_until 20 no_job web1     # nbdfuse ends after its mount
  recipe look-file
  cmp hosts "$tmpdir/content/etc/hosts" || fail "another file"
  lab_state web1 | diff -u "$tmpdir/before" - || fail "something is left"
done
recipe look-files
grep -q ' vda1 .*/etc/hosts$' "$tmpdir/printed"
