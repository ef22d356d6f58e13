#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# files names exactly the files that a script has changed in a real Linux's ext4,
# and no other: while the guest runs, most of it in the journal only, and after it
# ended without being shut down.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"
requires debugfs
requires mke2fs
if ! ldd "$tool" | grep libext2fs >/dev/null; then skip "built without libext2fs"; fi

# ── A disk with a past ──
mkdir -p root/a root/b root/quiet root/data
for ((i = 0; i < 40; i++)); do
  echo "$i" >"root/quiet/$i"
  head -c $((i * 300)) /dev/urandom >"root/a/quiet-$i"
done
for name in a/log a/cut a/mode a/old a/gone a/linked a/read a/moved; do
  head -c 5000 /dev/urandom >"root/$name"
done
head -c 2M /dev/urandom >root/data/big
truncate -s 64M disk.raw
mke2fs -q -t ext4 -O metadata_csum,64bit -E lazy_itable_init=0 -d root disk.raw
# Their times are the past's, on whatever clock.
(cd root && find . -mindepth 1) | sed 's|^\.||' | while read -r name; do
  echo "sif \"$name\" ctime 20200101000000"
done >times
debugfs -w -f times disk.raw >/dev/null 2>&1
qemu-img convert -f raw -O qcow2 disk.raw vda.qcow2

# ── A guest that waits for a word, and then changes what is known ──
lab_kernel
guest_initramfs "$lab/unused"
cat >"$lab/root/init" <<END
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /disk
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in $guest_module_names; do
  [ ! -e /modules/\$module.ko ] || insmod /modules/\$module.ko
done
mount -t ext4 /dev/vda /disk
cd /disk
echo before >a/before
sync
# So that its own time is no neighbour's of the checkpoint's.
echo "lab: waits"
read word </dev/ttyS0
set -e
echo more >>a/log
dd if=/dev/urandom of=data/big bs=4096 seek=256 count=3 conv=notrunc 2>/dev/null
mkdir -p new/dir
dd if=/dev/urandom of=new/dir/created bs=1000 count=100 2>/dev/null
echo x >tiny
: >a/cut
chmod 600 a/mode
mv a/old b/renamed
rm a/gone
ln a/linked b/linked
ln -s \$(printf %0200d 7) b/symlink
dd if=/dev/urandom of=data/sparse bs=4096 seek=100000 count=1 2>/dev/null
cat a/read quiet/* >/dev/null
sync
echo "lab: changed"
read word </dev/ttyS0
END
(cd "$lab/root" && find . | busybox cpio -o -H newc 2>/dev/null) \
  >"$lab/initramfs"
qemu_runs=-no-reboot qemu_start q -m 160 \
  -drive file=vda.qcow2,format=qcow2,if=none,id=vda \
  -device virtio-blk-pci,drive=vda \
  -kernel "$lab/vmlinuz" -initrd "$lab/initramfs" -append "console=ttyS0 quiet \
panic=-1 mitigations=off nokaslr no_timer_check" \
  -chardev socket,id=serial,path=q.serial,server=on,wait=off,logfile=q.console \
  -serial chardev:serial
says () { grep -q "^lab: $1" q.console; }
wait_until 120 says waits
# The guest's clock is what it says of what it wrote last: the slack is 5 s.
wrote_at=$SECONDS
past () { [ $((SECONDS - wrote_at)) -gt 8 ]; }
wait_until 30 past
mkdir tree
"$tool" create monday --qmp=q.sock --tree=tree
echo go | socat -u - UNIX-CONNECT:q.serial
wait_until 60 says changed

# ── What is named ──
# names_exactly ARGS…
names_exactly ()
{
  bounded "$tool" files monday --tree=tree --json "$@" >files.json
  jq -r '.lines[] | select(.changed) | "\(.kind) \(.path)"' files.json \
    | sort >named
  sort <<'END' >expected
directory /
directory /a
directory /b
directory /data
directory /new
directory /new/dir
file /a/cut
file /a/linked
file /a/log
file /a/mode
file /b/renamed
file /data/big
file /data/sparse
file /new/dir/created
file /tiny
symlink /b/symlink
END
  diff -u expected named || { "$tool" files monday "$@"; fail "not exactly"; }
  # Each byte is in one line, and no time is unknown.
  jq -e '.notes == [] and .bytes == ([.lines[].bytes] | add) and
    ([.lines[] | select(.kind == "unknown" or
      (has("path") and .changed == null))] == [])' files.json \
    || { jq . files.json; fail "not all is known"; }
}

names_exactly --qmp=q.sock
qemu_end q
qemu-img convert -f qcow2 -O raw vda.qcow2 after.raw
dumpe2fs -h after.raw 2>/dev/null | grep needs_recovery >/dev/null \
  || fail "the journal is not needed"
names_exactly --file=vda.qcow2
bounded "$tool" files monday --tree=tree --file=vda.qcow2 | tee text
grep -q ' /new/dir/created$' text
grep -q ' /new/dir/$' text
grep -q '^Beside what was changed' text

# ── The bytes of each file, by what debugfs says of its blocks ──
e2fsck -fy -E journal_only after.raw >/dev/null 2>&1 || :
serve file=vda.qcow2 checkpoint=monday -- nbdinfo --map=base:allocation --json \
  '"$uri"' >map.json
"$python" "$srcdir/tests/files-truth.py" after.raw map.json files.json
