# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced by ./demo, ./check and .ci/: install what is missing on Debian 12 or
# later, and build out of tree.

BUILD_PACKAGES="autoconf automake gcc libblkid-dev libc6-dev libext2fs-dev
  libglib2.0-dev libjson-glib-dev libnbd-dev libtool libvirt-dev libxml2-dev make nbdkit
  nbdkit-plugin-dev perl pkgconf zlib1g-dev"
RUN_PACKAGES="libnbd-bin man-db qemu-system-common qemu-utils"
TEST_PACKAGES="acl binutils borgbackup e2fsprogs fdisk fuse2fs fuse3 gnutls-bin jq procps
  python3 python3-libnbd qemu-block-extra restic socat strace util-linux-extra
  xfsprogs zsh"
# For tests/libvirt-lab.sh.  Not libvirt-daemon-system: tests start daemons of
# their own.  The kernel of the guests is not installed: see guest_kernel.
LIBVIRT_TEST_PACKAGES="busybox-static libvirt-clients libvirt-daemon
  libvirt-daemon-driver-qemu guestfish qemu-system-x86 virtnbdbackup"
# Pools of volumes, and secrets, are in libvirt-daemon itself on Debian 12.
[ "$(. /etc/os-release; echo "${VERSION_ID:-}")" = 12 ] \
  || LIBVIRT_TEST_PACKAGES+=" libvirt-daemon-driver-secret
    libvirt-daemon-driver-storage"
LINT_PACKAGES="clang clang-tidy codespell cppcheck"

# install_packages PACKAGE…: as root or through sudo, only what is missing.
install_packages ()
{
  local missing=() package sudo=

  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" \
      = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "These packages are missing; become root and type:" >&2
      echo "  apt-get install ${missing[*]}" >&2
      return 1
    fi
    sudo=sudo
  fi
  echo "Installing: ${missing[*]}"
  $sudo apt-get -q update >/dev/null
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q \
    --no-install-recommends "${missing[@]}" >/dev/null
}

# guest_kernel DIR: Debian's kernel for virtual machines, for the tests' guests,
# into DIR unless it is there.  Its package is unpacked, not installed, since
# that would make it a kernel of this machine: with an initramfs to generate, a
# boot menu to change, and root to ask.  In lib/modules are those that guestfish's own
# guest needs.
guest_kernel ()
(
  dir=$1
  if [ -s "$dir/vmlinuz" ] && [ -d "$dir/lib" ]; then return; fi
  rm -rf "$dir.new"
  mkdir -p "$dir.new"
  cd "$dir.new"
  needs () { apt-cache depends "$1" 2>/dev/null | sed -n 's/^ *Depends: //p'; }
  # Since Debian 14 two other packages have its parts, and its own is empty.
  find_packages ()
  {
    local image
    image=$(needs linux-image-cloud-amd64 | grep -m 1 '^linux-image-') \
      || return 1
    mapfile -t packages < <(echo "$image"
      needs "$image" | grep -E '^linux-(binary|modules)-')
  }
  if ! find_packages || ! apt-get -q download "${packages[@]}" >log 2>&1; then
    # The lists of packages are missing or old.
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    ${sudo:-} apt-get -q update >/dev/null
    find_packages || { echo "apt knows no linux-image-cloud-amd64" >&2; return 1; }
    apt-get -q download "${packages[@]}" >log 2>&1 || { cat log >&2; return 1; }
  fi
  for package in ./*.deb; do dpkg-deb -x "$package" files; done
  mkdir -p kernel/modules
  find files -name 'vmlinuz*' -exec mv {} kernel/vmlinuz \;
  find files -name 'virtio*.ko*' -exec cp -t kernel/modules {} +
  mkdir kernel/lib
  find files -path '*/lib/modules' -exec cp -r -t kernel/lib {} +
  find kernel/lib -name '*.ko*' -not -path '*/drivers/scsi/*' \
    -not -path '*/drivers/md/*' -not -path '*/lib/*/lib/*' -not -path '*crypto/*' \
    -not -name 'virtio*' -not -name 'rng*' -delete
  [ -s kernel/vmlinuz ] || { echo "no vmlinuz in ${packages[*]}" >&2; return 1; }
  chmod -R a+rX kernel
  rm -rf "$dir"
  mv kernel "$dir"
  rm -rf "$dir.new"
)

# guest_agent DIR: QEMU's agent, for the tests' guests, into DIR unless it is there.
# It is unpacked, not installed, and cannot be run: here it would serve whoever
# asks it to freeze this machine's file systems.
guest_agent ()
(
  dir=$1
  if [ -s "$dir/qemu-ga" ]; then return; fi
  mkdir -p "$dir.new"
  cd "$dir.new"
  if ! apt-get -q download qemu-guest-agent >log 2>&1; then
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    ${sudo:-} apt-get -q update >/dev/null
    apt-get -q download qemu-guest-agent >log 2>&1 \
      || { cat log >&2; return 1; }
  fi
  dpkg-deb --fsys-tarfile qemu-guest-agent_*.deb | tar -x -O --wildcards \
    '*/sbin/qemu-ga' >qemu-ga
  rm -f log ./*.deb
  chmod 644 qemu-ga
  rm -rf "$dir"
  mv "$dir.new" "$dir"
)

# copy_source FROM TO: a checkout, or what a tarball unpacks to, without what
# was built in it.
copy_source ()
{
  mkdir -p "$2"
  tar -C "$1" -c --exclude=./.git --exclude=./build --exclude=./config.status \
    --exclude='*.o' --exclude='*.lo' --exclude='*.la' --exclude=.libs . \
    | tar -C "$2" -x
}

# build SOURCE BUILD CONFIGURE-OPTIONS…: configure and make; quiet unless it
# fails.
build ()
{
  local source=$1 build=$2
  shift 2
  mkdir -p "$build"
  {
    [ "$source/configure" -nt "$source/configure.ac" ] \
      || (cd "$source" && autoreconf -fi)
    cd "$build"
    "$source/configure" "$@" && make -j"$(nproc)"
  } >"$build/build.log" 2>&1 || {
    tail -n 30 "$build/build.log"
    echo "The build failed; all of its output is in $build/build.log" >&2
    return 1
  }
  cd "$source"
}
