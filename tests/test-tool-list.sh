#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint list: of images with their chains, of documents, of both; sizes
# are of all disks and all layers; odd names and hostile documents; a table fits
# its terminal.
. "$(dirname "$0")/functions.sh"
export TZ=UTC
mkdir tmp
export TMPDIR=$PWD/tmp

guest_layers                    # monday in base and top
qemu-img bitmap --add top.qcow2 tuesday
qemu-io -f qcow2 -c 'write -q -P 5 5M 128k' -c 'write -q -P 5 9M 64k' top.qcow2
guest_disk vdb.qcow2 16M
qemu-img bitmap --add vdb.qcow2 tuesday
qemu-io -f qcow2 -c 'write -q -P 5 1M 192k' vdb.qcow2
sha256sum ./*.qcow2 >before

# ── Bitmaps alone: a flat tree ──
"$tool" list --file=top.qcow2 --file=vdb.qcow2 --name >list
printf '%s\n' monday tuesday | diff -u - list
"$tool" list --file top.qcow2 --tree >list
printf '%s\n' monday '' tuesday '' | diff -u - list
"$tool" list --file=top.qcow2 --parent >list
printf '%s\n' 'Name     Creation Time  Parent' 'monday   -              -' \
  'tuesday  -              -' | diff -u - list

# sizes WHAT ARGS…: of each checkpoint, "name size target:size…".
sizes ()
{
  "$tool" list --size --json "$@" | jq -r '.checkpoints[] | "\(.name) \(.size) " +
    ([.sizes[] | "\(.target):\(.size)"] | join (" "))'
}
# What the plugin and its filter serve is the truth.
served ()
{
  nbdkit_options=(--filter="$filter")
  serve "$@" view=sparse -- 'nbdinfo --map --json "$uri"' \
    | jq '[.[] | select(.type == 0) | .length] | add'
  nbdkit_options=()
}
monday=$(served top.qcow2 checkpoint=monday)
[ "$monday" -gt 1048576 ] || fail "only $monday bytes since monday"
sizes --file=top.qcow2 --file=vdb.qcow2 >list
printf '%s\n' "monday $monday vda:$monday" \
  "tuesday $((3 * 65536 + 3 * 65536)) vda:196608 vdb:196608" | diff -u - list
"$tool" list --size --file=vdb.qcow2 >list
printf '%s\n' 'Name     Creation Time       Size' \
  'tuesday  -              192.0 KiB' | diff -u - list

# Where one disk's cannot be told, the sum cannot, and the reason is there.
mkdir tree
document ()
{
  cat <<END
<domaincheckpoint><name>$1</name>
  ${2:+<parent><name>$2</name></parent>}
  <creationTime>$3</creationTime>
  <disks><disk name='vda' checkpoint='bitmap' bitmap='$1'/>
    <disk name='vdb' checkpoint='bitmap' bitmap='$1'/></disks>
  <domain type='qemu'><name>web1</name>
    <uuid>11111111-2222-3333-4444-555555555555</uuid></domain>
</domaincheckpoint>
END
}
document monday '' 1700000001 >tree/monday.xml
document tuesday monday 1700000002 >tree/tuesday.xml
document Branch monday 1700000003 >tree/Branch.xml
document wednesday tuesday 1700000004 >tree/wednesday.xml
with=(--tree=tree --file=vda:top.qcow2 --file=vdb:vdb.qcow2)
sizes "${with[@]}" >list
printf '%s\n' 'Branch null vda:null vdb:null' "monday null vda:$monday vdb:null" \
  'tuesday 393216 vda:196608 vdb:196608' \
  'wednesday null vda:null vdb:null' | diff -u - list
tool_says 0 'some sizes are not known; .*qemu-checkpoint check' list --size "${with[@]}"
cp printed list
grep -Ex 'monday +2023-11-14 22:13:21 \+0000 +-' list
grep -Ex 'tuesday +2023-11-14 22:13:22 \+0000 +384.0 KiB' list
"$tool" list --size --json "${with[@]}" \
  | jq -r '.checkpoints[] | select(.name == "monday").sizes[1].why' >why
grep -q '^disk vdb: bitmap monday is not in' why || fail "it says: $(cat why)"

# ── Documents alone ──
"$tool" list --tree=tree --tree >list
printf '%s\n' monday '  |' '  +- Branch' '  +- tuesday' '      |' \
  '      +- wednesday' '        ' | diff -u - list
check_names ()
{
  local names=$1
  shift
  [ "$("$tool" list --tree=tree --name "$@" | paste -sd' ')" = "$names" ] \
    || fail "not $names with $*: $("$tool" list --tree=tree --name "$@")"
}
check_names 'Branch monday tuesday wednesday'
check_names 'monday tuesday wednesday Branch' --topological
check_names 'monday' --roots
check_names 'Branch wednesday' --leaves
check_names 'monday tuesday' --no-leaves
check_names '' --leaves --no-leaves
check_names 'Branch tuesday' --from monday
check_names 'Branch tuesday wednesday' --from=monday --descendants
check_names 'tuesday' --from=monday --no-leaves --domain=web1
"$tool" list --tree=tree --json >list
jq -e '.checkpoints[3] == {name: "wednesday", parent: "tuesday",
  description: null, creationTime: 1700000004, current: false, disks: [
    {target: "vda", bitmap: "wednesday"}, {target: "vdb", bitmap: "wednesday"}]}' \
  list || fail "$(cat list)"
"$tool" list --tree=tree --size --json \
  | jq -e '.checkpoints[0].sizes[0].why == "no disks were named, but documents only; '\
'add --file=IMG or --qmp=SOCKET"'
tool_says 0 'no sizes are known: no disks were named.*add --file' list --tree=tree --size
# On a terminal, names are cut to fit; elsewhere they are whole.
COLUMNS=44 NO_COLOR=1 "$python" -c 'import pty, sys; pty.spawn (sys.argv[1:])' \
  "$tool" list --tree=tree --parent </dev/null | tr -d '\r' >list
[ "$(wc -L <list)" -le 44 ] && grep -q '^wednesd~ .* tuesday$' list \
  || fail "on a terminal: $(cat list)"
COLUMNS=40 "$tool" list --tree=tree --parent | grep '^wednesday .* tuesday$' \
  || fail "cut without a terminal"
"$tool" list --tree=tree/monday.xml --name | grep -x monday

# ── A folder from which the last checkpoint was deleted ──
mkdir empty
for words in --tree=empty '--tree=empty --file=vda:vdb.qcow2'; do
  # shellcheck disable=SC2086
  "$tool" list --name $words >list || fail "$words: status $?"
  [ ! -s list ] || fail "$words: $(cat list)"
  # shellcheck disable=SC2086
  tool_says 1 'there is no checkpoint monday' info monday $words
done
mkdir empty/web1
: >empty/web1/noise
tool_says 2 'UUID of one: web1' list --tree=empty
tool_says 2 'none can be used' list --tree=empty --domain=web1

# ── What is not there, or cannot be looked at ──
tool_says 1 'no checkpoint mondya; known are: monday' list --tree=tree --from=mondya
tool_says 2 'cannot open .*/nothing: No such file' list --file=nothing
tool_says 2 'cannot open .*nothing.*: No such file' list --tree=nothing
tool_says 2 'no source is given; add --file=IMG .* --libvirt=URI .* --tree=DIR' list
tool_says 2 'exclude each other' list --tree=tree --tree --name
tool_says 2 '--descendants needs --from' list --tree=tree --descendants
tool_says 2 'there is no option --form; there are: .*--from' list --form=monday
tool_says 2 '--from has no value; write --from=NAME' list --tree=tree --from
tool_says 2 '--from has no value; write --from=NAME' list --from --tree=tree
tool_says 2 '--roots takes no value' list --roots=a
tool_says 2 '--from is given twice' list --from=a --from=b
tool_says 2 'list takes no name, and is given web1; .*--domain=GUEST.*--file=IMG' \
  list --tree=tree web1
