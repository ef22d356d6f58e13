#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A view that the plugin serves, read by its URI: holes mean what that view means by
# them, and where it is not certain which view it is, or that it is all of it, it is
# refused.  SEED=n ROUNDS=m.
. "$(dirname "$0")/functions.sh"
print_map=$builddir/tests/print-map

bounded "$python" "$srcdir/tests/shown-views.py" "$print_map" "$plugin" "$filter" \
  "$(rounds 4)"
rm -f ./*.qcow2

guest_layers
qemu-img create -q -f qcow2 one.qcow2 1M
qemu-img bitmap --add -g 4096 one.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 7 64k 64k' -c 'write -q -z 512k 4k' one.qcow2
sha256sum ./*.qcow2 >sums
on_socket () { echo "nbd+unix:///$1?socket=\$unixsocket"; }
estimates () { echo "$tool estimate --json --uri \"$(on_socket "$1")\""; }

# is_refused REGEX EXPORT ARGS…: by the tool, which says so in one line.
is_refused ()
{
  local regex=$1 export=$2 status=0
  shift 2
  bounded nbdkit "${nbdkit_options[@]}" -U - "$@" \
    --run "$(estimates "$export") >printed 2>refused.log" || status=$?
  cat refused.log
  [ "$status" -eq 2 ] || fail "estimate of $export of $* ended with $status"
  cat refused.log printed | grep -Eq -- "$regex" || fail "no '$regex': $*"
  [ ! -s printed ] || jq -e '[.checkpoints[].disks[] | .dirty, .data, .backup]
    | all (. == null)' printed || fail "it was estimated all the same"
}

# ── Parts ──
nbdkit_options=()
is_refused 'part 0 of 3 of disk vda since monday,.* --filter=bitmap-merge, and ask it for the export vda@monday$' \
  vda/0 "$plugin" top.qcow2 checkpoint=monday
nbdkit_options=(--filter="$filter")
is_refused 'part 1 of 3 of disk vda since monday' vda@monday/1 \
  "$plugin" top.qcow2
# What was named by hand may be all of it, or not.
is_refused 'part 0 of 3' '' "$plugin" top.qcow2 merge=vda@monday/0
is_refused 'part 0 of 3' '' "$plugin" top.qcow2 merge=vda@monday/0 \
  merge=vda@monday/1
for export in '' vda vda@monday; do
  serve top.qcow2 checkpoint=monday -- "$(estimates "$export")" \
    | jq -e '.checkpoints[0].name == "monday" and .checkpoints[0].disks[0].dirty > 0' \
    || fail "the union of $export"
done
# Whole views are whole, united or not.
serve one.qcow2 merge=vda@monday -- "$(estimates '')" \
  | jq -e '.checkpoints[0].disks[0].dirty == 69632'
serve one.qcow2 -- "$(estimates vda@monday/0)" \
  | jq -e '.checkpoints[0].disks[0].dirty == 69632'

# ── What is no view of changes ──
nbdkit_options=()
is_refused 'shows the disk itself, and none of its changes; ask that server for the export vda, or vda@CHECKPOINT$' \
  vda@ "$plugin" one.qcow2
for word in 'memory 1M' 'null 1M' "file one.qcow2"; do
  # shellcheck disable=SC2086
  is_refused 'does not say that it is a view of the checkpoint plugin' '' -r $word
done
# eval DESCRIPTION: an export of 1M that is one hole, and says that of itself.
describes ()
{
  printf %s "$2" >words
  is_refused "$1" '' -r eval get_size='echo 1M' can_extents='exit 0' \
    extents='echo 0 1M hole' pread='exit 5' \
    export_description="cat $PWD/words"
}
label='[view overlay disk vda size 1048576 data 0 zeroes 0 part 0/1 since monday]'
bounded nbdkit -U - -r eval get_size='echo 1M' can_extents='exit 0' \
  extents='echo 0 1M hole' pread='exit 5' export_description="echo '$label'" \
  --run "$(estimates '')" | jq -e '.checkpoints[0].disks[0].dirty == 0'
describes 'shows a view called newer' "${label/overlay/newer}"
describes 'disk vda has 2097152 bytes there, and 1048576 are shown' \
  "${label/1048576/2097152}"
describes 'tells of 4096 bytes of dirty data and 0 of zeroes, and shows 0 and 0; a filter between' \
  "${label/data 0/data 4096}"
describes 'tells of 0 bytes of dirty data and 4096 of zeroes, and shows 0 and 0' \
  "${label/zeroes 0/zeroes 4096}"
describes 'tells of 512 bytes of dirty data' \
  "2 parts united, 512 bytes of data dirty, 0 read as zeroes; the top one: ${label/0\/1/0/2}"
describes 'tells of 0 bytes of dirty data and 8 of zeroes' \
  "2 parts united, 0 bytes of data dirty, 8 read as zeroes; the top one: ${label/0\/1/0/2}"
describes 'part 0 of 3' \
  "2 parts united, 0 bytes of data dirty, 0 read as zeroes; the top one: ${label/0\/1/0/3}"
for odd in "$label." "${label%]}" "x$label]" "${label/vda/..}" "${label/0\/1/1/1}" \
    "${label/0\/1/0/0}" "${label/size/len}" "${label/ 1048576/ -1}" \
    "${label/since/ since}" "${label/part/part part}" "${label/monday/%zz}" \
    "${label%]} more]" "${label/view/View}" "[view ]" "["; do
  describes 'does not say that it is a view' "$odd"
done
# A name that looks like a label is none: the plugin's own stands behind it.
qemu-img create -q -f qcow2 named.qcow2 1M
odd='x [view sparse disk vda size 1048576 data 0 zeroes 0 part 0/1]'
qemu-img bitmap --add named.qcow2 "$odd"
qemu-io -f qcow2 -c 'write -q -P 7 64k 64k' named.qcow2
sha256sum named.qcow2 >>sums
serve named.qcow2 -- "$(estimates '')" >named.json
jq -e --arg odd "$odd" '.checkpoints[0] | .name == $odd
  and .disks[0].dirty == 65536 and .disks[0].runs == 1' named.json

# ── Filters that change what is shown, and hand the description on ──
echo '0 1M hole' >extents
for options in "--filter=extentlist extentlist=$PWD/extents" \
    '--filter=offset offset=4k' '--filter=truncate truncate=2M' \
    '--filter=truncate truncate=512k' '--filter=blocksize minblock=64k'; do
  # shellcheck disable=SC2086
  set -- $options
  nbdkit_options=("$1")
  is_refused 'a filter between' '' "$plugin" one.qcow2 "$2"
done
# A zero is lost, and as much and more is dirty elsewhere instead.
qemu-img create -q -f qcow2 mixed.qcow2 1M
qemu-img bitmap --add -g 512 mixed.qcow2 monday
qemu-io -f qcow2 -c 'write -q -z 64k 512' -c 'write -q -P 7 256k 512' mixed.qcow2
cat mixed.qcow2 >/dev/null
nbdkit_options=(--filter=blocksize)
is_refused 'tells of 512 bytes of dirty data and 512 of zeroes, and shows 2048 and 0; a filter between' \
  '' "$plugin" mixed.qcow2 minblock=2k
# One that changes the parts before they are united.
qemu-img create -q -f qcow2 -b mixed.qcow2 -F qcow2 above.qcow2
qemu-img bitmap --add -g 4096 above.qcow2 monday
for options in "--filter=$filter --filter=blocksize" \
    "--filter=blocksize --filter=$filter"; do
  # shellcheck disable=SC2086
  bounded nbdkit -U - $options "$plugin" above.qcow2 checkpoint=monday \
    minblock=2k --run "! $tool estimate --uri \"\$uri\"" >refused.log 2>&1
  grep -Eq 'another filter changes what is dirty|a filter between' refused.log \
    || fail "$options: $(cat refused.log)"
done
# Those that leave it as it is, or make more dirty.  (nbdkit 1.48 has no
# cacheextents any more.)
filters=$(nbdkit --dump-config | sed -n 's/^filterdir=//p')
[ -e "$filters/nbdkit-log-filter.so" ] || fail "where are nbdkit's filters?"
for options in --filter=cacheextents --filter=log --filter=noextents \
    --filter=multi-conn; do
  [ $options != --filter=cacheextents ] \
    || [ -e "$filters/nbdkit-cacheextents-filter.so" ] || continue
  nbdkit_options=("$options")
  case $options in *log) set -- logfile=/dev/null ;; *) set -- ;; esac
  serve one.qcow2 "$@" -- "$(estimates '')" \
    | jq -e '.checkpoints[0].disks[0].dirty >= 69632' || fail "$options"
done

# ── What is asked for must be what is shown ──
nbdkit_options=()
serve one.qcow2 -- "! $tool estimate tuesday --uri \"\$uri\" 2>refused.log"
grep -q 'no checkpoint tuesday; known are: monday' refused.log || fail "$(cat refused.log)"
serve one.qcow2 -- "! $tool estimate --uri \"\$uri\" --uri \"\$uri\" 2>refused.log"
# All of it, as nothing was recorded, is dirty.
qemu-img create -q -f qcow2 bare.qcow2 1M
serve bare.qcow2 on-missing=full -- "$(estimates '')" \
  | jq -e '.checkpoints[0].name == null and .checkpoints[0].disks[0].zeroes == 1048576'
# Clean bytes that guard refuses: 64 KiB of which 4 are dirty.
qemu-io -f qcow2 -c 'write -q -P 7 256k 4k' bare.qcow2
qemu-img bitmap --add -g 4096 bare.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 8 256k 4k' bare.qcow2
serve bare.qcow2 view=guard -- "$(estimates '')" >guard.json 2>/dev/null
jq -e '.checkpoints[0].disks[0] | .dirty == 4096 and .compressed == null
  and (.why | test ("shows the view guard, which refuses to read what is clean; have it show overlay: "))' \
  guard.json

# The plugin itself takes no view of another.
serve one.qcow2 -- "! nbdkit -U - $plugin uri=\"\$uri\" --run true 2>refused.log"
grep -q 'offers no dirty bitmap' refused.log || fail "$(cat refused.log)"
sha256sum -c --quiet sums || fail "an image was changed"
