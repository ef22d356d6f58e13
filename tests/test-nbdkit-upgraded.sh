#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# After an upgrade of nbdkit, "./configure && make" builds the filter for the new
# version, though a package's headers are older than what was built.  And where
# nbdkit would not find the plugin by its name, configure says so.
. "$(dirname "$0")/functions.sh"
. "$srcdir/scripts/setup.sh"
[ -z "$sanitizers" ] || { echo "nothing to test here"; exit 0; }
[ -x "$srcdir/configure" ] || skip "there is no configure"
requires pkg-config

# nbdkit TO: headers, their .pc and a program of that version, in folders that stay,
# and as old as packages are.
mkdir bin include pc
cp -p "$(pkg-config --variable=includedir nbdkit)"/nbdkit*.h include
install_nbdkit ()
{
  local from
  from=$(sed -n 's/^#define NBDKIT_VERSION_STRING "\(.*\)"/\1/p' \
    include/nbdkit-version.h)
  sed -i "s/\"$from\"/\"$1\"/" include/nbdkit-version.h
  touch -d '2020-01-01' include/*.h
  sed -e "s/^Version: .*/Version: $1/" -e "s,^includedir=.*,includedir=$PWD/include," \
    -e "s,^Cflags:.*,Cflags: -I$PWD/include," \
    "$(pkg-config --variable=pcfiledir nbdkit)/nbdkit.pc" >pc/nbdkit.pc
  printf '#!/bin/sh\necho nbdkit %s\n' "$1" >bin/nbdkit
  chmod 755 bin/nbdkit
}
# configured OPTION…: an installation of its own, of what the filter needs.
configured ()
{
  PATH=$PWD/bin:$PATH PKG_CONFIG_PATH=$PWD/pc bash -c 'cd build && shift &&
    ../src/configure --without-libvirt --without-ext2fs --without-blkid "$@"' \
    - - "$@" >log 2>&1 || { cat log; fail "configure $*"; }
}
filter=filters/bitmap-merge/nbdkit-bitmap-merge-filter.la
built_for ()
{
  make -C build $filter >make.log 2>&1 || { cat make.log; fail "make"; }
  grep -aqF "$1" build/filters/bitmap-merge/.libs/*.so \
    || fail "the filter is not for nbdkit $1: $(grep -c . make.log) lines of make"
}

copy_source "$srcdir" src
mkdir build
install_nbdkit 1.36.1
configured
! grep 'looks for plugins' log || fail "said without need"
built_for 1.36.1
install_nbdkit 1.36.2
configured --prefix="$PWD/installed"
built_for 1.36.2

# What is said of the folder is true, and what is to be typed helps.
tr '\n' ' ' <log >line
dir=$(sed -n 's/.* by its file, nbdkit \([^ ]*\)\/nbdkit-checkpoint-plugin.so, or .*/\1/p' line)
[ "$dir" = "$PWD/installed/lib/nbdkit/plugins" ] || fail "it is named $dir: $(cat log)"
DESTDIR=$PWD/root make -C build install-filterLTLIBRARIES >make.log 2>&1
[ -e "root$PWD/installed/lib/nbdkit/filters/nbdkit-bitmap-merge-filter.so" ] \
  || fail "installed elsewhere: $(find root -type f)"
words=$(sed -n 's/.*, or add \(--with-plugindir=[^ ]* --with-filterdir=[^ ]*\).*/\1/p' line)
[ -n "$words" ] || fail "nothing to add: $(cat log)"
# shellcheck disable=SC2086
configured --prefix="$PWD/installed" $words
! grep 'looks for plugins' log || fail "still said"
for kind in plugin filter; do
  [ "$(sed -n "s/^${kind}dir = //p" build/Makefile)" \
    = "$(nbdkit --dump-config | sed -n "s/^${kind}dir=//p")" ] \
    || fail "nbdkit looks for ${kind}s elsewhere"
done
