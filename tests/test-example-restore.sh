#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# examples/restore-guest: the whole guest with its NVRAM, beside the first or instead
# of it, started if told; one disk; one file, of a partition and of a whole disk; at a
# time, at a backup's name, or the latest.  Nothing is written over.  And what
# examples/backup-guest estimates, leaves out and copies of raw disks.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/example-lab.sh"
requires mkfs.ext4
requires debugfs
requires sfdisk

# vda has an ext4 in its second partition, vdb is one, vdc is raw, vdd is read-only.
truncate -s 8M vdb.img
mkfs.ext4 -q -F vdb.img
echo 'this is monday' >hello
debugfs -w -R 'write hello hello.txt' vdb.img 2>/dev/null
truncate -s 16M vda.img
printf 'label: dos\nstart=2048, size=2048\nstart=8192, size=16384\n' | sfdisk -q vda.img
dd if=vdb.img of=vda.img bs=512 seek=8192 conv=notrunc status=none
for disk in vda vdb; do
  qemu-img convert -f raw -O qcow2 $disk.img $disk.qcow2
  model[$disk]=$tmpdir/$disk.img
done
qemu-img create -q -f raw vdc.raw 4M
qemu-io -f raw -c 'write -q -P 5 1M 64k' vdc.raw
cp vdc.raw vdc.img
model[vdc]=$tmpdir/vdc.img
qemu-img create -q -f qcow2 vdd.qcow2 4M
qemu-img create -q -f qcow2 vde.qcow2 4M
echo 'its variables' >vars.fd
echo loader >loader.fd

lab_start
guest_define web1 vda.qcow2 vdb.qcow2 vdc.raw vdd.qcow2 vde.qcow2
virsh dumpxml web1 --inactive >web1.xml
sed -i "s,<target dev='vdd'.*,&<readonly/>,; s,</os>,<loader readonly='yes' type='pflash'>$tmpdir/loader.fd</loader><nvram>$tmpdir/vars.fd</nvram></os>," web1.xml
virsh define web1.xml

estimate ()
{
  bash "$srcdir/examples/backup-guest" --dry-run web1 "$kept" >printed 2>&1 \
    || fail "--dry-run: $(cat printed)"
  cat printed
  grep -Eq "$1" printed || fail "it does not tell $1"
}
# What others have a checkpoint for is no less to be copied.
"$tool" create theirs --disk=vda --libvirt="$connect" --domain=web1
estimate 'the next backup is full'
grep -Eq '^ ?vda +16\.000 MiB' printed || fail "it does not tell how much: $(cat printed)"
! grep theirs printed || fail "it is no backup of ours"
"$tool" delete theirs --libvirt="$connect" --domain=web1
[ ! -e "$kept" ] || fail "--dry-run made a folder"
# cron's PATH may lack a program; that is said before anything is made.
mkdir few
for name in bash env tee tail head xargs grep date cat sed; do ln -s "$(command -v $name)" few; done
status=0
PATH=$PWD/few bash "$srcdir/examples/backup-guest" web1 "$kept" >printed 2>&1 || status=$?
cat printed
[ $status -eq 2 ] && grep -q "^BACKUP CRITICAL - web1, .*: no backup: a program is not found in $PWD/few" printed \
  || fail "status $status without programs"
[ ! -e "$kept" ] || fail "it made a folder"
[ -z "$(virsh checkpoint-list web1 --name | grep .)" ] || fail "--dry-run made a checkpoint"

day 1
export EXCLUDE=vde
backup 0 'vda full [0-9]+, vdb full [0-9]+, vdc full [0-9]+, [0-9]+ bytes in '
first=$point
[ ! -e "$kept/$first/vde.qcow2" ] && [ ! -e "$kept/$first/vdd.qcow2" ] || fail "left out"
cmp vars.fd "$kept/$first/nvram"
[ -z "$(find "$kept" -perm /077)" ] || fail "others may read it"
echo 'this is tuesday, and longer' >hello
debugfs -w -R 'rm hello.txt' vdb.img 2>/dev/null
debugfs -w -R 'write hello hello.txt' vdb.img 2>/dev/null
dd if=vdb.img of=vda.img bs=512 seek=8192 conv=notrunc status=none
for disk in vda vdb; do
  qemu-nbd -f qcow2 -k "$tmpdir/nbd.sock" --fork --pid-file=nbd.pid $disk.qcow2
  nbdcopy $disk.img "nbd+unix:///?socket=$tmpdir/nbd.sock"
  pid=$(cat nbd.pid)
  kill "$pid" 2>/dev/null || :
  wait_until 20 has_ended "$pid"
done
qemu-io -f raw -c 'write -q -P 6 2M 64k' vdc.raw
cp vdc.raw vdc.img
estimate "^$first +vda +[0-9]"
estimate "^$first +vdb +[0-9]"
day 2
backup 0 'vda increment [0-9]+, vdb increment [0-9]+, vdc full [0-9]+, [0-9]+ bytes in '
second=$point

