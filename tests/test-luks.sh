#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Disks encrypted with LUKS, in qcow2 and below it, with passphrases from files and
# descriptors, each layer with its own.  A wrong one is refused in clear words,
# and a right one is seen by nobody else: in no command line, environment, log or
# file.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/image-kinds.sh"

mkdir tmp keys
export TMPDIR=$PWD/tmp

# All that a passphrase may have, and its file has no more.
printf 'pass-of-top "x", \\ $(y)\n\303\244' >keys/top
printf 'pass-of-base' >keys/base
printf 'pass-of-other' >keys/other
qemu_secrets=()
for key in top base other; do
  qemu_secrets+=(--object "secret,id=$key,file=$PWD/keys/$key")
done
top=driver=qcow2,encrypt.key-secret=top,file.filename=top.qcow2
base=driver=luks,key-secret=base,file.filename=base.luks
chain=driver=qcow2,encrypt.key-secret=top,file.filename=chain.qcow2
below=backing.key-secret=base
mixed=driver=qcow2,file.filename=mixed.qcow2

# luks NAME FORMAT KEY SIZE [OPTION…]: that costs little time to open.
luks ()
{
  local name=$1 format=$2 size=$4 options="key-secret=$3,iter-time=10"
  shift 4
  [ "$format" = luks ] \
    || options="encrypt.format=luks,encrypt.${options/,/,encrypt.}"
  create_slowly "${qemu_secrets[@]}" -u -f "$format" -o "$options" "$@" \
    "$name" "$size"
}
io () { local image=$1; shift
        qemu-io "${qemu_secrets[@]}" --image-opts "$@" "$image"; }
bitmap () { qemu-img bitmap "${qemu_secrets[@]}" --add --image-opts "$1" "$2"; }

# The only layer.
luks top.qcow2 qcow2 top 16M
io $top -c 'write -q -P 1 0 4M' -c 'write -q -z 8M 128k'
bitmap $top monday
raw_copy top-monday.raw --image-opts $top
io $top -d unmap -c 'write -q -P 2 100k 300k' -c 'write -q -z 2M 128k' \
  -c 'discard -q 3M 128k' -c 'write -q -P 0 12M 64k'
raw_copy top.raw --image-opts $top
bitmap_ranges monday --image-opts $top >dirty
for secret in secret=keys/top secret=vda:keys/top "secret=$PWD/keys/top"; do
  served_right "$secret" top.raw dirty top-monday.raw top.qcow2 "$secret"
done
diff -u <(join_ranges <dirty) got || fail "another map"
served_right "a descriptor" top.raw dirty top-monday.raw top.qcow2 secret=-9 \
  9<keys/top
served_right "a pipe" top.raw dirty top-monday.raw top.qcow2 secret=vda:-9 \
  9< <(cat keys/top)
# Others of the same disk are tried, too.
served_right "several" top.raw dirty top-monday.raw top.qcow2 \
  secret=keys/other secret=keys/base secret=keys/top
served_right "cache=none" top.raw dirty top-monday.raw top.qcow2 \
  secret=keys/top cache=none

# Two layers, with a passphrase each; a LUKS one below a qcow2 one that is plain.
luks base.luks luks base 16M
io $base -c 'write -q -P 3 0 6M' -c 'write -q -P 4 10M 64k'
luks chain.qcow2 qcow2 top 18M -b base.luks -F luks
bitmap $chain monday
raw_copy chain-monday.raw --image-opts $chain,$below
io $chain,$below -c 'write -q -P 5 1M 64k' -c 'write -q -P 6 17M 64k' \
  -c 'write -q -z 5M 64k'
raw_copy chain.raw --image-opts $chain,$below
bitmap_ranges monday --image-opts $chain,$below >dirty
for order in 'top base' 'base top'; do
  read -r one two <<<"$order"
  served_right "a chain" chain.raw dirty chain-monday.raw chain.qcow2 \
    secret=keys/$one secret=vda:keys/$two
done
qemu-img create -q -u -f qcow2 -b base.luks -F luks mixed.qcow2 16M
qemu-img bitmap -f qcow2 --add mixed.qcow2 monday 2>/dev/null \
  || bitmap $mixed monday
