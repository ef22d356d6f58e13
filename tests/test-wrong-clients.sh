#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Each client of the manual's table ("Which client with which view") copies from each
# view: what is right, and what loses something, is as it says there.
. "$(dirname "$0")/functions.sh"

qemu-img create -q -f qcow2 disk.qcow2 16M
qemu-io -f qcow2 -c 'write -q -P 1 0 8M' disk.qcow2
qemu-img convert -f qcow2 -O qcow2 disk.qcow2 monday.qcow2
qemu-img convert -f qcow2 -O raw disk.qcow2 monday.raw
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' -c 'write -q -z 2M 64k' \
  -c 'write -q -P 3 12M 64k' disk.qcow2

qemu-img convert -f qcow2 -O qcow2 -B monday.qcow2 -F qcow2 disk.qcow2 good.qcow2
cp good.qcow2 bad.qcow2
qemu-io -f qcow2 -c 'write -q -z 0 64k' bad.qcow2

cat >mirror.py <<'EOT'
import atexit, json, socket, subprocess, sys, time
daemon = subprocess.Popen (
    ["qemu-storage-daemon", "--chardev",
     "socket,id=m,path=m.sock,server=on,wait=on", "--monitor", "chardev=m",
     "--blockdev", "driver=nbd,node-name=from,read-only=on,server.type=unix,"
     "server.path=%s,export=%s" % tuple (sys.argv[1:]),
     "--blockdev", "driver=file,node-name=to,filename=result.raw"])
atexit.register (daemon.kill)
link = socket.socket (socket.AF_UNIX)
for _ in range (1000):
    try:
        link.connect ("m.sock")
        break
    except OSError:
        time.sleep (0.01)
file = link.makefile ("rw")
def until (wanted):
    while True:
        said = json.loads (file.readline ())
        if "error" in said:
            sys.exit (said["error"]["desc"])
        if wanted in said or said.get ("event") == wanted:
            return
def run (command, **arguments):
    json.dump ({"execute": command, "arguments": {
        name.replace ("_", "-"): value for name, value in arguments.items ()}},
        file)
    file.flush ()
    until ("return")
run ("qmp_capabilities")
run ("blockdev-mirror", job_id="j", device="from", target="to", sync="full")
until ("BLOCK_JOB_READY")
run ("job-complete", id="j")
until ("BLOCK_JOB_COMPLETED")
run ("quit")
sys.exit (daemon.wait ())
EOT

# copies COLUMN COMMAND FORMAT: does COMMAND make the disk of result.FORMAT?
copies ()
{
  local view=${1%@} export=vda
  case $1 in vda@) view=overlay export=vda@ ;; esac
  rm -f result.*
  qemu-img create -q -f qcow2 -b monday.qcow2 -F qcow2 result.qcow2
  case $2 in
    *mirror*) truncate -s 16M result.raw ;;
    *) cp monday.raw result.raw ;;
  esac
  serve disk.qcow2 checkpoint=monday view="$view" -- \
    "from=\"nbd+unix:///$export?socket=\$unixsocket\" export=$export; $2" \
    >&2 || return
  [ "$3" = none ] || qemu-img compare -q -f "$3" -F qcow2 "result.$3" disk.qcow2
}
nbdcopy='nbdcopy --request-size=65536'
to_overlay='-- "$from" [ qemu-nbd -f qcow2 result.qcow2 ]'

# try COLUMN CLIENT
try ()
{
  case $2 in
    'qemu-img convert -B PREVIOUS')
      copies "$1" 'qemu-img convert -f raw -O qcow2 -B monday.qcow2 -F qcow2 \
                     "$from" result.qcow2' qcow2 ;;
    'qemu-img convert, a full copy')
      copies "$1" 'qemu-img convert -f raw -O qcow2 "$from" result.qcow2' \
        qcow2 ;;
    'nbdcopy, as in the recipe')
      copies "$1" "$nbdcopy --destination-is-zero -S 0 $to_overlay" qcow2 ;;
    '  without --destination-is-zero')
      copies "$1" "$nbdcopy -S 0 $to_overlay" qcow2 ;;
    '  without -S 0')
      copies "$1" "$nbdcopy --destination-is-zero $to_overlay" qcow2 ;;
    '  into a raw copy, by qemu-nbd')
      copies "$1" "$nbdcopy --destination-is-zero -S 0 -- \"\$from\" \
                     [ qemu-nbd -f raw result.raw ]" raw ;;
    '  into a raw copy, as a file')
      copies "$1" "$nbdcopy --destination-is-zero -S 0 -- \"\$from\" \
                     result.raw" raw ;;
    'blockdev-mirror')
      copies "$1" '"$python" mirror.py "$unixsocket" $export' raw ;;
    'qemu-img compare')
      copies "$1" 'qemu-img compare -f raw -F qcow2 "$from" good.qcow2' none \
        && ! copies "$1" 'qemu-img compare -f raw -F qcow2 "$from" bad.qcow2' \
               none ;;
    *) fail "the manual's table has a client that is not tried: $2" ;;
  esac
}

awk '/^=head2 Which client with which view/ { on = 1; next }
     /^=/ { on = 0 }
     on && /^ / && !/^ (client|---)/ { print substr($0, 2) }' \
  "$srcdir/docs/nbdkit-checkpoint-plugin.pod" >table
[ "$(wc -l <table)" -eq 9 ] || fail "another table: $(cat table)"
exec 3<table
while IFS= read -r line <&3; do
  client=$(sed -E 's/ +[a-z]+ +[a-z]+ +[a-z]+$//' <<<"$line")
  read -ra said <<<"${line:${#client}}"
  columns=(overlay sparse vda@)
  for i in 0 1 2; do
    if try ${columns[i]} "$client"; then found=right; else found=wrong; fi
    echo "$client, ${columns[i]}: $found"
    [ "$found" = "${said[i]}" ] \
      || { echo "$client, ${columns[i]}: said ${said[i]}, found $found" >>wrong; }
  done
done
[ ! -e wrong ] || fail "$(cat wrong)"