# restore STATUS REGEX ARGS…
restore ()
{
  local expected=$1 regex=$2 status=0
  shift 2
  bash "$srcdir/examples/restore-guest" "$@" >printed 2>&1 || status=$?
  cat printed
  [ $status = "$expected" ] || fail "restore-guest $*: status $status"
  grep -Eq "$regex" printed || fail "restore-guest $*: not '$regex'"
}
restore 0 "^$first: vda vdb vdc$" "$kept"
restore 2 usage
restore 2 'no option --nmae' --nmae=x "$kept" latest out
for option in name disk file partition; do
  restore 2 "^restore-guest: --$option= has no value$" --$option= "$kept" latest out
done
for folder in "$kept/none" "$kept/$first" ""; do
  restore 2 "^restore-guest: there are no backups in $folder; name the folder" "$folder" latest out
  [ "$(grep -c . printed)" = 1 ] || fail "more than a line"
done
restore 2 'no backup of 2027-03-01 01:00Z' "$kept" '2027-03-01 01:00Z' out
restore 2 'no backup of backup-2027; there are: backup-20270301T020100Z backup-' "$kept" backup-2027 out
restore 2 'no backup of backup-20270301T030000Z' "$kept" backup-20270301T030000Z out
[ ! -e out ] || fail "it made a folder"

# ── The whole guest, beside the first ──
restore 2 'libvirt has that guest, .*--name=' "$kept" latest out
[ -z "$(find out -type f)" ] || fail "it left something"
restore 0 "vde is not in this backup, and left out" --name=web2 "$kept" '2027-03-01 12:00Z' out
for disk in vda vdb vdc; do
  qemu-img compare -q -f raw -F qcow2 "truth/$first.$disk.raw" out/$disk.qcow2 || fail "$disk"
done
cmp out/nvram vars.fd
virsh dumpxml web2 >web2.xml
[ "$(virsh domblklist web2 | awk '{ print $1, $2 }' | xargs)" \
  = "vda $tmpdir/out/vda.qcow2 vdb $tmpdir/out/vdb.qcow2 vdc $tmpdir/out/vdc.qcow2 vdd $tmpdir/vdd.qcow2" ] \
  || fail "its disks: $(virsh domblklist web2)"
grep -Eq "<nvram( format='raw')?>$tmpdir/out/nvram</nvram>" web2.xml || fail "its NVRAM: $(cat web2.xml)"
[ "$(grep -c "<driver name='qemu' type='qcow2' discard='unmap'/>" web2.xml)" = 4 ] \
  || fail "its drivers: $(cat web2.xml)"
[ "$(virsh domuuid web2)" != "$(virsh domuuid web1)" ] || fail "its UUID"
guest_is_off web2 || fail "it was started"
restore 2 'libvirt has a guest web2' --name=web2 "$kept" latest out2
restore 2 'out/vda.qcow2 is there already' --name=web3 "$kept" latest out
qemu-img compare -q -f raw -F qcow2 "truth/$first.vda.raw" out/vda.qcow2 || fail "written over"
[ "$(virsh list --all --name | sort | xargs)" = "web1 web2" ] || fail "defined"

# ── One disk ──
restore 0 '^/.*/one/vda.qcow2$' --disk=vda "$kept" latest one
[ "$(ls -A one)" = vda.qcow2 ] || fail "$(ls -A one)"
qemu-img compare -q -f raw -F qcow2 "truth/$second.vda.raw" one/vda.qcow2 || fail "vda"
restore 2 'one/vda.qcow2 is there already' --disk=vda "$kept" latest one
restore 2 'there is no disk vde in ' --disk=vde "$kept" latest one

# ── One file ──
restore 2 'needs the --disk=' --file=/hello.txt "$kept" latest one
restore 0 'one/hello.txt$' --file=/hello.txt --disk=vdb "$kept" latest one
cmp hello one/hello.txt
restore 2 'one/hello.txt is there already' --file=/hello.txt --disk=vdb "$kept" latest one
cmp hello one/hello.txt
restore 0 '' --file=/hello.txt --disk=vda --partition=2 "$kept" "$first" monday
[ "$(cat monday/hello.txt)" = 'this is monday' ] || fail "$(cat monday/hello.txt)"
restore 1 'gone.txt' --file=/gone.txt --disk=vdb "$kept" latest one
[ "$(ls -A one | xargs)" = "hello.txt vda.qcow2" ] || fail "left: $(ls -A one)"

# ── Instead of it, and started ──
virsh undefine web1 --checkpoints-metadata --keep-nvram
rm vda.qcow2 vdb.qcow2 vdc.raw vars.fd
sed -i '/<loader/d; /<nvram/d' "$kept/$second/domain.xml"
restore 0 "web1.* started" --start "$kept" "$second" instead
[[ $(virsh domstate web1) == running* ]] || fail "it does not run"
[ "$(virsh domuuid web1)" = "$(sed -n 's,.*<uuid>\(.*\)</uuid>.*,\1,p' web1.xml)" ] || fail "its UUID"
virsh destroy web1
for disk in vda vdb vdc; do
  qemu-img compare -q -f raw -F qcow2 "truth/$second.$disk.raw" instead/$disk.qcow2 || fail "$disk"
done

# Its backups go on in the same folder: with a full one, as nothing is recorded.
virsh destroy web1 2>/dev/null || :
day 3
backup 0 'vda full .*vdb full .*vdc full .* 3 backups kept'
changes
day 4
backup 0 'vda increment .*vdb increment .*vdc increment .* 4 backups kept'
rm -r out
restored "$point"
