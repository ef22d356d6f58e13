#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# What ends a job of qmp= under our hands: QEMU ends or is killed, another client ends
# the job, its export or its server.  A client gets EIO, the log says why, once, the server
# ends cleanly, and what is left in a QEMU that goes on is taken down.
. "$(dirname "$0")/qmp-lab.sh"

lab_with_guest
source_of web1
lab_state web1 >before
as_before () { lab_state web1 >after && cmp -s before after; }

# A client that reads all the time, until it is refused.
cat >reader.py <<'EOT'
import errno, nbd, sys, time
h = nbd.NBD ()
h.connect_uri ("nbd+unix:///vda?socket=n.sock")
h.pread (512, 0)
open ("reading", "w").close ()
end = time.monotonic () + 100
at = 0
while time.monotonic () < end:
    at = (at + 65536) % (32 << 20)
    try:
        h.pread (65536, at)
    except nbd.Error as e:
        sys.exit (e.errno != "EIO" and "%s, not EIO" % e.errno or 0)
    time.sleep (0.01)
sys.exit ("no read failed")
EOT

our () { qmp web1.see "$1" | jq -r '.[0].id'; }
# lost REGEX COMMAND…: begin, read, run COMMAND; a reader must fail, and the log match.
lost ()
{
  local regex=$1 reader
  shift
  rm -f nbdkit.log reading
  start_nbdkit n.sock "${source[@]}" checkpoint=monday create=lost
  job=$(our query-jobs) export=$(our query-block-exports)
  "$python" reader.py &
  reader=$!
  pids+=("$reader")
  wait_until 10 test -e reading
  "$@"
  wait $reader || fail "no EIO after $*"
  # A client that comes now is refused, in words.
  ! nbdsh -u "nbd+unix:///vda?socket=n.sock" -c 'h.pread (512, 0)' 2>/dev/null \
    || fail "a read succeeded after $*"
  stop_nbdkit
  cat nbdkit.log
  grep -E "error: .*web1.sock.*$regex" nbdkit.log \
    || fail "the log does not say '$regex' after $*"
  for what in 'the backup is over' 'lost the server'; do
    [ "$(grep -c "$what" nbdkit.log)" -le 1 ] || fail "it says so twice"
  done
  wait_until 10 lab_no_keeper
  [ -z "$(find "$lab_sockets" -name 'nbdkit-checkpoint-*')" ] \
    || fail "a folder is left after $*"
}
# Its checkpoint stays, since a client came.
nothing_left ()
{
  checkpoint_exists web1 lost || fail "the checkpoint of a client is gone"
  checkpoint_delete web1 lost
  wait_until 20 as_before || :
  lab_state web1 | diff -u before - || fail "something is left after $*"
}
# Not in JSON: a second such monitor beside a busy one is too much for QEMU 7.2.
tell () { [ -z "$(people web1 "$1" | tee -a told.log)" ] || fail "$1: $(cat told.log)"; }
cancel_job () { tell "block_job_cancel -f $job"; }
end_export () { tell "nbd_server_remove -f $export"; }
stop_server () { tell nbd_server_stop; }

lost 'the backup is over' cancel_job
nothing_left cancel_job
for how in end_export stop_server; do
  lost '(the backup is over|lost the server)' $how
  nothing_left $how
done

again ()
{
  guest_start web1
  checkpoint_exists web1 monday || { "$tool" check --qmp=web1.see.sock --fix --yes; checkpoint_make web1 monday; }
  ! checkpoint_exists web1 lost || checkpoint_delete web1 lost
  lab_state web1 >before
}
lost '(the backup is over|lost the server)' guest_quit web1
again
lost '(the backup is over|lost the server)' guest_crash web1
"$tool" delete --leftovers monday --file=vda:vda.qcow2 || "$tool" delete monday --file=vda:vda.qcow2
guest_start web1
checkpoint_make web1 monday
lab_state web1 >before

# ── The chain goes on ──
guest_write web1 vda 'write -P 2 1M 64k'
serve "${source[@]}" checkpoint=monday -- \
  'nbdinfo --map --json "$uri" | jq -c "[.[] | select(.type == 0) | .offset]"' >dirty
[ "$(cat dirty)" = "[1048576]" ] || fail "dirty is $(cat dirty)"
wait_until 10 as_before || :
lab_state web1 | diff -u before - || fail "something is left"
