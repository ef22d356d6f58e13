#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A backing file on a network is read if backing= names it as its overlay does,
# and only then: byte for byte what QEMU reads, and all dirty that QEMU calls so.
# A server that is not there, or goes, is an error, never other bytes.
. "$(dirname "$0")/functions.sh"
unset http_proxy https_proxy all_proxy HTTPS_PROXY ALL_PROXY

mkdir tmp
export TMPDIR=$PWD/tmp

qemu-img create -q -f raw base.raw 16M
qemu-io -f raw -c 'write -q -P 1 0 3M' -c 'write -q -P 2 5M 1M' \
  -c 'write -q -P 3 15M 1M' base.raw
qemu-img convert -f raw -O qcow2 base.raw base.qcow2

# start_qemu_nbd FILE WHERE…: its bytes as they are; $server_pid.
start_qemu_nbd ()
{
  local file=$1
  shift
  qemu-nbd -t -r -f raw -e 64 --pid-file=qemu-nbd.pid "$@" "$file" &
  server_pid=$!
  pids+=("$server_pid")
  wait_until 20 test -s qemu-nbd.pid
  rm qemu-nbd.pid
}

start_tcp ()
{
  port=$(free_ports)
  qemu-nbd -t -r -f raw -e 64 --fork --pid-file=tcp.pid -b 127.0.0.1 \
    -p "$port" -x "$2" "$1"
  server_pid=$(cat tcp.pid)
  pids+=("$server_pid")
}

# start_http NAME [CERTIFICATE KEY]: $server_pid, $port, log in NAME.log.
start_http ()
{
  local name=$1
  shift
  rm -f "$name.port"
  "$python" "$srcdir/tests/range-server.py" "$name.port" "$name.log" "$@" \
    2>"$name.err" &
  server_pid=$!
  pids+=("$server_pid")
  wait_until 20 test -s "$name.port"
  port=$(cat "$name.port")
}

writes=(-c 'write -q -P 4 1M 64k' -c 'write -q -z 2M 64k'
  -c 'write -q -P 5 7M 130k' -c 'write -q -P 6 18M 64k')
# make_overlay FILE NAME FORMAT: larger than its backing file.
make_overlay ()
{
  qemu-img create -q -f qcow2 -u -b "$2" -F "$3" "$1" 20M
  qemu-img bitmap --add "$1" monday
  qemu-io -f qcow2 "${writes[@]}" "$1"
}

# superset MAP DIRTY: what is not dirty in a map of view=overlay is not dirty to
# QEMU, either.
cat >superset.py <<'END'
import json, sys
clean = [(e["offset"], e["offset"] + e["length"])
         for e in json.load(open(sys.argv[1])) if e["type"] == 1]
dirty = [tuple(map(int, line.split())) for line in open(sys.argv[2])]
assert clean and dirty
for offset, length in dirty:
    for begin, end in clean:
        assert offset >= end or offset + length <= begin, (offset, begin, end)
END

# few WANTED: some bytes, one after the other.
cat >few.py <<'END'
import nbd, sys
truth = open(sys.argv[2], "rb").read()
h = nbd.NBD()
h.connect_uri(sys.argv[1])
assert h.get_size() == len(truth)
for offset in range(0, len(truth), 512 * 1024):
    assert h.pread(4096, offset) == truth[offset:offset + 4096], offset
END

# equals_qemu FILE BACKING: byte for byte, map and whole disk.  Over HTTP, QEMU
# 7.2 itself (qemu-nbd and nbdcopy show it, and qemu-img convert) may leave one
# of many requests without an answer: there only some bytes are read.
equals_qemu ()
{
  local file=$1 backing=$2 whole="nbd+unix:///vda@?socket=\$unixsocket"
  local copy='nbdcopy "$uri" got.raw; nbdcopy "'$whole'" whole.raw'
  cp base.raw wanted.raw
  truncate -s 20M wanted.raw
  qemu-io -f raw "${writes[@]}" wanted.raw
  case $backing in
    *http*) copy='"$python" few.py "$uri" wanted.raw
      "$python" few.py "'$whole'" wanted.raw' ;;
    *) qemu-img convert -f qcow2 -O raw "$file" qemu.raw
      cmp wanted.raw qemu.raw || fail "$backing: QEMU reads other bytes" ;;
  esac
  qemu_dirty "$file" monday >wanted.dirty
  serve "$file" checkpoint=monday "backing=$backing" -- "set -e; $copy
    nbdinfo --json --map \"\$uri\" >map.json" || fail "$backing: not read"
  case $backing in
    *http*) ;;
    *) cmp wanted.raw got.raw || fail "$backing: other bytes"
      cmp wanted.raw whole.raw || fail "$backing: other bytes of vda@" ;;
  esac
  "$python" superset.py map.json wanted.dirty \
    || fail "$backing: dirty blocks are called clean"
  leaves_nothing
}