tool_says 2 'show takes one NAME, and is given monday, too' show web1 monday
tool_says 2 '--tree alone draws.*; for documents write --tree=tree' list --tree tree
tool_says 2 'there is no command lsit; commands are: list' lsit
tool_says 2 'no command is given; commands are:'
tool_says 2 'the command comes first, before --file=a; commands are:' --file=a list
tool_says 2 '--file=vda: names no file' list --file=vda:
tool_says 2 'is given twice' list --file=vdb.qcow2 --file=./vdb.qcow2
tool_says 2 'Add --domain=NAME.*virsh -c qemu:///system list' \
  list --libvirt=qemu:///system
tool_says 2 'add --libvirt=URI.* or --tree=DIR' list --file=vdb.qcow2 --domain=web1
for command in list 'create x' 'delete x' check; do
  status=0
  # shellcheck disable=SC2086
  "$tool" $command --file=vdb.qcow2 --libvirt=test:///default --domain=test \
    >refused.log 2>&1 || status=$?
  [ $status -ge 2 ] && grep -q 'two sources are given, --file and --libvirt; leave' \
    refused.log || fail "$command: $(cat refused.log)"
done
tool_says 2 'write --file=TARGET:' list --tree=tree --file=vdb.qcow2
qemu-img create -q -f raw disk.raw 1M
tool_says 2 'raw.*name the guest.s qcow2 disk' list --file=disk.raw
# Files of ours have none of the three numbers.
status=0
"$tool" list --file=vdb.qcow2 >&- 2>refused.log || status=$?
[ $status -eq 2 ] && grep -q 'cannot write: Bad file descriptor' refused.log \
  || fail "without standard output: $status, $(cat refused.log)"
