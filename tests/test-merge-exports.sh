#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# merge= unites exports of other plugins, too: what any of them calls data is
# data, the first gives the bytes.  An export that cannot be opened, has another
# size, or does not tell its extents to the end is refused, not left out.
. "$(dirname "$0")/functions.sh"

filter=$filter
# nbd COMMAND ARGS…: run it against nbdkit with the filter and these ARGS.
nbd ()
{
  local command=$1 status=0
  shift
  bounded nbdkit -U - --filter="$filter" "$@" --run "$command" \
    2>nbdkit.log || status=$?
  did_end $status "$@"
  return $status
}
# refused REGEX ARGS…: the server starts, but no client gets the export.
refused ()
{
  local regex=$1
  shift
  ! nbd 'nbdinfo "$uri" 2>/dev/null' "$@" || fail "$* was served"
  cat nbdkit.log
  grep -Eq -- "$regex" nbdkit.log || fail "no '$regex' for $*"
}
map='nbdinfo --map --json "$uri"'
kib () { jq -r '.[] | "\(.offset / 1024)+\(.length / 1024)=\(.type)"' | paste -sd' '; }
is () { [ "$1" = "$2" ] || fail "not '$2' but '$1'"; }

# Files.
mkdir files
for name in a b; do truncate -s 1M files/$name; done
truncate -s 2M files/larger
printf 1 | dd of=files/a bs=1 seek=64K conv=notrunc status=none
printf 2 | dd of=files/b bs=1 seek=256K conv=notrunc status=none
got=$(nbd "$map" file dir=files merge=a merge=b | kib)
is "$got" "0+64=3 64+4=0 68+188=3 256+4=0 260+764=3"
nbd 'nbdcopy "$uri" copy' file dir=files merge=a merge=b
cmp copy files/a
nbd 'nbdcopy "$uri" copy' file dir=files merge=b merge=a
cmp copy files/b
nbd 'nbdinfo --list --json "$uri"' file dir=files merge=a merge=b \
  | jq -e '[.exports[] | [.["export-name"], .description, .is_read_only]]
           == [["", "2 exports united", true]]'
refused 'export larger has 2097152 bytes, but a, .* 1048576: they are not parts' \
  file dir=files merge=a merge=larger
refused 'nothing' file dir=files merge=a merge=nothing
! nbd 'nbdinfo "nbd+unix:///a?socket=$unixsocket"' file dir=files merge=a merge=b \
  || fail "a name that merge= does not serve was served"
grep -q 'no export a: with merge=, the union is the only export' nbdkit.log
! nbdkit --filter="$filter" file dir=files merge=a merge=a 2>nbdkit.log \
  || fail "merge= twice the same was accepted"
grep -q 'merge=a is given twice' nbdkit.log

# Another plugin does not tell what parts there are.
refused 'the plugin does not tell what its parts are; name them with merge=' \
  memory 1M

# A scripted plugin: what is dirty zero, allocated zero and clean; an answer in
# several pieces; errors half-way.
script=(eval list_exports='echo NAMES+DESCRIPTIONS' open='echo "$3"'
  get_size='echo 65536' pread='dd if=/dev/zero count=$3 iflag=count_bytes status=none'
  can_extents='case $2 in dumb) exit 3;; *) exit 0;; esac'
  extents='case $2 in
      one) echo 0 4096; echo 4096 28672 hole; echo 32768 32768 hole,zero ;;
      two) [ $4 -ge 8192 ] && { echo 8192 57344 hole; exit; }
           echo 0 4096 hole; echo 4096 4096 zero ;;
      bad) [ $4 -ge 8192 ] && { echo ENOSPC too bad >&2; exit 1; }
           echo 0 8192 hole ;;
      all) echo 0 65536 ;;
      *) echo 0 65536 hole ;;
    esac')
is "$(nbd "$map" "${script[@]}" merge=one merge=two | kib)" \
  "0+8=0 8+24=1 32+32=3"
# Only of its own bytes does an export know that they are zero.
is "$(nbd "$map" "${script[@]}" merge=two merge=one | kib)" \
  "0+4=0 4+4=3 8+24=1 32+32=0"
is "$(nbd "$map" "${script[@]}" merge=none merge=all | kib)" "0+64=0"
is "$(nbd "$map" "${script[@]}" merge=none merge=clean | kib)" "0+64=1"
refused 'export bad: what is dirty at 8192 cannot be read, .*: No space left' \
  "${script[@]}" merge=one merge=bad
refused 'export dumb does not tell what is allocated in it' \
  "${script[@]}" merge=one merge=dumb
is "$(nbd 'nbdinfo --size "$uri"' "${script[@]}" merge=one)" 65536

# What each part tells is asked once, not by each client.
counted=("${script[@]}")
for i in "${!counted[@]}"; do
  case ${counted[i]} in
    extents=*) counted[i]="extents=echo \$2 >>$PWD/calls
${counted[i]#extents=}" ;;
  esac
done
nbd 'for i in 1 2 3 4; do nbdinfo --map "$uri" >/dev/null; done' \
  "${counted[@]}" merge=one merge=clean
is "$(sort calls | uniq -c | tr -s ' \n' ' ')" " 1 clean 1 one "
