#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A client cannot write lines of its own into nbdkit's log, nor command the
# terminal that shows it, by the name of the export it asks for; nor can an
# image by the names of its bitmaps.
. "$(dirname "$0")/functions.sh"

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
qemu-img bitmap --add disk.qcow2 $'tue\xc2\x9b31m\xe2\x80\xaesday'

cat >ask.py <<'END'
import nbd, os, sys, time
for name in ("x\nnbdkit: error: forged", "x\r\033[2Jforged", "x\u009b2Jforged",
             "vda@x\u2028forged", "vda@\u202eforged"):
    h = nbd.NBD()
    h.set_export_name(name)
    try:
        h.connect_unix(sys.argv[1])
    except nbd.Error:
        continue
    sys.exit("the export was opened")
END

# clean TIMES: the log has that many lines, and nothing in them that is no text.
clean ()
{
  cat -v nbdkit.log
  "$python" - "$1" <<'END' || fail "the log is forged"
import sys, unicodedata
text = open("nbdkit.log", newline="").read()
lines = [l for l in text.split("\n") if l and not l.startswith("qemu-nbd")]
bad = {c for l in lines for c in l
       if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")}
sys.exit(str(bad)) if bad else None
sys.exit(any(not l.startswith("nbdkit: ") for l in lines)
         or any(l.startswith("nbdkit: error: forged") for l in lines)
         or sum("forged" in l for l in lines) != int(sys.argv[1]))
END
  rm -f nbdkit.log
}

start_nbdkit n.sock disk.qcow2 checkpoint=monday
"$python" ask.py n.sock
stop_nbdkit
clean 5
refuses 'tue.31m.sday' disk.qcow2 checkpoint=tuesday
mv refused.log nbdkit.log
clean 0

# What it was read from is gone.
qemu-nbd -r -f qcow2 -t -e 20 -k "$PWD/qemu.sock" -B monday disk.qcow2 &
qemu=$!
pids+=($qemu)
wait_until 10 listens qemu.sock
start_nbdkit n.sock uri="nbd+unix:///?socket=$PWD/qemu.sock" checkpoint=monday
kill $qemu
wait $qemu || :
! nbdsh -u "nbd+unix:///?socket=n.sock" -c 'h.pread (512, 0)' 2>/dev/null \
  || fail "a read succeeded"
"$python" ask.py n.sock
stop_nbdkit
clean 5

# The filter has one export only.
[ -e "$filter" ] || exit 0
nbdkit_options=(--filter="$filter")
start_nbdkit n.sock disk.qcow2 checkpoint=monday merge=vda@monday
"$python" ask.py n.sock
stop_nbdkit
clean 5