raw_copy mixed-monday.raw --image-opts $mixed,$below
io $mixed,$below -c 'write -q -P 7 2M 64k'
raw_copy mixed.raw --image-opts $mixed,$below
bitmap_ranges monday --image-opts $mixed,$below >mixed-dirty
served_right "a LUKS base" mixed.raw mixed-dirty mixed-monday.raw mixed.qcow2 \
  secret=keys/base

# With a data file, too: QEMU encrypts what is in it.
place file data 16M
luks data.qcow2 qcow2 top 16M -o "data_file=$place"
data=driver=qcow2,encrypt.key-secret=top,file.filename=data.qcow2
bitmap $data monday
raw_copy data-monday.raw --image-opts $data
io $data -c 'write -q -P 8 3M 64k' -c 'write -q -P 9 0 64k'
raw_copy data.raw --image-opts $data
bitmap_ranges monday --image-opts $data >data-dirty
served_right "a data file" data.raw data-dirty data-monday.raw data.qcow2 \
  secret=keys/top
! qemu-io -f raw -r -c 'read -P 9 0 512' data >/dev/null \
  || fail "the data file is not encrypted"

# Two disks: each secret is for all disks, or for one.
guest_disk plain.qcow2 16M
qemu-img bitmap --add plain.qcow2 monday
for secrets in 'vda:keys/top vdb:keys/base' 'keys/base keys/top' \
               'vda:keys/top keys/base'; do
  read -r one two <<<"$secrets"
  serve vda:top.qcow2 vdb:mixed.qcow2 vdc:plain.qcow2 "secret=$one" \
    "secret=$two" -- '
    nbdcopy "nbd+unix:///vda@?socket=$unixsocket" one.raw
    nbdcopy "nbd+unix:///vdb@?socket=$unixsocket" two.raw'
  cmp top.raw one.raw || fail "$secrets: other bytes in vda"
  cmp mixed.raw two.raw || fail "$secrets: other bytes in vdb"
done
refuses 'mixed.qcow2.*base.luks.*secret=' vda:top.qcow2 vdb:mixed.qcow2 \
  secret=vda:keys/top secret=vda:keys/base

# Wrong, missing, unreadable, empty; more than a passphrase; one that does not
# come, for which it waits, but not for ever.
mkfifo keys/silent
bounded nbdkit -U - "$plugin" top.qcow2 secret=keys/silent --run true \
  2>silent.log &
silent=$!
pids+=($silent)
refuses "$PWD/top.qcow2 is encrypted.*secret=" top.qcow2
refuses "backing file of $PWD/mixed.qcow2: .*base.luks is encrypted.*secret=" \
  mixed.qcow2
refuses "$PWD/top.qcow2.*secret" top.qcow2 secret=keys/other
refuses "$PWD/top.qcow2.*secret" top.qcow2 secret=keys/other secret=keys/base
refuses "base.luks.*secret" chain.qcow2 secret=keys/top secret=keys/other
refuses "chain.qcow2.*secret" chain.qcow2 secret=keys/base secret=keys/other
cat keys/top <(echo) >keys/longer
refuses "$PWD/top.qcow2.*secret" top.qcow2 secret=keys/longer
refuses "$PWD/keys/none: No such file or directory" top.qcow2 secret=keys/none
refuses "$PWD/keys" top.qcow2 secret=keys
: >keys/empty
refuses "$PWD/keys/empty.*empty" top.qcow2 secret=keys/empty
head -c 32 /dev/zero >keys/zeroes
refuses "the secret in $PWD/keys/zeroes is not text in UTF-8" top.qcow2 secret=keys/zeroes
printf '\377\376' >keys/latin
refuses "the secret in $PWD/keys/latin is not text in UTF-8" top.qcow2 secret=keys/latin
truncate -s 1G keys/huge
refuses "$PWD/keys/huge" top.qcow2 secret=keys/huge
refuses "$PWD/keys/huge" top.qcow2 secret=keys/top secret=keys/huge
refuses '/dev/zero' top.qcow2 secret=/dev/zero
refuses 'secret in -77: Bad file descriptor' top.qcow2 secret=-77
refuses 'secret=-x' top.qcow2 secret=-x
refuses 'secret=' top.qcow2 secret=
refuses 'secret=vda:' top.qcow2 secret=vda:
if [ "$(id -u)" -eq 0 ]; then
  chmod a+x . && chmod a+r top.qcow2 && chmod 777 tmp
  cp keys/top keys/closed
  chmod 600 keys/closed
  nobody=$(id -u nobody)
  # What root can read is read before nbdkit becomes somebody else.
  nbdkit_options=(-u nobody)
  serve top.qcow2 secret=keys/closed -- 'nbdinfo --size "$uri"'
  nbdkit_options=()
  as_user=(setpriv --reuid "$nobody" --clear-groups)
  refuses "$PWD/keys/closed: Permission denied" top.qcow2 secret=keys/closed
  as_user=()
