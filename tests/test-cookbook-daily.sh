#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The cookbook's recipes from nothing to a backup every night.
. "$(dirname "$0")/cookbook.sh"

guest_web1
now web1 web1-data
recipe first-running
same_as "$tmpdir/web1.now" vda-monday.qcow2
same_as "$tmpdir/web1-data.now" vdb-monday.qcow2
[ "$(checkpoint_names web1)" = monday ] || fail "no checkpoint monday"
no_job web1 || fail "a job is left"
virsh dumpxml --inactive --security-info web1 | diff -uB - web1.xml

writes vda "write -P 2 1M 64k"
writes vdb "write -z 2M 64k"
now web1 web1-data
recipe next-running
same_as "$tmpdir/web1.now" vda-tuesday.qcow2
same_as "$tmpdir/web1-data.now" vdb-tuesday.qcow2
increment vda-tuesday.qcow2 "1048576 65536"
increment vdb-tuesday.qcow2 "2097152 65536"

# The guest stops here and there; every night's backup is one of that night.
echo tuesday >last
for night in 1 2 3; do
  writes vda "write -P $((10 + night)) ${night}M 64k"
  writes vdb "write -P $((20 + night)) ${night}M 64k"
  now web1 web1-data
  before=$(cat last)
  recipe nightly
  last=$(cat last)
  [ "$last" != "$before" ] || fail "night $night is not the last good one"
  increment "vda-$last.qcow2" "$((night << 20)) 65536"
  mv "$tmpdir/web1.now" "$tmpdir/vda-$last.raw"
  mv "$tmpdir/web1-data.now" "$tmpdir/vdb-$last.raw"
  # Their names tell the second.
  wait_until 5 eval '[ "$(date +%Y-%m-%d-%H%M%S)" != "$last" ]'
done
for file in "$tmpdir"/vd?-*.raw; do
  same_as "$file" "$(basename "$file" .raw).qcow2"
done
# One that fails is not the last good one: here, there is no room.
writes vda "write -P 30 4M 1M"
mount -t tmpfs -o size=1M,mode=755 tmpfs /srv/backup/web1
(cd /srv/backup/web1 && echo "$last" >last
 recipe_status=1 recipe nightly
 [ "$(cat last)" = "$last" ] || fail "a failed backup is the last good one")
umount /srv/backup/web1

# Off.
guest_quit web1
virsh undefine web1 --checkpoints-metadata
rm -f ./* $images/*
for disk in web1 web1-data; do guest_disk $images/$disk.qcow2 16M; done
guest_define web1 $images/web1.qcow2 $images/web1-data.qcow2
now web1 web1-data
recipe first-stopped
same_as "$tmpdir/web1.now" vda-monday.qcow2
same_as "$tmpdir/web1-data.now" vdb-monday.qcow2
guest_start web1
writes vda "write -P 2 3M 64k"
guest_quit web1
now web1 web1-data
recipe next-stopped
same_as "$tmpdir/web1.now" vda-tuesday.qcow2
same_as "$tmpdir/web1-data.now" vdb-tuesday.qcow2
increment vda-tuesday.qcow2 "3145728 65536"
increment vdb-tuesday.qcow2 ""
# It goes on when it runs.
echo tuesday >last
guest_start web1
writes vdb "write -P 4 5M 64k"
now web1-data
recipe nightly
same_as "$tmpdir/web1-data.now" "vdb-$(cat last).qcow2"
increment "vdb-$(cat last).qcow2" "5242880 65536"
