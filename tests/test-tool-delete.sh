#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint delete, of stopped images: every layer, every disk, all or
# nothing; children get the parent's parent.
. "$(dirname "$0")/functions.sh"
mkdir tmp
export TMPDIR=$PWD/tmp

guest_disk base.qcow2 16M
guest_disk vdb.qcow2 16M
disks=(--file=vda:top.qcow2 --file=vdb:vdb.qcow2)
both=("${disks[@]}" --tree=tree)

bitmaps ()
{
  qemu-img info --output=json "$1" | jq -r '."format-specific".data.bitmaps // []
    | map (.name) | sort | join (" ")'
}
state ()
{
  local file
  for file in *.qcow2; do
    echo "$file: $(qemu-img info --output=json "$file" \
      | jq -c '."format-specific".data.bitmaps')"
  done
  (cd tree && ls -A && { cat -- * 2>&1 || :; })
}
# deletes MESSAGE ARGS…
deletes ()
{
  local message=$1
  shift
  "$tool" delete "$@" >out
  echo "Domain checkpoint $message deleted" | diff -u - out
  leaves_nothing
}
refused ()
{
  local status=$1 regex=$2
  shift 2
  state >before
  tool_says "$status" "$regex" delete "$@"
  state | diff -u before - || fail "it changed something: delete $*"
}
forest () { "$tool" list --json --tree=tree \
  | jq -r '.checkpoints | sort_by (.name)[] | "\(.name)<\(.parent // "")"' \
  | tr '\n' ' '; }
