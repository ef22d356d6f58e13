#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint redefine and edit --libvirt, of a guest that runs and of one that is
# off: what libvirt has forgotten it knows again as it was, and its bitmaps are good.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2 8M
lab_start
guest_define web1 vda.qcow2
guest_start web1
of=(--libvirt="$connect" --domain=web1)
names=(one two three four)
for name in "${names[@]}"; do virsh checkpoint-create-as web1 $name "of $name"; done
guest_write web1 vda 'write -P 2 1M 64k'
all ()
{
  local name
  for name in "${names[@]}"; do virsh checkpoint-dumpxml web1 $name; done
}
for name in "${names[@]}"; do virsh checkpoint-dumpxml web1 $name >$name.xml; done
all >want

for state in running off; do
  [ $state = running ] || guest_destroy web1
  "$tool" delete one --children --metadata "${of[@]}"
  [ -z "$(virsh checkpoint-list web1 --name | tr -d '\n')" ] || fail "some are left"
  # In no order that means anything.
  "$tool" redefine three.xml one.xml four.xml two.xml --validate "${of[@]}"
  all | diff -u want - || fail "$state: other documents"
  # With the parent that is missing, none is kept.
  "$tool" delete one --children --metadata "${of[@]}"
  tool_says 2 'parent two' redefine three.xml one.xml four.xml "${of[@]}"
  [ -z "$(virsh checkpoint-list web1 --name | tr -d '\n')" ] || fail "some were kept"
  "$tool" redefine ./*.xml "${of[@]}"
  # Of another guest.
  sed 's,<uuid>.*</uuid>,<uuid>11111111-2222-3333-4444-555555555555</uuid>,' \
    two.xml >foreign
  tool_says 2 'must use uuid' redefine one.xml foreign "${of[@]}"

  # Children, and who is current, stay.
  "$tool" edit two "${of[@]}" --description="edited while $state"
  virsh checkpoint-dumpxml web1 two | grep "edited while $state"
  virsh checkpoint-create web1 two.xml --redefine
  all | diff -u want - || fail "$state: edit changed others"
  "$tool" create five "${of[@]}"
  [ "$(virsh checkpoint-parent web1 five | tr -d '\n')" = four ] || fail "four is not current"
  "$tool" delete five "${of[@]}"
done
guest_start web1
virsh checkpoint-dumpxml web1 one --size --no-domain | grep "size='65536'" \
  || fail "the record is lost"

# One whose bitmap is lost.
"$tool" delete two --metadata "${of[@]}"
node=$(lab_qmp web1 query-named-block-nodes '{"flat": true}' \
  | jq -r '.[] | select([."dirty-bitmaps"[]?.name] | index ("two")) | ."node-name"')
virsh qemu-monitor-command web1 "{\"execute\": \"block-dirty-bitmap-remove\",
  \"arguments\": {\"node\": \"$node\", \"name\": \"two\"}}"
tool_says 2 "two.xml .*missing or broken bitmap 'two' for disk 'vda'; make a full backup, with a new checkpoint" \
  redefine two.xml --validate "${of[@]}"
! virsh checkpoint-info web1 two || fail "it is known"
