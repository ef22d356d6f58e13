#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Two thousand checkpoints, most without their bitmap, every other without a
# disk: listed in a bounded time, in order, and only what can be served.
. "$(dirname "$0")/functions.sh"

for disk in a b; do
  qemu-img create -q -f qcow2 $disk.qcow2 16M
  for name in c0001 c1001 c2000; do
    qemu-img bitmap --add $disk.qcow2 $name
    qemu-io -f qcow2 -c 'write -q -P 1 1M 64k' $disk.qcow2
  done
done

"$python" - <<'END'
import os
os.mkdir("tree")
for i in range(1, 2001):
    name = "c%04d" % i
    parent = "<parent><name>c%04d</name></parent>" % (i - 1) if i > 1 else ""
    vdb = "checkpoint='bitmap' bitmap='%s'" % name if i % 2 \
        else "checkpoint='no'"
    with open("tree/%s.xml" % name, "w") as f:
        f.write("""<domaincheckpoint><name>%s</name>%s
  <creationTime>%d</creationTime>
  <disks><disk name='vda' checkpoint='bitmap' bitmap='%s'/>
    <disk name='vdb' %s/></disks>
  <domain type='qemu'><name>web1</name>
    <uuid>11111111-2222-3333-4444-555555555555</uuid></domain>
</domaincheckpoint>
""" % (name, parent, 1700000000 + i, name, vdb))
END

cat >want <<'END'
vda@c0001
vda@c1001
vda@c2000
vdb@c0001
vdb@c1001
vda@
vdb@
END
for twice in 1 2; do
  serve vda:a.qcow2 vdb:b.qcow2 tree=tree -- \
    'timeout 30 nbdinfo --list --json "$uri"' >list.json 2>log
  jq -r '.exports[]["export-name"]' list.json >got
  diff -u want got || fail "not what can be served is listed"
done
# What cannot be served is summed up, in one line for each disk.
cat log
[ "$(grep -c "cannot be served for disk" log)" -eq 2 ] || fail "not two warnings"
grep -q '1997 of 2000 checkpoints .*disk vda .*bitmap c0002 is not in' log \
  || fail "vda's are not reported"
grep -q '998 of 1000 checkpoints .*disk vdb .*bitmap c0003 is not in' log \
  || fail "vdb's are not reported"
