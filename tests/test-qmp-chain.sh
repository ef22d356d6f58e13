#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# As test-libvirt-chain.sh, with qmp=: a chain of backups of two disks.  Then: what the
# manual says is typed; all disks are of one instant; disks that have no record.
lab_of=qmp
. "$(dirname "$0")/test-libvirt-chain.sh"

# ── Looked at, all that could be had is listed; what is read begins a backup ──
lab_state web1 >before
serve "${source[@]}" -- '
  nbdinfo --list "$uri" >list
  ! "$python" -m nbd -u "nbd+unix:///vdb@monday?socket=$unixsocket" -c "h.pread (512, 0)"' 2>log
sed -n 's/^export="\(.*\)":$/\1/p' list | sort >names
for disk in vda vdb; do
  printf "$disk@%s\n" '' monday sunday thursday tuesday wednesday
done | diff -u - names || fail "other names are listed"
grep -q 'error: .*web1.sock.* no backup was begun, .* checkpoint=NAME' log \
  || fail "reading does not say what to type: $(cat log)"
lab_state web1 | diff -u before - || fail "the look left something"
refuses 'there is no checkpoint mondy; known are: .*monday' \
  "${source[@]}" checkpoint=mondy
refuses 'checkpoint monday cannot be made: .*web1.sock.* has one of that name' \
  "${source[@]}" create=monday
printed 'delete it with: '
[ "$printed" = "qemu-checkpoint delete --qmp=$PWD/web1.sock -- monday" ] || fail "$printed"
refuses '.*web1.sock.* has no disk vdz.*vda' "${source[@]}" disk=vdz create=x
lab_state web1 | diff -u before - || fail "a refusal left something"
guest_quit web1

