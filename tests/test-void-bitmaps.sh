#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# An image whose bitmaps are void, since a program that does not know them has
# written to it: QEMU lists none of them, so that it looks like a layer that is
# older than the checkpoint.  Where it may have held the record, that is a refusal.
. "$(dirname "$0")/functions.sh"

# make_void IMAGE: as any writer does that clears the bits that it does not know.
make_void () { printf '\0' | dd of="$1" bs=1 seek=95 conv=notrunc status=none; }

# layers N: 0.qcow2 … of which each but the last has bitmap m, and written block n.
layers ()
{
  local i below
  rm -f ./*.qcow2
  for ((i = $1 - 1; i >= 0; i--)); do
    below=()
    [ $i -eq $(($1 - 1)) ] || below=(-b $((i + 1)).qcow2 -F qcow2)
    qemu-img create -q -f qcow2 "${below[@]}" $i.qcow2 16M
    qemu-img bitmap --add $i.qcow2 m
    qemu-io -f qcow2 -c "write -q -P $((i + 1)) ${i}M 64k" $i.qcow2
  done
}

# refused_void LAYER ARGS…: with and without the filter, which names the layer.
refused_void ()
{
  local layer=$1 options
  shift
  for options in "" "--filter=$filter"; do
    nbdkit_options=(${options:+"$options"})
    refuses "all bitmaps of $PWD/$layer are void .*full backup" "$@"
  done
  nbdkit_options=()
}

tree ()
{
  mkdir -p tree
  cat >tree/m.xml <<END
<domaincheckpoint><name>m</name><creationTime>1700000000</creationTime>
  <disks><disk name='vda' checkpoint='bitmap' bitmap='m'/></disks>
  ${1:+<domain type='qemu'><name>web1</name><devices><disk type='file'>
    <source file='$1'/><target dev='vda'/></disk></devices></domain>}
</domaincheckpoint>
END
}

layers 2
for layer in 0 1; do qemu-img bitmap --add $layer.qcow2 o; done
make_void 1.qcow2
refused_void 1.qcow2 0.qcow2 checkpoint=m
refused_void 1.qcow2 0.qcow2
tree ''
refused_void 1.qcow2 0.qcow2 tree=tree checkpoint=m
# The document says that the disk was this very file.
tree "$PWD/1.qcow2"
refused_void 1.qcow2 0.qcow2 tree=tree checkpoint=m
# What it was then lies above; but a name that was used again does, too.
tree "$PWD/0.qcow2"
refused_void 1.qcow2 0.qcow2 tree=tree checkpoint=m

# dirty ARGS…: where it is, in MiB.
dirty () { nbdkit_options=(--filter="$filter")
           serve "$@" -- 'nbdinfo --map --json "$uri"' \
             | jq -c '[.[] | select(.type == 0) | .offset / 1048576]'
           nbdkit_options=(); }

# A snapshot of the same name as the one that was committed: the base has recorded
# meanwhile, and by the document, the disk was the snapshot.
layers 1
mv 0.qcow2 base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
qemu-img bitmap --add top.qcow2 m
qemu-io -f qcow2 -c 'write -q -P 3 9M 64k' top.qcow2
tree "$PWD/top.qcow2"
[ "$(dirty top.qcow2 tree=tree checkpoint=m)" = '[0,9]' ] || fail "healthy"
make_void base.qcow2
refused_void base.qcow2 top.qcow2 tree=tree checkpoint=m
refused_void base.qcow2 top.qcow2 checkpoint=m

# A base whose void bitmaps had other names has lost nothing of this one, with or
# without a document; and what is printed leaves this one alone.
qemu-img bitmap --add top.qcow2 n
qemu-io -f qcow2 -c 'write -q -P 3 5M 64k' top.qcow2
sed "s|<name>m<|<name>n<|; s|bitmap='m'|bitmap='n'|" tree/m.xml >tree/n.xml
for tree in "" tree=tree; do
  [ "$(dirty top.qcow2 $tree checkpoint=n)" = '[5]' ] \
    || fail "what is void in the base is of others"
done
rm tree/n.xml
refused_void base.qcow2 top.qcow2 checkpoint=m
! grep -E -- '--remove [^ ]+ n( |$)' refused.log || fail "a good bitmap is to be removed"
grep -q -- "--remove $PWD/top.qcow2 m && qemu-img check -r leaks $PWD/base.qcow2\$" refused.log \
  || fail "the sign of the loss does not go last"
# The first command fails: the sign of the loss stays.
sed -n 's/.*, type: //p' refused.log | sed "s|$PWD/top.qcow2|$PWD/none.qcow2|" >command
! bash command 2>/dev/null || fail "it does not fail"
refused_void base.qcow2 top.qcow2 checkpoint=m
# What was in the directory is not known: it may have been any.
"$python" - base.qcow2 <<'END'
import struct, sys
with open(sys.argv[1], "r+b") as f:
    head = f.read(65536)
    length, = struct.unpack(">I", head[100:104])
    at = head.index(struct.pack(">I", 0x23852875), length)
    size, offset = struct.unpack(">QQ", head[at + 16:at + 32])
    f.seek(offset)
    f.write(bytes(size))
END
refused_void base.qcow2 top.qcow2 checkpoint=n
rm -f ./*.qcow2

# The commands that are printed forget the record in every layer, and then a new
# one can be made.  (Each is typed as printed.)
layers 2
for layer in 0 1; do qemu-img bitmap --add $layer.qcow2 o; done
make_void 1.qcow2
refused_void 1.qcow2 0.qcow2 checkpoint=m
sed -n 's/.*, type: //p' refused.log | sed 's/ \&\& /\n/g' >commands
grep -q "^qemu-img bitmap --remove $PWD/0.qcow2 m$" commands || fail "$(cat commands)"
while read -r command; do
  bash -c "$command" </dev/null
  # Of other bitmaps the void layer may have held a part as well.
  for bitmap in m o; do
    ! serve 0.qcow2 checkpoint=$bitmap -- true \
      || fail "$bitmap is served after: $command"
  done
done <commands
has_new_record ()
{
  qemu-img bitmap --add 0.qcow2 n
  qemu-io -f qcow2 -c 'write -q -P 9 4M 64k' 0.qcow2
  serve 0.qcow2 checkpoint=n -- 'nbdinfo --map --json "$uri"' \
    | jq -e '[.[] | select(.type == 0) | .offset] == [4194304]' \
    || fail "a new bitmap is not served"
}
has_new_record
# As one.
layers 2
make_void 1.qcow2
refused_void 1.qcow2 0.qcow2 checkpoint=m
type_printed ', type: '
has_new_record

# A writer that cleared the sign of the loss, too: by the document, this was the disk
# at the checkpoint.
layers 2
make_void 1.qcow2
qemu-img check -q -r leaks 1.qcow2
tree "$PWD/1.qcow2"
refuses "bitmap m is not in $PWD/1.qcow2, which was the disk when the bitmap was made, so what was written to it since is lost; make a full backup" \
  0.qcow2 tree=tree checkpoint=m
type_printed ', type: '
[ -z "$(qemu-img info --output=json 0.qcow2 \
  | jq -r '."format-specific".data.bitmaps[]?.name')" ] || fail "a bitmap is left"
has_new_record

# In the middle, above a good record: what is allocated there is dirty.
layers 3
make_void 1.qcow2
nbdkit_options=(--filter="$filter")
serve 0.qcow2 checkpoint=m -- 'nbdinfo --map --json "$uri"' >map
jq -e '[.[] | select(.type == 0) | .offset] == [0, 1048576, 2097152]' map \
  || fail "a block is missing: $(cat map)"
nbdkit_options=()

layers 3
make_void 2.qcow2
refused_void 2.qcow2 0.qcow2 checkpoint=m
layers 1
make_void 0.qcow2
refused_void 0.qcow2 0.qcow2 checkpoint=m
refused_void 0.qcow2 0.qcow2

# Version 2 has no such bits: whatever bitmaps are there, are void.  Its header
# ends where that of version 3 goes on, so the extensions are moved.
layers 2
"$python" - 1.qcow2 <<'END'
import struct, sys
with open(sys.argv[1], "r+b") as f:
    head = f.read(65536)
    length, = struct.unpack(">I", head[100:104])
    backing, = struct.unpack(">Q", head[8:16])
    assert backing == 0
    f.seek(4)
    f.write(struct.pack(">I", 2))
    f.seek(72)
    f.write(head[length:length + 1024])
END
qemu-img info 1.qcow2 2>&1 | grep -q 'v2 image contains bitmaps' \
  || fail "this is no void image of version 2"
refused_void 1.qcow2 0.qcow2 checkpoint=m
