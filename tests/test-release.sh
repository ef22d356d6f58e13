#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# One version, in each place that tells one, and a changelog that has it as its
# newest; packages install what there is.
. "$(dirname "$0")/functions.sh"

version=$(sed -n 's/^AC_INIT(\[nbdkit-checkpoint\], \[\(.*\)\])$/\1/p' \
  "$srcdir/configure.ac")
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] \
  || fail "configure.ac has the version '$version', which is no semantic one"

# says WHAT VERSION
says () { [ "$2" = "$version" ] || fail "$1 says '$2', configure.ac $version"; }

changelog=$srcdir/CHANGELOG.md
says CHANGELOG.md "$(sed -n 's/^## \([^ ]*\) - .*/\1/p' "$changelog" | head -n 1)"
says README.md "$(sed -n 's/.* Version \([0-9.]*\)$/\1/p' "$srcdir/README.md" | head -n 1)"
says debian/changelog \
  "$(sed -n '1s/^nbdkit-checkpoint (\(.*\)-[0-9]*) .*/\1/p' "$srcdir/debian/changelog")"
spec=$srcdir/rpm/nbdkit-checkpoint.spec
says "the spec" "$(sed -n 's/^Version: *//p' "$spec")"
says "the spec's changelog" \
  "$(sed -n '/^%changelog/,$s/^\* .* - \(.*\)-[0-9]*$/\1/p' "$spec" | head -n 1)"
says qemu-checkpoint "$("$tool" --version | sed 's/^qemu-checkpoint //')"
says "the plugin" "$(nbdkit "$plugin" --dump-plugin | sed -n 's/^version=//p')"
for page in "$builddir"/docs/*.1; do
  says "$page" "$(sed -n 's/^\.TH .*"nbdkit-checkpoint \([^"]*\)" "\{0,1\}nbdkit"\{0,1\}$/\1/p' "$page")"
done

# Of one day: CHANGELOG.md's.
day=$(sed -n "s/^## $version - //p" "$changelog")
[[ $day =~ ^20[0-9]{2}-[0-9]{2}-[0-9]{2}$ ]] || fail "CHANGELOG.md has the day '$day'"
[ "$(date -ud "$(sed -n 's/^ -- .*>  //p' "$srcdir/debian/changelog" | head -n 1)" +%F)" \
  = "$day" ] || fail "debian/changelog has another day than CHANGELOG.md's $day"
[ "$(date -ud "$(sed -n '/^%changelog/,$s/^\* \(... ... .. ....\) .*/\1/p' "$spec" \
      | head -n 1)" +%F)" = "$day" ] \
  || fail "the spec has another day than CHANGELOG.md's $day"

# Each release stands below the newer one.
sed -n 's/^## \([^ ]*\) - .*/\1/p' "$changelog" >releases
sort -rVu releases | diff -u releases - || fail "releases are not in order"

# Every program and page that is installed is in a package of each kind.
sed -n 's/^Package: //p' "$srcdir/debian/control" | sort >packages
diff -u packages - <<'END' || fail "debian/control has other packages"
nbdkit-checkpoint-doc
nbdkit-filter-bitmap-merge
nbdkit-plugin-checkpoint
qemu-checkpoint
END
for page in "$srcdir"/docs/*.pod; do
  page=$(basename "$page" .pod).1
  grep -qx "usr/share/man/man1/$page" "$srcdir"/debian/*.install \
    || fail "debian/ does not install $page"
  grep -q "man1/$page\*" "$spec" || fail "the spec does not install $page"
done

# The path that the file for AppArmor names is where the package has it.
rule=$(sed -n 's/^apparmor\/nbdkit-checkpoint \(.*\)/\/\1\/nbdkit-checkpoint/p' \
  "$srcdir/debian/nbdkit-plugin-checkpoint.install")
grep -q "^#   $rule\$" "$srcdir/apparmor/nbdkit-checkpoint" \
  || fail "the file for AppArmor does not name $rule"
