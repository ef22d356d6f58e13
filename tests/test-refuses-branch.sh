#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# libvirt before 6.5: only the newest checkpoint's bitmap records.  Where a
# snapshot was reverted and other checkpoints were made from there, the tree has
# branches, and a checkpoint's record may have ended with the other one.  It is
# refused, with that reason, and what is on the branch that goes on is served.
. "$(dirname "$0")/functions.sh"

# document TREE NAME TIME [PARENT]
document ()
{
  mkdir -p "$1"
  cat >"$1/$2.xml" <<END
<domaincheckpoint><name>$2</name>
  ${4:+<parent><name>$4</name></parent>}<creationTime>$3</creationTime>
  <disks><disk name='vda' checkpoint='bitmap' bitmap='$2'/></disks>
  <domain type='qemu'><name>web1</name>
    <uuid>11111111-2222-3333-4444-555555555555</uuid></domain>
</domaincheckpoint>
END
}

# refused REGEX IMAGE CHECKPOINT [TREE]: by all that could serve it.
refused ()
{
  local options
  for options in "" --filter="$filter"; do
    nbdkit_options=($options)
    refuses "$1" "$2" checkpoint="$3" tree="${4:-tree}"
  done
  nbdkit_options=()
}

# served IMAGE CHECKPOINT "OFFSET LENGTH"…: and that is dirty.
served ()
{
  local image=$1 checkpoint=$2
  shift 2
  nbdkit_options=(--filter="$filter")
  serve "$image" checkpoint="$checkpoint" tree=tree -- \
    'nbdinfo --map --json "$uri"' \
    | jq -r '.[] | select(.type != 1) | "\(.offset) \(.length)"' | join_ranges \
    | diff -u <(printf '%s\n' "$@") - || fail "$checkpoint of $image"
  nbdkit_options=()
}

# sunday --- monday ---- tuesday
#                  `---- wednesday --- thursday
document tree sunday 1
document tree monday 2 sunday
document tree tuesday 3 monday
document tree wednesday 4 monday
document tree thursday 5 wednesday
guest_disk disk.qcow2
at=1
last=
for name in sunday monday tuesday wednesday thursday; do
  [ -z "$last" ] || qemu-img bitmap --disable disk.qcow2 $last
  qemu-img bitmap --add disk.qcow2 $name
  qemu-io -f qcow2 -c "write -q -P 2 ${at}M 64k" disk.qcow2
  at=$((at + 1)) last=$name
done
sha256sum disk.qcow2 >sums

gone="blocks written since are unknown; make a full backup\$"
refused "disk vda: the bitmap of checkpoint tuesday in $PWD/disk.qcow2 is not recording .disabled., and it is on another branch of the tree than checkpoint thursday, whose bitmap goes on .was a snapshot reverted..; $gone" \
  disk.qcow2 tuesday
refuses_export 'on another branch of the tree than checkpoint thursday' \
  vda@tuesday disk.qcow2 tree=tree
served disk.qcow2 thursday "5242880 65536"
# What is before the fork led to both.
refused "the bitmap of checkpoint monday .* is not recording .*; $gone" \
  disk.qcow2 monday

# Which of two branches is the current one: nothing tells, if none records.
cp disk.qcow2 none.qcow2
qemu-img bitmap --disable none.qcow2 thursday
refused "the bitmap of checkpoint tuesday .*, and the tree has branches .one has checkpoint thursday., and which is the current one is not stored .was a snapshot reverted..; $gone" \
  none.qcow2 tuesday
refused "the bitmap of checkpoint wednesday .*, and the tree has branches .one has checkpoint tuesday., .* is not stored" \
  none.qcow2 wednesday
# It records, but not the blocks of today: in a layer that was left, or broken.
qemu-img create -q -f qcow2 -b disk.qcow2 -F qcow2 above.qcow2
refused "the bitmap of checkpoint tuesday .*disk.qcow2 .*, and the tree has branches .one has checkpoint thursday.," \
  above.qcow2 tuesday
qemu-img create -q -f qcow2 -b disk.qcow2 -F qcow2 killed.qcow2
qemu-img bitmap --add killed.qcow2 thursday
refused "on another branch of the tree than checkpoint thursday," \
  killed.qcow2 tuesday
qemu-nbd -f qcow2 -t -k "$PWD/killed.sock" killed.qcow2 &
killed=$!
pids+=("$killed")
wait_until 10 listens killed.sock
nbdsh -u "nbd+unix:///?socket=$PWD/killed.sock" \
  -c 'h.pwrite(b"new" * 1024, 65536)' -c 'h.flush()'
kill -9 $killed
wait $killed 2>/dev/null || :
qemu-img info killed.qcow2 | grep -q in-use || fail "QEMU left no trace"
refused "the bitmap of checkpoint tuesday .*, and the tree has branches .one has checkpoint thursday.," \
  killed.qcow2 tuesday

# A bitmap that is not there: the same reasons.  With disabled ones in the
# image, no checkpoint may be forgotten.
cp disk.qcow2 missing.qcow2
qemu-img bitmap --remove missing.qcow2 tuesday
lost="disk vda: bitmap tuesday is not in $PWD/missing.qcow2 nor below it .*, so what changed since checkpoint tuesday is lost"
all="; make a full backup of all disks\$"
refused "$lost: it is on another branch of the tree than checkpoint thursday, whose bitmap goes on .was a snapshot reverted..$all" \
  missing.qcow2 tuesday
qemu-img bitmap --disable missing.qcow2 thursday
refused "$lost: the tree has branches .one has checkpoint thursday., and which is the current one is not stored .was a snapshot reverted..$all" \
  missing.qcow2 tuesday
document line sunday 1
document line monday 2 sunday
document line tuesday 3 monday
refused "$lost$all" missing.qcow2 tuesday line
qemu-img create -q -f qcow2 fresh.qcow2 1M
qemu-img bitmap --add fresh.qcow2 monday
refused "is lost; make a full backup of all disks; once no other disk needs the checkpoint, forget it with: virsh checkpoint-delete --metadata web1 tuesday\$" \
  fresh.qcow2 tuesday line

# Other trees are not branches: what is in them says nothing of this one.
document roots sunday 1
document roots tuesday 3
document roots thursday 5
refused "the bitmap of checkpoint tuesday .*, and it is not known to lead to a current checkpoint whose bitmap goes on; blocks written since are unknown; give tree= if there is a checkpoint tree, else make a full backup" \
  disk.qcow2 tuesday roots
# Nor is a way of one: who asks for what is on it, is told of its end.
refused "the bitmap of checkpoint sunday .*, and no later checkpoint's bitmap is there, either; $gone" \
  none.qcow2 sunday line

# One branch is removed: now there is a way.  But its document could be lost, and
# have been on that way: what its bitmap recorded counts while it is there.
rm tree/tuesday.xml
served disk.qcow2 monday "2097152 65536" "3145728 65536" "4194304 65536" \
  "5242880 65536"
served disk.qcow2 wednesday "3145728 65536" "4194304 65536" "5242880 65536"
cp disk.qcow2 removed.qcow2
qemu-img bitmap --remove removed.qcow2 tuesday
served removed.qcow2 monday "2097152 65536" "4194304 65536" "5242880 65536"
served removed.qcow2 wednesday "4194304 65536" "5242880 65536"
sha256sum -c --quiet sums || fail "an image was changed"
leaves_nothing
