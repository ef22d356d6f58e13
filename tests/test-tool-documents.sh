#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Documents of others, and of the same checkpoint: those of another guest in the
# folder are neither found fault with, removed nor replaced, and who may read one
# may read it when it was changed.  An editor's own files do not stay.
. "$(dirname "$0")/functions.sh"
mkdir tmp
export TMPDIR=$PWD/tmp
uuid_a=11111111-1111-4111-8111-111111111111
uuid_b=22222222-2222-4222-8222-222222222222

# document NAME GUEST UUID [PARENT]
document ()
{
  cat <<END
<domaincheckpoint><name>$1</name>${4:+<parent><name>$4</name></parent>}
<creationTime>1</creationTime>
<disks><disk name='vda' checkpoint='bitmap' bitmap='$1'/></disks>
<domain type='qemu'><name>$2</name><uuid>$3</uuid><devices>
<disk type='file' device='disk'><source file='/$2.qcow2'/><target dev='vda'/></disk>
</devices></domain></domaincheckpoint>
END
}
# check ARGS…: whatever it finds, it mends what is safe.
check ()
{
  { "$tool" check --json "$@" || :; } >found.json
  "$tool" check --fix --yes "$@" >/dev/null 2>log || [ $? -le 2 ]
}

# ── Two guests in one folder ──
mkdir tree
document c A $uuid_a >tree/c.xml
document d B $uuid_b >tree/d.xml
document e B $uuid_b >tree/e.xml.new
cp -r tree kept
check --tree=tree --domain=A
jq -e '.findings == []' found.json || fail "fault is found with another's"
diff -r kept tree || fail "another guest's documents have changed"
check --tree=tree --domain=$uuid_b
jq -e '[.findings[].command // empty] | map (select (startswith ("mv "))) | length == 1' \
  found.json
[ -e tree/e.xml ] && [ ! -e tree/e.xml.new ] || fail "not put into its place"
document c B $uuid_b >other.xml
for of in --domain=A ''; do
  rm -rf one
  mkdir one
  cp kept/c.xml one
  tool_says 2 'guest B|must use uuid' redefine --tree=one $of other.xml
  diff kept/c.xml one/c.xml || fail "replaced by another guest's"
done

# ── What is left of a killed command is no more than that ──
rm -rf tree
mkdir tree tree/f.xml.new
document c A $uuid_a >tree/x.xml
document d A $uuid_a >tree/x.xml.new
mkfifo tree/n.xml.new
ls -R tree >before
check --tree=tree
ls -R tree | diff -u before - || fail "something went, or was written over"

# ── A guest whose name begins with a dot ──
rm -rf tree
mkdir -p tree/.a
document c .a $uuid_a >tree/.a/c.xml
cp kept/c.xml tree
"$tool" delete c --metadata --tree=tree --domain=.a
[ ! -e tree/.a/c.xml ] && diff kept/c.xml tree/c.xml || fail "another's went"

# ── Who may read a document ──
rm -rf tree
mkdir tree
document c A $uuid_a >tree/c.xml
document d A $uuid_a c >tree/d.xml
chmod 640 tree/c.xml
chmod 604 tree/d.xml
if [ "$(id -u)" = 0 ]; then chown 65534:65534 tree/*.xml; fi
stat -c '%n %a %u %g' tree/*.xml >before
"$tool" edit c --description=changed --tree=tree
"$tool" delete c --metadata --tree=tree
grep -q '<parent>' tree/d.xml && fail "it has its parent"
stat -c '%n %a %u %g' tree/*.xml | diff -u <(tail -n 1 before) - \
  || fail "others may read it, or not"

# ── An editor's own files ──
cat >editor <<'END'
#!/bin/sh
cp "$1" "$1~"
touch "$(dirname "$1")/.swp"
mkdir "$(dirname "$1")/folder"
sed -i 's|<name>d</name>|&<description>typed</description>|' "$1"
END
chmod +x editor
EDITOR=$PWD/editor "$tool" edit d --tree=tree
grep -q typed tree/d.xml
[ -z "$(ls tmp)" ] || fail "left: $(find tmp)"

# ── A later one tells that the disks were exchanged, and none is current ──
rm -rf tree
mkdir tree
for disk in vda vdb; do
  guest_disk $disk.qcow2 16M
  for name in c d; do qemu-img bitmap --add $disk.qcow2 $name; done
done
cat >tree/c.xml <<'END'
<domaincheckpoint><name>c</name><parent><name>gone</name></parent>
<creationTime>1</creationTime><disks><disk name='vda' checkpoint='bitmap'/>
<disk name='vdb' checkpoint='bitmap'/></disks></domaincheckpoint>
END
cat >tree/d.xml <<END
<domaincheckpoint><name>d</name><parent><name>c</name></parent>
<creationTime>2</creationTime><disks><disk name='vda' checkpoint='bitmap'/></disks>
<domain type='qemu'><name>A</name><devices>
<disk type='file'><source file='$PWD/vdb.qcow2'/><target dev='vda'/></disk>
<disk type='file'><source file='$PWD/vda.qcow2'/><target dev='vdb'/></disk>
</devices></domain></domaincheckpoint>
END
{ "$tool" check --json --file=vda:vda.qcow2 --file=vdb:vdb.qcow2 --tree=tree \
  2>/dev/null || :; } | jq -e '[.views[].usable] | any | not' \
  || fail "a view is served of a disk that was another's"
