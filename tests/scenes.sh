# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced by functions.sh: odd images, servers and daemons that several tests
# meet.

# free_ports [COUNT]: ports of 127.0.0.1 on one line, for servers that cannot find one
# themselves.  None is from where the system takes a connection's own port: any test
# may get that one at any time, also between two lives of a server.
free_ports ()
{
  "$python" -c '
import random, socket, sys
with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
    end = int(f.read().split()[0])
found = []
while len(found) < int(sys.argv[1]):
    with socket.socket() as s:
        port = random.randrange(end // 2, end)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
        if port not in found:
            found.append(port)
print(*found)' "${1:-1}"
}

# forget_format IMAGE: rename the header extension that tells the format of its
# backing file.  QEMU 7.2 makes no image without any more, but there are old ones.
forget_format ()
{
  "$python" - "$1" <<'END'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(f.read(65536).index(b"\xe2\x79\x2a\xca"))
    f.write(b"\x12\x34\x56\x78")
END
}

# kill_writer IMAGE: QEMU is killed while it writes there, so that its bitmaps
# are inconsistent.
kill_writer ()
{
  local writer
  rm -f killed.sock             # of one that was killed before
  qemu-nbd -f qcow2 -t -k "$PWD/killed.sock" "$1" &
  writer=$!
  pids+=("$writer")
  wait_until 10 listens killed.sock
  nbdsh -u "nbd+unix:///?socket=$PWD/killed.sock" \
    -c 'h.pwrite(b"new" * 1024, 65536)' -c 'h.flush()'
  kill -9 "$writer"
  wait "$writer" 2>/dev/null || :
}

# note_who_comes SOCKET: a server there that makes the file "contacted" when
# somebody connects.
note_who_comes ()
{
  "$python" - "$1" <<'END' &
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
while True:
    s.accept()[0].close()
    open("contacted", "w").close()
END
  pids+=($!)
  wait_until 10 listens "$1"
}

# make_slow_daemon: with PATH=$slowly, a storage daemon does $change in the
# current folder of now before it looks.
make_slow_daemon ()
{
  mkdir slow
  cat >slow/qemu-storage-daemon <<'END'
#!/bin/bash
PATH=${PATH#*:}
sleep 0.5
(cd "$image_folder" && eval "$change") </dev/null >/dev/null
exec qemu-storage-daemon "$@"
END
  chmod +x slow/qemu-storage-daemon
  export image_folder=$PWD
  slowly=$PWD/slow:$PATH
}

# make_map_of: the script map_of, which prints the map of a URI; where it reads as
# zero is one thing, allocated or not.
make_map_of ()
{
  cat >map_of <<'END'
nbdinfo --map "$1" | awk '
  { zero = $3 == 2 || $3 == 3
    if (NR > 1 && zero == last) { length_of += $2; next }
    if (NR > 1) print start, length_of, last
    start = $1; length_of = $2; last = zero }
  END { print start, length_of, last }'
END
}
