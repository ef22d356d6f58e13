#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# On random chains, trees and bitmaps, some of them spoilt, qemu-checkpoint check says
# of exactly those views that they are usable which nbdkit's plugin serves; and after
# check --fix --yes all of these are still there, and are the same.
. "$(dirname "$0")/functions.sh"

seed=${SEED:-$((RANDOM * 32768 + RANDOM))} rounds=$(rounds 12)
nbdkit_options=(--filter="$filter")

# served NAMES: each, and its map or "refused".
served ()
{
  local status=0
  # It does not start if there is nothing that it could serve.
  bounded nbdkit "${nbdkit_options[@]}" -U - "$plugin" file=vda:vda.qcow2 \
    file=vdb:vdb.qcow2 "${tree[@]/#--/}" \
    --run 'echo "$names" | "$python" "$srcdir/tests/random_record.py" views "$unixsocket"' \
    >served 2>nbdkit.log || status=$?
  did_end $status nbdkit
  [ -s served ] || jq -r '.[] + " refused"' <<<"$names" >served
  grep -Ev ' refused$' served || :
}
export srcdir names

checked ()
{
  local status=0
  bounded "$tool" check --json --file=vda:vda.qcow2 --file=vdb:vdb.qcow2 \
    "${tree[@]}" >check.json 2>check.log || status=$?
  [ $status -le 2 ] || fail "seed $seed: status $status: $(cat check.json check.log)"
  names=$(jq -c '[.views[] | "\(.disk)@\(.checkpoint)"]' check.json)
  jq -r '.views[] | select(.usable) | "\(.disk)@\(.checkpoint)"' check.json
}

for ((i = 0; i < rounds; i++, seed++)); do
  echo "seed $seed"
  mkdir work
  cd work
  "$python" "$srcdir/tests/random_record.py" $seed >../made
  tree=()
  [ ! -d tree ] || tree=(--tree="$PWD/tree")
  checked >usable
  served >views
  diff <(cut -d' ' -f1 views | sort) <(sort usable) \
    || { cat ../made nbdkit.log check.json; fail "seed $seed: they do not agree"; }
  before=$names
  bounded "$tool" check --fix --yes --file=vda:vda.qcow2 --file=vdb:vdb.qcow2 \
    "${tree[@]}" >fixed 2>&1 || :
  names=$before
  served >after
  # None is lost; and none that was refused is served, as its record is no better.
  diff <(sort views) <(sort after) \
    || { cat ../made fixed; fail "seed $seed: another view is served now"; }
  cd ..
  rm -r work
done
