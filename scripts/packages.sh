#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Packages, made of what `make dist` makes, and tried.  Needs root.  OUT is where
# they, and logs, are left.
#
# scripts/packages.sh build OUT           Debian's, on this Debian; lintian must
#                                         be content
# scripts/packages.sh try ROOT OUT        those, in ROOT, which debootstrap filled
#                                         and nothing else did
# scripts/packages.sh debian RELEASE OUT  build and try, in two roots of RELEASE
# scripts/packages.sh roots BUILD FRESH OUT   the same, in roots that are there;
#                                         in BUILD this source is /src
# scripts/packages.sh rpm OUT             RPM's; rpmlint must be content.  They can
#                                         be installed on RPM distributions only
# scripts/packages.sh all OUT             all of it, on this machine's Debian

set -eu -o pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
. "$source/scripts/setup.sh"
PACKAGE_PACKAGES="build-essential debhelper dpkg-dev fakeroot lintian xz-utils"
TRY_PACKAGES="autopkgtest debootstrap util-linux"
RPM_PACKAGES="rpm rpmlint"

fail () { echo "$*" >&2; exit 1; }
say () { echo "── $* ($SECONDS s)"; }
version () { sed -n 's/^AC_INIT.*\[\([0-9.]*\)\])$/\1/p' "$source/configure.ac"; }
tarball_name () { echo "nbdkit-checkpoint-$(version).tar.xz"; }

# quietly LOG COMMAND…: what it prints is shown if it fails.
quietly ()
{
  local log=$1
  shift
  "$@" >"$log" 2>&1 || { tail -n 60 "$log" >&2; fail "failed: $*"; }
}

# tarball OUT: what is released.  It is made of the sources alone, wherever they
# are built.
tarball ()
{
  local out=$1 build=$source/build
  [ ! -e "$out/$(tarball_name)" ] || return 0
  if [ ! -e "$build/Makefile" ]; then
    build=$(mktemp -d)
    [ "$source/configure" -nt "$source/configure.ac" ] \
      || (cd "$source"; quietly "$out/dist.log" autoreconf -fi)
    (cd "$build"; quietly "$out/dist.log" "$source/configure")
  fi
  quietly "$out/dist.log" make -C "$build" dist
  mv "$build/$(tarball_name)" "$out"
  [ "$build" = "$source/build" ] || rm -rf "$build"
}

# unpack TARBALL TO: as somebody does who got it, so that git is no help.
unpack ()
{
  tar -x -f "$1" -C "$2"
  tree=$2/nbdkit-checkpoint-$(version)
}

# in_root ROOT COMMAND…: mounts end with it.
in_root ()
{
  unshare --mount --fork bash -eu -c '
    root=$1
    shift
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"
    exec "$@"
  ' - "$@"
}

# chrooted ROOT COMMAND…
chrooted ()
{
  in_root "$1" chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "${@:2}"
}

new_root ()
{
  local release=$1 root=$2
  install_packages debootstrap
  quietly "$root.log" debootstrap --variant=minbase "$release" "$root"
  rm "$root.log"
  chmod 755 "$root"             # other users must enter "/"
  # A mirror may lag behind, or stand still; what it has is signed all the same.
  echo 'Acquire::Check-Valid-Until "false";' \
    >"$root/etc/apt/apt.conf.d/90valid-until"
}

