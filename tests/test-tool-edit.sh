#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint edit: the description, and not a byte of the rest.
. "$(dirname "$0")/functions.sh"
mkdir tmp tree
export TMPDIR=$PWD/tmp
unset VISUAL EDITOR

# What a careless program would lose.
cat >monday.xml <<'END'
<?xml version="1.0"?>
<!--
WARNING: THIS IS AN AUTO-GENERATED FILE. <description>no</description>
-->

<domaincheckpoint>
  <name>monday</name>
  <description>the first</description>
  <creationTime>1700000000</creationTime>
  <disks>
    <disk name="vda" checkpoint='bitmap'   bitmap='monday'/>
  </disks>
  <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
    <name>web1</name><uuid>11111111-2222-3333-4444-555555555555</uuid>
    <description>the guest's own</description>
    <metadata><x:a xmlns:x="urn:x" b="1>2"><![CDATA[ </domain> ]]></x:a></metadata>
    <devices><disk type='file' device='disk'><source file='/disks/vda.qcow2'/>
      <target dev='vda' bus='virtio'/></disk></devices>
    <qemu:commandline><qemu:arg value='-s'/></qemu:commandline>
  </domain>
</domaincheckpoint>
END
# reset: the tree anew.
reset () { rm -rf tree; mkdir tree; cp monday.xml tree/; }
# became SED: what the document must be.
became ()
{
  sed "$1" monday.xml | diff -u - tree/monday.xml \
    || fail "something else is changed"
  [ "$(ls -A tree)" = monday.xml ] || fail "left: $(ls -A tree)"
  [ -z "$(ls -A tmp)" ] || fail "left: $(ls -A tmp)"
}
refused ()
{
  local status=$1 regex=$2
  shift 2
  tool_says "$status" "$regex" edit "$@"
  became ''
}
line='s,<description>the first<.*,<description>NEW</description>,'

# ── Without an editor ──
reset
chmod 640 tree/monday.xml
"$tool" edit monday --description='a <b> & "c"' --tree=tree >out
echo 'Checkpoint monday edited.' | diff -u - out
became 's,the first,a \&lt;b\&gt; \&amp; \&quot;c\&quot;,'
[ "$("$tool" list --json --tree=tree | jq -r '.checkpoints[0].description')" \
  = 'a <b> & "c"' ] || fail "it is read as another"
[ "$(stat -c %a tree/monday.xml)" = 640 ] || fail "others may read it, or not"
reset
"$tool" edit monday --description='the first' --tree=tree >out
echo 'Checkpoint monday XML configuration not changed.' | diff -u - out
became ''
"$tool" edit monday --description= --tree=tree >out
echo 'Checkpoint monday edited.' | diff -u - out
became '/the first/d'
# What is wrong beside it is said once.
reset
: >tree/junk
tool_says 0 'tree/junk: checkpoint XML' edit monday --description=x --tree=tree
# There was none.
reset
sed -i '/the first/d' tree/monday.xml
"$tool" edit monday --description='the first' --tree=tree --json >out
jq -e '.name == "monday" and .description == "the first" and .changed' out
became ''

# ── With one, which gets options and words of its own ──
# editor SED: a program that edits its last argument so.
editor ()
{
  cat >"my editor" <<END
#!/bin/sh
for file; do :; done
echo "\$# \$(basename "\$file") \$(stat -c %a "\$file" "\$(dirname "\$file")" \
  | tr '\n' ' ')" >"$PWD/was"
sed -i '$1' "\$file"
END
  chmod +x "my editor"
  export EDITOR="'$PWD/my editor' -x"
}
editor 's/the first/the second/'
"$tool" edit monday --tree=tree >out
echo 'Checkpoint monday edited.' | diff -u - out
[ "$(cat was)" = '2 monday.xml 600 700 ' ] || fail "the editor saw: $(cat was)"
became "${line/NEW/the second}"
reset
# VISUAL comes first; layout does not count; none is none.
VISUAL=true "$tool" edit monday --tree=tree >out
grep -q 'not changed' out && became ''
editor 's/^ *<name>/\n   <name>/; s/the first/x/'
"$tool" edit monday --tree=tree >out
became "${line/NEW/x}"
reset
editor '/the first/d'
"$tool" edit monday --tree=tree >out
became '/the first/d'
reset

# ── What may not be changed ──
editor 's,<name>monday,<name>tuesday,'
refused 2 'cannot rename checkpoint monday to tuesday' monday --tree=tree
editor 's,<creationTime>,<parent><name>x</name></parent>&,'
refused 2 'the parent of checkpoint monday cannot be edited' monday --tree=tree
for change in 's/1700000000/1700000001/' 's/-s/-S/' "s/the guest's/my/" \
  's,</devices>,<disk/></devices>,' 's/AUTO/auto/' 's/ b="1/ b="2/' \
  "s/checkpoint=.bitmap./checkpoint=\"no\"/; s/bitmap=.monday.//" \
  's/CDATA\[ /CDATA[/'; do
  editor "${change//\'/.}"
  refused 2 'only the description|no and yet' monday --tree=tree
done
editor 's,</domaincheckpoint>,,'
refused 2 'checkpoint XML' monday --tree=tree
editor 's,<!--,<!DOCTYPE x>&,'
refused 2 'DOCTYPE' monday --tree=tree
export EDITOR=false
refused 2 'the editor failed.*--description=TEXT' monday --tree=tree
export EDITOR=/no/such/editor
status=0
"$tool" edit monday --tree=tree 2>log || status=$?
[ $status -eq 2 ] && grep -q 'the editor failed' log || fail "$(cat log)"
became ''
refused 1 'no checkpoint tuesday' tuesday --tree=tree --description=x
guest_disk vda.qcow2
qemu-img bitmap --add vda.qcow2 monday
refused 2 'no documents are kept.*--tree=DIR' monday --file=vda.qcow2 \
  --description=x
# Disks that are named are not looked at: documents are all that is changed.
"$tool" edit monday --tree=tree --file=vda:vda.qcow2 --description=x >out
became "${line/NEW/x}"
reset

# ── Somebody else changes it meanwhile ──
cat >slow <<END
#!/bin/sh
sed -i 's/the first/mine/' "\$1"
sed -i 's/the first/theirs/' "$PWD/tree/monday.xml"
END
chmod +x slow
export EDITOR=$PWD/slow
tool_says 2 'changed by another user meanwhile' edit monday --tree=tree
became "${line/NEW/theirs}"
reset

# ── Killed while the editor is open ──
cat >waits <<END
#!/bin/sh
echo \$\$ >"$PWD/editor.pid"
exec sleep 60
END
chmod +x waits
for signal in TERM HUP; do
  rm -f editor.pid
  EDITOR=$PWD/waits "$tool" edit monday --tree=tree 2>log &
  pids+=($!)
  edits=$!
  wait_until 20 test -s editor.pid
  kill -$signal $edits
  wait $edits 2>/dev/null || :
  kill "$(cat editor.pid)"
  became ''
done
