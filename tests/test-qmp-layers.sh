#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# With qmp=, layers of a running guest's disk that have no bitmap count with all that is
# allocated in them, and bitmaps of shorter layers as far as they reach, as with file=.
# What the guest writes meanwhile, or another program does to the chain, takes nothing
# away from that.
. "$(dirname "$0")/qmp-lab.sh"

source_of web1
with_filter=(--filter="$filter")
write () { guest_write web1 vda "write -P $1 $2 ${3:-64k}"; }
snapshot () { qmp web1.see blockdev-snapshot-sync "{\"device\": \"vda\", \"snapshot-file\": \"$1\", \"snapshot-node-name\": \"$1\"}" >/dev/null; }
carry () { qmp web1.see block-dirty-bitmap-add "{\"node\": \"vda\", \"name\": \"$1\", \"persistent\": true}" >/dev/null; }
resize () { qmp web1.see block_resize "{\"device\": \"vda\", \"size\": $(($1 * 1048576))}" >/dev/null; }
node_of () { qmp web1.see query-named-block-nodes | jq -r --arg file "$1" '.[] | select(.drv == "qcow2" and (.file | endswith($file))) | ."node-name"'; }
# dirty: the ranges in blocks of 64 KiB, as [offset, length].
dirty ()
{
  nbdinfo --map --json "nbd+unix:///vda?socket=n.sock" | jq -c '
    [.[] | select(.type != 1) | [.offset / 65536, .length / 65536]]
    | reduce .[] as $r ([]; if length > 0 and (.[-1][0] + .[-1][1]) == $r[0]
        then .[-1][1] += $r[1] else . + [$r] end)'
}
# begins NAME [ARGUMENT…]: a backup since then; whole.raw is the disk of that time, as
# the guest left it.
begins ()
{
  local name=$1
  shift
  guest_write web1 vda flush
  qemu-img convert -U -f qcow2 -O raw "$top" whole.raw
  rm -f nbdkit.log
  nbdkit_options=("${with_filter[@]}")
  start_nbdkit n.sock "${source[@]}" checkpoint="$name" "$@"
}
# backs_up NAME NEXT: as an increment on NAME.qcow2, grown; what is restored from it is
# compared with the disk, byte by byte.
backs_up ()
{
  local size
  size=$(stat -c %s whole.raw)
  qemu-img create -q -f qcow2 -b "$1.qcow2" -F qcow2 "on-$1.qcow2" "$size"
  bounded qemu-img convert -f raw -O qcow2 -B "on-$1.qcow2" -F qcow2 \
    "nbd+unix:///vda?socket=n.sock" "$2.qcow2"
  qemu-img convert -O raw "$2.qcow2" restored.raw
  cmp restored.raw whole.raw || fail "what is restored is not the disk"
  bounded nbdcopy "nbd+unix:///vda@?socket=n.sock" itself.raw
  cmp itself.raw whole.raw || fail "the disk itself is another"
}
full () { serve "${source[@]}" create="$1" on-missing=full -- "qemu-img convert -f raw -O qcow2 \"\$uri\" $1.qcow2"; }

# ── Three snapshots without a bitmap, and the disk grew: all above the record counts ──
qemu-img create -q -f qcow2 vda.qcow2 8M
guest_define web1 vda.qcow2
guest_start web1
write 1 0 8M
full monday
write 2 1M
snapshot a.qcow2
write 3 2M
resize 16
write 4 12M
snapshot b.qcow2
guest_write web1 vda "write -z 3M 64k"
snapshot top.qcow2
top=top.qcow2
guest_write web1 vda "discard 4M 64k"
write 5 5M
lab_state web1 >before
want='[[16,1],[32,1],[48,1],[64,1],[80,1],[128,128]]'