# ── The manual's ──
rm -f ./*.qcow2 ./*.raw
guest_disk vda.qcow2
guest_disk vdb.qcow2
guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
# recipe NAME: the one after "=for test NAME", for this guest; with /run, or what is
# there for an ordinary user, as its folder.
recipe ()
{
  local text
  text=$(awk -v name="$1" '
    $0 == "=for test " name { on = 1; next }
    on && /^ / { print; seen = 1; next }
    seen { exit }' "$srcdir/docs/nbdkit-checkpoint-plugin.pod" \
    | sed 's,/run/web1.sock,web1.sock,')
  [ -n "$text" ] || fail "there is no recipe $1"
  type_it "$text" || fail "the recipe $1 fails"
  no_job web1 || fail "the recipe $1 leaves a job"
}
# same IMAGE: the guest is paused, so the disk is as it was when the job began.
same ()
{
  guest_write web1 vda flush
  qemu-img compare -U -F qcow2 -f qcow2 "$1" vda.qcow2 || fail "$1 is not the disk"
}
recipe qmp-full
same sunday.qcow2
guest_write web1 vda "write -P 2 1M 64k"
recipe qmp-incremental
same monday.qcow2
[ "$(allocated monday.qcow2)" = "1048576 65536" ] || fail "not an increment"

# ── Documents, too, once a client has come; with one for the first, the manual's ──
start_nbdkit n.sock "${source[@]}" tree=checkpoints create=nobody
stop_nbdkit
[ -z "$(ls checkpoints 2>/dev/null)" ] || fail "a document of a backup that nobody reads"
checkpoint_delete web1 monday
checkpoint_delete web1 sunday
serve "${source[@]}" tree=checkpoints disk=vda create=monday -- \
  'qemu-img convert -f raw -O qcow2 "$uri" monday.qcow2'
guest_write web1 vda "write -P 3 2M 64k"
recipe qmp-tree
same tuesday.qcow2
[ "$(allocated tuesday.qcow2)" = "2097152 65536" ] || fail "not an increment"
of=(--qmp=web1.sock --tree=checkpoints)
[ "$("$tool" list --name "${of[@]}" | xargs)" = "monday tuesday" ] || fail "$(ls checkpoints)"
[ "$("$tool" parent tuesday "${of[@]}")" = monday ] || fail "another parent"
is_ok "${of[@]}"
refuses 'delete it with: ' "${source[@]}" tree=checkpoints create=tuesday
type_printed 'delete it with: '
[ "$("$tool" list --name "${of[@]}" | xargs)" = monday ] || fail "not deleted"
guest_quit web1

# ── All disks are of one instant, with and without a record ──
truncate -s 8M vdc.raw
qemu-img create -q -f qcow2 -o compat=0.10 vdd.qcow2 8M
rm vda.qcow2 vdb.qcow2
guest_disk vda.qcow2 16M
guest_disk vdb.qcow2 16M
guest_define web1 vda.qcow2 vdb.qcow2 vdc.raw vdd.qcow2
guest_start web1
lab_state web1 >before
disks='vda vdb vdc vdd'
# write_all BYTE: the same to all disks, of which each copy must show all or nothing.
write_all ()
{
  local disk
  for disk in $disks; do guest_write web1 $disk "write -P $1 1M 128k"; done
}
# copies: of each export and of each whole disk, of which one byte is told.
copies ()
{
  local disk
  for disk in $disks; do
    for export in $disk $disk@; do
      qemu-img convert -f raw -O raw "nbd+unix:///$export?socket=n.sock" copy.raw
      [ "$(stat -c %s copy.raw)" -eq "$(qemu-img info -U --output=json $disk.[qr]* \
        | jq '."virtual-size"')" ] || fail "$export has another size"
      od -An -tu1 -j $((1024 * 1024 + 65536)) -N 1 copy.raw
    done
  done | tr -d ' ' | sort | uniq -c | xargs
}
write_all 11
start_nbdkit n.sock "${source[@]}" create=first
for disk in vdc vdd; do
  grep -q "error: disk $disk is copied whole, but checkpoint first does not record it, .*on-missing=full" \
    nbdkit.log || fail "it is not said that $disk will be missing: $(cat nbdkit.log)"
done
write_all 22
[ "$(copies)" = "8 11" ] || fail "not of one instant: $(copies)"
stop_nbdkit
write_all 33
rm nbdkit.log
start_nbdkit n.sock "${source[@]}" checkpoint=first on-missing=full
write_all 44
[ "$(copies)" = "8 33" ] || fail "not of one instant: $(copies)"
nbdinfo --list "nbd+unix:///?socket=n.sock" >list
for disk in vdc vdd; do
  grep -q "disk $disk.*served whole" list || fail "$(cat list)"
done
nbdinfo --map --json "nbd+unix:///vdb?socket=n.sock" \
  | jq -c '[.[] | select(.type == 0) | [.offset, .length]]' >dirty
[ "$(cat dirty)" = '[[1048576,131072]]' ] || fail "dirty is $(cat dirty)"
stop_nbdkit
for disk in vdc vdd; do
  refuses_export "NOT in this backup.*disk $disk" $disk \
    "${source[@]}" checkpoint=first
  refuses "disk $disk" "${source[@]}" checkpoint=first disk=$disk
done
refuses 'checkpoint other cannot be made: no disk in the backup is qcow2 of version 3.*on-missing=full alone' \
  "${source[@]}" create=other disk=vdc
serve "${source[@]}" on-missing=full disk=vdc -- 'nbdcopy "$uri" vdc.copy'
cmp vdc.raw vdc.copy

# A bitmap that is gone, of one of two.
qmp web1.see block-dirty-bitmap-remove '{"node": "b-node", "name": "first"}' >/dev/null
serve "${source[@]}" checkpoint=first -- '
  nbdinfo --map --json "nbd+unix:///vda?socket=$unixsocket" >map
  nbdinfo --list "$uri" >list' 2>log
jq -e '[.[] | select(.type == 0) | .offset] == [1048576]' map || fail "vda: $(cat map)"
grep -q 'NOT in this backup .*vdb' log || fail "$(cat log)"
grep -q 'NOT in this backup: disk .*vdb' list || fail "$(cat list)"
refuses_export 'NOT in this backup .on-missing=full serves it whole.: .*vdb' vdb \
  "${source[@]}" checkpoint=first
checkpoint_delete web1 first
lab_state web1 | diff -u before - || fail "something is left"
