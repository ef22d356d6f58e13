#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# No recipe of docs/cookbook.md is without a test: each block of commands has a name
# and stands in a part, and each part has a test that runs it.  (That this test runs all
# of the part's blocks is seen to by cookbook.sh, when it ends.)
. "$(dirname "$0")/functions.sh"

# uncovered COOKBOOK: one line for each thing that is wrong with it.
uncovered ()
{
  awk '
    function wrong(what) { print "line " NR ": " what }
    /^ *```/ && fenced { fenced = 0; next }
    fenced { next }
    /^<!-- part: [a-z-]+ -->$/ { part = $3; print "part " part; next }
    /^<!-- recipe: [a-z0-9-]+ -->$/ {
      name = $3
      if (seen[name]++) wrong("a second recipe " name)
      if (!part) wrong("recipe " name " is in no part")
      else print "recipe " part " " name
      getline
      if ($0 != "```sh") wrong("no block of commands follows recipe " name)
      fenced = 1
      next
    }
    /<!--/ { wrong("neither part nor recipe: " $0) }
    /^ *```text$/ { fenced = 1; next }
    /^ *```/ { wrong("a block without a name"); fenced = 1; next }
    /^(    |\t)/ { wrong("an indented block, which nobody runs") }
    END { if (fenced) wrong("a block without an end") }' "$1" >found
  grep '^line ' found || :
  while read -r what part name; do
    test=tests/test-cookbook-$part.sh
    case $what in
      part)
        [ -x "$srcdir/$test" ] || echo "part $part has no $test"
        grep -q "^	$test \\\\\$" "$srcdir/tests/tests.mk" \
          || echo "$test is not in tests.mk"
        grep -q '^\. .*/cookbook\.sh"$' "$srcdir/$test" \
          || echo "$test does not see to it that all recipes ran" ;;
      recipe)
        grep -Eq "^ *(.*[ (])?recipe ($name|\\\$[a-z]+[a-z-]*)([ );]|\$)" "$srcdir/$test" \
          || echo "$test does not run recipe $name" ;;
    esac
  done < <(grep -E '^(part|recipe) ' found) 2>/dev/null
}

cookbook=$srcdir/docs/cookbook.md
uncovered "$cookbook" >wrong
cat wrong
[ "$(grep -c '^recipe ' found)" -ge 45 ] || fail "where are the recipes? $(cat found)"
[ ! -s wrong ] || fail "the cookbook has what no test runs"
for test in "$srcdir"/tests/test-cookbook-*.sh; do
  name=$(basename "$test" .sh)
  [ "$name" = "$test_name" ] || grep -qx "part ${name#test-cookbook-}" found \
    || fail "$name has no part in the cookbook"
done

# It would be noticed.
notices ()
{
  uncovered changed.md >wrong
  grep -q "$1" wrong || fail "it is not noticed: $1"
}
first=$(grep -n '^<!-- recipe: ' "$cookbook" | head -n 1 | cut -d: -f1)
sed "${first}d" "$cookbook" >changed.md
notices 'a block without a name'
sed "${first}s/.*/<!-- recipe: unheard-of -->/" "$cookbook" >changed.md
notices 'test-cookbook-daily.sh does not run recipe unheard-of'
sed "0,/^<!-- part: .*/s//<!-- part: nowhere -->/" "$cookbook" >changed.md
notices 'part nowhere has no tests/test-cookbook-nowhere.sh'
{ cat "$cookbook"; printf '%s\n' '' '    rm -rf /'; } >changed.md
notices 'an indented block'
{ cat "$cookbook"; sed -n "${first}p" "$cookbook"; printf '%s\n' '```sh' true '```'; } >changed.md
notices 'a second recipe '
