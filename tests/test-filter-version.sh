#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# nbdkit refuses a filter that was built for another version than its own; what
# to do is said then, and only then.  configure refuses to build such a one.
. "$(dirname "$0")/functions.sh"
[ -z "$sanitizers" ] || { echo "nothing to test here"; exit 0; }

version=$(nbdkit --version | sed 's/^nbdkit \([0-9.]*\).*/\1/;q')
other=$(tr 0-9 1-90 <<<"$version")
LC_ALL=C sed "s/$version/$other/g" "$filter" >nbdkit-bitmap-merge-filter.so
! nbdkit --filter=./nbdkit-bitmap-merge-filter.so null 2>log || fail "loaded"
cat log
grep -q "built for nbdkit $other; build it again for the one that is installed: ./configure" log
nbdkit -U - --filter="$filter" null merge= --run : 2>log || fail "not loaded"
! grep -q 'build it again' log || fail "said without need"
nbdkit --filter="$filter" null --help | grep -q '^merge=EXPORT '

symbols=$(nm -D --defined-only "$filter" | awk '{ print $NF }' | paste -sd' ')
[ "$symbols" = filter_init ] || fail "exported: $symbols"
readelf -d "$filter" | grep -q NODELETE || fail "not linked -z nodelete"
! readelf -d "$filter" | grep -E 'NEEDED.*(xml2|nbd|virt|json)' \
  || fail "needs more libraries than GLib"

# configure, with an nbdkit of another version before the real one; in a copy, since one
# that was configured in its own folder cannot be again.
. "$srcdir/scripts/setup.sh"
copy_source "$srcdir" src
mkdir bin build
printf '#!/bin/sh\necho nbdkit %s\n' "$other" >bin/nbdkit
chmod 755 bin/nbdkit
[ -x "$srcdir/configure" ] || exit 0
cd build
! PATH=$PWD/../bin:$PATH ../src/configure >../log 2>&1 \
  || fail "configure took filters and nbdkit of two versions"
tr '\n' ' ' <../log | grep -q "headers are those of nbdkit $version, but .*bin/nbdkit is version $other.*disable-filters"
