#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A bitmap that can't be proved complete is refused, with the reason and what
# to do: missing, inconsistent, disabled, none at all.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

document ()
{
  cat <<END
<domaincheckpoint><name>$1</name>
  <parent><name>$2</name></parent><creationTime>$3</creationTime>
  <disks><disk name='vda' checkpoint='bitmap' bitmap='$1'/></disks>
  <domain type='qemu'><name>web1</name>
    <uuid>11111111-2222-3333-4444-555555555555</uuid></domain>
</domaincheckpoint>
END
}

# In the tree, but not in the image.
guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 tuesday
mkdir tree
document monday sunday 1 | sed /parent/d >tree/monday.xml
document tuesday monday 2 >tree/tuesday.xml
lost="bitmap monday is not in $PWD/disk.qcow2 .*there are: tuesday.*; make a full backup.*checkpoint-delete --metadata web1 monday"
refuses "$lost" disk.qcow2 tree=tree checkpoint=monday
refuses_export "$lost" vda@monday disk.qcow2 tree=tree
serve disk.qcow2 tree=tree checkpoint=tuesday -- 'nbdinfo --size "$uri"'

# No bitmap at all.
guest_disk none.qcow2
refuses "disk vda: no .*bitmap covers it .$PWD/none.qcow2.*; on-missing=full serves it whole" \
  none.qcow2
refuses "there is no checkpoint monday.*none" none.qcow2 checkpoint=monday
refuses "bitmap monday is not in $PWD/none.qcow2.*; make a full backup" \
  none.qcow2 tree=tree checkpoint=monday

# Inconsistent: QEMU is killed while it has the image open.
cp disk.qcow2 killed.qcow2
kill_writer killed.qcow2
qemu-img info killed.qcow2 | grep -q in-use || fail "QEMU left no trace"
broken="bitmap tuesday in $PWD/killed.qcow2 is inconsistent .in-use.*make a full backup.*qemu-img bitmap --remove $PWD/killed.qcow2 tuesday"
refuses "$broken" killed.qcow2
refuses "$broken" killed.qcow2 checkpoint=tuesday
refuses "$broken" killed.qcow2 tree=tree checkpoint=tuesday
# Also where it is a later part of the record that is broken.
cp killed.qcow2 base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
qemu-img bitmap --add top.qcow2 tuesday
refuses "bitmap tuesday in $PWD/base.qcow2 is inconsistent" \
  top.qcow2 checkpoint=tuesday

# Disabled: nothing tells what was written since.
cp disk.qcow2 disabled.qcow2
qemu-img bitmap --disable disabled.qcow2 tuesday
off="tuesday in $PWD/disabled.qcow2 is not recording .disabled.*make a full backup"
refuses "$off" disabled.qcow2
refuses "$off" disabled.qcow2 checkpoint=tuesday
refuses "$off" disabled.qcow2 tree=tree checkpoint=tuesday
qemu-img bitmap --add disabled.qcow2 wednesday
refuses "$off" disabled.qcow2 checkpoint=tuesday
serve disabled.qcow2 checkpoint=wednesday -- 'nbdinfo --size "$uri"'

# What is printed as the remedy does remedy it.
refuses "$broken" killed.qcow2
type_printed ', type: '
qemu-img bitmap --add killed.qcow2 wednesday
serve killed.qcow2 -- 'nbdinfo --size "$uri"'

[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
