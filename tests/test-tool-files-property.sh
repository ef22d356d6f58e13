#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# files, of random ext2, ext3 and ext4 in partitions and volumes of LVM, with
# journals that must be replayed, against debugfs.  SEED and COUNT may be given.
. "$(dirname "$0")/functions.sh"
PATH=$PATH:/usr/sbin:/sbin
for program in mke2fs debugfs dumpe2fs e2fsck sfdisk; do requires "$program"; done
if ! ldd "$tool" | grep libext2fs >/dev/null; then skip "built without libext2fs"; fi

"$python" "$srcdir/tests/property-files.py" "$tool" "${COUNT:-20}" ${SEED:-}

# ── What lies beside a change is not called changed for a finer bitmap above ──
mkdir files tree
for i in {1..40}; do head -c 4096 /dev/urandom >files/f"$i"; done
truncate -s 64M disk.raw
mke2fs -q -F -t ext4 -b 4096 -d files disk.raw
block () { debugfs -R "blocks $1" disk.raw 2>log | awk '{ print $1 * 4096 }'; }
first=$(block f1) other=$(block f40)
[ $((first / 65536)) -ne $((other / 65536)) ] || fail "all files lie together"
qemu-img convert -f raw -O qcow2 disk.raw base.qcow2
qemu-img bitmap --add -g 65536 base.qcow2 old
qemu-io -f qcow2 -c "write -q -P 1 $first 4k" base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
qemu-img bitmap --add -g 4096 top.qcow2 old
qemu-io -f qcow2 -c "write -q -P 1 $other 4k" top.qcow2
# No file has been changed since, as their times have it.
echo '<domaincheckpoint><name>old</name><creationTime>3000000000</creationTime>
  <disks><disk name="vda" checkpoint="bitmap" bitmap="old"/></disks>
</domaincheckpoint>' >tree/old.xml
"$tool" files old --file=vda:top.qcow2 --tree=tree --json >told
export tool
nbdkit_options=(--filter="$filter")
serve vda:top.qcow2 tree=tree checkpoint=old \
  -- '"$tool" files --uri="$uri" --json' >told-by-uri
for told in told told-by-uri; do
  [ "$(jq '[.lines[] | select (.kind == "file")] | length' $told)" -ge 2 ] || fail "no files in $told"
  jq -e 'all (.lines[]; .changed != true)' $told || fail "$told: too much is called changed"
done

# ── Of a path that is longer than any program takes, the end is told ──
truncate -s 16M long.raw
mke2fs -q -F -t ext4 long.raw
"$python" -c '
name = "d" * 200
print("\n".join([f"mkdir {name}\ncd {name}"] * 25 + ["write files/f1 deep"]))' >commands
debugfs -w -f commands long.raw >/dev/null 2>log
qemu-img convert -f raw -O qcow2 long.raw long.qcow2
qemu-img bitmap --add long.qcow2 b
qemu-img convert -n -f raw -O qcow2 long.raw long.qcow2
"$tool" files b --file=long.qcow2 --json >told
jq -e '[.lines[] | select (.kind == "file") | .path] | length == 1 and (.[0] | test ("^[.]{3}d.*/deep$"))' told \
  || fail "another path: $(jq -c '.lines[].path' told | tail -c 300)"
