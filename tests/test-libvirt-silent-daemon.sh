#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# libvirt's daemon falls silent while a backup is served.  Whether the job lives is
# not known then, so nothing is called clean; nbdkit ends in bounded time, and says
# what to type.  Once the daemon answers again, the job ends all the same.
. "$(dirname "$0")/libvirt-lab.sh"

lab_with_guest
lab_state web1 >before
as_before () { lab_state web1 >after && cmp -s before after; }

start_nbdkit n.sock libvirt="$connect" domain=web1 checkpoint=monday view=sparse
kill -STOP "$lab_pid"
# Nothing was written since: all of it would be clean.
"$python" - <<'END' &
import nbd
h = nbd.NBD()
h.connect_uri("nbd+unix:///vda?socket=n.sock")
open("connected", "w").close()
try:
    h.pread(65536, 0)
    open("read", "w").close()
except nbd.Error as error:
    print(error)
END
client=$!
pids+=("$client")
wait_until 20 test -e connected
sleep 3
[ ! -e read ] || fail "a block was called clean without a proof"

kill "$nbdkit_pid"
bounded tail --pid="$nbdkit_pid" -f /dev/null || fail "nbdkit waits for ever"
wait "$nbdkit_pid" || :
wait "$client" || :
[ ! -e read ] || fail "a block was called clean without a proof"
cat nbdkit.log
grep -Eq "its backup job cannot be ended, for libvirt does not answer .*; once it does, type virsh .* domjobabort web1|libvirt did not end the backup job within 45 s" \
  nbdkit.log || fail "it is not said what is left"
kill -CONT "$lab_pid"
wait_until 60 as_before
wait_until 30 lab_no_keeper
