#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint with --libvirt: of a guest that runs and of one that is off it says
# what virsh says, and begins nothing; libvirt's own folder of documents, read
# without libvirt, gives the same.
. "$(dirname "$0")/libvirt-lab.sh"
export TZ=UTC

guest_disk vda.qcow2
guest_disk vdb.qcow2
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
of=(--libvirt="$connect" --domain=web1)
[ -z "$("$tool" list "${of[@]}" --name)" ] || fail "names without a checkpoint"
! "$tool" current "${of[@]}" >said || fail "there is none"
grep -qx 'none: there is no checkpoint' said

virsh checkpoint-create-as web1 monday 'a & b'
guest_write web1 vda "write -P 2 1M 64k"
virsh checkpoint-create-as web1 Tuesday --diskspec vda --diskspec vdb,checkpoint=no
guest_write web1 vda "write -P 3 2M 128k"
guest_write web1 vdb "write -P 3 2M 64k"
virsh checkpoint-create-as web1 wednesday
# Another branch, which has the bitmaps of wednesday: libvirt does not mind.
virsh checkpoint-dumpxml web1 wednesday \
  | sed 's/<name>wednesday/<name>branch/; s/<name>Tuesday/<name>monday/' >branch.xml
virsh checkpoint-create web1 branch.xml --redefine

# same WORDS… : as virsh's checkpoint-list; and without libvirt, from its folder.
same ()
{
  virsh checkpoint-list web1 "$@" >want
  "$tool" list "${of[@]}" "$@" | diff -u want - || fail "list $*"
  "$tool" list --tree="$documents" "$@" | diff -u want - \
    || fail "list $* of libvirt's folder"
}
documents=/var/lib/libvirt/qemu/checkpoint/web1
[ "$connect" = qemu:///system ] \
  || documents=$XDG_CONFIG_HOME/libvirt/qemu/checkpoint/web1
all_the_same ()
{
  local words name
  for words in --name --tree '--name --roots' '--name --leaves' \
      '--name --no-leaves' '--name --from monday' '--tree --from Tuesday' \
      '--name --from monday --descendants'; do
    # shellcheck disable=SC2086
    same $words
  done
  for name in monday Tuesday wednesday branch; do
    for words in '' --no-domain --security-info '--no-domain --security-info'; do
      # shellcheck disable=SC2086
      virsh checkpoint-dumpxml web1 $name $words >want
      # shellcheck disable=SC2086
      "$tool" show $name $words "${of[@]}" >got
      # virsh ends with a line break of its own.
      diff -u <(sed -e '$a\' want) <(sed -e '$a\' got) \
        || fail "show $name $words"
    done
    virsh checkpoint-dumpxml web1 $name --no-domain >want
    "$tool" show $name --no-domain --tree="$documents" | diff -u want - \
      || fail "show $name of libvirt's folder"
    virsh checkpoint-info web1 $name | grep . | sort >want
    "$tool" info $name "${of[@]}" >info
    [ "$(sort info | comm -13 - want | wc -l)" -eq 0 ] \
      || fail "info $name: $(sort info | comm -13 - want)"
    virsh checkpoint-parent web1 $name >want 2>/dev/null || :
    "$tool" parent $name "${of[@]}" >got 2>/dev/null || :
    diff -u <(sed -e '$a\' want) got || fail "parent $name"
  done
}
lab_state web1 >before
all_the_same
! "$tool" current "${of[@]}" >said || fail "one is current"
grep -qx 'none: 2 checkpoints have no children: wednesday, branch' said \
  || fail "$(cat said)"
"$tool" list --json "${of[@]}" | jq -e '[.checkpoints[].name] ==
  ["branch", "monday", "Tuesday", "wednesday"]'
"$tool" show monday "${of[@]}" --json | jq -r .xml | grep '<name>web1</name>'

# ── Sizes of a guest that runs are libvirt's ──
virsh checkpoint-dumpxml web1 monday --size --no-domain >sized
grep -q "vda.*size='196608'" sized || fail "libvirt says: $(cat sized)"
"$tool" show monday --size --no-domain "${of[@]}" | diff -u sized - \
  || fail "another size"
"$tool" list --size "${of[@]}" >list
grep -Eq '^monday +2.* -$' list || fail "a size of a running guest: $(cat list)"
"$tool" list --size --json "${of[@]}" | jq -e \
  '.checkpoints[1].sizes[0].why | test ("the guest is running.*show --size")'
lab_state web1 | diff -u before - || fail "the look left something"
virsh domjobinfo web1 | grep -q 'Job type: *None' || fail "a job was begun"

# ── What is not there ──
tool_says 1 'no checkpoint sunday; known are: monday' show sunday "${of[@]}"
tool_says 2 'there is no guest web2 on .*; there are: web1' \
  list --libvirt="$connect" --domain=web2
tool_says 2 'with --libvirt the tree is libvirt' list "${of[@]}" --tree=.
tool_says 2 'leave out one of the two' list "${of[@]}" --file=vda.qcow2
tool_says 2 'libvirt at nothing:///system' list --libvirt=nothing:///system \
  --domain=web1
id=$(virsh domuuid web1 | tr -d '\n')
"$tool" list --libvirt="$connect" --domain="$id" --name | grep -x branch

# ── The same of one that is off; and sizes, which libvirt has not then ──
guest_destroy web1
md5sum vda.qcow2 vdb.qcow2 >sums
lab_state web1 >before
all_the_same
"$tool" list --size --json "${of[@]}" | jq -r '.checkpoints[] | "\(.name) \(.size) " +
  ([.sizes[] | "\(.target):\(.size)"] | join (" "))' >list
diff -u - list <<'END'
branch 0 vda:0 vdb:0
monday 262144 vda:196608 vdb:65536
Tuesday 131072 vda:131072
wednesday 0 vda:0 vdb:0
END
"$tool" show monday --size --no-domain "${of[@]}" >got
"$python" - got sized <<'END'
import sys, xml.etree.ElementTree as ET
got, want = (ET.tostring(ET.parse(path).getroot()) for path in sys.argv[1:])
assert got == want, (got, want)
END
"$tool" show monday --size "${of[@]}" | grep -q '<name>web1</name>'
md5sum -c --quiet sums || fail "an image was changed"
lab_state web1 | diff -u before - || fail "the look left something"

# Killed while libvirt is asked, it leaves no process.
for i in 1 2 3 4 5 6 7 8; do
  "$tool" list --size "${of[@]}" >/dev/null 2>&1 &
  pid=$!
  sleep 0.0$i
  kill -KILL $pid 2>/dev/null || :
  wait $pid 2>/dev/null || :
done
wait_until 10 no_keeper
leaves_nothing

# An image that cannot be read does not hide the checkpoints.
mv vda.qcow2 away.qcow2
"$tool" list --size "${of[@]}" >list
grep -Eq '^monday +2.* -$' list || fail "$(cat list)"
"$tool" list --size --json "${of[@]}" \
  | jq -e '.checkpoints[1].sizes[0].why | test ("vda.qcow2.*No such file")'
leaves_nothing
wait_until 10 no_keeper
