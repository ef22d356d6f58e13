#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Each kind of thing that qemu-checkpoint check finds of a stopped guest is made for
# real, found by its code, and found no more once what is printed has been typed.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/image-kinds.sh"
mkdir tmp
export TMPDIR=$PWD/tmp

of=(--file=vda:vda.qcow2 --tree=tree)
two=("${of[@]}" --file=vdb:vdb.qcow2)
# begin CHECKPOINT…: one disk, and these.
begin ()
{
  local name
  rm -rf tree ./*.qcow2
  guest_disk vda.qcow2 16M
  for name; do "$tool" create "$name" "${of[@]}"; done
}
# document NAME PARENT FILE: as libvirt writes it, of a disk that was that file.
document ()
{
  cat >"tree/$1.xml" <<END
<domaincheckpoint>
  <name>$1</name>
  <parent>
    <name>$2</name>
  </parent>
  <creationTime>1700000000</creationTime>
  <disks>
    <disk name='vda' checkpoint='bitmap' bitmap='$1'/>
  </disks>
  <domain type='qemu'>
    <name>web1</name>
    <devices>
      <disk type='file' device='disk'>
        <source file='$3'/>
        <target dev='vda'/>
      </disk>
    </devices>
  </domain>
</domaincheckpoint>
END
}
make_void () { printf '\0' | dd of="$1" bs=1 seek=95 conv=notrunc status=none; }
# status N: which it ended with.
status () { [ $checked -eq "$1" ] || fail "status $checked instead of $1"; }

# ── Nothing is wrong ──
begin monday tuesday
"$tool" check "${of[@]}" >found
diff - found <<'END'
CHECKPOINTS OK - 2 checkpoints on 1 disk, all usable
END
"$tool" check --tree=tree >found
diff - found <<'END'
CHECKPOINTS OK - 2 checkpoints, no disk was looked at
END
md5sum vda.qcow2 tree/* >sums
"$tool" check --json "${of[@]}" | jq -e '.status == "OK" and .findings == []
  and .views[1] == {"disk": "vda", "checkpoint": "tuesday", "usable": true}'
md5sum -c --quiet sums

# ── A bitmap without a checkpoint ──
rm tree/tuesday.xml
finds bitmap-without-checkpoint "${of[@]}"
status 1
mends bitmap-without-checkpoint "${of[@]}"
is_ok "${of[@]}"
[ "$("$tool" parent tuesday "${of[@]}")" = monday ] || fail "it has no parent"
rm tree/*
finds bitmap-without-checkpoint "${of[@]}"
type_it "$command"
mends bitmap-without-checkpoint "${of[@]}"
is_ok "${of[@]}"
[ "$("$tool" parent tuesday "${of[@]}")" = monday ] || fail "it has no parent"

# ── A checkpoint without a bitmap: of one disk, of both ──
begin
guest_disk vdb.qcow2 16M
"$tool" create monday "${two[@]}"
qemu-img bitmap --remove vda.qcow2 monday
finds checkpoint-without-bitmap "${two[@]}"
status 2
jq -e '.disks == ["vda"] and .checkpoints == ["monday"]' found
mends checkpoint-without-bitmap "${two[@]}"
[ "$("$tool" check "${two[@]}" | head -n 1)" \
  = "CHECKPOINTS OK - 1 checkpoint on 2 disks, all usable" ] || fail "vdb is lost"
qemu-img bitmap --remove vdb.qcow2 monday
mends checkpoint-without-bitmap "${two[@]}"
[ ! -e tree/monday.xml ] || fail "it is still known"

# ── Inconsistent, void, disabled; and what is left of the checkpoint ──
begin monday
kill_writer vda.qcow2
finds inconsistent-bitmap "${of[@]}"
status 2
mends inconsistent-bitmap "${of[@]}"
mends checkpoint-without-bitmap "${of[@]}"
is_ok "${of[@]}"
for more in --tree=tree ''; do
  begin monday
  make_void vda.qcow2
  mends void-layer --file=vda.qcow2 $more
done
"$tool" create tuesday --file=vda.qcow2
is_ok --file=vda.qcow2
begin monday
qemu-img bitmap --disable vda.qcow2 monday
mends disabled-bitmap "${of[@]}"
# As libvirt left them before 6.5: a later one goes on.
begin monday tuesday
qemu-img bitmap --disable vda.qcow2 monday
finds disabled-but-continued "${of[@]}"
status 0

# One that cannot be named cannot be removed by its name, either.
begin
qemu-img bitmap --add vda.qcow2 $'mond\xffy'
finds bitmap-misnamed --file=vda.qcow2
[ -z "$command" ] || fail "it cannot work: $command"

# ── Layers ──
begin monday
mv vda.qcow2 base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 vda.qcow2
finds chain-gap "${of[@]}"
status 1
mends chain-gap "${of[@]}"
is_ok "${of[@]}"
begin monday
mv vda.qcow2 base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 vda.qcow2 20M
qemu-img bitmap --add vda.qcow2 monday
mends wrong-size "${of[@]}"
is_ok "${of[@]}"
# Void in the middle, where all that was written counts as changed.
qemu-img create -q -f qcow2 -b vda.qcow2 -F qcow2 top.qcow2
qemu-img bitmap --add top.qcow2 monday
make_void vda.qcow2
finds void-layer-unneeded --file=vda:top.qcow2 --tree=tree
[ -z "$command" ] || fail "nothing need be typed"
# The file that the disk was then has left the chain; or has lost the bitmap.
begin monday
document monday none "$PWD/snapshot.qcow2"
sed -i '/<parent>/,/<\/parent>/d' tree/monday.xml
mends file-left-chain "${of[@]}"
begin monday
mv vda.qcow2 base.qcow2
qemu-img bitmap --remove base.qcow2 monday
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 vda.qcow2
qemu-img bitmap --add vda.qcow2 monday
document monday none "$PWD/base.qcow2"
sed -i '/<parent>/,/<\/parent>/d' tree/monday.xml
mends bitmap-lost "${of[@]}"
# What is another disk's, by its name today, says how it is read.
begin
guest_disk vdb.qcow2 16M
"$tool" create monday "${two[@]}"
sed -i '/<.domaincheckpoint>/d' tree/monday.xml
cat >>tree/monday.xml <<END
  <domain type='qemu'><name>web1</name><devices>
    <disk type='file'><source file='$PWD/vda.qcow2'/><target dev='vda'/></disk>
    <disk type='file'><source file='$PWD/vdb.qcow2'/><target dev='vdb'/></disk>
  </devices></domain>
</domaincheckpoint>
END
is_ok "${two[@]}"
finds names-exchanged --file=vda:vdb.qcow2 --file=vdb:vda.qcow2 --tree=tree
status 2
jq -r .message found >said
type_printed 'look at it as vd[ab]: ' '' said | grep -q size= || fail "it does not help"
finds not-looked-at "${of[@]}"
status 0

# ── Temporary bitmaps, scratch files, documents that were being written ──
begin monday
for name in libvirt-tmp-activewrite backup-vda; do
  qemu-img bitmap --add vda.qcow2 $name
  mends temporary-bitmap "${of[@]}"
done
touch nbdkit-checkpoint-0123456789abcdef.vda.scratch
mends scratch-left "${of[@]}"
cp tree/monday.xml tree/monday.xml.new
mends document-left "${of[@]}"
mv tree/monday.xml tree/monday.xml.new
mends document-left "${of[@]}"
is_ok "${of[@]}"
echo '<domaincheckpoint>' >tree/bad.xml
mends document-unreadable "${of[@]}"
ln -s nowhere tree/link.xml
mends document-unreadable "${of[@]}"
is_ok "${of[@]}"
# What others may read is not to be removed, nor made up anew.
chmod 0 tree/monday.xml
chmod 755 . tree
chmod a+rw vda.qcow2
as=()
[ "$(id -u)" -ne 0 ] || as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
status=0
bounded "${as[@]}" "$tool" check "${of[@]}" >found || status=$?
[ $status -eq 3 ] && [ "$(wc -l <found)" -eq 1 ] \
  && grep -q 'UNKNOWN - cannot read .*monday.xml: Permission denied' found \
  || fail "status $status: $(cat found)"
chmod 600 tree/monday.xml

# ── The tree ──
begin monday tuesday
document monday sunday "$PWD/vda.qcow2"
mends parent-missing "${of[@]}"
is_ok "${of[@]}"
document monday tuesday "$PWD/vda.qcow2"
mends parent-loop "${of[@]}"
is_ok "${of[@]}"
begin monday tuesday wednesday
document wednesday monday "$PWD/vda.qcow2"
finds branched-tree "${of[@]}"
status 0
grep -q 'on the way to wednesday backups can be made since: wednesday, monday' found
sed -i '/<parent>/,/<\/parent>/d' tree/wednesday.xml
finds several-roots "${of[@]}"
status 0

# ── Disks that cannot be looked at do not hide others ──
begin monday
guest_disk vdb.qcow2 16M
qemu-img amend -f qcow2 -o compat=0.10 vdb.qcow2
finds version-2 "${two[@]}"
status 2
jq -e '.views == [{"disk": "vda", "checkpoint": "monday", "usable": true}]' found.json
mends version-2 "${two[@]}"
is_ok "${two[@]}"
# The bit "corrupt".
printf '\2' | dd of=vdb.qcow2 bs=1 seek=79 conv=notrunc status=none
mends image-corrupt "${two[@]}"
qemu-nbd -f qcow2 -t -k "$PWD/used.sock" --pid-file=used.pid vdb.qcow2 &
pids+=($!)
wait_until 20 test -s used.pid
finds image-in-use "${two[@]}"
[ $checked -eq 2 ] || fail "one disk was looked at: status $checked"
finds image-in-use --file=vdb:vdb.qcow2
[ $checked -eq 3 ] || fail "nobody has looked: status $checked"
jq -e '.status == "UNKNOWN"' found.json
kill "$(cat used.pid)"
wait_until 20 has_ended "$(cat used.pid)"
is_ok "${two[@]}"
mv vdb.qcow2 base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 vdb.qcow2
forget_format vdb.qcow2
finds format-not-recorded "${two[@]}"
rm vdb.qcow2
finds image-unreadable "${two[@]}"
qemu-img create -q -f raw vdb.raw 1M
finds disk-not-covered "${of[@]}" --file=vdb:vdb.raw
status 0

# ── Nothing could be looked at ──
for args in --file=none.qcow2 --tree=none "--file=vda.qcow2 --tree=none"; do
  code=0
  # shellcheck disable=SC2086
  "$tool" check $args >found 2>/dev/null || code=$?
  [ $code -eq 3 ] || fail "status $code: $args"
  grep -q '^CHECKPOINTS UNKNOWN - .*none' found || fail "$(cat found)"
done
tool_says 3 'there is no option --bad' check --bad
tool_says 3 'yes goes with --fix' check --yes "${of[@]}"

# ── The manual has all code words ──
sed -n 's/^  \[FINDING_.*{ "\([a-z0-9-]*\)",.*/\1/p' \
  "$srcdir/common/check/finding.c" >codes
[ "$(wc -l <codes)" -gt 30 ] || fail "code words: $(cat codes)"
while read -r code; do
  grep -q "C<$code>" "$srcdir/docs/qemu-checkpoint.pod" \
    || fail "the manual does not tell of $code"
done <codes
[ -z "$(ls tmp)" ] || fail "left over: $(ls tmp)"