# Without the filter, what to type is said; and it is typed.
nbdkit_options=()
start_nbdkit n.sock "${source[@]}" checkpoint=monday
! nbdinfo "nbd+unix:///vda?socket=n.sock" >refused.log 2>&1 || fail "served without the filter"
grep -qE 'over 4 parts.*top.qcow2 .no bitmap.*/vda.qcow2 .bitmap monday.; start with: .*--filter=bitmap-merge' nbdkit.log \
  || fail "the filter is not named: $(cat nbdkit.log)"
stop_nbdkit
lab_state web1 | diff -u before - || fail "something is left"

begins monday create=tuesday
# The guest goes on: over what is dirty, over what is clean, in what nobody wrote.
write 6 1M
write 6 6M
guest_write web1 vda "write -z -u 12M 64k"
write 6 14M
backs_up monday tuesday
# What the guest allocated meanwhile may be dirty, too; nothing else.
case $(dirty) in
  "$want" | '[[16,1],[32,1],[48,1],[64,1],[80,1],[96,1],[128,128]]') ;;
  *) fail "dirty is $(dirty)" ;;
esac
nbdinfo --list "nbd+unix:///?socket=n.sock" | grep -q '^export="vda":' || fail "no view is listed"
# QEMU may have 1024 descriptors in all: of these four parts one reads the disk.
count=$(find "/proc/$nbdkit_pid/fd" -lname 'socket:*' | wc -l)
[ "$count" -lt 30 ] || fail "the parts take $count sockets"
stop_nbdkit
lab_state web1 >after
! grep -E 'nbdkit|null-co' after || fail "something is left"

# ── Since the next one, with bitmaps in two sizes and a layer without between them ──
write 7 7M
resize 24
snapshot c.qcow2
write 8 20M
snapshot d.qcow2
carry tuesday
resize 32
write 9 9M
snapshot e.qcow2
carry tuesday
top=e.qcow2
write 10 30M
lab_state web1 >before
begins tuesday
write 11 20M
write 11 30M
backs_up tuesday wednesday
[ "$(dirty)" = '[[16,1],[96,1],[112,1],[144,1],[192,1],[224,1],[320,1],[384,128]]' ] \
  || fail "dirty is $(dirty)"
stop_nbdkit
lab_state web1 | diff -u before - || fail "something is left"

# ── Both were killed: what was made for parts is found, and goes, too ──
requires socat
for way in take-over type; do
  begins tuesday
  find_keeper
  kill -KILL $keeper "$nbdkit_pid"
  wait "$nbdkit_pid" || :
  lab_state web1 >left
  [ "$(grep -c '"null-co"' left)" -eq 1 ] || fail "no node for bitmaps"
  nbdkit_options=()
  refuses 'one of our servers left behind .* take-over=yes, or end it with: ' \
    "${source[@]}" checkpoint=tuesday
  if [ $way = type ]; then type_printed 'or end it with: '; wait_until 10 no_job web1
  else
    nbdkit_options=("${with_filter[@]}")
    serve "${source[@]}" checkpoint=tuesday take-over=yes -- 'nbdinfo --size "$uri"'
  fi
  rm -rf "$lab_sockets"/nbdkit-checkpoint-*
  lab_state web1 | diff -u before - || fail "something is left after $way"
done
guest_quit web1

