# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced by libvirt-lab.sh and qemu-lab.sh: guests that boot a real Linux, which
# writes.

# guest_ext4_disk FILE [SIZE]: a qcow2 disk with an empty ext4 in it.
guest_ext4_disk ()
{
  requires mkfs.ext4
  truncate -s "${2:-64M}" "$lab/ext4.raw"
  mkfs.ext4 -q -F "$lab/ext4.raw"
  qemu-img convert -f raw -O qcow2 "$lab/ext4.raw" "$1"
  rm "$lab/ext4.raw"
}

# guest_boot NAME FILE…: defines and starts a real Linux, and waits until it
# writes to the ext4 on each of these disks; those that do not exist are made.
# It writes without pause: new files, overwritten ones, deleted ones, of at
# most 12 MiB a disk.  What it says is in NAME.console.
guest_boot ()
{
  local name=$1 file i
  shift
  for file; do
    [ -e "$file" ] || guest_ext4_disk "$file"
  done
  lab_kernel
  # libvirt may change the owner of what it boots, so that is our own.
  guest_initramfs "$lab/initramfs"
  guest_memory=160 \
  guest_os="<kernel>$lab/vmlinuz</kernel><initrd>$lab/initramfs</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check disks=$#</cmdline>" \
  guest_devices="<serial type='file'><source path='$tmpdir/$name.console'/></serial>
    $guest_devices" \
    guest_define "$name" "$@"
  virsh start "$name"
  for ((i = 0; i < 1200; i++)); do
    [ "$(guest_rounds "$name")" -eq 0 ] || return 0
    case $(virsh domstate "$name") in
      running*) ;;
      *) fail "guest $name stopped while it booted" ;;
    esac
    sleep 0.1
  done
  fail "guest $name does not write"
}

# guest_rounds NAME: how many rounds of writes, each of about 10 files to one
# disk and a sync, it has done; 0 until it has done one on every disk.
guest_rounds ()
{
  awk '/^lab: writes/ { w = 1 } /^lab: round/ { n++ } END { print w ? n + 0 : 0 }' \
    "$tmpdir/$1.console" 2>/dev/null || echo 0
}

# is_frozen NAME: it does not write.  Who had synced when it was frozen still says so.
is_frozen ()
{
  local rounds
  sleep 1
  rounds=$(guest_rounds "$1")
  sleep 1
  [ "$(guest_rounds "$1")" -eq "$rounds" ] || fail "the guest writes on"
}

# lab_kernel: sets $guest_modules, and copies the kernel to $lab/vmlinuz.
# It is the one that scripts/setup.sh has fetched, or else an installed one.
lab_kernel ()
{
  local dir version
  for dir in "$builddir" "$srcdir" "$srcdir/build"; do
    if [ -r "$dir/guest-kernel/vmlinuz" ]; then
      cp "$dir/guest-kernel/vmlinuz" "$lab/vmlinuz"
      guest_modules=$dir/guest-kernel/modules
      return
    fi
  done
  for dir in /boot/vmlinuz-*-cloud-amd64; do
    version=${dir#/boot/vmlinuz-}
    if [ -r "$dir" ] && [ -d "/lib/modules/$version/kernel" ]; then
      cp "$dir" "$lab/vmlinuz"
      guest_modules=/lib/modules/$version/kernel
      return
    fi
  done
  skip "there is no kernel for a guest; ./check fetches one"
}

# lab_agent: QEMU's agent for guests, as scripts/setup.sh has fetched it, and the
# libraries that it needs, for the next guest_initramfs.  It must not run here.
lab_agent ()
{
  local dir library
  for dir in "$builddir" "$srcdir" "$srcdir/build"; do
    [ ! -r "$dir/guest-agent/qemu-ga" ] || break
  done
  [ -r "$dir/guest-agent/qemu-ga" ] \
    || skip "there is no agent for a guest; ./check fetches one"
  mkdir -p "$lab/root/agent"
  cp "$dir/guest-agent/qemu-ga" "$lab/root/agent"
  for library in $(/lib64/ld-linux-x86-64.so.2 --list "$lab/root/agent/qemu-ga" \
    | grep -o '/[^ ]*'); do
    mkdir -p "$lab/root$(dirname "$library")"
    cp -L "$library" "$lab/root$library"
  done
  guest_module_names+=" virtio_console"
}

# guest_initramfs FILE: busybox, the modules of virtio disks, and what writes.
guest_initramfs ()
{
  local module file
  requires busybox
  mkdir -p "$lab/root/modules" "$lab/root/bin"
  cp "$(command -v busybox)" "$lab/root/bin/busybox"
  # In the order in which they need one another.  Some kernels have some of
  # them built in, and all have ext4.
  for module in $guest_module_names; do
    file=$(find "$guest_modules" -name "$module.ko*" | head -n 1)
    case $file in
      '') continue ;;
      *.xz) busybox xz -dc "$file" >"$lab/root/modules/$module.ko" ;;
      *) cp "$file" "$lab/root/modules/" ;;
    esac
  done
  cat >"$lab/root/init" <<'END'
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in @modules@; do
  [ ! -e /modules/$module.ko ] || insmod /modules/$module.ko
done
disks=$(sed 's/.*disks=//' /proc/cmdline)
export PATH=/bin

# Once there is something that it can freeze.
agent ()
{
  until [ -c /dev/vport*p1 ]; do sleep 0.1; done
  mkdir -p /var/run
  chmod 755 /agent/qemu-ga
  /agent/qemu-ga -v -p /dev/vport*p1 -t /tmp -f /tmp/agent.pid -l /dev/ttyS0
}

# writer DISK: the numbers differ from round to round, but the sum of the
# files' sizes is bounded.
writer ()
{
  cd /$1
  while :; do
    for op in 0 1 2 3 4 5 6 7 8 9; do
      file=f$((RANDOM % 40))
      case $((RANDOM % 6)) in
        0) rm -f $file ;;
        1) dd if=/dev/urandom of=$file bs=4096 seek=$((RANDOM % 60)) \
             count=$((1 + RANDOM % 8)) conv=notrunc ;;
        2) mkdir -p d$((RANDOM % 5)); date >d$((RANDOM % 5))/$file ;;
        *) dd if=/dev/urandom of=$file bs=1024 count=$((RANDOM % 256)) ;;
      esac
    done 2>/dev/null
    sync
    touch /tmp/$1
    echo "lab: round on $1"
  done
}

for disk in a b c d e f g h; do
  [ $disks -gt 0 ] || break
  disks=$((disks - 1))
  mkdir /vd$disk
  mount -t ext4 -o commit=1 /dev/vd$disk /vd$disk || {
    echo "lab: vd$disk cannot be mounted"
    poweroff -f
  }
  writer vd$disk &
  all="$all /tmp/vd$disk"
done
for file in $all; do
  until [ -e $file ]; do sleep 0.1; done
done
[ ! -e /agent ] || agent &
echo "lab: writes"
wait
END
  sed -i "s/@modules@/$guest_module_names/" "$lab/root/init"
  chmod 755 "$lab/root/init"
  (cd "$lab/root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$1"
}
guest_module_names="virtio_ring virtio virtio_pci_legacy_dev \
virtio_pci_modern_dev virtio_pci virtio_blk"
