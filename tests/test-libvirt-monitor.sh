#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# QEMU's main thread, and with it the guest, does not stand still while a backup
# ends, whoever ends it, with answers on their way to clients: QEMU ends no job
# before all of an answer has been received that it has begun to send.
. "$(dirname "$0")/libvirt-lab.sh"

# It was 20 s, after which libvirt's daemon or we gave up.
limit=5000
qemu-img create -q -f qcow2 vda.qcow2 256M
qemu-io -f qcow2 -c 'write -q -P 1 0 256M' vda.qcow2
lab_start
guest_monitor=$tmpdir/monitor
guest_define web1 vda.qcow2
guest_start web1
virsh resume web1
longest=0

# meanwhile WHAT COMMAND…: how long the monitor kept silent meanwhile.
meanwhile ()
{
  local what=$1 silent asking
  shift
  rm -f end end.begun
  "$python" "$srcdir/tests/monitor-latency.py" "$guest_monitor" end >silent &
  asking=$!
  pids+=("$asking")
  wait_until 20 test -e end.begun
  "$@"
  wait_until 30 no_job web1
  touch end
  wait "$asking" || fail "the monitor did not answer: $what"
  silent=$(cat silent)
  echo "$what: $silent ms"
  [ "$silent" -le "$longest" ] || longest=$silent
  [ "$silent" -lt $limit ] || fail "QEMU's monitor did not answer for $silent ms: $what"
}

# Three clients that read in order, several requests at a time; once all are
# connected: nbdkit 1.32 crashes at its own end where one just connects.
copies=()
copy_in_background ()
{
  rm -f copying
  "$python" - <<'EOF' &
import nbd, threading
connected = threading.Barrier(3, lambda: open("copying", "w").close())

def copy():
    h = nbd.NBD()
    h.connect_uri("nbd+unix:///?socket=n.sock")
    connected.wait()
    size, step, wanted = h.get_size(), 1 << 18, []
    try:
        for at in range(0, size, step):
            wanted.append(h.aio_pread(nbd.Buffer(step), at))
            while len(wanted) > 4:
                h.poll(-1)
                wanted = [c for c in wanted if not h.aio_command_completed(c)]
    except nbd.Error:
        pass

threads = [threading.Thread(target=copy) for i in range(3)]
for thread in threads:
    thread.start()
EOF
  copies=($!)
  pids+=("${copies[@]}")
  wait_until 20 test -e copying
}

# end_with SIGNAL SECONDS: while clients copy.
end_with ()
{
  copy_in_background
  sleep "$2"
  kill "-$1" "$nbdkit_pid"
  wait "$nbdkit_pid" || :
}

end_job ()
{
  copy_in_background
  sleep "$1"
  virsh domjobabort web1
}

end_idle_reader ()
{
  "$python" - <<'EOF' &
import nbd, time
h = nbd.NBD()
h.connect_uri("nbd+unix:///?socket=n.sock")
for at in range(0, 8 << 20, 1 << 18):
    h.pread(1 << 18, at)
h.aio_pread(nbd.Buffer(1 << 22), 8 << 20)
open("reading", "w").close()
time.sleep(60)
EOF
  copies=($!)
  pids+=("${copies[@]}")
  wait_until 20 test -e reading
  rm reading
  kill "-$1" "$nbdkit_pid"
}

begin ()
{
  start_nbdkit n.sock libvirt="$connect" domain=web1 create="c$((++n))"
}

n=0
for seconds in 0.01 0.03 0.1; do
  for signal in TERM INT KILL; do
    begin
    meanwhile "SIG$signal after $seconds s of copying" end_with $signal $seconds
    wait "${copies[@]}" || :
  done
  begin
  meanwhile "domjobabort after $seconds s of copying" end_job $seconds
  wait "${copies[@]}" || :
  stop_nbdkit
done
for signal in TERM KILL; do
  begin
  meanwhile "SIG$signal with a client that does not receive" \
    end_idle_reader $signal
  # nbdkit ends once what it sends has been taken, or nobody is there.
  kill "${copies[@]}"
  wait "${copies[@]}" "$nbdkit_pid" || :
done
echo "longest silence of QEMU's monitor: $longest ms"
