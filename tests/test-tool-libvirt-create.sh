#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint create --libvirt, of a guest that runs: libvirt makes it, on all
# disks or on none, and what it refuses is explained, with what to type.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/held-calls.sh"

guest_disk vda.qcow2 8M
guest_disk vdb.qcow2 8M
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
of=(--libvirt="$connect" --domain=web1)

# as_before STATUS REGEX WORDS…: refused, and nothing is changed.
as_before ()
{
  lab_state web1 >before
  tool_says "$@"
  lab_state web1 | diff -u before - || fail "it left something: ${*:3}"
}

"$tool" create monday "${of[@]}" --description='a & b <c>'
virsh checkpoint-dumpxml web1 monday --no-domain >document
grep -q '<description>a &amp; b &lt;c&gt;</description>' document || fail "$(cat document)"
[ "$(grep -c "checkpoint='bitmap' bitmap='monday'" document)" -eq 2 ] \
  || fail "not both disks"
guest_write web1 vda 'write -P 2 1M 64k'
"$tool" create tuesday "${of[@]}" --disk=vda
virsh checkpoint-dumpxml web1 tuesday --no-domain | tee document
grep -q '<name>monday</name>' document || fail "not monday's child"
grep -q "name='vdb' checkpoint='no'" document || fail "vdb has it"
virsh checkpoint-dumpxml web1 monday --size --no-domain | grep "vda.*size='65536'"

# A document says it all; the name may be by the time.
cat >some.xml <<'END'
<domaincheckpoint><description>some</description>
  <disks><disk name='vdb'/></disks></domaincheckpoint>
END
"$tool" create "${of[@]}" --xml=some.xml
name=$(virsh checkpoint-list web1 --name --leaves | grep .)
[ $(($(date +%s) - name)) -lt 60 ] || fail "the name is $name"
virsh checkpoint-dumpxml web1 "$name" --no-domain | tee document
grep -q "name='vdb' checkpoint='bitmap' bitmap='$name'" document || fail "not of vdb"
grep -q "name='vda' checkpoint='no'" document || fail "of vda"

# Printed only.
lab_state web1 >before
"$tool" create later "${of[@]}" --print-xml --disk=vda >document
lab_state web1 | diff -u before - || fail "it was made"
virsh checkpoint-create web1 document
virsh checkpoint-list web1 --name | grep -x later

# Bitmaps, and nothing that tells of them.
"$tool" create alone "${of[@]}" --no-metadata
! virsh checkpoint-info web1 alone || fail "there is a document"
[ "$(lab_qmp web1 query-named-block-nodes '{"flat": true}' \
  | jq '[.[]."dirty-bitmaps"[]? | select(.name == "alone")] | length')" -eq 2 ] \
  || fail "no bitmaps"

# ── What is refused ──
as_before 2 'checkpoint monday already exists' create monday "${of[@]}"
as_before 2 'Bitmap already exists: alone; .*have a bitmap alone, of a checkpoint that libvirt does not know' \
  create alone "${of[@]}"
as_before 2 "no disk .*vdc" create wednesday "${of[@]}" --disk=vdc
as_before 2 "vda.*twice" create wednesday "${of[@]}" --disk=vda --disk=vda
as_before 2 "cannot be the name of a checkpoint" create 'a b' "${of[@]}"
as_before 2 "its name has 250 bytes, and libvirt can keep a document under one of 247" \
  create "$(printf 'n%.0s' {1..250})" "${of[@]}"
as_before 2 "cannot be frozen, so nothing was made: .*domain is not running" \
  create wednesday "${of[@]}" --quiesce
virsh resume web1
as_before 2 "agent is not configured; .*qemu-guest-agent" \
  create wednesday "${of[@]}" --quiesce
virsh suspend web1
# What is printed against a bitmap that is left is typed.
tool_says 2 'delete it with: ' create alone "${of[@]}"
type_printed 'delete it with: ' ''
tool_says 1 "no disk has a bitmap alone" delete --leftovers alone "${of[@]}"
"$tool" create alone "${of[@]}" --disk=vda --disk=vdb
virsh checkpoint-list web1 --name | grep -x alone

# Disks that can have none: raw, or of version 2.  Nothing is on the others then.
qemu-img create -q -f raw vdc.raw 1M
qemu-img create -q -f qcow2 -o compat=0.10 vdd.qcow2 1M
virsh attach-disk web1 "$PWD/vdc.raw" vdc --driver qemu --subdriver raw
as_before 2 'disk vdc unsupported for storage type raw; name those that can have one, vda, vdb, each with --disk' \
  create thursday "${of[@]}"
virsh destroy web1
virsh attach-disk web1 "$PWD/vdd.qcow2" vdd --driver qemu --subdriver qcow2 --config
guest_start web1
as_before 2 "qcow2 v2 files; disk vdd is of version 2: .*type: qemu-img amend .*; name those that can have one, vda, vdb" \
  create thursday "${of[@]}"
"$tool" create thursday "${of[@]}" --disk=vda --disk=vdb
guest_destroy web1
type_it "qemu-img amend -f qcow2 -o compat=1.1 $PWD/vdd.qcow2"
guest_start web1
"$tool" create friday "${of[@]}"
virsh checkpoint-dumpxml web1 friday --no-domain | grep "vdd.*bitmap='friday'"

# While a backup runs.
cat >backup.xml <<END
<domainbackup mode='pull'><incremental>thursday</incremental>
  <server transport='unix' socket='$lab_sockets/b.sock'/>
  <disks><disk name='vda' backup='yes' type='file'><scratch file='$PWD/scratch'/></disk><disk name='vdb' backup='no'/>
    <disk name='vdd' backup='no'/></disks></domainbackup>
END
virsh backup-begin web1 backup.xml
"$tool" create meanwhile "${of[@]}"
"$tool" delete thursday "${of[@]}"
virsh domjobabort web1
virsh checkpoint-list web1 --name | grep -x meanwhile

wait_until 10 no_keeper
