#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Disks of which nothing was recorded: added later, raw, with a lost bitmap.
# They are refused by name while others are served, or served whole and
# described so.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2
guest_disk vdb.qcow2
guest_disk vdc.qcow2 16M
guest_disk vdd.qcow2 16M
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
virsh checkpoint-create-as web1 monday
virsh attach-disk web1 "$tmpdir/vdc.qcow2" vdc --driver qemu --subdriver qcow2
guest_write web1 vda "write -P 2 1M 64k"

refuses_export 'NOT in this backup .on-missing=full serves it whole.: checkpoint monday does not cover disk vdc, ' \
  vdc libvirt="$connect" domain=web1 checkpoint=monday
grep -q 'error: NOT in this backup .*: checkpoint monday does not cover disk vdc' refused.log \
  || fail "no warning at the start"
refuses_export 'there is no disk vdc; disks are: vda' vdc \
  libvirt="$connect" domain=web1 checkpoint=monday disk=vda
refuses 'checkpoint monday covers none of the wanted disks, .* on-missing=full' \
  libvirt="$connect" domain=web1 checkpoint=monday disk=vdc
serve libvirt="$connect" domain=web1 checkpoint=monday -- '
  nbdinfo --map "nbd+unix:///vda?socket=$unixsocket"' 2>/dev/null >map
grep -Eq '^ *1048576 +65536 +0 +data' map || fail "vda is not served"

serve libvirt="$connect" domain=web1 checkpoint=monday on-missing=full \
  create=tuesday -- '
  nbdinfo "nbd+unix:///vdc?socket=$unixsocket" >vdc.info
  nbdinfo "nbd+unix:///vdc@monday?socket=$unixsocket" >/dev/null
  qemu-img convert -f raw -O raw "nbd+unix:///vdc?socket=$unixsocket" vdc.raw
  nbdinfo --map "nbd+unix:///vda?socket=$unixsocket" >map'
grep 'disk vdc since checkpoint monday of .*, served whole, since nothing was recorded; 16777216 bytes dirty' \
  vdc.info || fail "not labelled as served whole"
grep -Eq '^ *1048576 +65536 +0 +data' map || fail "vda is not incremental"
# The new checkpoint covers the added disk.
guest_write web1 vdc "write -P 3 1M 64k"
serve libvirt="$connect" domain=web1 checkpoint=tuesday disk=vdc -- \
  'nbdinfo --map --totals "$uri"' >totals
grep -Eq '^ *65536 .*data' totals || fail "vdc is not recorded since tuesday"

# A bitmap that is gone: libvirt refuses the whole job, and we say which disk.
forget_bitmap ()
{
  local node
  node=$(virsh qemu-monitor-command web1 \
    '{"execute": "query-named-block-nodes", "arguments": {"flat": true}}' \
    | jq -r --arg file "$tmpdir/$1" '.return[]
        | select(.drv == "qcow2" and .file == $file) | ."node-name"')
  virsh qemu-monitor-command web1 "{\"execute\": \"block-dirty-bitmap-remove\",
    \"arguments\": {\"node\": \"$node\", \"name\": \"$2\"}}" | grep '"return"' >/dev/null
}
forget_bitmap vdb.qcow2 monday
lab_state web1 >before
# The others are served; who wants that one is told why it is not.
broken='disk vdb: the record since checkpoint monday is missing or broken .*'
left_out="NOT in this backup .on-missing=full serves it whole.: $broken"
serve libvirt="$connect" domain=web1 checkpoint=monday -- '
  nbdinfo --map "nbd+unix:///vda?socket=$unixsocket" >map
  nbdinfo --list "$uri" >list' 2>begun.log
grep -Eq '^ *1048576 +65536 +0 +data' map || fail "vda is not served beside vdb"
grep -q "error: $left_out" begun.log || fail "$(cat begun.log)"
! grep -q 'cannot begin' begun.log || fail "it did begin: $(cat begun.log)"
grep -q 'NOT in this backup: disk vdb, vdc' list || fail "$(cat list)"
for name in vdb vdb@; do
  refuses_export "$left_out" $name libvirt="$connect" domain=web1 checkpoint=monday
done
lab_state web1 | diff -u before - || fail "a backup without vdb left something"
refuses "$broken" libvirt="$connect" domain=web1 checkpoint=monday \
  create=wednesday disk=vdb
lab_state web1 | diff -u before - || fail "the refusal left something"
serve libvirt="$connect" domain=web1 checkpoint=monday disk=vda -- \
  'nbdinfo --map "$uri"' >map
grep -Eq '^ *1048576 +65536 +0 +data' map || fail "vda alone is not served"
serve libvirt="$connect" domain=web1 checkpoint=monday on-missing=full -- '
  nbdinfo "nbd+unix:///vdb?socket=$unixsocket"' >info 2>begun.log
grep -q "error: disk vdb is served whole: ${broken#disk vdb: }" begun.log \
  || fail "$(cat begun.log)"
! grep -q 'cannot begin' begun.log || fail "it did begin: $(cat begun.log)"
grep 'disk vdb since .*, served whole' info || fail "vdb is not served whole"
