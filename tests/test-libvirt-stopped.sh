#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A stopped guest of libvirt's: its images are read as with file=, with
# libvirt's names and tree, and the whole backing chain counts.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2
guest_disk vdb.qcow2
guest_disk vdc.qcow2 16M
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
virsh checkpoint-create-as web1 monday
guest_write web1 vda "write -P 2 1M 64k"
virsh checkpoint-create-as web1 tuesday --diskspec vda --diskspec vdb,checkpoint=no
guest_write web1 vda "write -P 3 2M 64k"
virsh attach-disk web1 "$tmpdir/vdc.qcow2" vdc --driver qemu --subdriver qcow2 \
  --persistent
guest_destroy web1
md5sum vda.qcow2 vdb.qcow2 vdc.qcow2 >before
lab_state web1 >state

serve libvirt="$connect" domain=web1 checkpoint=tuesday -- '
  nbdinfo --list "$uri" >list
  nbdinfo --map "nbd+unix:///vda?socket=$unixsocket" >since-tuesday
  nbdinfo --map "nbd+unix:///vda@monday?socket=$unixsocket" >since-monday' \
  2>log
cat list log
grep -q 'disk vda since checkpoint tuesday of .*, parent monday; 65536 bytes dirty, granularity 65536; healthy' \
  list || fail "no description of vda"
grep -q 'export="vdb@monday"' list || fail "vdb is not listed"
grep -Eq '^ *2097152 +65536 +0 +data' since-tuesday || fail "tuesday is wrong"
grep -Eq '^ *1048576 +65536 +0 +data' since-monday || fail "monday is wrong"
[ "$(grep -c data since-tuesday since-monday | paste -sd' ')" \
  = "since-tuesday:1 since-monday:2" ] || fail "other dirty blocks"
# As with file=, a client's requests are under way at once.
nbdkit_options=(-v)
serve libvirt="$connect" domain=web1 checkpoint=tuesday -- \
  'nbdinfo "nbd+unix:///vda?socket=$unixsocket"' 2>log >/dev/null
nbdkit_options=()
grep -q 'processing requests with .* threads' log || fail "one by one"
refuses_export 'NOT in this backup .*: checkpoint tuesday does not cover disk vdb' vdb \
  libvirt="$connect" domain=web1 checkpoint=tuesday
serve libvirt="$connect" domain=web1 checkpoint=tuesday on-missing=full -- '
  nbdinfo "nbd+unix:///vdb?socket=$unixsocket" >vdb
  nbdinfo "nbd+unix:///vdc?socket=$unixsocket" >vdc
  qemu-img convert -f raw -O raw "nbd+unix:///vdc?socket=$unixsocket" vdc.raw'
grep 'disk vdb since checkpoint tuesday .*served whole, .*67108864 bytes dirty' vdb
grep 'served whole, .*16777216 bytes dirty' vdc
qemu-img compare -f raw -F qcow2 vdc.raw vdc.qcow2

# With cache=none as with file=: see test-cache-none.sh.
sync vda.qcow2
serve libvirt="$connect" domain=web1 cache=none -- '
  nbdcopy --no-extents "nbd+unix:///vda@monday?socket=$unixsocket" vda.raw'
case $(stat -f -c %T .) in
  tmpfs | ramfs) ;;
  *) [ "$(fincore --noheadings --bytes --output RES vda.qcow2)" -lt 1048576 ] \
       || fail "a stopped guest's disk stays cached" ;;
esac
qemu-img compare -f raw -F qcow2 vda.raw vda.qcow2

# Only for the checkpoint that was asked for: vda@monday is an increment.
serve libvirt="$connect" domain=web1 checkpoint=tuesday on-missing=full -- \
  'nbdinfo "nbd+unix:///vdb@monday?socket=$unixsocket"' \
  | grep '; 0 bytes dirty, .*healthy' || fail "vdb@monday is served whole"

# A full view, as of a running guest: see test-libvirt-stopped-whole.sh.
serve libvirt="$connect" domain=web1 on-missing=full disk=vda -- '
  qemu-img convert -f raw -O raw "$uri" vda.raw; nbdinfo "$uri"' \
  | grep 'disk vda, served whole, since no checkpoint was named; 67108864 bytes dirty'
qemu-img compare -q -F raw vda.qcow2 vda.raw || fail "no copy of vda"
refuses 'guest web1 .* has no disk vdz that can be read; there are: vd' \
  libvirt="$connect" domain=web1 disk=vdz
refuses 'checkpoint wednesday cannot be made: guest web1 .* is not running' \
  libvirt="$connect" domain=web1 checkpoint=monday create=wednesday
md5sum -c --quiet before || fail "an image was changed"
lab_state web1 | diff -u state - || fail "something is left"

# With an external snapshot between, the view has parts in two layers.
guest_start web1
virsh snapshot-create-as web1 snap --disk-only --no-metadata \
  --diskspec "vda,file=$tmpdir/vda.snap" --diskspec vdb,snapshot=no \
  --diskspec vdc,snapshot=no
guest_write web1 vda "write -P 4 4M 64k"
guest_destroy web1
refuses_export 'disk vda since tuesday is spread over 2 parts .*vda.snap.*vda.qcow2' \
  vda libvirt="$connect" domain=web1 checkpoint=tuesday disk=vda
serve libvirt="$connect" domain=web1 checkpoint=tuesday disk=vda -- '
  nbdinfo --map "nbd+unix:///vda@tuesday/0?socket=$unixsocket" >part0
  nbdinfo --map "nbd+unix:///vda@tuesday/1?socket=$unixsocket" >part1'
grep -Eq '^ *4194304 +65536 +0 +data' part0 || fail "the overlay's part is wrong"
grep -Eq '^ *2097152 +65536 +0 +data' part1 || fail "the base's part is wrong"
