#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint delete --libvirt, of a guest that runs, with each flag; and where a
# bitmap is lost, which is refused with what to type: nothing is half done then, and
# libvirtd lives (which it does not with virsh checkpoint-delete --children).
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2 8M
lab_start
guest_define web1 vda.qcow2
guest_start web1
of=(--libvirt="$connect" --domain=web1)

# A chain a … h, with a snapshot after d.
for name in a b c d; do virsh checkpoint-create-as web1 $name; done
virsh snapshot-create-as web1 --disk-only --no-metadata \
  --diskspec "vda,file=$PWD/top.qcow2"
for name in e f g h; do virsh checkpoint-create-as web1 $name; done

# is_chain NAME…: those are there, each the parent of the next, and the newest file has
# their bitmaps (and $also).
also=
is_chain ()
{
  local parent=
  virsh checkpoint-list web1 --topological --name | grep . >names || :
  printf '%s\n' "$@" | diff -u - names || fail "other checkpoints"
  for name; do
    [ "$(virsh checkpoint-parent web1 "$name" 2>/dev/null | tr -d '\n')" = "$parent" ] \
      || fail "the parent of $name is not $parent"
    parent=$name
  done
  # shellcheck disable=SC2086
  printf '%s\n' "$@" $also | sort >want
  lab_qmp web1 query-named-block-nodes '{"flat": true}' | jq -r '.[]
    | select(.drv == "qcow2" and (.file | endswith("top.qcow2")))
    | ."dirty-bitmaps"[].name' | sort | diff -u want - || fail "other bitmaps"
}
is_chain a b c d e f g h
"$tool" delete b "${of[@]}"
is_chain a c d e f g h
# All layers.
! lab_qmp web1 query-named-block-nodes '{"flat": true}' \
  | jq -r '.[]."dirty-bitmaps"[]?.name' | grep -x b || fail "b is left"
"$tool" delete g --children "${of[@]}"
is_chain a c d e f
"$tool" delete e --children-only "${of[@]}"
is_chain a c d e
# What comes next is below what is left.
virsh checkpoint-create-as web1 i
is_chain a c d e i
also=d
"$tool" delete d --metadata "${of[@]}"
is_chain a c e i
"$tool" delete a "${of[@]}"
is_chain c e i
tool_says 1 'no checkpoint zz; known are: ' delete zz "${of[@]}"
tool_says 2 'children' delete c --children --children-only "${of[@]}"
is_chain c e i

# ── A bitmap that is lost ──
lose ()
{
  local node
  for node in $(lab_qmp web1 query-named-block-nodes '{"flat": true}' | jq -r ".[]
    | select([.\"dirty-bitmaps\"[]?.name] | index(\"$1\")) | .\"node-name\""); do
    virsh qemu-monitor-command web1 "{\"execute\": \"block-dirty-bitmap-remove\",
      \"arguments\": {\"node\": \"$node\", \"name\": \"$1\"}}"
  done
}
lose e
virsh checkpoint-create-as web1 j
lab_state web1 >before
tool_says 2 "guest web1: .*bitmap 'e' not found in backing chain of 'vda'; .*type: qemu-checkpoint delete --metadata" \
  delete e "${of[@]}"
lab_state web1 | diff -u before - || fail "it changed something"
[ "$(virsh checkpoint-parent web1 i | tr -d '\n')" = e ] || fail "e lost its child"
# Several: those below it go, and that is said.
tool_says 2 "bitmap 'e' not found in .*; deleted before that: j, i; .*--metadata" \
  delete c --children "${of[@]}"
[ "$(virsh checkpoint-list web1 --topological --name | grep . | paste -sd ' ')" = 'c e' ] \
  || fail "others are left"
virsh checkpoint-list web1 --from c --descendants
sed -i "s|type: qemu-checkpoint|type: '$tool'|" refused.log
type_printed 'type: ' ''
is_chain c
"$tool" delete c "${of[@]}"
[ -z "$(virsh checkpoint-list web1 --name | tr -d '\n')" ] || fail "c is left"

# ── A legacy chain, which libvirt does not merge any more ──
virsh destroy web1
document ()
{
  cat >doc.xml <<END
<domaincheckpoint><name>$1</name>${2:+<parent><name>$2</name></parent>}
<creationTime>1</creationTime>
<disks><disk name='vda' checkpoint='bitmap'/></disks></domaincheckpoint>
END
  virsh checkpoint-create --redefine web1 doc.xml
}
before=
for name in x y z; do
  [ -z "$before" ] || qemu-img bitmap --disable top.qcow2 $before
  qemu-img bitmap --add top.qcow2 $name
  document $name $before
  before=$name
done
guest_start web1
virsh checkpoint-list web1 --topological --name >before
for name in y z; do
  tool_says 2 "older checkpoint [xy] may need what $name recorded.*stop the guest" \
    delete $name "${of[@]}"
done
tool_says 2 'older checkpoint x may need' delete x --children-only "${of[@]}"
virsh checkpoint-list web1 --topological --name | diff -u before -
for name in y w; do
  tool_says 2 'older checkpoint x may need' delete $name --leftovers "${of[@]}"
done
# Nor is that typed.
{ "$tool" check --json "${of[@]}" || :; } >found.json
[ "$(jq -r '.findings[] | select(.command) | .checkpoints | join (" ")' found.json)" \
  = x ] || { jq . found.json; fail "what x may need would go"; }
virsh destroy web1
"$tool" delete y "${of[@]}"
"$tool" list --size "${of[@]}" | grep '^x .*  0 B$' || fail "x is lost"
guest_start web1
# Nothing older needs these.
"$tool" delete x --children "${of[@]}" 2>log || cat log
