#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The manual pages are as man wants them: it warns of nothing.
. "$(dirname "$0")/functions.sh"
requires man
requires podchecker

# silent PAGE: man formats it without a word.
silent ()
{
  MANWIDTH=80 LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -Z "$1" \
    >formatted 2>said || { cat said; fail "man cannot read $1"; }
  [ ! -s said ] || fail "man --warnings says of $1: $(cat said)"
  [ -s formatted ] || fail "nothing came of $1"
}

pages=0
for source in "$srcdir"/docs/*.pod; do
  page=$builddir/docs/$(basename "$source" .pod).1
  podchecker "$source" >said 2>&1 || { cat said; fail "$source"; }
  case $page in *-filter.1) [ -e "$page" ] || continue ;; esac
  silent "$page"
  pages=$((pages + 1))
done
[ $pages -ge 2 ] || fail "only $pages pages"

# It would be heard.
sed '0,/^\.SH/s//.XX\n.SH/' "$page" >broken.1
! (silent "$PWD/broken.1") 2>heard || fail "what is wrong is not heard"
grep -q "man --warnings says of .*XX" heard || fail "$(cat heard)"
