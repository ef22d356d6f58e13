#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# libvirt before 6.5 let only the newest checkpoint record.  Whatever
# qemu-checkpoint deletes of such a chain, no older view loses a block, nor one
# that is written afterwards; what cannot be kept is not deleted.
. "$(dirname "$0")/functions.sh"

document ()
{
  cat <<END >tree/$1.xml
<domaincheckpoint><name>$1</name>
  ${2:+<parent><name>$2</name></parent>}
  <creationTime>$3</creationTime>
  <disks><disk name='vda' checkpoint='bitmap' bitmap='$1'/></disks>
</domaincheckpoint>
END
}
qio () { qemu-io -f qcow2 -c "write -q -P $3 $(($2 * 64))k 64k" "$1"; }

# a, b, c and d in base; blocks 10, 20, 30 and 40 were written after each.
mkdir tree images
cd images
qemu-img create -q -f qcow2 base.qcow2 8M
block=10
before=
for name in a b c d; do
  [ -z "$before" ] || qemu-img bitmap --disable base.qcow2 $before
  qemu-img bitmap --add base.qcow2 $name
  qio base.qcow2 $block 5
  before=$name
  block=$((block + 10))
done
# A newer libvirt's snapshot carries on what records.
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
qemu-img bitmap --add top.qcow2 d
qio top.qcow2 50 6
# Discarded since, and so allocated nowhere.
qio top.qcow2 60 6
cd ..
document a '' 1; document b a 2; document c b 3; document d c 4
mv tree tree.kept

# view IMG CHECKPOINT: its blocks of 64k, one a line; "refused" if it is.
view ()
{
  local status=0
  bounded nbdkit -U - --filter="$filter" "$plugin" "$1" tree=tree \
    "checkpoint=$2" view=sparse --run 'nbdinfo --map --json "$uri"' \
    >map.json 2>view.log || status=$?
  did_end $status view
  if [ $status -ne 0 ]; then echo refused; return; fi
  jq -r '.[] | select(.type == 0)
    | range (.offset / 65536; (.offset + .length) / 65536)' map.json | sort
}
# start IMG: everything anew.
start ()
{
  rm -rf tree work
  cp -r tree.kept tree
  cp -r images work
  image=work/$1
}
# views WHEN NAMES…
views ()
{
  local name when=$1
  shift
  for name; do view "$image" "$name" >"$when.$name"; done
}
# none_lost NAMES…: nothing of before, nor the block 70 that was written since.
none_lost ()
{
  local name
  qio "$image" 70 7
  views after "$@"
  for name; do
    ! grep -q refused "after.$name" || fail "since $name: $(cat view.log)"
    comm -23 "before.$name" "after.$name" >lost
    [ ! -s lost ] || fail "since $name lost: $(cat lost)"
    grep -qx 70 "after.$name" || fail "since $name does not record"
    [ "$(wc -l <"after.$name")" -le $(($(wc -l <"before.$name") + 1 + ${extra:-0})) ] \
      || fail "since $name has more: $(tr '\n' ' ' <"after.$name")"
  done
}
# deleted NAME REST ARGS…: of base.qcow2, and of top.qcow2 over it.
deleted ()
{
  local name=$1 rest=$2 img
  shift 2
  for img in base.qcow2 top.qcow2; do
    start $img
    # shellcheck disable=SC2086
    views before $rest
    "$tool" delete "$name" "$@" --file=vda:$image --tree=tree
    # shellcheck disable=SC2086
    none_lost $rest
    qemu-img check -q "$image"
  done
}
start base.qcow2
views before a d
[ "$(tr '\n' ' ' <before.a)" = '10 20 30 40 ' ] || fail "a: $(cat before.a)"
[ "$(tr '\n' ' ' <before.d)" = '40 ' ] || fail "d: $(cat before.d)"

deleted a 'b c d'
deleted b 'a c d'
deleted c 'a b d'
deleted d 'a b c'
deleted b a --children
deleted b 'a b' --children-only
deleted a a --children-only

# One after another, the newest first; then those in the middle.
start top.qcow2
views before a
for name in d c b; do "$tool" delete $name --file=vda:$image --tree=tree; done
none_lost a
start top.qcow2
views before a d
for name in b c; do "$tool" delete $name --file=vda:$image --tree=tree; done
none_lost a d

# ── Bits whose blocks are not allocated in their layer any more ──
# qemu-img commit empties the layer, and knows no bitmaps: d alone tells of 50.
start top.qcow2
qemu-img commit -q $image
views before a c
grep -qx 50 before.a || fail "50 is not seen: $(tr '\n' ' ' <before.a)"
"$tool" delete d --file=vda:$image --tree=tree
none_lost a c

# ── What cannot be kept ──
# kept NAME REGEX: it is not deleted, and nothing is changed.
kept ()
{
  qemu-img info --backing-chain --output=json "$image" | grep -v actual >before
  ls tree >>before
  tool_says 2 "$2" delete "$1" "${@:3}" --file=vda:$image --tree=tree
  { qemu-img info --backing-chain --output=json "$image" | grep -v actual
    ls tree; } | diff -u before - || fail "something was changed"
}
# The disk has grown with the overlay: bitmaps of two sizes cannot be merged.
start top.qcow2
qemu-img resize -q $image 16M
kept d 'cannot be merged.*another size'
start base.qcow2
kept d 'older checkpoint c.*would lose' --metadata
"$tool" delete a --metadata --file=vda:$image --tree=tree
# A bitmap that is lost must go on being missed.
start base.qcow2
"$python" - $image <<'END'
import struct, sys
with open(sys.argv[1], "r+b") as f:
    header = f.read(112)
    at = struct.unpack(">I", header[100:104])[0]
    while True:                         # the extension of bitmaps
        f.seek(at)
        kind, length = struct.unpack(">II", f.read(8))
        if kind == 0x23852875:
            break
        at += 8 + (length + 7 & ~7)
    count, _, size, directory = struct.unpack(">IIQQ", f.read(24))
    for _ in range(count):
        f.seek(directory)
        entry = f.read(24)
        flags, = struct.unpack(">I", entry[12:16])
        name_length, extra = struct.unpack(">HI", entry[18:24])
        name = f.read(extra + name_length)[extra:]
        if name == b"b":
            f.seek(directory + 12)
            f.write(struct.pack(">I", flags | 1))       # in use
        directory += 24 + extra + name_length + 7 & ~7
END
kept b 'older checkpoint a.*recorded, which is lost; if a is not needed'
"$tool" delete a --file=vda:$image --tree=tree
"$tool" delete b --file=vda:$image --tree=tree
[ "$(view $image d | tr '\n' ' ')" = '40 ' ] || fail "d has changed"

# ── Documents that are lost ──
# Their bitmaps are still there, and count for those before them.
for lost in b c 'b c'; do
  start top.qcow2
  views before a d
  qio "$image" 70 7
  for name in $lost; do
    "$tool" delete "$name" --metadata --tree=tree
  done
  views after a d
  comm -23 before.a after.a | grep . && fail "a without $lost loses blocks"
  grep -qx 70 after.a || fail "a without $lost does not record"
  [ "$(tr '\n' ' ' <after.d)" = '40 50 60 70 ' ] || fail "d has others'"
  # Nothing that would make them look complete is typed.
  { "$tool" check --json --file=vda:$image --tree=tree || :; } >found.json
  ! jq -r '.findings[].command // empty' found.json | grep -- '--remove' \
    || fail "a record that counts is removed"
done