build_debs ()
{
  local out=$1 work tree known
  install_packages $BUILD_PACKAGES $PACKAGE_PACKAGES
  tarball "$out"
  work=$(mktemp -d)
  unpack "$out/$(tarball_name)" "$work"
  cp "$out/$(tarball_name)" "$work/nbdkit-checkpoint_$(version).orig.tar.xz"
  say "building Debian's packages"
  (
    cd "$tree"
    DEB_BUILD_PROFILES=nocheck DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" \
      quietly "$out/build.log" dpkg-buildpackage -F -us -uc -nc
  )
  rm -rf "$tree"
  mv "$work"/* "$out"
  rmdir "$work"
  say "lintian $(lintian --version | sed 's/.* v//')"
  # Debian 12 does not know the newest policy, has no debhelper 14, and wants the
  # fields that the newest finds needless.  Of an upstream with a site, there would
  # be metadata.  None may be named to a lintian that does not know it.
  known=$(lintian-explain-tags --list-tags | grep -xE "$(paste -s -d '|' <<END
newer-standards-version
package-uses-old-debhelper-compat-version
redundant-priority-optional-field
redundant-rules-requires-root-no-field
upstream-metadata-file-is-missing
END
  )" | paste -s -d ,)
  lintian --pedantic --display-info --allow-root --suppress-tags "$known" \
    --fail-on error,warning,info,pedantic "$out"/*.changes
}

# What is there, by name; what programs note of themselves aside.
names ()
{
  chrooted "$1" find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp \
    -o -path /debs -o -path /var/cache -o -path /var/log -o -path /var/lib/apt \) \
    -prune -o -print | sort
}

try_debs ()
{
  local out=$1 root=$2 ours deb depends work tree
  [ ! -e "$root/debs" ] || fail "$root is not fresh"
  install_packages $TRY_PACKAGES
  mkdir "$root/debs"
  cp "$out"/*.deb "$root/debs"
  rm -f "$root"/debs/*-dbgsym_*
  ours=$(for deb in "$root"/debs/*.deb; do dpkg-deb -f "$deb" Package; done)
  depends=$(for deb in "$root"/debs/*.deb; do
    dpkg-deb -f "$deb" Depends
  done | grep . | paste -s -d ,)
  say "what they need"
  quietly "$out/depends.log" chrooted "$root" sh -c '
    apt-get -q update
    apt-get -q -y --no-install-recommends install libnbd-bin man-db
    apt-get -q -y --no-install-recommends satisfy "$1"' - "$depends"
  names "$root" >"$out/before"
  say "apt install ./*.deb"
  quietly "$out/install.log" chrooted "$root" sh -c '
    apt-get -q -y --no-install-recommends install /debs/*.deb'
  names "$root" >"$out/installed"
  quietly "$out/demo.log" chrooted "$root" sh -e -c '
    man nbdkit-checkpoint-plugin | grep -q "^LIVE GUESTS"
    cd /usr/share/doc/nbdkit-checkpoint-doc/examples
    setpriv --reuid=nobody --regid=nogroup --clear-groups ./demo --installed'
  tail -n 3 "$out/demo.log"
  # shellcheck disable=SC2086
  quietly "$out/purge.log" chrooted "$root" apt-get -q -y purge $ours
  names "$root" >"$out/after"
  diff -u "$out/before" "$out/after" || fail "a purge leaves something behind"
  [ "$(comm -13 "$out/before" "$out/installed" | wc -l)" -gt 20 ] \
    || fail "nothing was installed"
  say "autopkgtest"
  # A tree, since a .dsc would have to be unpacked there: by dpkg-dev and perl.
  work=$(mktemp -d)
  unpack "$out/$(tarball_name)" "$work"
  quietly "$out/autopkgtest.log" in_root "$root" autopkgtest \
    --no-built-binaries "$root"/debs/*.deb "$tree/" -- chroot "$root"
  rm -rf "$work"
  sed -n '/@ summary$/,$p' "$out/autopkgtest.log" | grep -E ' PASS| FAIL| SKIP'
}

# build_rpms OUT [--nocheck]
build_rpms ()
{
  local out=$1 check=${2:-} work
  install_packages $BUILD_PACKAGES $RPM_PACKAGES
  tarball "$out"
  work=$(mktemp -d)
  mkdir "$work/SOURCES"
  cp "$out/$(tarball_name)" "$work/SOURCES"
  tar -x -O -f "$out/$(tarball_name)" --wildcards '*/rpm/*.spec' \
    >"$work/nbdkit-checkpoint.spec"
  say "rpmbuild -ba"
  # --nodeps: RPM's database knows no packages of Debian's.  Debian's macros
  # have brp-compress run by a shell that does not know its words.
  quietly "$out/rpmbuild.log" rpmbuild -ba --nodeps $check \
    --define "_topdir $work" --define "__os_install_post bash /usr/lib/rpm/brp-compress" \
    "$work/nbdkit-checkpoint.spec"
  mv "$work"/RPMS/*/*.rpm "$work"/SRPMS/*.rpm "$work"/*.spec "$out"
  rm -rf "$work"
  rpmlint -c "$source/rpm/rpmlint.toml" "$out"/*.rpm "$out"/*.spec
}

# all OUT: all of it on this machine's Debian.
all ()
{
  local out=$1 release fresh
  release=$(. /etc/os-release; echo "$VERSION_CODENAME")
  roots=$(mktemp -d)
  fresh=$roots/fresh
  # Here, since only one apt can run at a time.
  install_packages $BUILD_PACKAGES $PACKAGE_PACKAGES $RPM_PACKAGES $TRY_PACKAGES
  new_root "$release" "$fresh" &
  build_debs "$out"
  build_rpms "$out" --nocheck
  "$source/scripts/apparmor.sh"
  wait $!
  try_debs "$out" "$fresh"
}

# in_roots BUILD FRESH OUT: this source is at /src in BUILD, built or not.
in_roots ()
{
  local build=$1 fresh=$2 out=$3
  chrooted "$build" /src/scripts/packages.sh build /packages
  chrooted "$build" /src/scripts/apparmor.sh
  mv "$build"/packages/* "$out"
  try_debs "$out" "$fresh"
}

# on RELEASE OUT: both roots are made for it.
on ()
{
  roots=$(mktemp -d)
  say "two roots of $1"
  new_root "$1" "$roots/fresh"
  cp -a "$roots/fresh" "$roots/build"
  copy_source "$source" "$roots/build/src"
  in_roots "$roots/build" "$roots/fresh" "$2"
}

# new_out OUT: what lies there from before would be taken for today's.
new_out ()
{
  mkdir -p "$1"
  [ -z "$(ls -A "$1")" ] || fail "$1 is not empty"
}

command=${1:-} roots=
trap '[ -z "$roots" ] || { wait; rm -rf --one-file-system "$roots"; }' EXIT
out=$(realpath -m "${!#}")
case $command,$# in
  build,2 | debian,3 | all,2 | roots,4) new_out "$out" ;;
  rpm,2) mkdir -p "$out" ;;
esac
case $command,$# in
  build,2) build_debs "$out" ;;
  rpm,2) build_rpms "$out" ;;
  try,3) try_debs "$out" "$(realpath "$2")" ;;
  roots,4) in_roots "$(realpath "$2")" "$(realpath "$3")" "$out" ;;
  debian,3) on "$2" "$out" ;;
  all,2) all "$out" ;;
  *) sed -n '5,20s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
say "packages of $(version): done"
