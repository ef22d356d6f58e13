#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The manual, --help and the code name the same parameters, and the manual
# formats without complaint; --dump-plugin tells versions and sources.
. "$(dirname "$0")/functions.sh"

pod=$srcdir/docs/nbdkit-checkpoint-plugin.pod
sed -n 's/^  { "\([a-z-]*\)", .*/\1/p' "$srcdir/plugin/settings.c" | sort >code
sed -n '/^=head1 PARAMETERS/,/^=head1 EXPORTS/s/^=item .*B<\([a-z-]*\)=>.*/\1/p' \
  "$pod" | sort >manual
nbdkit "$plugin" --help | sed -n '/dirtied since/,$p' \
  | grep -Eo '^\[?[a-z-]+=' | tr -d '[=' | sort >help
cat code
[ "$(wc -l <code)" -eq 22 ] || fail "expected 22 parameters in settings.c"
diff -u code manual || fail "the manual names other parameters"
diff -u code help || fail "--help names other parameters"

for page in checkpoint-plugin bitmap-merge-filter; do
  podchecker -warnings "$srcdir/docs/nbdkit-$page.pod" 2>podchecker.log \
    || { cat podchecker.log; exit 1; }
  [ -s "$builddir/docs/nbdkit-$page.1" ] \
    || fail "there is no manual page nbdkit-$page in the build"
done
nbdkit --filter="$filter" null --help | grep -Eo '^merge=' >help
grep -Eo '^=item B<merge=>' "$srcdir/docs/nbdkit-bitmap-merge-filter.pod"
grep -x 'merge=' help

nbdkit "$plugin" --dump-plugin >dump
grep -x "checkpoint_sources=file uri$([ "$libvirt" != yes ] || echo ' libvirt') qmp" \
  dump
grep -x 'checkpoint_views=overlay sparse guard' dump
grep -E '^checkpoint_(glib|libxml2|libnbd)=[0-9]+\.[0-9]+' dump
grep -x "version=$(sed -n 's/^AC_INIT.*\[\([0-9.]*\)\])$/\1/p' \
  "$srcdir/configure.ac")" dump
