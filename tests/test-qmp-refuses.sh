#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# With qmp=, what cannot be right is refused before anything is begun, with what to do:
# monitors that are no use, one that another client holds; folders; records that are
# broken.
. "$(dirname "$0")/qmp-lab.sh"

lab_with_guest
source_of web1
lab_state web1 >before

# ── Monitors ──
refuses 'nothing.sock cannot be reached: No such file or directory; check the path, and that its QEMU runs$' \
  qmp=nothing.sock checkpoint=monday
refuses 'vda.qcow2 is no socket' qmp=vda.qcow2 checkpoint=monday
refuses 'web1.people is no QMP monitor.*see the -qmp' qmp=web1.people checkpoint=monday
mkfifo hold
"$python" "$srcdir/tests/qmp.py" web1.sock --hold <hold >held &
pids+=($!)
exec 7>hold
wait_until 10 test -s held
for more in '' checkpoint=monday; do
  refuses 'web1.sock is silent: .*another client holds it.*-qmp unix:PATH,server=on,wait=off.*libvirt=' \
    qmp=web1.sock $more
done
# The way that is named: a second one, which this guest has.
serve qmp=web1.see.sock socket-dir="$lab_sockets" checkpoint=monday -- \
  'nbdinfo --size "$uri"'
exec 7>&-
wait_until 10 no_job web1
lab_state web1 | diff -u before - || fail "something is left"

# ── Folders, for socket and scratch files ──
long=$tmpdir/$(printf 'a%.0s' {1..100})
mkdir "$long" closed
chmod 500 closed
for dir in socket scratch; do
  refuses "/nonexistent.*$dir-dir=" qmp=web1.sock checkpoint=monday $dir-dir=/nonexistent
  refuses "$PWD/vda.qcow2.*$dir-dir=" qmp=web1.sock checkpoint=monday $dir-dir=vda.qcow2
  [ "$(id -u)" -eq 0 ] \
    || refuses "closed.*$dir-dir=" qmp=web1.sock checkpoint=monday $dir-dir=closed
done
refuses 'the path of QEMU.s socket, .*, is too long for Unix; socket-dir=' \
  qmp=web1.sock checkpoint=monday socket-dir="$long"
chmod 700 closed
lab_state web1 | diff -u before - || fail "a refusal left something"

# ── Not what nbdkit hands on ──
inherits_nothing "${source[@]}"
inherits_nothing "${source[@]}" checkpoint=monday
lab_state web1 | diff -u before - || fail "something is left"

# ── The record: QEMU crashed, so the bitmap that it had loaded is inconsistent ──
guest_quit web1
guest_start web1
guest_write web1 vda "write -P 2 1M 64k"
guest_crash web1
guest_start web1
lab_state web1 >before
refuses 'disk vda: .*monday.*inconsistent.*full backup' "${source[@]}" checkpoint=monday
serve "${source[@]}" checkpoint=monday on-missing=full -- \
  'nbdinfo --map --totals "$uri" >totals; nbdinfo "$uri" >info' 2>log
grep -q 'disk vda is served whole' log || fail "$(cat log)"
grep -q 'served whole' info || fail "$(cat info)"
lab_state web1 | diff -u before - || fail "something is left"
"$tool" delete monday --qmp=web1.sock || "$tool" delete --leftovers monday --qmp=web1.sock

# ── A bitmap that was lost; one that no longer records ──
mkdir tree
"$tool" create one --qmp=web1.sock --tree=tree >/dev/null
"$tool" create two --qmp=web1.sock --tree=tree >/dev/null
guest_write web1 vda "write -P 4 2M 64k"
with_tree=("${source[@]}" tree=tree)
serve "${with_tree[@]}" checkpoint=one -- \
  'nbdinfo --map --json "$uri" | jq -c "[.[] | select(.type == 0) | .offset]" >dirty'
[ "$(cat dirty)" = "[2097152]" ] || fail "dirty is $(cat dirty)"
qmp web1.see block-dirty-bitmap-disable '{"node": "vda", "name": "two"}' >/dev/null
refuses 'disk vda: .*two.*full backup' "${with_tree[@]}" checkpoint=two
qmp web1.see block-dirty-bitmap-remove '{"node": "vda", "name": "one"}' >/dev/null
refuses 'disk vda: bitmap one .*full backup' "${with_tree[@]}" checkpoint=one

# ── No checkpoint at all: what begins is said ──
"$tool" delete two --qmp=web1.sock
refuses 'there is no checkpoint monday, nor any other; begin with a full backup, .*: say create=monday instead of checkpoint=monday$' \
  "${source[@]}" checkpoint=monday
printed 'the same instant: say ' ' instead of'
serve "${source[@]}" "$printed" -- 'nbdinfo --size "$uri"'
[ "$(checkpoint_names web1)" = monday ] || fail "no checkpoint was made"