# follows NAME FORMAT: as typed from the refusal.
follows ()
{
  local name=$1 format=$2
  echo "$name"
  rm -f top.qcow2
  make_overlay top.qcow2 "$name" "$format"
  refuses 'top.qcow2: its backing file .* is read only if you name it; .*backing=' \
    top.qcow2 checkpoint=monday
  printed '; if it may, add '
  type_it "nbdkit -U - checkpoint top.qcow2 checkpoint=monday $printed \\
    --run 'nbdinfo --size \"\$uri\"'" >typed
  [ "$(tail -n 1 typed)" = $((20 << 20)) ] || fail "$(cat typed)"
  equals_qemu top.qcow2 "$name"
  # Another name, or one that begins or ends so, allows nothing.
  local wrong
  for wrong in "${name}x" "${name%?}" "nbd://127.0.0.1:1/" /dev/null; do
    refuses 'top.qcow2: its backing file .* is read only if you name it' \
      top.qcow2 checkpoint=monday "backing=$wrong"
  done
}

start_tcp base.raw 'an export/1'
nbd_tcp=$port nbd_tcp_pid=$server_pid
start_qemu_nbd base.qcow2 -k "$PWD/base.sock"
nbd_unix_pid=$server_pid
start_http http
http=$port http_pid=$server_pid
certtool --generate-privkey --key-type=ecdsa --outfile key.pem 2>/dev/null
printf 'cn = "localhost"\nexpiration_days = 2\ntls_www_server\nip_address = "127.0.0.1"\n' \
  >template
certtool --generate-self-signed --load-privkey key.pem --template template \
  --outfile certificate.pem 2>/dev/null
start_http https certificate.pem key.pem
https=$port

follows "nbd://127.0.0.1:$nbd_tcp/an%20export/1" raw
follows "nbd:127.0.0.1:$nbd_tcp:exportname=an export/1" raw
follows "nbd+unix:///?socket=$PWD/base.sock" qcow2
follows "nbd:unix:$PWD/base.sock" qcow2
follows "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"nbd\",\"server\":{\"type\":\"unix\",\"path\":\"$PWD/base.sock\"}}}" \
  qcow2
follows "json:{\"driver\":\"raw\",\"file.driver\":\"nbd\",\"file.host\":\"127.0.0.1\",\"file.port\":\"$nbd_tcp\",\"file.export\":\"an export/1\"}" \
  raw
# A server that is read in whole blocks only, as iSCSI's disks are.
for format in raw qcow2; do
  nbdkit -f -U "$PWD/blocks-$format.sock" --filter=blocksize-policy file \
    base.$format blocksize-minimum=4096 blocksize-error-policy=error &
  pids+=($!)
  blocks="nbd+unix:///?socket=$PWD/blocks-$format.sock"
  wait_until 20 nbdinfo --size "$blocks"
  ! nbdsh -u "$blocks" -c 'h.set_strict_mode(0); h.pread(512, 0)' 2>/dev/null \
    || fail "the server reads a part of a block"
  follows "$blocks" $format
done
follows "http://127.0.0.1:$http/base.raw" raw
follows "http://127.0.0.1:$http/base.qcow2" qcow2
follows "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"https\",\"url\":\"https://127.0.0.1:$https/base.raw\",\"sslverify\":\"off\"}}" \
  raw

# Nobody vouches for the certificate.
make_overlay untrusted.qcow2 "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"https\",\"url\":\"https://127.0.0.1:$https/base.raw\",\"sslverify\":\"off\"}}" raw
qemu-img rebase -u -f qcow2 -b "https://127.0.0.1:$https/base.raw" -F raw \
  untrusted.qcow2
refuses 'untrusted.qcow2: .*https://127.0.0.1:.* cannot be read: CURL: Error opening' untrusted.qcow2 \
  "backing=https://127.0.0.1:$https/base.raw"

# An image there that leads on is refused, and what it names is let alone.
note_who_comes further.sock
mkfifo further.fifo
# A FIFO that is opened for reading lets this writer on.
(echo >further.fifo; touch opened) &
pids+=($!)
further="nbd+unix:///?socket=$PWD/further.sock"
qemu-img create -q -f qcow2 -u -b "$further" -F raw on-1.qcow2 16M
qemu-img create -q -f qcow2 -u -b "$PWD/further.fifo" -F raw on-2.qcow2 16M
qemu-img create -q -f qcow2 -o "data_file=$PWD/data.raw" on-3.qcow2 16M
"$python" - on-3.qcow2 "$PWD/data.raw" <<'END'
import sys
old = sys.argv[2].encode()
with open(sys.argv[1], "r+b") as f:
    at = f.read(65536).index(old)
    f.seek(at - 4)                      # its length
    new = old[:-len("data.raw")] + b"further.fifo"
    f.write(len(new).to_bytes(4, "big") + new)
