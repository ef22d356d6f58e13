#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint check of a QEMU that runs without libvirt: what is wrong is found in
# its memory, and mended there.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"

two_disks
qemu_start q "${disks[@]}"
of=(--qmp=q.sock --tree=tree)
bitmap () { qmp q block-dirty-bitmap-$1 "{\"node\": \"$2\", \"name\": \"$3\"${4-}}" >/dev/null; }

"$tool" create monday "${of[@]}"
qemu_write q peripheral/vdb/virtio-backend 'write -P 3 0 64k'
"$tool" create tuesday "${of[@]}"
qemu_state q >before
is_ok "${of[@]}"
is_ok --qmp=q.sock
qemu_state q | diff before - || fail "the look left something"

# ── No document; no bitmap, of one disk and of all ──
rm tree/tuesday.xml
mends bitmap-without-checkpoint "${of[@]}"
[ "$("$tool" parent tuesday "${of[@]}")" = monday ] || fail "it has no parent"
bitmap remove vdb-node tuesday
finds checkpoint-without-bitmap "${of[@]}"
jq -e '.disks == ["vdb"]' found
mends checkpoint-without-bitmap "${of[@]}"
is_ok "${of[@]}"
bitmap remove vda tuesday
mends checkpoint-without-bitmap "${of[@]}"
[ ! -e tree/tuesday.xml ] || fail "it is still known"

# ── A snapshot that did not take bitmaps along ──
qemu_snapshot q '{"device": "vda", "snapshot-file": "vda.1.qcow2"}'
finds chain-gap "${of[@]}"
[ $checked -eq 1 ] || fail "status $checked"
mends chain-gap "${of[@]}"
is_ok "${of[@]}"

# ── QEMU crashed: both disks' records are lost ──
qemu_end q
qemu_start q "${disks[@]}"
"$tool" create wednesday "${of[@]}"
qemu_end q
qemu_start q "${disks[@]}"
kill -KILL "$qemu_pid"
wait "$qemu_pid" 2>/dev/null || :
qemu_start q "${disks[@]}"
finds inconsistent-bitmap "${of[@]}"
[ $checked -eq 2 ] || fail "status $checked"
bounded "$tool" check --fix --yes "${of[@]}"
"$tool" create thursday "${of[@]}"
is_ok "${of[@]}"

# ── One of two: what is whole of the other stays ──
bitmap remove vda thursday
bitmap add vda thursday ', "persistent": true, "disabled": true'
finds disabled-bitmap "${of[@]}"
bounded "$tool" check --fix --yes "${of[@]}" || [ $? -le 2 ]
qmp q query-named-block-nodes | jq -e \
  '[.[] | select(."node-name" == "vdb-node")."dirty-bitmaps"[]?.name] == ["thursday"]'
"$tool" check --json "${of[@]}" >json || :
jq -e '[.views[] | select(.usable) | .disk] == ["vdb"]' json
