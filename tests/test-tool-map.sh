#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint map: pictures, byte by byte, and what programs read: as nbdinfo,
# nbdkit's extentlist filter, oVirt imageio and KubeVirt have it.
. "$(dirname "$0")/functions.sh"
requires jq

disk=(--file=disk.qcow2)
qemu-img create -q -f qcow2 disk.qcow2 40000K
qemu-img bitmap --add disk.qcow2 monday
qemu-io -f qcow2 -c 'write -q 1M 100k' -c 'write -q 20M 4M' -c 'write -q -z 30M 2M' \
  -c 'write -q -z 34M 192k' -c 'write -q -z 38M 64k' -c 'write -q 39999K 1k' \
  -c 'write -q 10M 64k' disk.qcow2
sha256sum disk.qcow2 >before

# ── In letters ──
COLUMNS=80 LC_ALL=C.UTF-8 "$tool" map monday "${disk[@]}" --text >text.utf8
diff -u - text.utf8 <<'END' || fail "another picture"
vda since monday
6.5 MiB of 39.1 MiB dirty (16.6 %) in 7 runs, 2.2 MiB of it zeroes
       0 B  ················██··············································
   4.0 MiB  ································································
   8.0 MiB  ································█·······························
  12.0 MiB  ································································
  16.0 MiB  ································································
  20.0 MiB  ████████████████████████████████████████████████████████████████
  24.0 MiB  ································································
  28.0 MiB  ································▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄
  32.0 MiB  ································▄▄▄·····························
  36.0 MiB  ································▄···············█
a cell is 64.0 KiB; the record's granularity is 64.0 KiB
· clean
░▒▓█ dirty, up to a quarter, half, three quarters, all
▂▄ zeroes only, up to half, all
END
COLUMNS=42 "$tool" map "${disk[@]}" --text >text
diff -u - text <<'END' || fail "another picture in ASCII"
vda since monday
6.5 MiB of 39.1 MiB dirty (16.6 %) in 7
runs, 2.2 MiB of it zeroes
       0 B  ........#...............
   3.0 MiB  ........................
   6.0 MiB  ........................
   9.0 MiB  ........+...............
  12.0 MiB  ........................
  15.0 MiB  ........................
  18.0 MiB  ................########
  21.0 MiB  ########################
  24.0 MiB  ........................
  27.0 MiB  ........................
  30.0 MiB  0000000000000000........
  33.0 MiB  ........0o..............
  36.0 MiB  ................o.......
  39.0 MiB  #
a cell is 128.0 KiB; the record's
granularity is 64.0 KiB
. clean
-+*# dirty, up to a quarter, half, three
quarters, all
o0 zeroes only, up to half, all
END

# ── On a terminal a picture is the default: as wide as that is, and coloured ──
cat >terminal.py <<'END'
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 30, 0, 0))
    os.environ.pop("COLUMNS", None)
    os.execvp(sys.argv[1], sys.argv[1:])
out = b""
while True:
    try:
        more = os.read(fd, 65536)
    except OSError:
        break
    if not more:
        break
    out += more
