#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint show: a document's own bytes, or without <domain>; with sizes; of
# bare bitmaps, a document that is read back as what it was.
. "$(dirname "$0")/functions.sh"

guest_disk vda.qcow2 16M
qemu-img bitmap --add vda.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 2 1M 128k' vda.qcow2
guest_disk vdb.qcow2 16M
sha256sum ./*.qcow2 >before

mkdir tree
cat >tree/any.xml <<'END'
<!--
WARNING: THIS IS AN AUTO-GENERATED FILE.
-->

<domaincheckpoint>
  <name>monday</name>
  <description>a &amp; "b" 'c' ü</description>
  <creationTime>1700000001</creationTime>
  <disks>
    <disk name='vda' checkpoint='bitmap' bitmap='monday'/>
    <disk name='vdb' checkpoint='no'/>
    <disk name='vdc' checkpoint='bitmap' bitmap='monday'/>
  </disks>
  <domain type='qemu'>
    <name>web1</name>
    <uuid>11111111-2222-3333-4444-555555555555</uuid>
    <metadata><x:y xmlns:x="urn:x" z="&lt;"/></metadata>
    <devices><graphics type='vnc' passwd='secret'/></devices>
  </domain>
</domaincheckpoint>
END
cat >no-domain <<'END'
<domaincheckpoint>
  <name>monday</name>
  <description>a &amp; &quot;b&quot; &apos;c&apos; ü</description>
  <creationTime>1700000001</creationTime>
  <disks>
    <disk name='vda' checkpoint='bitmap' bitmap='monday'/>
    <disk name='vdb' checkpoint='no'/>
    <disk name='vdc' checkpoint='bitmap' bitmap='monday'/>
  </disks>
</domaincheckpoint>
END
for from in tree tree/any.xml; do
  "$tool" show monday --tree=$from >shown
  cmp tree/any.xml shown || fail "not the document's bytes"
done
"$tool" show monday --tree tree --no-domain | diff -u no-domain - \
  || fail "another document without <domain>"
"$tool" show --json monday --tree=tree | jq -rj .xml | cmp tree/any.xml

# ── Sizes ──
# In the whole document; of a disk that is not named, the reason is said.
"$tool" show monday --tree=tree --file=vda:vda.qcow2 --size >shown 2>log
cat log
[ "$(wc -l <log)" -eq 1 ] || fail "not one line"
grep -q '^qemu-checkpoint: no size of disk vdc: there is no disk vdc' log
"$python" - shown tree/any.xml <<'END'
import sys, xml.etree.ElementTree as ET
shown, document = (ET.parse(path).getroot() for path in sys.argv[1:])
sizes = {disk.get("name"): disk.attrib.pop("size", None)
         for disk in shown.find("disks")}
assert sizes == {"vda": "131072", "vdb": None, "vdc": None}, sizes
assert ET.tostring(shown) == ET.tostring(document), ET.tostring(shown)
END
"$tool" show monday --tree=tree --file=vda:vda.qcow2 --size --no-domain \
  2>/dev/null | diff -u <(sed "/vda/s|/>| size='131072'/>|" no-domain) -
# The sizes of the time when the document was written are none of today.
sed "s/'vda' checkpoint/'vda' size='7' checkpoint/" tree/any.xml >old.xml
"$tool" show monday --tree=old.xml --no-domain | diff -u no-domain - \
  || fail "an old size is shown"
"$tool" show monday --tree=old.xml --size 2>log >shown
! grep size= shown || fail "an old size is shown as today's"
grep -q 'no size of disk vda: no disks were named' log

# ── Bare bitmaps ──
"$tool" show monday --file=vda.qcow2 --file=vdb.qcow2 --size >shown
diff -u - shown <<'END'
<domaincheckpoint>
  <name>monday</name>
  <disks>
    <disk name='vda' checkpoint='bitmap' bitmap='monday' size='131072'/>
  </disks>
</domaincheckpoint>
END
"$tool" list --tree=shown --json | jq -e '.checkpoints[0].disks ==
  [{target: "vda", bitmap: "monday"}]'
qemu-img create -q -f qcow2 odd.qcow2 1M
qemu-img bitmap --add odd.qcow2 "a<b>&'c"
qemu-img bitmap --add odd.qcow2 -- '--size'
"$tool" show "a<b>&'c" --file=odd.qcow2 >shown
"$python" -c '
import xml.etree.ElementTree as ET
root = ET.parse("shown").getroot()
assert root.find("name").text == "a<b>&\x27c", root.find("name").text'
"$tool" show --file=odd.qcow2 -- --size | grep -F '<name>--size</name>'

# ── What is not there ──
tool_says 1 'no checkpoint sunday; known are: monday' show sunday --tree=tree
tool_says 2 'show of what\?  Write qemu-checkpoint show NAME' show --tree=tree
tool_says 2 'given tuesday' show monday tuesday --tree=tree
tool_says 2 'there is no option --parent' show monday --tree=tree --parent
echo '<domaincheckpoint>' >broken.xml
tool_says 2 'broken.xml: .*XML' show monday --tree=broken.xml
mkfifo fifo
tool_says 2 'no regular file' show monday --tree=fifo
# Links are followed when the tree is read, and where they lead may change.
ln -s ../tree/any.xml tree/link.xml
"$tool" show monday --tree=tree >shown 2>log
cmp tree/any.xml shown
grep -q 'link.xml: there is already a checkpoint' log

sha256sum --quiet -c before || fail "an image was changed"
