# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced by ./demo, ./check and .ci/: install what is missing on Debian 12 or
# 13, and build out of tree.

BUILD_PACKAGES="autoconf automake gcc libc6-dev libglib2.0-dev
  libjson-glib-dev libnbd-dev libtool libxml2-dev make nbdkit
  nbdkit-plugin-dev perl pkgconf"
RUN_PACKAGES="libnbd-bin qemu-system-common qemu-utils"
TEST_PACKAGES="binutils e2fsprogs fuse2fs fuse3 gnutls-bin jq procps python3 python3-libnbd socat"
LINT_PACKAGES="clang clang-tidy cppcheck"

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