"$tool" list --file=vdb.qcow2 --name <&- 2>&- | grep -x tuesday \
  || fail "without standard input"
# Whoever knows virsh.
tool_says 2 'checkpoint-create-as; write qemu-checkpoint create NAME$' \
  checkpoint-create-as web1 monday
tool_says 2 'dumpxml; write qemu-checkpoint show NAME$' dumpxml web1 monday
tool_says 2 'no option --diskspec; write --disk=TARGET$' create --diskspec vda
tool_says 2 'no option --checkpointname; write NAME' show --checkpointname monday
tool_says 2 'there is no option -f; there are: ' list -f disk.raw
[ "$(grep -o -- --tree refused.log | wc -l)" -eq 1 ] || fail "--tree twice"
# A guest that runs from it.
cp vdb.qcow2 used.qcow2
qemu-storage-daemon --blockdev \
  driver=qcow2,node-name=a,file.driver=file,file.filename=used.qcow2 \
  --nbd-server addr.type=unix,addr.path=used.sock \
  --export type=nbd,id=a,node-name=a,writable=on --pidfile used.pid &
pids+=($!)
wait_until 10 test -s used.pid
tool_says 2 'use --libvirt or --qmp for a running guest' list --file=used.qcow2
for full in list '--help' 'list --help'; do
  # shellcheck disable=SC2086
  ! "$tool" $full --tree=tree >/dev/full 2>refused.log || fail "$full to a full disk"
  grep -q 'cannot write: No space left' refused.log || fail "$(cat refused.log)"
done

# ── Odd names, hostile documents ──
mkdir hostile
document good '' 1 >hostile/good.xml
document missing nowhere 2 >hostile/missing.xml
document loop-a loop-b 3 >hostile/loop-a.xml
document loop-b loop-a 4 >hostile/loop-b.xml
document far '' 18446744073709551615 >hostile/far.xml
echo '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><domaincheckpoint>' \
  >hostile/entity.xml
head -c 3000 /dev/urandom >hostile/noise
"$tool" list --tree=hostile --parent >list 2>log
cat log
[ "$(wc -l <list)" -eq 6 ] || fail "not five checkpoints: $(cat list)"
grep -Eq '^far +- ' list || fail "a time that is none"
grep -q "^qemu-checkpoint: .*entity.xml: .*DOCTYPE" log
grep -q "^qemu-checkpoint: .*noise: " log
grep -q "^qemu-checkpoint: checkpoint 'missing': its parent 'nowhere' is missing" log
grep -q "^qemu-checkpoint: checkpoint 'loop-a' is its own ancestor" log
[ "$(wc -l <log)" -eq 4 ] || fail "other lines"
"$tool" list --tree=hostile --tree 2>/dev/null | grep -Fx '  +- loop-b'

odd=$'an odd\nname\e[31m'
qemu-img create -q -f qcow2 odd.qcow2 1M
qemu-img bitmap --add odd.qcow2 "$odd"
qemu-img bitmap --add odd.qcow2 'a/b@c'
qemu-img bitmap --add odd.qcow2 -- '--from'
[ "$("$tool" list --file=odd.qcow2 --name | sed -n '$=')" -eq 3 ] \
  || fail "a name begins a line of its own"