END
for i in 1 2 3; do
  for name in "http://127.0.0.1:$http/on-$i.qcow2"; do
    # Not with qemu-img alone, which would follow it.
    qemu-img create -q -f qcow2 -u -b base.raw -F raw over.qcow2 20M
    qemu-img bitmap --add over.qcow2 monday
    qemu-img rebase -u -f qcow2 -b "$name" -F qcow2 over.qcow2
    refuses "backing file of $PWD/over.qcow2: .*on-$i.qcow2.* is not a local file, and names another: .*further" \
      over.qcow2 "backing=$name" "backing=$further" \
      "backing=$PWD/further.fifo"
  done
done
! [ -e contacted ] || fail "what an image elsewhere names was contacted"
! [ -e opened ] || fail "what an image elsewhere names was opened"
# They are seen, if so.
timeout 10 cat further.fifo >/dev/null
wait_until 10 test -e opened
qemu-img info -U "$further" >/dev/null 2>&1 || :
wait_until 10 test -e contacted

# A file that is not there, and one that is no image.
qemu-img rebase -u -f qcow2 -b "http://127.0.0.1:$http/none" -F raw over.qcow2
refuses 'over.qcow2: http://127.0.0.1:.*/none cannot be read: .*404' over.qcow2 \
  "backing=http://127.0.0.1:$http/none"
qemu-img rebase -u -f qcow2 -b "http://127.0.0.1:$http/base.raw" -F qcow2 \
  over.qcow2
refuses 'over.qcow2: .*/base.raw is not a qcow2 image' over.qcow2 \
  "backing=http://127.0.0.1:$http/base.raw"

# gone NAME FORMAT PID: in the middle, then from the start.  What is read after
# is an error or right.
cat >gone.py <<'END'
import errno, nbd, os, signal, sys
socket, victim, wanted = sys.argv[1], int(sys.argv[2]), sys.argv[3]
truth = open(wanted, "rb").read()
h = nbd.NBD()
h.connect_uri("nbd+unix:///vda@?socket=" + socket)
assert h.pread(65536, 0) == truth[:65536]
os.kill(victim, signal.SIGKILL)
failed = 0
for offset in range(0, len(truth), 65536):
    try:
        got = h.pread(65536, offset)
    except nbd.Error as e:
        assert e.errnum == errno.EIO, e
        failed += 1
    else:
        assert got == truth[offset:offset + 65536], offset
assert failed > 30, failed
END
gone ()
{
  local name=$1 format=$2 pid=$3
  rm -f top.qcow2 nbdkit.log
  make_overlay top.qcow2 "$name" "$format"
  start_nbdkit server.sock top.qcow2 checkpoint=monday "backing=$name"
  bounded "$python" gone.py "$PWD/server.sock" "$pid" wanted.raw \
    || fail "$name: wrong bytes, or none in time ($?)"
  kill -0 "$nbdkit_pid" || fail "nbdkit ended"
  kill "$nbdkit_pid"
  wait "$nbdkit_pid" || fail "nbdkit ended badly"
  cat nbdkit.log
  our_errors nbdkit.log >/dev/null || fail "$name: the log does not tell"
  leaves_nothing
  refuses 'top.qcow2: .* cannot be read: .*([Cc]onnect|No such file)' \
    top.qcow2 checkpoint=monday "backing=$name"
}
gone "nbd://127.0.0.1:$nbd_tcp/an%20export/1" raw "$nbd_tcp_pid"
gone "nbd+unix:///?socket=$PWD/base.sock" qcow2 "$nbd_unix_pid"
gone "http://127.0.0.1:$http/base.raw" raw "$http_pid"

# One that accepts, and says nothing.
"$python" - <<'END' &
import socket
s = socket.socket(socket.AF_UNIX)
s.bind("silent.sock")
s.listen()
held = []
while True:
    held.append(s.accept())
END
pids+=($!)
wait_until 10 listens silent.sock
qemu-img rebase -u -f qcow2 -b "nbd:unix:$PWD/silent.sock" -F raw over.qcow2
refuses 'over.qcow2: .*silent.sock: ' over.qcow2 \
  "backing=nbd:unix:$PWD/silent.sock"

[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
