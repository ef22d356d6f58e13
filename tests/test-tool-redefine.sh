#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint redefine: documents in any order, all of them or none; by
# libvirt's rules.
. "$(dirname "$0")/functions.sh"
mkdir tmp given
export TMPDIR=$PWD/tmp

uuid=11111111-2222-3333-4444-555555555555
# document FILE NAME PARENT TIME [DISKS [UUID [GUEST]]]
document ()
{
  cat <<END >"given/$1"
<!-- kept as it is -->
<domaincheckpoint>
  <name>$2</name>
  ${3:+<parent><name>$3</name></parent>}
  ${4:+<creationTime>$4</creationTime>}
  <disks>${5:-<disk name='vda' checkpoint='bitmap' bitmap='$2'/>}</disks>
  <domain type='kvm'><name>${7:-web1}</name><uuid>${6:-$uuid}</uuid>
    <devices>$(printf "<disk type='file' device='disk'><source file='/%s.img'/>
      <target dev='%s'/></disk>" vda vda vdz vdz)</devices></domain>
</domaincheckpoint>
END
}
names () { "$tool" list --topological --parent --json "$@" \
  | jq -r '.checkpoints[] | "\(.name)<\(.parent // "")"' | tr '\n' ' '; }
# refused REGEX ARGS…: and the tree is as before.
refused ()
{
  local regex=$1
  shift
  rm -rf before
  [ ! -d tree ] || cp -rp tree before
  tool_says 2 "$regex" redefine "$@"
  [ ! -d tree ] || diff -ru before tree || fail "it changed something: $*"
}

# ── Many, in any order ──
parent=
for name in a b c d e; do
  document $name.xml $name "$parent" 1700000000
  parent=$name
done
(cd given && "$tool" redefine d.xml b.xml --tree=../tree a.xml e.xml c.xml) >out
printf "Domain checkpoint %s redefined from '%s'\n" a a.xml b b.xml c c.xml \
  d d.xml e e.xml | diff -u - out
[ "$(names --tree=tree)" = 'a< b<a c<b d<c e<d ' ] || fail "$(names --tree=tree)"
diff -ru given tree || fail "they were not kept as they are"
[ "$(stat -c %a tree/a.xml)" = 600 ] || fail "others may read it"

# ── In the place of one: its children stay ──
document b.xml b '' 1700000001
"$tool" redefine --json --tree=tree given/b.xml >out
jq -e '.redefined == ["b"]' out
[ "$(names --tree=tree)" = 'a< b< c<b d<c e<d ' ] || fail "$(names --tree=tree)"
# The standard input; and a document whose file has another name stays there.
mv tree/c.xml tree/of-another-name
document c.xml c a 1700000002
"$tool" redefine - --tree=tree <given/c.xml >out
grep -q "redefined from '-'" out
cmp given/c.xml tree/of-another-name
[ ! -e tree/c.xml ] || fail "c is there twice"
mv tree/of-another-name tree/c.xml

# ── What is refused: nothing of it is kept ──
document f.xml f e 1700000003
document loop.xml a e 1700000003
document self.xml b b 1700000003
document orphan.xml g gone 1700000003
document timeless.xml g a ''
document again.xml f a 1700000003
refused 'comes from it' given/f.xml given/loop.xml --tree=tree
refused 'its own parent|comes from itself' given/f.xml given/self.xml --tree=tree
refused 'parent gone of checkpoint g is not known' given/f.xml \
  given/orphan.xml --tree=tree
refused 'creationTime' given/f.xml given/timeless.xml --tree=tree
refused 'two of the documents are of checkpoint f' given/f.xml \
  given/again.xml --tree=tree
refused 'no.xml: No such file' given/f.xml given/no.xml --tree=tree
echo '<domaincheckpoint><name>x' >given/junk.xml
refused 'given/junk.xml: ' given/f.xml given/junk.xml --tree=tree
echo '<domainsnapshot><name>x</name></domainsnapshot>' >given/junk.xml
refused 'junk.xml: .*not a <domaincheckpoint>' given/junk.xml --tree=tree
sed 's,<disks>,<disk>,; s,</disks>,</disk>,' given/f.xml >given/junk.xml
refused 'junk.xml: ' given/junk.xml --tree=tree
head -c 1048577 /dev/zero >given/junk.xml
refused 'junk.xml is larger' given/junk.xml --tree=tree
refused 'once only' - - --tree=tree </dev/null
sed 's/<name>f/<name>..\/f/' given/f.xml >given/junk.xml
refused "cannot be a checkpoint's name" given/junk.xml --tree=tree
refused 'redefine of what' --tree=tree
# Of another guest.
document other.xml g a 1700000003 '' 99999999-2222-3333-4444-555555555555
refused "must use uuid $uuid" given/f.xml given/other.xml --tree=tree
document other.xml g '' 1700000003 '' 99999999-2222-3333-4444-555555555555 web2
refused 'of the guest web2 .* not of web1' given/other.xml --tree=tree \
  --domain=web1

# ── Whose bitmaps are there ──
guest_disk base.qcow2 16M
qemu-img bitmap --add base.qcow2 f
qemu-img bitmap --add base.qcow2 ended
qemu-img bitmap --disable base.qcow2 ended
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 vda.qcow2
qemu-img bitmap --add vda.qcow2 f
sha256sum ./*.qcow2 >images
both=(--tree=tree --file=vda:vda.qcow2)
refused 'no documents are kept.*--tree=DIR' given/f.xml --file=vda.qcow2
refused 'documents only.*--file' given/f.xml --validate --tree=tree
document none.xml g a 1700000003
refused 'none.xml: .*bitmap g' given/f.xml given/none.xml --validate "${both[@]}"
document ended.xml ended a 1700000003
refused 'ended.xml: .*not recording' given/ended.xml --validate "${both[@]}"
# A disk that is not there was unplugged, as in libvirt, or not named.
document f.xml f e 1700000003 '<disk name="vda" bitmap="f"/><disk name="vdz"/>'
"$tool" redefine given/f.xml --validate "${both[@]}" >out 2>log
grep -q 'covers disk vdz, too, which is not named' log && cmp given/f.xml tree/f.xml
[ "$(wc -l <log)" -eq 1 ] || fail "$(cat log)"
# Without, they are taken as they are.
"$tool" redefine given/none.xml given/ended.xml "${both[@]}" >out
sha256sum -c --quiet images

# ── While another changes the same folder ──
exec 8<tree
flock 8
status=0
bounded "$tool" redefine given/f.xml --tree=tree 2>refused.log || status=$?
[ $status -eq 2 ] && grep -q 'another process is changing' refused.log \
  || fail "$(cat refused.log)"
exec 8<&-

# ── What a process that was killed has left ──
echo '<domaincheckpoint><na' >tree/f.xml.new
document f.xml f e 1700000009
"$tool" redefine given/f.xml --tree=tree >out 2>log
cmp given/f.xml tree/f.xml
[ ! -e tree/f.xml.new ] || fail "a half-written document stays"
# A link in its place leads nobody astray.
echo precious >precious
ln -s ../precious tree/f.xml.new
"$tool" redefine given/f.xml --tree=tree >out 2>log
[ "$(cat precious)" = precious ] || fail "it wrote through a link"
ln -sf "$PWD/precious" tree/f.xml
status=0
"$tool" redefine given/f.xml --tree=tree 2>refused.log || status=$?
[ $status -eq 2 ] || fail "it is taken"
[ "$(cat precious)" = precious ] || fail "it wrote through a link"
rm tree/f.xml

# ── Many small ones take little memory ──
if [ -z "$sanitizers" ]; then
  mkdir many
  for i in $(seq 400); do
    echo "<domaincheckpoint><name>n$i</name><creationTime>1</creationTime>\
</domaincheckpoint>" >"many/$i.xml"
  done
  (ulimit -v 400000; "$tool" redefine --tree=many.tree many/*.xml >out)
  [ "$(grep -c . out)" = 400 ] || fail "not all of them"
fi

# ── No room, half-way ──
if mkdir small && mount -t tmpfs -o size=64k none small 2>/dev/null; then
  "$tool" redefine given/a.xml --tree=small/tree >out
  head -c 1M /dev/zero >small/full 2>/dev/null || :
  document a.xml a '' 1700000004
  cp small/tree/a.xml kept.xml
  status=0
  "$tool" redefine given/a.xml given/e.xml --tree=small/tree 2>refused.log \
    || status=$?
  cmp kept.xml small/tree/a.xml || fail "half a document"
  ls small/tree | diff -u - /dev/fd/3 3<<<a.xml || fail "something is left"
  umount small
fi
# ── Where no file is without a name, nor RENAME_NOREPLACE known ──
mkdir fuse
if truncate -s 16M fs.img && mke2fs -q fs.img 2>/dev/null \
   && bounded fuse2fs fs.img fuse -o rw,fakeroot 2>/dev/null; then
  status=0
  {
    "$tool" redefine given/a.xml --tree=fuse/tree \
      && cmp given/a.xml fuse/tree/a.xml \
      && "$tool" redefine given/a.xml --tree=fuse/tree \
      && cmp given/a.xml fuse/tree/a.xml \
      && ls -A fuse/tree | diff -u - /dev/fd/3 3<<<a.xml
  } || status=$?
  fusermount3 -u fuse 2>/dev/null || fusermount -u fuse || umount fuse
  [ $status -eq 0 ] || fail "not on FUSE"
else
  echo "no FUSE here"
fi
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