sys.stdout.buffer.write(out.replace(b"\r\n", b"\n"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
on_terminal () { TERM=xterm "$python" terminal.py "$@"; }
on_terminal "$tool" map "${disk[@]}" >shown
grep -q $'^\e\[1mvda since monday\e\[0m$' shown || { cat -v shown; fail "no title"; }
grep -q $'^       0 B  \e\[2m....\e\[0m\e\[33m+\e\[0m\e\[2m...........\e\[0m$' shown \
  || { cat -v shown; fail "no row of 16 coloured cells"; }
NO_COLOR=1 on_terminal "$tool" map "${disk[@]}" >shown
! grep -q $'\e' shown || fail "colours with NO_COLOR"
grep -q '^       0 B  \.\.\.\.+' shown || { cat -v shown; fail "no picture"; }
NO_COLOR=1 on_terminal "$tool" map "${disk[@]}" --extents | head -n 1 | grep -qx '0 1048576 hole' \
  || fail "no list on a terminal"

# ── As nbdinfo prints what the plugin serves ──
start_nbdkit server.sock disk.qcow2 checkpoint=monday
uri="nbd+unix:///?socket=$PWD/server.sock"
nbdinfo --map "$uri" >want
"$tool" map monday "${disk[@]}" | diff -u want - || fail "other lines than nbdinfo's"
nbdinfo --map --json "$uri" | jq -S . >want
"$tool" map monday "${disk[@]}" --json | jq -S . | diff -u want - \
  || fail "other JSON than nbdinfo's"
# The same of what is served, as it is
"$tool" map --uri="$uri" --json | jq -S . | diff -u want - || fail "--uri of a view"
COLUMNS=80 LC_ALL=C.UTF-8 "$tool" map --uri="$uri" --text | grep '^ ' \
  | diff -u - <(grep '^ ' text.utf8) || fail "another picture of --uri"
kill "$nbdkit_pid"
wait "$nbdkit_pid" || fail "nbdkit ended badly"

# ── nbdkit's extentlist filter, over a copy ──
if [ -z "$sanitizers" ]; then
  qemu-img convert -f qcow2 -O raw disk.qcow2 copy.raw
  "$tool" map monday "${disk[@]}" --extents >list
  nbdkit -r -U - --filter=extentlist file copy.raw extentlist=list \
    --run 'nbdinfo --map --json "$uri"' | jq -S . | diff -u want - \
    || fail "the extentlist filter makes something else of it"
fi

# A filter that hides what is dirty is not believed.
if [ -z "$sanitizers" ]; then
  echo '0 1G hole' >lie
  for how in --text --svg=lie.svg --extents --json; do
    nbdkit -r -U - --filter=extentlist "$plugin" disk.qcow2 checkpoint=monday extentlist=lie \
      --run "! '$tool' map --uri=\"\$uri\" $how >printed 2>message" || fail "a lie is believed: $how"
    grep -q 'cannot believe the dirty map' message || { cat message; fail "another message"; }
    [ ! -s printed ] && [ ! -e lie.svg ] || fail "a lie is printed: $how"
  done
fi

# ── oVirt imageio ──
"$tool" map monday "${disk[@]}" --imageio >imageio
diff -u - imageio <<'END' || fail "other JSON than imageio's"
[{"start": 0, "length": 1048576, "dirty": false, "zero": false},
{"start": 1048576, "length": 131072, "dirty": true, "zero": false},
{"start": 1179648, "length": 9306112, "dirty": false, "zero": false},
{"start": 10485760, "length": 65536, "dirty": true, "zero": false},
{"start": 10551296, "length": 10420224, "dirty": false, "zero": false},
{"start": 20971520, "length": 4194304, "dirty": true, "zero": false},
{"start": 25165824, "length": 6291456, "dirty": false, "zero": false},
{"start": 31457280, "length": 2097152, "dirty": true, "zero": true},
{"start": 33554432, "length": 2097152, "dirty": false, "zero": false},
{"start": 35651584, "length": 196608, "dirty": true, "zero": true},
{"start": 35848192, "length": 3997696, "dirty": false, "zero": false},
{"start": 39845888, "length": 65536, "dirty": true, "zero": true},
{"start": 39911424, "length": 983040, "dirty": false, "zero": false},
{"start": 40894464, "length": 65536, "dirty": true, "zero": false}]
END
# ── KubeVirt ──
"$tool" map monday "${disk[@]}" --kubevirt >kubevirt
jq '[.[] | {offset: .start, length, type: ((if .dirty then 1 else 0 end)
      + (if .zero then 2 else 0 end)),
      description: (if .zero then "dirty,zero" elif .dirty then "dirty" else "clean" end)}]
    | {extents: ., next_offset: null}' imageio | diff -u - <(jq . kubevirt) \
  || fail "other JSON than KubeVirt's"

# ── For reports ──
# is_picture FILE WORDS…: well-formed, small, with the words in its text.
is_picture ()
{
  "$python" - "$@" <<'END' || { cat "$1"; fail "$1 is no such picture"; }
import os, sys, xml.etree.ElementTree as xml
svg = "{http://www.w3.org/2000/svg}"
tree = xml.parse(sys.argv[1]).getroot()
text = "\n".join("".join(e.itertext()) for e in tree.iter(svg + "text"))
both = tree.find(svg + "title").text + tree.find(svg + "desc").text
assert tree.tag == svg + "svg" and os.path.getsize(sys.argv[1]) < 20000
assert "prefers-color-scheme:dark" in tree.find(svg + "style").text
for word in sys.argv[2:]:
    assert word in text and word in both, word
END
}
"$tool" map monday "${disk[@]}" --svg=map.svg >printed
[ ! -s printed ] || fail "--svg=FILE prints something"
is_picture map.svg 'vda since monday' '6.5 MiB of 39.1 MiB dirty (16.6 %) in 7 runs, 2.2 MiB of it zeroes'
"$tool" map monday "${disk[@]}" --svg=- | cmp - map.svg || fail "--svg=- is another"
[ "$(stat -c %a map.svg)" = "$(printf '%o' $((0666 & ~$(umask))))" ] || fail "map.svg's mode"