else
  cp keys/top keys/closed
  chmod 0 keys/closed
  refuses "$PWD/keys/closed: Permission denied" top.qcow2 secret=keys/closed
fi
# Secrets that are not needed harm nothing, and are not used.
serve plain.qcow2 secret=keys/other -- 'nbdinfo --size "$uri"'

# What was there before LUKS opens with any secret, and reads other bytes.
create_slowly "${qemu_secrets[@]}" -f qcow2 \
  -o encrypt.format=aes,encrypt.key-secret=base aes.qcow2 16M 2>/dev/null
bitmap driver=qcow2,encrypt.key-secret=base,file.filename=aes.qcow2 monday
refuses "$PWD/aes.qcow2 is encrypted in a way \(aes\) .*uri=" \
  aes.qcow2 secret=keys/base

# A header that says so without LUKS's, and one that is no LUKS at all.
cp base.luks broken.luks
qemu-io -f raw -c 'write -q -P 0 0 512' broken.luks
qemu-img create -q -u -f qcow2 -b broken.luks -F luks broken.qcow2 16M
bitmap driver=qcow2,file.filename=broken.qcow2 monday
refuses 'broken.luks' broken.qcow2 secret=keys/base

status=0
wait $silent || status=$?
[ $status -eq 1 ] || fail "without a writer: status $status"
grep -q "keys/silent: Connection timed out" silent.log \
  || fail "$(cat silent.log)"

# Locked, with what is below.
can_write () { qemu-io -f raw -c 'write -q 0 64k' "$1" 2>/dev/null; }
start_nbdkit server.sock chain.qcow2 secret=keys/top secret=keys/base
for file in chain.qcow2 base.luks; do
  ! can_write $file || fail "$file was written to"
done
stop_nbdkit
leaves_nothing

# Nobody sees a passphrase, in any form in which it is handed on.
patterns=(-e pass-of-)
for key in top base; do
  patterns+=(-e "$(base64 -w 0 keys/$key | head -c 12)"
             -e "$(xxd -p -c 200 keys/$key 2>/dev/null \
                   || od -An -v -tx1 keys/$key | tr -d ' \n')")
done
seen ()
{
  tr '\0' '\n' <"$1" 2>/dev/null | grep -aqF "${patterns[@]}"
}
seen keys/top && seen keys/base || fail "it would not be seen"
nbdkit_options=(-v)
rm -f nbdkit.log
start_nbdkit server.sock chain.qcow2 secret=keys/top secret=-9 9<keys/base
find_daemon "$nbdkit_pid"
nbdcopy "nbd+unix:///vda@?socket=$PWD/server.sock" got.raw
cmp chain.raw got.raw
for pid in "$nbdkit_pid" "$daemon" $(pgrep -P "$nbdkit_pid") \
           $(pgrep -P "$daemon"); do
  for file in cmdline environ; do
    ! seen "/proc/$pid/$file" || fail "a passphrase is in $file of $pid"
  done
  # Nor is a file of it left open there.
  ! ls -l "/proc/$pid/fd" | grep -E 'keys/(top|base)$' || fail "the file is open in $pid"
done
! seen nbdkit.log || fail "a passphrase is in the log"
for file in $(find . /dev/shm -xdev -newer keys/other -type f -size -2048 \
                ! -path './keys/*' -user "$(id -un)"); do
  case $file in *.raw | *.qcow2 | *.luks | ./data) continue ;; esac
  ! seen "$file" || fail "a passphrase is in $file"
done
stop_nbdkit
! seen nbdkit.log || fail "a passphrase is in the log at the end"
# Nor in a refusal's.
refuses_all ()
{
  ! serve "$@" -- true >refused.log 2>&1 || fail "accepted: $*"
  ! seen refused.log || fail "a passphrase is in the log of $*"
}
refuses_all top.qcow2 secret=keys/base
refuses_all chain.qcow2 secret=keys/top
nbdkit_options=()
leaves_nothing
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
