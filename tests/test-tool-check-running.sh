#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Of a guest of libvirt's that runs, and then is off, qemu-checkpoint check says of
# exactly those disks that they are usable since a checkpoint of which nbdkit's plugin
# makes a backup since it; and looking leaves nothing.
. "$(dirname "$0")/libvirt-lab.sh"

for disk in vda vdb; do guest_disk $disk.qcow2 16M; done
qemu-img create -q -f raw vdc.raw 1M
lab_start
guest_define web1 vda.qcow2 vdb.qcow2 vdc.raw
guest_start web1
of=(--libvirt="$connect" --domain=web1)

# agrees EXPECTED: "vda@c1 true", …
agrees ()
{
  local view disk
  lab_state web1 >before
  "$tool" check --json "${of[@]}" >json || [ $? -le 2 ]
  lab_state web1 | diff before - || fail "the look left something"
  jq -r '.views[] | "\(.disk)@\(.checkpoint) \(.usable)"' json | sort >said
  diff <(sort) said || { cat json; fail "another word on them"; }
  while read -r view usable; do
    disk=${view%@*}
    if serve libvirt="$connect" domain=web1 checkpoint="${view#*@}" disk="$disk" \
        -- true 2>log; then
      [ $usable = true ] || fail "$view can be had, and check says it cannot"
    else
      [ $usable = false ] || fail "$view cannot be had: $(cat log)"
    fi
  done <said
}
remove_bitmap ()
{
  local node
  node=$(lab_qmp web1 query-named-block-nodes '{"flat": true}' | jq -r --arg \
    file "$tmpdir/$1" '.[] | select(.drv == "qcow2" and .file == $file)
                       | ."node-name"')
  lab_qmp web1 block-dirty-bitmap-remove "{\"node\": \"$node\", \"name\": \"$2\"}"
}

disks=(--diskspec vda --diskspec vdb --diskspec vdc,checkpoint=no)
virsh checkpoint-create-as web1 c1 "${disks[@]}"
virsh checkpoint-create-as web1 c2 --diskspec vda --diskspec vdb,checkpoint=no \
  --diskspec vdc,checkpoint=no
virsh checkpoint-create-as web1 c3 "${disks[@]}"
guest_write web1 vda "write -P 2 1M 64k"
agrees <<'END'
vda@c1 true
vda@c2 true
vda@c3 true
vdb@c1 true
vdb@c3 true
END
jq -e '.findings[] | select(.code == "disk-not-covered").disks == ["vdc"]' json

# A bitmap is gone; after a snapshot one of the lower layer is.
remove_bitmap vdb.qcow2 c3
virsh snapshot-create-as web1 s1 --disk-only --no-metadata \
  --diskspec vda,file="$tmpdir/vda.s1.qcow2" --diskspec vdb,file="$tmpdir/vdb.s1.qcow2" \
  --diskspec vdc,snapshot=no
guest_write web1 vda "write -P 3 2M 64k"
remove_bitmap vda.s1.qcow2 c2
agrees <<'END'
vda@c1 true
vda@c2 false
vda@c3 true
vdb@c1 true
vdb@c3 false
END
jq -e '[.findings[] | select(.code == "broken-record") | .checkpoints[]] == ["c2", "c3"]' \
  json

# Off, more can be had: what libvirt would not take, since a layer lacks it.
guest_destroy web1
nbdkit_options=(--filter="$filter")
agrees <<'END'
vda@c1 true
vda@c2 true
vda@c3 true
vdb@c1 true
vdb@c3 false
END
finds chain-gap "${of[@]}"
jq -e '.checkpoints == ["c2"]' found
finds checkpoint-without-bitmap "${of[@]}"
mends checkpoint-without-bitmap "${of[@]}"
mends chain-gap "${of[@]}"
is_ok "${of[@]}"
[ "$(virsh checkpoint-list web1 --name | sort | paste -sd' ')" = "c1 c3" ] \
  || fail "not c2 alone is gone"
guest_start web1
nbdkit_options=()
agrees <<'END'
vda@c1 true
vda@c3 true
vdb@c1 true
END
# A disk that the guest has no more.
guest_destroy web1
virsh detach-disk web1 vdb --config
finds disk-not-there "${of[@]}"
[ $checked -eq 0 ] || fail "status $checked"
guest_start web1
finds disk-not-there "${of[@]}"
"$tool" check --libvirt="$connect" --domain=none >said && fail "there is no such guest"
grep -q '^CHECKPOINTS UNKNOWN - there is no guest none' said || fail "$(cat said)"
