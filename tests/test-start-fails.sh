#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# When the private storage daemon cannot be started, nbdkit does not start:
# one line, no hang, --run's command is not run, and nothing is left.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 disk.qcow2 1M
qemu-img bitmap --add disk.qcow2 monday

# Every program but one.
mkdir programs
IFS=:
for folder in $PATH; do
  [ "$folder" = "$private_socket" ] \
    || ln -s "$(realpath -m "$folder")"/* programs/ 2>/dev/null || :
done
unset IFS
rm programs/qemu-storage-daemon
# One that ends at once, well or badly.
for status in 0 1; do
  mkdir fake$status
  printf '#!/bin/sh\necho "so\nit is" >&2; exit %s\n' $status \
    >fake$status/qemu-storage-daemon
  chmod +x fake$status/qemu-storage-daemon
done
# One that ends as soon as it has greeted.
mkdir fake-greeting
printf '#!/bin/sh\necho "{\"QMP\": {}}"\n' >fake-greeting/qemu-storage-daemon
chmod +x fake-greeting/qemu-storage-daemon
mkdir read-only tmp
chmod a-w read-only
long=$PWD/$(printf '%0100d' 0)
mkdir "$long"
if [ "$(id -u)" -eq 0 ]; then
  requires setpriv
  as_user=(setpriv --bounding-set -dac_override)
fi

# fails REGEX VARIABLE=VALUE…: whichever way it is started.
fails ()
{
  local regex=$1 mode status
  shift
  for mode in foreground background run; do
    local before=() after=()
    case $mode in
      foreground) before=(-f) ;;
      run) after=(--run 'touch ran') ;;
    esac
    status=0
    "${as_user[@]}" env "$@" timeout -k 5 40 nbdkit "${before[@]}" \
      -U "$PWD/server.sock" -P "$PWD/nbdkit.pid" "$plugin" disk.qcow2 \
      "${after[@]}" >log 2>&1 || status=$?
    cat log
    if [ -s nbdkit.pid ]; then pids+=("$(cat nbdkit.pid)"); fi
    did_end $status "$mode with $*"
    [ $status -eq 1 ] || fail "$mode with $*: status $status"
    [ "$(grep -c . log)" -eq 1 ] || fail "$mode with $*: not one line"
    grep -Eq -- "$regex" log || fail "$mode with $*: no '$regex'"
    ! [ -e ran ] || fail "$mode with $*: the command was run"
    ! [ -e server.sock ] || fail "$mode with $*: the socket is left"
    ! [ -e nbdkit.pid ] || fail "$mode with $*: the PID file is left"
    leaves_nothing
  done
}

# The sanitizers' nbdkit is found by where it lies.
if [ -z "$sanitizers" ]; then
  fails 'qemu-storage-daemon' PATH="$PWD/programs" TMPDIR="$PWD/tmp"
fi
for status in 0 1; do
  fails 'error: the private qemu-storage-daemon does not answer: it ended: so it is$' \
    PATH="$PWD/fake$status:$PATH" TMPDIR="$PWD/tmp"
done
fails 'error: .*the private qemu-storage-daemon' \
  PATH="$PWD/fake-greeting:$PATH" TMPDIR="$PWD/tmp"
# One that may not read what qemu-img may: seen before nbdkit forks.
if [ "$(id -u)" -eq 0 ]; then
  mkdir other-user
  daemon=$(command -v qemu-storage-daemon)
  printf '#!/bin/sh\nexec setpriv --reuid 65534 --clear-groups %s "$@"\n' \
    "$daemon" >other-user/qemu-storage-daemon
  chmod +x other-user/qemu-storage-daemon
  chmod 600 disk.qcow2
  fails "the private qemu-storage-daemon cannot open $PWD/disk.qcow2: .*denied" \
    PATH="$PWD/other-user:$PATH" TMPDIR="$PWD/tmp"
fi
fails "$long.*too long" TMPDIR="$long"
fails "$PWD/read-only.*Permission denied" TMPDIR="$PWD/read-only"
fails "$PWD/missing.*No such file" TMPDIR="$PWD/missing"
for folder in tmp read-only "$long"; do
  [ -z "$(ls -A "$folder")" ] || fail "left in $folder: $(ls -A "$folder")"
done
