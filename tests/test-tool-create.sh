#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint create, of stopped images: a bitmap on top of each disk and a
# document as libvirt writes it, or nothing at all.
. "$(dirname "$0")/functions.sh"
mkdir tmp
export TMPDIR=$PWD/tmp

guest_disk base.qcow2 16M
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 vda.qcow2
guest_disk vdb.qcow2 16M
disks=(--file=vda:vda.qcow2 --file=vdb:vdb.qcow2)
both=("${disks[@]}" --tree=tree)

# bitmaps IMG: "name granularity flags" of each, one a line.
bitmaps ()
{
  qemu-img info --output=json "$1" | jq -r '."format-specific".data.bitmaps // []
    | .[] | "\(.name) \(.granularity) \(.flags | join (","))"' | sort
}
# tree: what is in it, and of all images what is recorded.
state ()
{
  local file
  for file in *.qcow2; do echo "$file: $(bitmaps "$file" | tr '\n' ' ')"; done
  ! [ -d tree ] || (cd tree && ls -A && { cat -- * 2>&1 || :; })
}
# refused REGEX ARGS…: and nothing is changed.
refused ()
{
  local regex=$1
  shift
  state >before
  tool_says 2 "$regex" create "$@"
  state | diff -u before - || fail "it changed something: create $*"
}

# ── A document, and a bitmap on each ──
"$tool" create monday --description='the <first> & one' "${both[@]}" >out
echo 'Domain checkpoint monday created' | diff -u - out
[ "$(stat -c %a tree/monday.xml)" = 600 ] || fail "others may read it"
[ "$(ls -A tree)" = monday.xml ] || fail "something is left in the folder"
sed 's/[0-9]\{10\}/TIME/' tree/monday.xml | diff -u - /dev/fd/3 3<<'END'
<domaincheckpoint>
  <name>monday</name>
  <description>the &lt;first&gt; &amp; one</description>
  <creationTime>TIME</creationTime>
  <disks>
    <disk name='vda' checkpoint='bitmap' bitmap='monday'/>
    <disk name='vdb' checkpoint='bitmap' bitmap='monday'/>
  </disks>
</domaincheckpoint>
END
for disk in vda vdb; do
  [ "$(bitmaps $disk.qcow2)" = 'monday 65536 auto' ] || fail "bitmap of $disk"
done
[ -z "$(bitmaps base.qcow2)" ] || fail "a bitmap below the top"
qemu-io -f qcow2 -c 'write -q -P 5 1M 192k' vda.qcow2
[ "$("$tool" list --size --json "${both[@]}" | jq '.checkpoints[0].size')" \
  = 196608 ] || fail "it does not record"

# ── Its child; of some disks; what is printed ──
"$tool" create tuesday --disk=vdb --json "${both[@]}" >out
jq -e '.name == "tuesday" and .parent == "monday" and .description == null
  and .disks == [{"target": "vda", "bitmap": null},
                 {"target": "vdb", "bitmap": "tuesday"}]' out
[ "$(bitmaps vda.qcow2)" = 'monday 65536 auto' ] || fail "vda, too"
[ "$("$tool" parent tuesday --tree=tree)" = monday ] || fail "no parent"
# By its file, and with all words.
"$tool" create wednesday "${both[@]}" --disk="$PWD/vda.qcow2" \
  --disk=vdb,checkpoint=bitmap,bitmap=wednesday >out
grep -q "<disk name='vda' checkpoint='bitmap' bitmap='wednesday'/>" \
  tree/wednesday.xml
"$tool" create thursday "${both[@]}" --disk=vda --disk=vdb,checkpoint=no >out
[ "$(bitmaps vdb.qcow2 | grep -c thursday)" = 0 ] || fail "it was to have none"
state >before
"$tool" create friday --print-xml "${both[@]}" >out
grep -q '<name>thursday</name>' out && grep -q '<name>friday</name>' out \
  || fail "not printed"
state | diff -u before - || fail "--print-xml changed something"
# Its name is the time.
"$tool" create "${both[@]}" --disk=vda >out
name=$(sed -n 's/^Domain checkpoint \([0-9]*\) created$/\1/p' out)
[ -s "tree/$name.xml" ] || fail "no $name"

# ── A document that says it all; the parent that it names does not count ──
cat >given.xml <<'END'
<domaincheckpoint><name>given</name><description>by hand</description>
  <parent><name>monday</name></parent><creationTime>5</creationTime>
  <disks><disk name='vdb'/></disks></domaincheckpoint>
END
"$tool" create --xml=given.xml "${both[@]}" >out
echo "Domain checkpoint given created from 'given.xml'" | diff -u - out
[ "$("$tool" parent given --tree=tree)" = "$name" ] || fail "another parent"
! grep -q '<creationTime>5<' tree/given.xml || fail "another time"
bitmaps vdb.qcow2 | grep -q '^given ' || fail "no bitmap given"
sed 's/given/piped/; s/<disk .*\/>/<disk name="vda" checkpoint="no"\/>&/' \
  given.xml | "$tool" create --xml - "${both[@]}" >out
grep -q "Domain checkpoint piped created from '-'" out

# ── Bitmaps alone ──
"$tool" create flat "${disks[@]}" >out
[ ! -e tree/flat.xml ] || fail "there is a document"
"$tool" create bare --no-metadata "${both[@]}" >out
[ ! -e tree/bare.xml ] || fail "there is a document"
for name in flat bare; do
  bitmaps vda.qcow2 | grep -q "^$name " || fail "no bitmap $name"
done
# Who made them, no document tells.
refused 'bitmap named flat is in .*vda.qcow2 already.*qemu-checkpoint check' \
  flat "${both[@]}"
