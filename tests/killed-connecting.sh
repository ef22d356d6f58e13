# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced after libvirt-lab.sh or qmp-lab.sh: nbdkit is killed while it connects to a backup job
# of $guest, at an instant that late-ready.c knows: go or ready.

late=$(realpath "$builddir")/tests/.libs/late-ready.so
export LATE=$tmpdir/late
# A sanitizer's runtime must come first.
case $sanitizers in '') preload=LD_PRELOAD ;; *) preload=NBDKIT_PRELOAD ;; esac

kill_when_late ()
{
  wait_until 30 test -e "$LATE.met"
  kill -KILL "$nbdkit_pid"
  wait "$nbdkit_pid" || :
  rm "$LATE.met"
  wait_until 40 no_job "$guest"
  guest_runs "$guest" || fail "the guest died: $1"
  wait_until 20 lab_no_keeper
}

# killed_as_it_starts CHECKPOINT INSTANT PARAMETER…: of $source.
killed_as_it_starts ()
{
  rm -f n.sock
  touch "$LATE.$2"
  env "$preload=$late" nbdkit -f -U n.sock "$plugin" "${source[@]}" \
    create="$1" "${@:3}" 2>start.log &
  nbdkit_pid=$!
  pids+=("$nbdkit_pid")
  kill_when_late "nbdkit was killed as it started ($2)"
  ! checkpoint_exists "$guest" "$1" \
    || fail "$1 is left, of a start that served nothing"
}

# killed_as_a_client_comes CHECKPOINT INSTANT: to vdb, since connections to vda are kept
# from the start.
killed_as_a_client_comes ()
{
  local client
  export "$preload=$late"
  start_nbdkit n.sock "${source[@]}" create="$1"
  unset "$preload"
  touch "$LATE.$2"
  nbdinfo --map "nbd+unix:///vdb?socket=n.sock" >map 2>&1 &
  client=$!
  pids+=("$client")
  kill_when_late "nbdkit was killed as a client came ($2)"
  wait "$client" || :
}

# killed_while_connecting: the guest named guest, with the disks vda and vdb, is backed
# up again and again.
killed_while_connecting ()
{
  local i instant
  source_of guest
  for i in 1 2 3; do
    for instant in go ready; do
      killed_as_it_starts "start$i$instant" $instant
      killed_as_a_client_comes "client$i$instant" $instant
    done
  done

  # As --run forks the server, which the keeper does not know yet; its command goes on.
  touch "$LATE.fork"
  env "$preload=$late" nbdkit -U - "$plugin" "${source[@]}" \
    create=forked --run 'exec sleep 60' 2>start.log &
  nbdkit_pid=$!
  pids+=("$nbdkit_pid")
  wait_until 30 test -e "$LATE.met"
  wait_until 40 no_job guest
  wait_until 20 lab_no_keeper
  kill -0 "$nbdkit_pid" || fail "the command has ended, so that tells nothing"
  ! checkpoint_exists guest forked || fail "its checkpoint is left"
  kill "$(pgrep -P "$nbdkit_pid" -x sleep)"
  wait "$nbdkit_pid" || :

  # Its chain goes on.
  guest_write guest vda 'write -P 7 8M 64k' >/dev/null
  serve "${source[@]}" disk=vda create=last -- 'nbdcopy "$uri" null:' \
    || fail "no backup after that"
  guest_write guest vda 'write -P 8 16M 64k' >/dev/null
  serve "${source[@]}" disk=vda checkpoint=last view=sparse -- \
    'nbdinfo --map --json "$uri" | jq -c "[.[] | select(.type == 0) | .offset]" >dirty' \
    || fail "no incremental backup after that"
  [ "$(cat dirty)" = "[$((16 * 1048576))]" ] || fail "dirty is $(cat dirty)"
}