! "$tool" list --file=odd.qcow2 | grep -q $'\e' || fail "a name commands the terminal"
"$tool" list --file=odd.qcow2 --json \
  | jq -e --arg odd "$odd" '.checkpoints | map(.name) | contains ([$odd, "a/b@c"])'

# A path need not be UTF-8; what is printed is.
folder=$'r\xe9pertoire'
if mkdir "$folder" 2>/dev/null; then
  cp -r tree vdb.qcow2 "$folder"
  [ "$("$tool" list --file="$folder/vdb.qcow2" --name)" = tuesday ] \
    || fail "a path that is not UTF-8"
  "$tool" list --tree="$folder/tree" --file=vdb:"$folder/vdb.qcow2" --size --json \
    >list
  iconv -f UTF-8 -t UTF-8 list | jq -e \
    '.checkpoints[1].sizes[1].why | test ("bitmap monday is not in .*pertoire")'
fi
[ "$libvirt" = yes ] || tool_says 2 'this build has no libvirt' \
  list --libvirt=qemu:///system --domain=web1

# ── Ten thousand, one the parent of the next ──
"$python" - <<'END'
import os
os.mkdir("many")
for i in range(10000):
    parent = "<parent><name>c%05d</name></parent>" % (i - 1) if i else ""
    with open("many/c%05d.xml" % i, "w") as f:
        f.write("""<domaincheckpoint><name>c%05d</name>%s
  <creationTime>%d</creationTime>
  <disks><disk name='vda' checkpoint='bitmap' bitmap='%s'/></disks>
</domaincheckpoint>
""" % (i, parent, 1700000000 + i, "tuesday" if i == 7 else "c%05d" % i))
END
bounded "$tool" list --tree=many --file=top.qcow2 --size >list
[ "$(wc -l <list)" -eq 10001 ] || fail "not ten thousand"
[ "$(grep -vc ' -$' list)" -eq 2 ] || fail "not one size: $(grep -v ' -$' list)"
grep -Eq '^c00007 .* 192.0 KiB$' list || fail "another size"
[ "$("$tool" list --tree=many --from=c00000 --descendants --name | tail -n 1)" \
  = c09999 ] || fail "not all descendants"
# Who reads has enough.
{ "$tool" list --tree=many --name 2>log || :; } | head -n 1 | grep -x c00000
[ ! -s log ] || fail "it says: $(cat log)"
bounded "$tool" list --tree=many --tree --from=c09997 --descendants >list
printf '%s\n' c09997 '  |' '  +- c09998' '      |' '      +- c09999' '        ' \
  | diff -u - list

# ── On a terminal ──
cat >terminal.py <<'END'
import fcntl, os, pty, struct, sys, termios
width = int(sys.argv[1])
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("4H", 24, width, 0, 0))
    os.execv(sys.argv[2], sys.argv[2:])
text = b""
try:
    while True:
        part = os.read(fd, 4096)
        if not part:
            break
        text += part
except OSError:                 # the other side is closed
    pass
sys.stdout.buffer.write(text.replace(b"\r\n", b"\n"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
long=a$(printf 'b%.0s' {1..200})
qemu-img bitmap --add odd.qcow2 "$long"
on_terminal () { TERM=xterm "$python" terminal.py "$@"; }
on_terminal 40 "$tool" list --file=odd.qcow2 --parent >list
grep -q $'^\e\[1mName' list || fail "no bold title"
sed 's/\x1b\[[0-9]*m//g' list | grep -E '.{41}' && fail "wider than the terminal"
grep -q '^abbb.*b~ ' list || fail "the long name is not cut: $(cat list)"
NO_COLOR=1 on_terminal 300 "$tool" list --file=odd.qcow2 >list
! grep -q $'\e' list || fail "colours in spite of NO_COLOR"
grep -q "^$long " list || fail "a name is cut where there is room"
"$tool" list --file=odd.qcow2 | grep -q "^$long " || fail "cut without a terminal"

sha256sum --quiet -c before || fail "an image was changed"
leaves_nothing
[ -z "$(ls tmp)" ] || fail "left over: $(ls tmp)"
