#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Without checkpoint= and create=, a running guest is only looked at: all that
# could be served is listed, no job is begun, and reading says what to type.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2
guest_disk vdb.qcow2
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
refuses 'guest web1 .* has no checkpoint, .* create=NAME makes the first' \
  libvirt="$connect" domain=web1
virsh checkpoint-create-as web1 monday
virsh checkpoint-create-as web1 tuesday --diskspec vda --diskspec vdb,checkpoint=no
lab_state web1 >before

serve libvirt="$connect" domain=web1 -- '
  nbdinfo --list "$uri"
  virsh -c "$connect" domjobinfo web1' >list 2>log
cat list log
grep -q 'Job type: *None' list || fail "a job was begun for a list"
sed -n 's/^export="\(.*\)":$/\1/p' list >names
printf '%s\n' vda@monday vda@tuesday vdb vdb@monday vda@ vdb@ | diff -u - names \
  || fail "other names are listed"
grep -q 'disk vda since checkpoint tuesday of .*, parent monday; .* is known once a backup is begun' \
  list || fail "no description"
[ "$(grep -c 'export-size: 67108864' list)" -eq 6 ] || fail "no sizes"

# What stays cached is the affair of the guest's QEMU.
nbdkit_options=(-v)
serve libvirt="$connect" domain=web1 cache=none -- 'nbdinfo --list "$uri"' \
  >cached-list 2>log || { cat log; fail "cache=none is refused"; }
nbdkit_options=()
grep -q 'guest web1 .* is running: its QEMU reads the disks, .* its definition' log \
  || fail "nothing is said of cache=none"

# By UUID, too.
serve libvirt="$connect" domain="$(virsh domuuid web1 | tr -d '\n')" -- \
  'nbdinfo --size "nbd+unix:///vdb?socket=$unixsocket"'

serve libvirt="$connect" domain=web1 -- '
  ! "$python" -m nbd -u "nbd+unix:///vdb?socket=$unixsocket" \
    -c "h.pread (512, 0)"' \
  >log 2>&1
cat log
grep -q 'error: guest web1 .* is running and no backup was begun, .* checkpoint=NAME' \
  log || fail "reading does not say what to type"

lab_state web1 | diff -u before - || fail "the look left something"

# A backup has one base: what is said of another is typed.
refuses_export 'the running backup was begun since monday, and has no other base; for another, start with checkpoint=' \
  vda@tuesday libvirt="$connect" domain=web1 checkpoint=monday
printed 'for another, start with '
serve libvirt="$connect" domain=web1 "$printed" -- \
  'nbdinfo --size "nbd+unix:///vda@tuesday?socket=$unixsocket"'
