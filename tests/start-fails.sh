# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced after libvirt-lab.sh or qmp-lab.sh: a backup of the guest web1 since monday
# fails before a client can read, and is undone with all that was begun, the new
# checkpoint included.

as_before () { lab_state web1 >after && cmp -s before after; }
was_undone ()
{
  wait_until 10 as_before || :
  lab_state web1 | diff -u before - || fail "something is left after $1"
}

# killed WHEN COMMAND…: while it starts, as soon as COMMAND succeeds.
killed ()
{
  local pid end=$((SECONDS + 60))
  nbdkit -f -U k.sock "$plugin" "${source[@]}" checkpoint=monday \
    create=tuesday 2>/dev/null &
  pid=$!
  until "${@:2}" || [ $SECONDS -ge $end ]; do :; done
  [ $SECONDS -lt $end ] || fail "it is not seen: $1"
  kill -KILL $pid
  wait $pid || :
  # It begins to the end, and undoes it then.
  wait_until 20 lab_no_keeper
  was_undone "SIGKILL $1"
  rm -f k.sock
}
# (qmp= leaves scratch files no name.)
is_beginning ()
{
  case $lab_kind in
    libvirt) ls -d ./*.scratch ;;
    qmp) ls -d "$lab_sockets"/nbdkit-checkpoint-*/nbd ;;
  esac >/dev/null 2>&1
}

starts_fail ()
{
  local ms i
  source_of web1
  lab_state web1 >before

  # The job is begun, and then nbdkit cannot bind its own socket.
  ln -s /nonexistent/n.sock bad.sock
  ! bounded nbdkit -f -U bad.sock "$plugin" "${source[@]}" checkpoint=monday \
    create=tuesday || fail "nbdkit started"
  was_undone "a socket that cannot be bound"

  for ms in 10 40 70 100 150; do
    killed "$ms ms after the start" sleep "$(printf '0.%03d' $ms)"
  done
  for i in 1 2 3; do
    killed "once QEMU has begun" is_beginning
  done
  killed "once it listens" listens k.sock

  # Nobody comes.
  start_nbdkit n.sock "${source[@]}" checkpoint=monday create=tuesday
  checkpoint_exists web1 tuesday || fail "no checkpoint"
  stop_nbdkit
  was_undone "a server without clients"
}
