#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint info, parent and current: of documents, and of bitmaps alone; which
# checkpoint is current, and why none is.
. "$(dirname "$0")/functions.sh"
export TZ=UTC

mkdir tree
document ()
{
  cat >"tree/$1.xml" <<END
<domaincheckpoint><name>$1</name><description>day $1</description>
  ${2:+<parent><name>$2</name></parent>}
  <creationTime>170000000${3}</creationTime>
  <disks><disk name='vda' checkpoint='bitmap' bitmap='$1'/>
    <disk name='vdb' checkpoint='no'/>
    <disk name='vdc' checkpoint='bitmap' bitmap='$1'/></disks>
  <domain type='qemu'><name>web1</name>
    <uuid>11111111-2222-3333-4444-555555555555</uuid></domain>
</domaincheckpoint>
END
}
document monday '' 1
document tuesday monday 2
document wednesday tuesday 3

"$tool" info monday --tree=tree >info
diff -u - info <<'END'
Name:           monday
Domain:         web1
Parent:         -
Children:       1
Descendants:    2
Current:        no
Metadata:       yes
Created:        2023-11-14 22:13:21 +0000
Description:    day monday
Disks:          vda, vdc
END
"$tool" info wednesday --tree=tree --json \
  | jq -e '.name == "wednesday" and .domain == "web1" and .parent == "tuesday"
    and .current and .metadata and .children == 0 and .descendants == 0
    and .creationTime == 1700000003 and (.disks | length) == 3'

# ── parent, current ──
[ "$("$tool" parent wednesday --tree=tree)" = tuesday ] || fail "another parent"
tool_says 1 'checkpoint monday has no parent' parent monday --tree=tree
! "$tool" parent monday --tree=tree --json >json || fail "a root has a parent"
jq -e '. == {name: "monday", parent: null}' json
"$tool" parent tuesday --tree=tree --json | jq -e '.parent == "monday"'
[ "$("$tool" current --tree=tree)" = wednesday ] || fail "another is current"
"$tool" current --tree=tree --json | jq -e '. == {current: "wednesday"}'

# none WHY: no checkpoint is current.
none ()
{
  local status=0
  "$tool" current --tree=tree >said 2>/dev/null || status=$?
  [ "$status" -eq 1 ] || fail "status $status: $(cat said)"
  grep -Eqx "none: $1" said || fail "it says: $(cat said)"
  ! "$tool" current --tree=tree --json >json 2>/dev/null || fail "status 0"
  jq -e --arg why "$1" '.current == null and (.why | test ($why))' json
}
document branch monday 4
none '2 checkpoints have no children: wednesday, branch'
"$tool" info wednesday --tree=tree | grep -E '^Current: +no$'
document branch '' 4
none '2 checkpoints have no children: wednesday, branch'
rm tree/branch.xml
document tuesday nowhere 2
none '2 checkpoints have no children: monday, wednesday'
rm tree/monday.xml              # one leaf, but something is missing
none "checkpoint 'tuesday': its parent 'nowhere' is missing.*"

# ── Bitmaps alone ──
guest_disk vda.qcow2 16M
status=0
"$tool" current --file=vda.qcow2 >said || status=$?
[ "$status" = 1 ] && grep -qx 'none: there is no checkpoint' said || fail "$(cat said)"
[ -z "$("$tool" list --name --file=vda.qcow2)" ] || fail "names without a bitmap"
qemu-img bitmap --add vda.qcow2 monday
[ "$("$tool" current --file=vda.qcow2)" = monday ] || fail "the only one is not"
"$tool" info monday --file=vda.qcow2 >info
diff -u - info <<'END'
Name:           monday
Domain:         -
Parent:         -
Children:       0
Descendants:    0
Current:        yes
Metadata:       no
Created:        -
Description:    -
Disks:          vda
END
qemu-img bitmap --add vda.qcow2 tuesday
status=0
"$tool" current --file=vda.qcow2 >said || status=$?
[ "$status" = 1 ] && grep -q 'none: 2 checkpoints have no children: monday, tuesday' \
  said || fail "$(cat said)"

# ── What is not there ──
for command in info parent; do
  tool_says 1 'no checkpoint sunday; known are: monday' \
    $command sunday --file=vda.qcow2
  tool_says 2 "$command of what" $command --file=vda.qcow2
done
tool_says 2 'given monday' current monday --file=vda.qcow2
