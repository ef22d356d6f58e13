#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# scripts/apparmor.sh: does apparmor/nbdkit-checkpoint allow what it must, and
# no more?  libvirt's own profile of this Debian, with our file and without it,
# is enforced by a real kernel in a small virtual machine, in which a program
# with the name and the user of QEMU makes sockets.

set -eu -o pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
. "$source/scripts/setup.sh"
tmpdir=$(mktemp -d)
trap 'rm -rf "$tmpdir"' EXIT

fail () { echo "FAILED: $*" >&2; exit 1; }

install_packages apparmor busybox-static qemu-system-x86 socat
guest_kernel "$source/build/guest-kernel"
cd "$tmpdir"

# Where the abstractions of libvirt are depends on the release.
for package in libvirt-daemon-system libvirt-daemon-driver-qemu; do
  apt-get -q download "$package" >>log 2>&1 || { cat log >&2; exit 1; }
  dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x --wildcards \
    './etc/apparmor.d/*' 2>/dev/null || :
done
[ -s etc/apparmor.d/abstractions/libvirt-qemu ] || fail "libvirt has no profile"

# profile NAME: as libvirt has one for each guest, compiled for the kernel; with
# what /etc/apparmor.d/local is told on Debian 12 if $1 is "with".
profile ()
{
  local all=$1 root=$1.d
  mkdir "$root"
  cp -r /etc/apparmor.d/* etc/apparmor.d/* "$root"
  mkdir -p "$root/abstractions/libvirt-qemu.d" "$root/local/abstractions"
  : >"$root/local/abstractions/libvirt-qemu"
  [ "$all" != with ] || {
    cp "$source/apparmor/nbdkit-checkpoint" "$root/abstractions/libvirt-qemu.d"
    grep -q libvirt-qemu.d "$root/abstractions/libvirt-qemu" \
      || sed -n "s/^#   echo '\(include.*\)' .*/\1/p" \
        "$source/apparmor/nbdkit-checkpoint" \
        >"$root/local/abstractions/libvirt-qemu"
  }
  sed "s/LIBVIRT_TEMPLATE/guest-$all/" "$root/libvirt/TEMPLATE.qemu" \
    >"$root/libvirt/guest"
  apparmor_parser --skip-kernel-load --skip-cache --base "$root" \
    --features-file /usr/share/apparmor-features/features \
    --ofile "$all.bin" "$root/libvirt/guest" 2>log || { cat log >&2; exit 1; }
}
profile with
profile without

# What plays QEMU is socat: it makes a socket, listens, answers, removes it.
mkdir -p root/bin root/usr/bin
cp "$(command -v busybox)" root/bin/busybox
cp "$(command -v socat)" root/bin/socat
cp "$(command -v socat)" root/usr/bin/qemu-system-x86_64
for library in $(ldd "$(command -v socat)" | grep -o '/[^ ]*'); do
  mkdir -p "root$(dirname "$library")"
  cp -L "$library" "root$library"
done
cp with.bin without.bin root
mkdir root/etc
echo 'libvirt-qemu:x:64055:64055::/:/bin/sh' >root/etc/passwd
cat >root/init <<'END'
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /run
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t securityfs securityfs /sys/kernel/security
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
# The kernel takes a profile in one piece.
for profile in with without; do
  dd bs=16M conv=notrunc if=/$profile.bin of=/sys/kernel/security/apparmor/.load 2>/dev/null \
    || echo "apparmor: NOT LOADED"
done

# try PROFILE PATH: makes a socket there, confined, and speaks through it.
try ()
{
  mkdir -p ${2%/*}
  chown libvirt-qemu ${2%/*}
  su libvirt-qemu -c 'echo "exec '$1'" >/proc/self/attr/exec
    exec /usr/bin/qemu-system-x86_64 UNIX-LISTEN:'$2' PIPE' &
  for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -S $2 ] && break
    kill -0 $! 2>/dev/null || break
    sleep 0.1
  done
  said=$([ -S $2 ] && echo hello | socat -t 5 - UNIX-CONNECT:$2)
  kill $! 2>/dev/null
  wait $!
  [ "$said" = hello ] && [ ! -e $2 ] && said=yes || said=no
  echo "
apparmor: $1 $2 $said"
}
try guest-with /run/nbdkit-checkpoint-0123456789abcdef/nbd
try guest-with /run/user/1000/nbdkit-checkpoint-0123456789abcdef/nbd
try guest-with /run/nbdkit-checkpoint-0123456789abcdef/other
try guest-with /run/other-0123456789abcdef/nbd
try guest-with /run/nbdkit-checkpoint-0123456789abcdef/below/nbd
try guest-without /run/nbdkit-checkpoint-0123456789abcdef/nbd
try guest-without /run/user/1000/nbdkit-checkpoint-0123456789abcdef/nbd
dmesg | grep 'apparmor="DENIED"'
echo "
apparmor: done"
poweroff -f
END
chmod 755 root/init
(cd root && find . | busybox cpio -o -H newc 2>/dev/null) >initramfs

timeout 300 qemu-system-x86_64 -accel tcg -m 256 -nographic -no-reboot \
  -nodefaults -serial stdio -kernel "$source/build/guest-kernel/vmlinuz" \
  -initrd initramfs -append 'console=ttyS0 quiet panic=-1 mitigations=off
    nokaslr no_timer_check apparmor=1 security=apparmor' \
  </dev/null 2>&1 | tr -d '\r' >console || :
grep -q '^apparmor: done' console || { cat console >&2; fail "no machine"; }
sed -n 's/^apparmor: \(guest-.*\)/\1/p' console >is
run=/run/nbdkit-checkpoint-0123456789abcdef
diff -u - is <<END || { cat console >&2; fail "another confinement"; }
guest-with $run/nbd yes
guest-with /run/user/1000/nbdkit-checkpoint-0123456789abcdef/nbd yes
guest-with $run/other no
guest-with /run/other-0123456789abcdef/nbd no
guest-with $run/below/nbd no
guest-without $run/nbd no
guest-without /run/user/1000/nbdkit-checkpoint-0123456789abcdef/nbd no
END
echo "AppArmor of $(. /etc/os-release; echo "$PRETTY_NAME"): as it should be"
