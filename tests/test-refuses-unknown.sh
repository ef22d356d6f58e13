#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A checkpoint or disk that is unknown, not covered or ambiguous is refused,
# and the message lists what there is, the nearest first.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

guest_disk vda.qcow2
for name in weekly daily monday; do
  qemu-img bitmap --add vda.qcow2 $name
done
cp vda.qcow2 vdb.qcow2

# Checkpoints.
refuses 'no checkpoint mondy; known are: monday, ' \
  vda.qcow2 checkpoint=mondy
refuses 'no checkpoint Weekly; known are: weekly, ' \
  vda.qcow2 checkpoint=Weekly
refuses 'no checkpoint mondy; known are: monday, ' \
  vda.qcow2 vdb.qcow2 checkpoint=mondy
for i in {1..30}; do qemu-img bitmap --add vdb.qcow2 "hourly-$i"; done
refuses 'no checkpoint hourly-31; known are: hourly-[0-9]+, .* and 25 more' \
  vdb.qcow2 checkpoint=hourly-31

# A checkpoint that leaves a disk out.
document ()
{
  cat <<END
<domaincheckpoint><name>$1</name><creationTime>$2</creationTime><disks>
  <disk name='vda' checkpoint='bitmap' bitmap='$1'/>
  <disk name='vdb' checkpoint='$3'/></disks></domaincheckpoint>
END
}
mkdir tree
document monday 1 no >tree/monday.xml
document daily 2 bitmap >tree/daily.xml
document weekly 3 no >tree/weekly.xml
refuses 'monday does not cover disk vdb, .*; checkpoints that do: daily$' \
  vdb:vdb.qcow2 tree=tree checkpoint=monday
refuses_export 'monday does not cover disk vdb, .*; checkpoints that do: daily$' \
  vdb vda:vda.qcow2 vdb:vdb.qcow2 tree=tree checkpoint=monday
refuses_export 'monday does not cover disk vdb' \
  vdb@monday vda:vda.qcow2 vdb:vdb.qcow2 tree=tree
refuses 'vdc.* no checkpoint.* covers it.*; on-missing=full serves it whole' \
  vdc:vdb.qcow2 tree=tree

# Disks.
refuses 'no disk vdb; disks are: vda' vda:vda.qcow2 disk=vdb
refuses 'no disk vdc; disks are: vda, vdb|no disk vdc; disks are: vdb, vda' \
  vda.qcow2 vdb.qcow2 disk=vdc
refuses 'disk vda is given twice: .*vda.qcow2 and .*vdb.qcow2; write file=TARGET:.*vdb.qcow2' \
  vda:vda.qcow2 vda:vdb.qcow2
cat >two.xml <<END
<domaincheckpoint><name>daily</name><creationTime>1</creationTime><disks>
  <disk name='sda'/><disk name='sdb'/></disks></domaincheckpoint>
END
refuses 'which disk of the tree.*sda, sdb; write file=TARGET:' \
  vda.qcow2 tree=two.xml

# Two disks and none chosen: each can be had by its name.
refuses_export 'none is chosen; ask for one of the exports .*vda.*vdb' '' \
  vda.qcow2 vdb.qcow2 checkpoint=monday
serve vda.qcow2 vdb.qcow2 checkpoint=monday -- '
  for disk in vda vdb vdb@daily; do
    nbdinfo --size "nbd+unix:///$disk?socket=$unixsocket" || exit 1
  done'
serve vda.qcow2 vdb.qcow2 checkpoint=monday disk=vdb -- '
  nbdinfo --size "$uri"'

[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
