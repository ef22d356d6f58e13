#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint --libvirt, and what is killed meanwhile: the tool, libvirtd, the
# guest's QEMU.  A call that is begun is finished, or not made; nothing of ours stays.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/held-calls.sh"

guest_disk vda.qcow2 8M
guest_disk vdb.qcow2 8M
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
of=(--libvirt="$connect" --domain=web1)

# are NAME…: web1's checkpoints, parents first.
are ()
{
  [ "$(virsh checkpoint-list web1 --name --topological | grep . | paste -sd ' ')" = "$*" ] \
    || fail "other checkpoints: $(virsh checkpoint-list web1 --name)"
}
# have NAME…: both images have these bitmaps, sound ones, and no others; $of_qemu: as
# its QEMU says.
have ()
{
  local disk name
  for disk in vda vdb; do
    if [ "$(virsh domstate web1 | head -n 1)" = running ] \
        || [ "$(virsh domstate web1 | head -n 1)" = paused ]; then
      lab_qmp web1 query-named-block-nodes '{"flat": true}' | jq -r ".[]
        | select(.drv == \"qcow2\" and (.file | endswith(\"$disk.qcow2\")))
        | .\"dirty-bitmaps\"[]? | select(.inconsistent | not) | .name"
    else
      qemu-img info --output=json $disk.qcow2 | jq -r '
        ."format-specific".data.bitmaps[]? | select(.flags == ["auto"]) | .name'
    fi | sort >got
    for name; do echo "$name"; done | sort | diff -u - got || fail "bitmaps of $disk"
  done
}
kill_tool ()
{
  kill -KILL "$tool_pid"
  wait "$tool_pid" || :
}
nothing_is_left ()
{
  wait_until 10 no_keeper
  leaves_nothing
}

# ── The tool: what libvirt is asked for is done ──
hold create create a "${of[@]}"
kill_tool
are
go_on
nothing_is_left
are a
have a
for name in b c d; do virsh checkpoint-create-as web1 $name; done
hold deleted delete b --children "${of[@]}"
kill_tool
go_on
nothing_is_left
are a
have a
# Killed at any instant, it has made it or not.
for i in 1 2 3 4 5 6; do
  "$tool" create r$i "${of[@]}" >/dev/null 2>&1 &
  pid=$!
  sleep 0.0$i
  kill -KILL $pid 2>/dev/null || :
  wait $pid 2>/dev/null || :
  wait_until 10 no_keeper
  # shellcheck disable=SC2046
  have $(virsh checkpoint-list web1 --name)
  ! virsh checkpoint-info web1 r$i >/dev/null 2>&1 || "$tool" delete r$i "${of[@]}"
done
are a

# ── libvirtd, before it has heard of it ──
for command in create delete; do
  name=a
  [ $command = delete ] || name=b
  hold $command $command $name "${of[@]}"
  lab_kill
  go_on
  ended 2 'whether it was done is not known; to see, type virsh .*checkpoint-list web1'
  nothing_is_left
  lab_daemon
  are a
  have a
  sed -i "s|^|x |" held.said
  type_printed 'to see, type ' '' held.said | grep -w a
done
"$tool" create b "${of[@]}"
are a b

# ── QEMU ──
hold create create c "${of[@]}"
kill -KILL "$(guest_pid web1)"
go_on
ended 2 'guest web1: '
wait_until 20 guest_is_off web1
nothing_is_left
are a b
# What it had not saved is lost, as check tells.
have
! "$tool" check "${of[@]}" >found || fail "all is well: $(cat found)"
grep -q 'bitmap.* a\b' found || fail "$(cat found)"
tool_says 2 'its bitmap a is in no layer of disk vda' delete a "${of[@]}"
"$tool" delete a --children --metadata "${of[@]}"
are
"$tool" create a "${of[@]}"
guest_start web1
virsh checkpoint-create-as web1 b
hold delete delete b "${of[@]}"
kill -KILL "$(guest_pid web1)"
go_on
ended 2 'guest web1: '
wait_until 20 guest_is_off web1
nothing_is_left
are a b
# a was in the image when QEMU opened it, and is not to be trusted any more.
! "$tool" check "${of[@]}" >found || fail "all is well: $(cat found)"
grep -q 'a .*inconsistent' found || fail "$(cat found)"
for image in vda vdb; do qemu-img bitmap --remove $image.qcow2 a; done
"$tool" delete a --children --metadata "${of[@]}"

# ── A guest that is off: its bitmaps are made, and then its document is kept ──
have
hold create create a "${of[@]}"
kill_tool
go_on
nothing_is_left
are a
have a
hold create create b "${of[@]}"
lab_kill
go_on
ended 2 'whether it was done is not known'
nothing_is_left
lab_daemon
are a
have a
# It cannot be started just then.
hold create create b "${of[@]}"
! guest_start web1 || fail "started while its images were changed"
go_on
ended 0 'checkpoint b created'
guest_start web1
are a b
have a b
virsh checkpoint-dumpxml web1 b >b.xml
virsh checkpoint-create web1 b.xml --redefine --redefine-validate
guest_destroy web1
# It was started after it was looked at.
for words in 'create c' 'delete b'; do
  # shellcheck disable=SC2086
  hold looked $words "${of[@]}"
  guest_start web1
  go_on
  ended 2 'the guest runs.*if it was started just now, type the same again'
  are a b
  have a b
  guest_destroy web1
done
nothing_is_left
