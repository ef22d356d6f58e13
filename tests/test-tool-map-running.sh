#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint map of guests of libvirt's that run, of stopped ones, and of what
# nbdkit serves of them: what was written, and no job is left, however it ends.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2 64M
guest_disk vdb.qcow2 64M
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
export tool connect
map () { bounded "$tool" map "$@" --libvirt="$connect" --domain=web1; }

virsh checkpoint-create-as web1 monday
guest_write web1 vda 'write -P 2 1M 640k'
guest_write web1 vda 'write -z 8M 1M'
guest_write web1 vdb 'write -P 3 63M 64k'
cat >want <<'END'
0 1048576 hole
1048576 655360
1703936 6684672 hole
8388608 1048576 hole,zero
9437184 57671680 hole
END
map monday --disk=vda --extents | diff -u want - || fail "another map of vda"
wait_until 10 no_job web1
map monday --text >text
cat text
grep -qx '1.6 MiB of 64.0 MiB dirty (2.5 %) in 2 runs, 1.0 MiB of it zeroes' text \
  || fail "another picture of vda"
grep -qx '64.0 KiB of 64.0 MiB dirty (under 0.1 %) in 1 run, 0 B of it zeroes' text \
  || fail "another picture of vdb"
wait_until 10 no_job web1
tool_says 2 'there are 2 disks and none is chosen' \
  map monday --json --libvirt="$connect" --domain=web1
tool_says 2 'tuesday' map tuesday --text --libvirt="$connect" --domain=web1
wait_until 10 no_job web1

# ── In nbdkit's own run, of the same instant as the copy ──
serve libvirt="$connect" domain=web1 checkpoint=monday disk=vda \
  -- '"$tool" map --uri="$uri" --extents' >printed
diff -u want printed || fail "another map of --uri"
wait_until 10 no_job web1

# ── However it ends, no job stays, and what was not read is dirty ──
map monday --disk=vda --json >whole
wait_until 10 no_job web1
for signal in INT TERM KILL; do
  env --default-signal=INT "$tool" map monday --disk=vda --json \
    --libvirt="$connect" --domain=web1 >printed 2>log &
  pid=$!
  wait_until 20 eval '! no_job web1 || ! kill -0 $pid 2>/dev/null'
  kill -$signal $pid 2>/dev/null || :
  wait $pid 2>/dev/null || :
  wait_until 20 no_job web1
  wait_until 10 no_keeper
  is_safe_list 67108864 || fail "half a map after SIG$signal: $(cat printed)"
done

# ── Off ──
guest_destroy web1
map monday --disk=vda --extents | diff -u want - || fail "another map of the stopped guest"
leaves_nothing
