#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint check --fix asks on a terminal, types what it printed and nothing
# that could lose more, and ends with what it finds then.
. "$(dirname "$0")/functions.sh"
mkdir tmp
export TMPDIR=$PWD/tmp

of=(--file=vda:vda.qcow2 --file=vdb:vdb.qcow2 --tree=tree)
# A mess: monday is lost on vda, tuesday inconsistent there, and vdb has both; a
# chain with a gap, which only a usable record's end would mend.
begin ()
{
  rm -rf tree ./*.qcow2
  guest_disk vda.qcow2 16M
  guest_disk vdb.qcow2 16M
  "$tool" create monday "${of[@]}"
  qemu-io -f qcow2 -c 'write -q -P 3 3M 64k' vda.qcow2
  qemu-io -f qcow2 -c 'write -q -P 4 4M 64k' vdb.qcow2
  "$tool" create tuesday "${of[@]}"
  qemu-img bitmap --remove vda.qcow2 monday
  kill_writer vda.qcow2
  qemu-img bitmap --add vda.qcow2 libvirt-tmp-activewrite
  mv vdb.qcow2 base.qcow2
  qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 vdb.qcow2
}
maps ()
{
  local name
  for name in monday tuesday; do
    nbdkit_options=(--filter="$filter")
    export=vdb@$name serve vdb:vdb.qcow2 tree=tree -- '
      nbdinfo --map "nbd+unix:///$export?socket=$unixsocket"'
  done
}

begin
tool_says 3 'asks on a terminal' check --fix "${of[@]}" </dev/null
maps >before
cp -a tree tree.before
md5sum vdb.qcow2 base.qcow2 >sums

# What is answered no, or nothing, is not typed.
cat >answer.py <<'END'
import os, pty, sys
answer, status = sys.argv[1].encode(), None
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
text = b""
while True:
    try:
        more = os.read(fd, 65536)
    except OSError:
        break
    if not more:
        break
    text += more
    if more.rstrip(b" ").endswith(b"[y/N]?"):
        os.write(fd, answer + b"\n")
sys.stdout.write(text.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
answered ()
{
  status=0
  bounded "$python" answer.py "$1" "$tool" check --fix "${of[@]}" >said || status=$?
}
answered n
[ $status -eq 2 ] || fail "status $status: $(cat said)"
! grep 'typing:' said || fail "it types what was denied"
answered ''
diff -r tree tree.before
answered y
cat said
[ $status -eq 1 ] || fail "status $status"
grep -q 'typing: qemu-img bitmap --remove .*vda.qcow2 tuesday' said
grep -q 'typing: qemu-img bitmap --remove .*vda.qcow2 libvirt-tmp-activewrite' said
! grep 'typing: qemu-checkpoint delete ' said || fail "a usable record was deleted"
"$tool" check --json "${of[@]}" >json || :
jq -e '[.findings[].code] | unique == ["chain-gap", "disk-not-covered"]' json
maps | diff before - || fail "a usable view was touched"
md5sum -c --quiet sums || fail "an image that needs nothing was written to"

# Unasked.  What is printed on the standard output is check's.
begin
status=0
bounded "$tool" check --fix --yes --json "${of[@]}" >json 2>said || status=$?
[ $status -eq 1 ] || fail "status $status: $(cat said json)"
jq -e '.status == "WARNING"' json
maps | diff before - || fail "a usable view was touched"

# Documents of another guest are left alone; those of one whose bitmaps all have to
# go are not another's.
guest_disk other.qcow2 16M
qemu-img bitmap --add other.qcow2 stray
rm -rf others
guest_disk ours.qcow2 16M
for name in one two; do "$tool" create $name --file=ours.qcow2 --tree=others; done
cp -r others others.before
status=0
bounded "$tool" check --fix --yes --file=other.qcow2 --tree=others >found 2>said \
  || status=$?
[ $status -eq 2 ] || fail "status $status: $(cat found)"
grep -q "if these documents are this guest's at all" found || fail "$(cat found)"
! grep 'typing:' said || fail "it changes another guest's documents"
diff -r others others.before
qemu-storage-daemon --blockdev \
  driver=qcow2,node-name=n,file.driver=file,file.filename=ours.qcow2 \
  --nbd-server addr.type=unix,addr.path=ours.sock &
pids+=($!)
wait_until 10 listens ours.sock
kill -9 $!
wait $! || :
bounded "$tool" check --fix --yes --file=ours.qcow2 --tree=others >found 2>said \
  || fail "not mended: $(cat found)"
[ -z "$(ls others)" ] || fail "left: $(ls others)"

# A command that fails is said, tried once, and changes no status.
begin
chmod a-w tree 2>/dev/null
qemu-nbd -r -f qcow2 -t -k "$PWD/used.sock" --pid-file=used.pid vda.qcow2 &
pids+=($!)
wait_until 20 test -s used.pid
status=0
bounded "$tool" check --fix --yes "${of[@]}" >found 2>said || status=$?
[ $status -eq 2 ] || fail "status $status: $(cat said found)"
grep -q 'it failed' said || fail "$(cat said)"
[ "$(grep -c 'typing: qemu-img bitmap --remove .*tuesday' said)" -eq 1 ] \
  || fail "it goes on: $(cat said)"
chmod u+w tree
[ -z "$(ls tmp)" ] || fail "left over: $(ls tmp)"

# ── Lost on a branch: what no record needs can be forgotten ──
rm -rf tree ./*.qcow2
guest_disk vda.qcow2 16M
guest_disk vdb.qcow2 16M
for name in root one two; do "$tool" create $name "${of[@]}"; done
# two is a second child of root, and lost.
"$tool" delete one --metadata --tree=tree
sed 's|<name>two</name>|<name>one</name>|; s|bitmap=.two.|bitmap="one"|g' \
  tree/two.xml >tree/one.xml
for disk in vda vdb; do qemu-img bitmap --remove $disk.qcow2 two; done
[ "$("$tool" list --leaves --name "${of[@]}" | paste -sd' ')" = 'one two' ] \
  || fail "no branch: $("$tool" list --tree "${of[@]}")"
"$tool" check --fix --yes "${of[@]}" 2>log || { cat log; fail "not mended"; }
[ "$("$tool" list --name "${of[@]}" | paste -sd' ')" = 'one root' ] \
  || fail "others are left: $("$tool" list --name "${of[@]}")"

# ── The only evidence against a record stays while that is there ──
# vda was base.qcow2 when monday was made, and has lost monday there; what its overlays
# have looks like a whole record to who does not know.  vdb's is inconsistent.
rm -rf tree ./*.qcow2
guest_disk base.qcow2 16M
guest_disk vdb.qcow2 16M
"$tool" create monday --file=vda:base.qcow2 --file=vdb:vdb.qcow2 --tree=tree
sed -i "s|</domaincheckpoint>|<domain type='qemu'><name>web1</name>\
<uuid>11111111-2222-3333-4444-555555555555</uuid><devices>\
<disk type='file'><source file='$PWD/base.qcow2'/><target dev='vda'/></disk>\
<disk type='file'><source file='$PWD/vdb.qcow2'/><target dev='vdb'/></disk>\
</devices></domain></domaincheckpoint>|" tree/monday.xml
qemu-io -f qcow2 -c 'write -q -P 5 1M 64k' base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 middle.qcow2
qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 vda.qcow2
for layer in middle vda; do qemu-img bitmap --add $layer.qcow2 monday; done
qemu-img bitmap --remove base.qcow2 monday
kill_writer vdb.qcow2
lost="bitmap monday is not in $PWD/base.qcow2, which was the disk when"
refuses "$lost" vda:vda.qcow2 vdb:vdb.qcow2 tree=tree checkpoint=monday disk=vda
! bounded "$tool" check --fix --yes "${of[@]}" >found 2>said \
  || fail "all is well: $(cat said found)"
refuses "$lost" vda:vda.qcow2 vdb:vdb.qcow2 tree=tree checkpoint=monday disk=vda
"$tool" check --json "${of[@]}" >found.json || :
! jq -r '.findings[].command // empty' found.json | grep -- '--metadata.*monday' \
  || fail "its document would be forgotten"
