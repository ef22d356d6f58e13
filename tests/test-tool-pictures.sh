#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The pictures in README are what scripts/pictures.py makes of a real file system.
. "$(dirname "$0")/functions.sh"
PATH+=:/usr/sbin:/sbin
requires debugfs

mkdir made
"$python" "$srcdir/scripts/pictures.py" "$tool" made
awk '/^### Where a disk changed/ { on = 1 }  on && /^```$/ { exit }
     shown { print }  on && /^```text$/ { shown = 1 }' "$srcdir/README.md" \
  | diff -u - made/map.txt || fail "README has another picture; run scripts/pictures.py"
cmp made/map.svg "$srcdir/docs/map.svg" \
  || fail "docs/map.svg is another picture; run scripts/pictures.py"
