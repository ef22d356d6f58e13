#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What "nbdinfo --map" would take (bench/run map-256g) if nbdkit sent the answer
# to a block status at once: builds Debian 13's nbdkit, as it is and with
# nbdkit-one-send.patch, and measures with both.
#
#   bench/one-send.sh [BENCH-RUN-OPTION…]
#
# Needs a compiler and make; changes nothing outside a temporary folder.
set -eu -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

echo 'deb-src http://deb.debian.org/debian trixie main' >sources.list
mkdir -p lists/partial cache/archives/partial
apt=(apt-get -qq -o "Dir::Etc::sourcelist=$folder/sources.list"
     -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$folder/lists"
     -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=)
"${apt[@]}" update
"${apt[@]}" source --download-only nbdkit >/dev/null
tar -xzf nbdkit_*.orig.tar.gz
# The plugins are those that are installed.
plugins=$(nbdkit --dump-config | sed -n 's/^libdir=//p')
cd nbdkit-*/
./configure -q --prefix=/usr --libdir="$plugins" --disable-plugins \
  --without-manpages --without-gnutls --without-selinux >configure.log 2>&1 \
  || { tail configure.log; exit 1; }
for way in "as it is" "with one send"; do
  if [ "$way" = "with one send" ]; then
    patch -s -p1 <"$here/nbdkit-one-send.patch"
  fi
  for part in common/include common/protocol common/replacements \
              common/utils server; do
    make -s -j"$(nproc)" -C $part
  done >make.log 2>&1 || { tail make.log; exit 1; }
  echo "nbdkit $(server/nbdkit --version | cut -d' ' -f2), $way:"
  PATH=$PWD/server:$PATH "$here/run" map-256g "$@"
done