refused 'checkpoint flat already exists' flat "${disks[@]}"

# ── What is refused ──
refused 'monday already exists' monday "${both[@]}"
refused "'a b' cannot be the name" 'a b' "${both[@]}"
refused "'../up' cannot be the name" ../up "${both[@]}"
refused "'.dot' cannot be the name" .dot "${both[@]}"
refused 'name is empty' '' "${both[@]}"
refused "no disk named 'vdc'; there are: vda, vdb" x --disk=vdc "${both[@]}"
refused "'vda' specified twice" x --disk=vda --disk=vda "${both[@]}"
refused "'vda' specified twice" x --disk=vda --disk="$PWD/vda.qcow2" \
  "${both[@]}"
refused "must match checkpoint name 'x'" x --disk=vda,bitmap=y "${both[@]}"
refused 'and yet bitmap=x' x --disk=vda,checkpoint=no,bitmap=x "${both[@]}"
refused 'checkpoint=maybe is unknown' x --disk=vda,checkpoint=maybe "${both[@]}"
refused 'size=5 is not understood' x --disk=vda,size=5 "${both[@]}"
refused 'covers no disk' x --disk=vda,checkpoint=no "${disks[@]}"
refused 'leave out the name' x --xml=given.xml "${both[@]}"
refused 'leave out --disk' --xml=given.xml --disk=vda "${both[@]}"
refused 'none.xml' --xml=none.xml "${both[@]}"
refused 'no guest runs' x --quiesce "${both[@]}"
refused 'no disks are named.*--file=IMG' x --tree=tree
refused 'given.xml' x "${disks[@]}" --tree=given.xml
refused 'no source is given' x

# ── One disk cannot: none has it ──
truncate -s 16M raw.img
refused 'raw.img.*--disk=TARGET' x "${both[@]}" --file=vdc:raw.img \
  --format=vdc:raw
"$tool" create x "${both[@]}" --file=vdc:raw.img --format=vdc:raw --disk=vda \
  >out
grep -q "<disk name='vdc' checkpoint='no'/>" tree/x.xml
qemu-img create -q -f qcow2 -o compat=0.10 old.qcow2 16M
refused 'old.qcow2' y "${both[@]}" --file=vdc:old.qcow2

# ── The document cannot be: its bitmaps are removed again ──
mkdir tree/blocked.xml
refused 'blocked.xml' blocked "${both[@]}"
rmdir tree/blocked.xml
refused 'cannot make.*no/tree' y "${disks[@]}" --tree=no/tree
[ ! -e no ] || fail "it made a folder above"
refused 'File name too long' "$(printf 'x%.0s' {1..260})" "${disks[@]}" --tree=new
[ ! -e new ] || fail "it left the folder that it made"
refused 'File name too long' "$(printf 'x%.0s' {1..260})" "${disks[@]}" \
  --tree=new --domain=web1
[ ! -e new ] || fail "it left the folders that it made"
# A document that was left out as another guest's is nobody's to write over.
sed 's/<name>given/<name>other/' given.xml >tree/y.xml
sed -i 's,<disks>.*</disks>,<domain><name>web2</name></domain>,' tree/y.xml
state >before
status=0
"$tool" create y "${both[@]}" --domain=web1 2>refused.log || status=$?
[ $status -eq 2 ] && grep -q 'y.xml: File exists' refused.log \
  || fail "it is written over: $(cat refused.log)"
state | diff -u before -

if [ "$(id -u)" -eq 0 ]; then
  as_nobody () { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
else
  as_nobody () { "$@"; }
fi
# ── A folder, or an image, that may not be written to ──
guest_disk ours.qcow2 16M
mkdir locked
chmod 755 "$tmpdir" tmp
chmod 1777 tmp
chmod 555 locked
chmod 666 ours.qcow2
status=0
as_nobody "$tool" create y --file=ours.qcow2 --tree=locked 2>refused.log \
  || status=$?
[ $status -eq 2 ] && grep -q 'locked.*Permission denied' refused.log \
  || fail "$(cat refused.log)"
[ -z "$(bitmaps ours.qcow2)" ] || fail "the bitmap stayed"
chmod 444 ours.qcow2
status=0
as_nobody "$tool" create y --file=ours.qcow2 2>refused.log || status=$?
[ $status -eq 2 ] \
  && grep -q 'ours.qcow2 cannot be written to: Permission denied; may' refused.log \
  || fail "$(cat refused.log)"
chmod 644 ours.qcow2

# ── A writer has the image ──
qemu-nbd -f qcow2 -k "$PWD/writer.sock" --fork --pid-file=writer.pid -t vdb.qcow2
pids+=("$(cat writer.pid)")
qemu-img info -U --output=json vdb.qcow2 >before.json
ls tree >before
tool_says 2 'vdb.qcow2.*--libvirt' create z "${both[@]}"
ls tree | diff -u before -
! qemu-img info -U vda.qcow2 | grep -q 'name: z$' || fail "vda has a bitmap"
kill "$(cat writer.pid)"
wait_until 20 has_ended "$(cat writer.pid)"

# ── Two guests, libvirt's layout ──
"$tool" create one "${disks[@]:0:1}" --tree=guests --domain=web1 >out
"$tool" create two "${disks[@]:1:1}" --tree=guests --domain=web2 >out
(cd guests && find . -name '*.xml' | sort) >out
printf '%s\n' ./web1/one.xml ./web2/two.xml | diff -u - out
[ "$("$tool" list --name --tree=guests --domain=web2)" = two ] || fail "list"
tool_says 2 'no checkpoint in .*guests.*--domain' create x "${disks[@]}" \
  --tree=guests
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