# A chain of five, the first three with a bitmap in base, too; libvirt's own
# documents have a definition, of which not a byte may change.
make ()
{
  local name parent=
  rm -rf tree ./*.qcow2
  guest_disk base.qcow2 16M
  guest_disk vdb.qcow2 16M
  for name in a b c; do
    "$tool" create $name --file=vda:base.qcow2 --file=vdb:vdb.qcow2 --tree=tree \
      >/dev/null
    qemu-io -f qcow2 -c "write -q -P 9 $((RANDOM % 200))k 4k" base.qcow2
  done
  qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
  for name in a b c; do qemu-img bitmap --add top.qcow2 $name; done
  "$tool" create d --disk=vda "${both[@]}" >/dev/null
  "$tool" create e --disk=vdb "${both[@]}" >/dev/null
  for name in a b c d e; do
    sed -i 's,</disks>,&\n  <domain type="kvm"><name>web1</name>\n\
<!-- <parent>x</parent> --><cpu mode="odd>"/> <metadata>\
<x:y xmlns:x="u:v"><parent>\&lt;</parent></x:y></metadata></domain>,' \
      tree/$name.xml
  done
}
make
[ "$(forest)" = 'a< b<a c<b d<c e<d ' ] || fail "forest: $(forest)"

# ── One in the middle: all layers, all disks, and its child moves up ──
cp tree/c.xml c.xml
deletes b b "${both[@]}"
[ "$(bitmaps top.qcow2)" = 'a c d' ] || fail "top: $(bitmaps top.qcow2)"
[ "$(bitmaps base.qcow2)" = 'a c' ] || fail "base: $(bitmaps base.qcow2)"
[ "$(bitmaps vdb.qcow2)" = 'a c e' ] || fail "vdb: $(bitmaps vdb.qcow2)"
[ "$(forest)" = 'a< c<a d<c e<d ' ] || fail "forest: $(forest)"
sed 's,    <name>b<,    <name>a<,' c.xml | diff -u - tree/c.xml \
  || fail "more than the parent was changed"
[ "$(stat -c %a tree/c.xml)" = 600 ] || fail "others may read it"

# ── The root: its child becomes one ──
cp tree/c.xml c.xml
deletes a a "${both[@]}"
[ "$(forest)" = 'c< d<c e<d ' ] || fail "forest: $(forest)"
sed '/<parent>$/,/<\/parent>$/d' c.xml | diff -u - tree/c.xml

# ── Its descendants, with it and without ──
deletes 'd children' d --children-only "${both[@]}"
[ "$(forest)" = 'c< d<c ' ] || fail "forest: $(forest)"
[ "$(bitmaps vdb.qcow2)" = c ] || fail "vdb: $(bitmaps vdb.qcow2)"
state >before
deletes 'd children' d --children-only "${both[@]}"
state | diff -u before -
"$tool" delete c --children --json "${both[@]}" >out
jq -e '.deleted == ["c", "d"] and .metadata == false' out
[ -z "$(ls -A tree)" ] || fail "left: $(ls -A tree)"
[ -z "$(bitmaps top.qcow2)$(bitmaps base.qcow2)$(bitmaps vdb.qcow2)" ] \
  || fail "bitmaps are left"

# ── Branches ──
make
sed -i 's,<name>c</name>,<name>a</name>,' tree/d.xml
[ "$(forest)" = 'a< b<a c<b d<a e<d ' ] || fail "forest: $(forest)"
deletes a a "${both[@]}"
[ "$(forest)" = 'b< c<b d< e<d ' ] || fail "forest: $(forest)"
deletes b b --children "${both[@]}"
[ "$(forest)" = 'd< e<d ' ] || fail "forest: $(forest)"

# ── Documents alone, and bitmaps alone ──
make
deletes b b --metadata --tree=tree
[ "$(forest)" = 'a< c<a d<c e<d ' ] || fail "forest: $(forest)"
[ "$(bitmaps top.qcow2)" = 'a b c d' ] || fail "bitmaps went, too"
refused 1 'no document of checkpoint b, but disk vda, vdb.* without --tree' b \
  "${both[@]}"
deletes c c --metadata "${both[@]}"
deletes b b "${disks[@]}"
[ "$(bitmaps top.qcow2) $(bitmaps base.qcow2)" = 'a c d a c' ] || fail "b stays"
[ "$(forest)" = 'a< d<a e<d ' ] || fail "forest: $(forest)"

# ── What is refused ──
refused 1 'no checkpoint nope; known are: ' nope "${both[@]}"
refused 2 'exclude each other' a --children --children-only "${both[@]}"
refused 2 'on disk vdb, too.*--file=vdb:IMG' a --file=vda:top.qcow2 --tree=tree
refused 2 'documents only.*--file' a --tree=tree
refused 2 'no documents are kept.*--tree=DIR' c --metadata "${disks[@]}"
# As in libvirt, a bitmap that is gone; and the way out.
qemu-img bitmap --remove vdb.qcow2 a
refused 2 'bitmap a is in no layer of disk vdb; .*--metadata' a "${both[@]}"
refused 2 'bitmap a is in no layer' a --children "${both[@]}"
deletes a a --metadata "${both[@]}"
[ "$(forest)" = 'd< e<d ' ] || fail "forest: $(forest)"

# ── One disk fails, and nothing has happened: a writer has its image ──
make
qemu-nbd -f qcow2 -k "$PWD/writer.sock" --fork --pid-file=writer.pid -t vdb.qcow2
pids+=("$(cat writer.pid)")
images () { sha256sum top.qcow2 base.qcow2 tree/*; }
images >before
tool_says 2 'vdb.qcow2.*--libvirt' delete b "${both[@]}"
images | diff -u before -
kill "$(cat writer.pid)"
wait_until 20 has_ended "$(cat writer.pid)"
# A document that is a link is somebody's arrangement.
mv tree/b.xml elsewhere.xml
ln -s ../elsewhere.xml tree/b.xml
refused 2 'b.xml is a link' b --metadata --tree=tree
[ -s elsewhere.xml ] || fail "it followed the link"

if [ "$(id -u)" -eq 0 ]; then
  as_nobody () { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
else
  as_nobody () { "$@"; }
fi
# ── Images, and documents, that may only be read ──
make
chmod 755 "$tmpdir"
chmod 777 tree
chmod 1777 tmp
chmod 444 vdb.qcow2 tree/*
chmod 666 top.qcow2 base.qcow2
images >before
status=0
as_nobody "$tool" delete b "${both[@]}" 2>refused.log || status=$?
[ $status -eq 2 ] && grep -q vdb.qcow2 refused.log || fail "$(cat refused.log)"
images | diff -u before -
chmod 555 tree
status=0
as_nobody "$tool" delete b --metadata --tree=tree 2>refused.log || status=$?
[ $status -eq 2 ] && grep -q 'Permission denied; check that .* may write' \
  refused.log || fail "$(cat refused.log)"
images | diff -u before -
chmod 755 tree
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