# It is made anew; nothing else is written over.
cp map.svg want.svg
qemu-io -f qcow2 -c 'write -q 2M 64k' disk.qcow2
"$tool" map monday "${disk[@]}" --svg=map.svg
! cmp -s map.svg want.svg || fail "map.svg is still the old one"
sha256sum disk.qcow2 >before
: >empty.svg
"$tool" map monday "${disk[@]}" --svg=empty.svg
cmp map.svg empty.svg || fail "an empty file is not filled"
mkdir folder
ln -s map.svg link.svg
mkfifo pipe.svg
echo '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>' >other.svg
cp other.svg want.svg
# fails MESSAGE ARGUMENT…: with status 2, and prints nothing else.
fails ()
{
  local status=0
  "$tool" map "${@:2}" >printed 2>message || status=$?
  cat message
  [ $status -eq 2 ] || fail "status $status of: ${*:2}"
  [ ! -s printed ] || fail "it prints: ${*:2}"
  grep -q "$1" message && [ "$(wc -l <message)" -eq 1 ] || fail "another message: ${*:2}"
}
for name in disk.qcow2 other.svg; do
  fails "$name is there, and is not a picture of this" monday "${disk[@]}" --svg=$name
done
fails 'link.svg is there, and is a link' monday "${disk[@]}" --svg=link.svg
for name in folder pipe.svg; do
  fails "$name is there, and is no regular file" monday "${disk[@]}" --svg=$name
done
fails 'cannot write none/map.svg: No such file' monday "${disk[@]}" --svg=none/map.svg
cmp other.svg want.svg || fail "other.svg was written to"
[ "$(find . -newer want.svg -name '*svg*')" = "" ] || fail "something is left"

# ── Several disks ──
qemu-img create -q -f qcow2 b.qcow2 3M
qemu-img bitmap --add b.qcow2 monday
qemu-img bitmap --add b.qcow2 '<b>&"x'
qemu-io -f qcow2 -c 'write -q -z 1M 1M' b.qcow2
two=(--file=vda:disk.qcow2 --file=vdb:b.qcow2)
"$tool" map monday "${two[@]}" --text >text
[ "$(grep -c '^vd. since monday' text)" -eq 2 ] || fail "not both disks"
grep -qx '1.0 MiB of 3.0 MiB dirty (33.3 %) in 1 run, 1.0 MiB of it zeroes' text || fail "vdb"
"$tool" map monday "${two[@]}" --text --disk=vdb | grep -c '^vd' | grep -qx 1 || fail "--disk"
"$tool" map monday "${two[@]}" --svg=two.svg
is_picture two.svg 'vda since monday' 'vdb since monday'
"$tool" map '<b>&"x' "${two[@]}" --disk=vdb --svg=odd.svg
is_picture odd.svg 'vdb since <b>&"x'
fails 'there are 2 disks and none is chosen; add --disk= with one of vda, vdb$' monday "${two[@]}" --json
# One that cannot be shown keeps the other not back, and is told of.
status=0
"$tool" map '<b>&"x' "${two[@]}" --text >text 2>message || status=$?
cat message
[ $status -eq 1 ] || fail "status $status of half the disks"
grep -q '^vdb since' text && grep -q 'vda' message || fail "not both told of"

# ── What goes wrong ──
fails 'printed in one way, and --json and --svg are given' monday "${disk[@]}" --svg=x.svg --json
fails 'there is no checkpoint tuesday' tuesday "${disk[@]}" --json
fails 'there is no disk vdz' monday "${two[@]}" --disk=vdz --text
for how in --json --extents --text --svg=-; do
  status=0
  "$tool" map monday "${disk[@]}" $how >/dev/full 2>message || status=$?
  { [ $status -eq 2 ] && grep -q 'No space left' message; } || fail "$how to a full disk"
done
# Much is written to a pipe before its reader has enough, which is nobody's fault.
qemu-img create -q -f qcow2 runs.qcow2 256M
qemu-img bitmap --add -g 65536 runs.qcow2 monday
for ((i = 0; i < 2000; i++)); do printf 'write -z %dk 64k\n' $((i * 128)); done \
  | qemu-io -f qcow2 runs.qcow2 >/dev/null
("$tool" map monday --file=runs.qcow2 --json 2>message || :) | head -n 1 >first
{ [ -s first ] && [ ! -s message ]; } || fail "a reader that has enough: $(cat message)"
"$tool" map monday --file=runs.qcow2 --json >/dev/full 2>message && fail "it took it"
grep -q 'cannot write: No space left' message || fail "a full disk: $(cat message)"

qemu-img create -q -f qcow2 nothing.qcow2 1M
qemu-img bitmap --add nothing.qcow2 monday
"$tool" map monday --file=nothing.qcow2 --text | grep -q '^0 B of 1.0 MiB dirty (0.0 %) in 0 runs' \
  || fail "a disk without changes"
[ "$("$tool" map monday --file=nothing.qcow2 --imageio)" \
  = '[{"start": 0, "length": 1048576, "dirty": false, "zero": false}]' ] || fail "its map"

sha256sum -c --quiet before || fail "the image was changed"
