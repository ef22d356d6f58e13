#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# qemu-checkpoint --libvirt of a guest that is off, of which libvirt itself makes and
# deletes no checkpoints: bitmaps are made in its images, and libvirt gets the
# documents.  Started, the guest has them as if libvirt had made them.
. "$(dirname "$0")/libvirt-lab.sh"

guest_disk vda.qcow2 8M
guest_disk vdb.qcow2 8M
lab_start
guest_define web1 vda.qcow2 vdb.qcow2
of=(--libvirt="$connect" --domain=web1)
documents=/var/lib/libvirt/qemu/checkpoint/web1
[ "$connect" = qemu:///system ] \
  || documents=$XDG_CONFIG_HOME/libvirt/qemu/checkpoint/web1

# has IMAGE NAME…: these bitmaps, and no others; all record.
has ()
{
  qemu-img info -U --output=json "$1" | jq -r '."format-specific".data.bitmaps[]?
    | "\(.name) \(.flags | join (","))"' | sort >got
  for name in "${@:2}"; do echo "$name auto"; done | sort | diff -u - got || fail "bitmaps of $1"
}

"$tool" create one "${of[@]}" --description='made while it was off'
has vda.qcow2 one
has vdb.qcow2 one
"$tool" create two "${of[@]}" --disk=vda
has vda.qcow2 one two
has vdb.qcow2 one
virsh checkpoint-dumpxml web1 two | tee document
grep -q "<name>one</name>" document || fail "one is not its parent"
grep -q "<uuid>$(virsh domuuid web1 | tr -d '\n')</uuid>" document || fail "no guest in it"
grep -q "<source file='$PWD/vda.qcow2'" document || fail "no file in it"
# libvirt would have written the same; more of it, once the guest ran.
guest_start web1
virsh checkpoint-create-as web1 three
for name in two three; do
  virsh checkpoint-dumpxml web1 $name | sed -n '/<disk type/,/<\/disk>/p' \
    | grep -v '<backingStore/>' >$name.domain
done
diff -u two.domain three.domain || fail "another guest in the document"
guest_destroy web1

# As if libvirt had made them: it finds the bitmaps sound, and backs up since one.
guest_start web1
for name in one two three; do
  virsh checkpoint-dumpxml web1 $name >$name.xml
  virsh checkpoint-create web1 $name.xml --redefine --redefine-validate
done
guest_write web1 vda 'write -P 2 1M 64k'
virsh checkpoint-dumpxml web1 one --size --no-domain | tee document
grep -q "vda.*size='65536'" document || fail "not recorded"
cat >backup.xml <<END
<domainbackup mode='pull'><incremental>one</incremental>
  <server transport='unix' socket='$lab_sockets/b.sock'/></domainbackup>
END
virsh backup-begin web1 backup.xml
virsh domjobabort web1
wait_until 10 no_job web1
guest_destroy web1

# And a new daemon.
virsh checkpoint-list web1 --tree >tree
lab_restart
virsh checkpoint-list web1 --tree | diff -u tree - || fail "another tree"

# ── Others of libvirt's ──
"$tool" edit two "${of[@]}" --description='edited & so on'
virsh checkpoint-dumpxml web1 two | grep 'edited &amp; so on'
virsh checkpoint-dumpxml web1 two --no-domain | sed 's/two/four/' >four.xml
"$tool" redefine four.xml "${of[@]}"
[ "$(virsh checkpoint-parent web1 four | tr -d '\n')" = one ] || fail "four"
has vda.qcow2 one two three
tool_says 2 'four' redefine four.xml --validate "${of[@]}"
tool_says 2 'four.*vda' delete four "${of[@]}"
"$tool" delete four --metadata "${of[@]}"
"$tool" delete two "${of[@]}"
has vda.qcow2 one three
[ "$(virsh checkpoint-parent web1 three | tr -d '\n')" = one ] || fail "three"
"$tool" delete one --children-only "${of[@]}"
has vda.qcow2 one
has vdb.qcow2 one
"$tool" delete one --children "${of[@]}"
has vda.qcow2
has vdb.qcow2
[ -z "$(virsh checkpoint-list web1 --name | tr -d '\n')" ] || fail "some are left"
[ -z "$(ls -A "$documents")" ] || fail "documents are left: $(ls "$documents")"
tool_says 2 'no guest runs|no file systems|is off' create x "${of[@]}" --quiesce
has vda.qcow2

# ── Without libvirt, in its own folder, while its daemon is not there ──
kill "$lab_pid"
wait "$lab_pid" || :
here=(--file="vda:$PWD/vda.qcow2" --file="vdb:$PWD/vdb.qcow2" --tree="$documents")
"$tool" create mon "${here[@]}" --description='a & b'
"$tool" create tue "${here[@]}" --disk=vdb
"$tool" list --tree "${here[@]}" >tree
lab_daemon
"$tool" list --tree "${of[@]}" | diff -u tree - || fail "libvirt has other ones"
virsh checkpoint-list web1 --tree | diff -u - tree || fail "virsh has other ones"
virsh checkpoint-dumpxml web1 mon | grep 'a &amp; b'
guest_start web1
virsh checkpoint-create-as web1 wed
[ "$(virsh checkpoint-parent web1 wed | tr -d '\n')" = tue ] || fail "tue was not current"
for name in mon tue; do
  virsh checkpoint-dumpxml web1 $name >$name.xml
  virsh checkpoint-create web1 $name.xml --redefine --redefine-validate
done
virsh checkpoint-delete web1 tue
guest_destroy web1
"$tool" list --name "${here[@]}" | grep . | paste -sd ' ' | grep -qx 'mon wed' || fail "tue"
[ "$("$tool" parent wed "${here[@]}")" = mon ] || fail "wed"
leaves_nothing