# ── Another program works on the chain meanwhile: all that was dirty stays so ──
rm ./*.qcow2
qemu-img create -q -f qcow2 vda.qcow2 8M
guest_start web1
write 1 0 8M
full monday
write 2 1M
snapshot a.qcow2
write 3 2M
guest_write web1 vda "write -z 3M 64k"
snapshot top.qcow2
top=top.qcow2
write 5 5M
want='[[16,1],[32,1],[48,1],[80,1]]'
base=$(node_of /vda.qcow2)
begins monday
write 6 5M
# What would empty the disk's own layer, or exchange it, QEMU refuses.
for command in 'commit vda' 'commit all'; do
  [ -n "$(people web1 "$command")" ] || fail "$command was not refused"
done
refused () { ! qmp web1.see "$@" >refused.qmp 2>&1 || fail "not refused: $*"; }
refused block-commit '{"device": "vda", "job-id": "c"}'
refused block-commit "{\"device\": \"vda\", \"job-id\": \"c\", \"top-node\": \"a.qcow2\", \"base-node\": \"$base\"}"
refused block-commit "{\"device\": \"a.qcow2\", \"job-id\": \"c\", \"base-node\": \"$base\"}"
refused block-stream '{"device": "vda", "job-id": "s"}'
refused block_resize '{"device": "vda", "size": 1048576}'
refused blockdev-snapshot-sync '{"device": "vda", "snapshot-file": "no.qcow2"}'
# A stream into that node takes the layer below away from the guest.
qmp web1.see block-stream "{\"device\": \"top.qcow2\", \"job-id\": \"s\", \"base-node\": \"$base\"}" >/dev/null
streamed () { [ "$(qmp web1.see query-jobs | jq -r '.[].type')" = backup ]; }
wait_until 20 streamed
qmp web1.see query-named-block-nodes | jq -e '
  any(.[]; ."node-name" == "top.qcow2" and (.backing_file | endswith ("vda.qcow2")))' >/dev/null \
  || fail "the stream took nothing away"
[ "$(dirty)" = "$want" ] || fail "dirty is $(dirty)"
backs_up monday now
stop_nbdkit

# All that were taken away are then committed: another would tell in their place.
snapshot new.qcow2
top=new.qcow2
begins monday
qmp web1.see block-stream '{"device": "new.qcow2", "job-id": "s"}' >/dev/null
wait_until 20 streamed
qmp web1.see block-commit "{\"device\": \"top.qcow2\", \"job-id\": \"c\", \"base-node\": \"$base\"}" >/dev/null
ready () { [ "$(qmp web1.see query-jobs | jq -r '.[] | select(.id == "c").status')" = ready ]; }
wait_until 20 ready
qmp web1.see job-complete '{"id": "c"}' >/dev/null
wait_until 20 streamed
! nbdinfo --map "nbd+unix:///vda?socket=n.sock" >map 2>&1 || fail "another layer told: $(cat map)"
wait_until 10 grep -q 'put other layers in the place of those that tell what changed' nbdkit.log
stop_nbdkit
guest_quit web1

# ── Version 2 keeps no sign of zeroes once a stream took its backing image away ──
rm ./*.qcow2
qemu-img create -q -f qcow2 vda.qcow2 8M
guest_define web1 vda.qcow2
guest_start web1
write 1 0 8M
full monday
qemu-img create -q -f qcow2 -o compat=0.10 -b vda.qcow2 -F qcow2 top.qcow2
qmp web1.see blockdev-snapshot-sync '{"device": "vda", "snapshot-file": "top.qcow2", "mode": "existing", "snapshot-node-name": "top.qcow2"}' >/dev/null
write 5 5M
lab_state web1 >before
nbdkit_options=()
refuses 'top.qcow2 has no bitmap and is qcow2 of version 2 .*make a full backup, and then' \
  "${source[@]}" checkpoint=monday
lab_state web1 | diff -u before - || fail "a refusal left something"
guest_quit web1
type_printed 'type: '
guest_define web1 top.qcow2
guest_start web1
top=top.qcow2
begins monday
node=$(node_of /top.qcow2)
qmp web1.see block-stream "{\"device\": \"$node\", \"job-id\": \"s\"}" >/dev/null
wait_until 20 streamed
guest_write web1 vda "write -z 5M 64k"
bounded nbdinfo --map --json "nbd+unix:///vda?socket=n.sock" | jq -e '
  any(.[]; .type != 1 and .offset <= 5242880 and .offset + .length >= 5308416)' \
  >/dev/null || fail "what was zeroed meanwhile is called clean"
backs_up monday now
stop_nbdkit
guest_quit web1
