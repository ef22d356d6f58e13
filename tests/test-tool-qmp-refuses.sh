#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Monitors that cannot be asked: each refusal says why, soon, and what to do.
. "$(dirname "$0")/functions.sh"
. "$srcdir/tests/qemu-lab.sh"
requires socat

guest_disk vda.qcow2
qemu_start q -drive file=vda.qcow2,format=qcow2,if=none,id=vda \
  -device virtio-blk-pci,drive=vda

# ── What is no monitor ──
tool_says 2 'nothing.sock cannot be reached: No such file or directory; check the path, and that its QEMU runs$' list --qmp=nothing.sock
tool_says 2 'vda.qcow2 is no socket; name the one that QEMU was started with$' list --qmp=vda.qcow2
"$python" -c 'import socket; socket.socket(socket.AF_UNIX).bind("dead.sock")'
tool_says 2 'nobody listens at the monitor dead.sock' list --qmp=dead.sock
# Servers that say what is in a file, whoever asks, and wait.
cat >answers.py <<'END'
import select, socket, sys
listeners, clients = {}, []
for name in sys.argv[1:]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name + ".sock")
    listener.listen(1)
    listeners[listener] = name
print("ready", flush=True)
while True:
    for listener in select.select(list(listeners), [], [])[0]:
        clients.append(listener.accept()[0])
        clients[-1].sendall(open(listeners[listener], "rb").read())
END
echo 'QEMU 7.2.22 monitor - type help for more information' >people
echo '{"hello": 1}' >greeter
printf 'NBDMAGICIHAVEOPT\0\3' >nbd
: >nobody
"$python" answers.py people greeter nbd nobody >ready &
pids+=($!)
wait_until 5 test -s ready
tool_says 2 'people.sock is no QMP monitor.*see the -qmp' list --qmp=people.sock
tool_says 2 'greeter.sock does not greet' list --qmp=greeter.sock
tool_says 2 'nbd.sock is no QMP monitor' list --qmp=nbd.sock
tool_says 2 'nobody.sock is silent: .*agent.*--libvirt' list --qmp=nobody.sock
tool_says 2 'two sources are given, --qmp and --file; leave out one' \
  list --qmp=q.sock --file=vda.qcow2
tool_says 2 'two sources are given, --qmp and --libvirt; leave out one' \
  list --qmp=q.sock --libvirt=test:///default --domain=test

# ── A monitor that another client holds ──
mkfifo hold
"$python" "$srcdir/tests/qmp.py" q.sock --hold <hold >held &
pids+=($!)
exec 7>hold
wait_until 10 test -s held
tool_says 2 'q.sock is silent: either another client holds it, such as libvirt' \
  list --qmp=q.sock
exec 7>&-
wait_until 10 "$tool" list --qmp=q.sock

# ── One that dies in the middle ──
cat >dies.sh <<'END'
echo '{"QMP": {"version": {}, "capabilities": []}}'
while read -r line; do
  id=$(sed 's/.*"id":\([0-9]*\).*/\1/' <<<"$line")
  case $line in
    *query-named-block-nodes*) exit ;;
    *qmp_capabilities*) echo "{\"return\": {}, \"id\": $id}" ;;
    *) echo "{\"return\": [], \"id\": $id}" ;;
  esac
done
END
socat UNIX-LISTEN:dies.sock,fork EXEC:'bash dies.sh' &
pids+=($!)
wait_until 5 listens dies.sock
tool_says 2 'the monitor dies.sock does not answer: it ended' list --qmp=dies.sock
# Answers of the wrong kind.
sed 's/exit ;;/echo "{\\"return\\": [1, {\\"node-name\\": 2}], \\"id\\": $id}" ;;/' \
  dies.sh >lies.sh
socat UNIX-LISTEN:lies.sock,fork EXEC:'bash lies.sh' &
pids+=($!)
wait_until 5 listens lies.sock
tool_says 2 'not understood' list --qmp=lies.sock

# ── A disk that documents know by another name ──
mkdir named
cat >named/x.xml <<'END'
<domaincheckpoint><name>x</name><creationTime>1</creationTime>
<disks><disk name='sda' checkpoint='bitmap' bitmap='x'/></disks></domaincheckpoint>
END
"$tool" create x --qmp=q.sock
tool_says 2 'covers disk sda, which is not there, and disk vd. has its bitmap x' \
  delete x --qmp=q.sock --tree=named
[ -s named/x.xml ] || fail "its document is gone, and the bitmaps are not"
"$tool" delete x --qmp=q.sock
"$tool" delete x --qmp=q.sock --tree=named
[ -z "$(ls named)" ] || fail "not deleted"

# ── Nothing to look at ──
qemu_end q
qemu_start q
tool_says 2 'the QEMU at q.sock has no disk that its guest can write to' \
  list --qmp=q.sock
no_undo || fail "a process is left"
