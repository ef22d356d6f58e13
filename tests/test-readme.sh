#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# README is right: what it has people type, from nothing to the first incremental
# backup and on, is typed in that order; its packages are those that ./check installs;
# its pictures are what scripts make, and what it links to is there.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/scripts/setup.sh"
readme=$srcdir/README.md

# ── What it says ──
version=$(sed -n 's/^#define PACKAGE_VERSION "\(.*\)"/\1/p' "$builddir/config.h")
grep -qF "Version $version" "$readme" || fail "README is of another version than $version"
for word in restore verify retention schedule; do
  grep -qi "\*\*$word\*\*" "$readme" || fail "README does not say how to: $word"
done
for path in $(grep -oE '\]\([^)#]*' "$readme" | cut -c3- | grep -v ^http); do
  [ -e "$srcdir/$path" ] || fail "README links to $path, which is not there"
done
"$python" "$srcdir/scripts/idea.py" | cmp - "$srcdir/docs/idea.svg" \
  || fail "docs/idea.svg is another picture; run scripts/idea.py >docs/idea.svg"
# shellcheck disable=SC2086
printf '%s\n' $BUILD_PACKAGES $RUN_PACKAGES | sort >wanted
awk '/^    apt-get install / { on = 1 }  on && !/^    autoreconf/ { print }
     /^    autoreconf/ { exit }' "$readme" \
  | tr -d '\\' | xargs -n1 | sed '/^apt-get$/d; /^install$/d' | sort | diff -u wanted - \
  || fail "README has other packages than scripts/setup.sh"

# ── What it has people type ──
# blocks FIRST: those of the section with this title, one in each of the files block.1,
# block.2, …, for this daemon.
blocks ()
{
  rm -f block.*
  awk -v first="$1" '
    /^#/ && on { exit }
    $0 == first { on = 1; next }
    !on { next }
    /^ *$/ { if (code) print "" >file; next }
    /^    / { if (!code) file = "block." ++n; code = 1; print >file; next }
    { code = 0 }' "$readme"
  [ -e block.1 ] || fail "README has nothing to type in: $1"
  sed -i "s,qemu:///system,$connect," block.*
}
typed ()
{
  type_it "set -e; $(cat "block.$1")" || fail "status $? of: $(cat "block.$1")"
}
same () { qemu-img compare -U -F qcow2 -f qcow2 "$@"; }

blocks '### A guest that is off'
[ "$(cat block.? | grep -c .)" -eq 4 ] && [ "$(echo block.*)" = "block.1 block.2" ] \
  || fail "these are not three commands: $(cat block.*)"
type_it "$(grep -oE '`qemu-img create [^`]*`' "$readme" | tr -d '`')"
qemu-io -f qcow2 -c 'write -q -P 1 0 8M' disk.qcow2
typed 1
qemu-io -f qcow2 -c 'write -q -P 2 1M 64k' -c 'write -q -z 2M 64k' disk.qcow2
typed 2
same disk.qcow2 tuesday.qcow2
[ "$(allocated tuesday.qcow2 | xargs)" = "1048576 65536 2097152 65536" ] \
  || fail "not an increment: $(allocated tuesday.qcow2)"
qemu-img info --output=json tuesday.qcow2 \
  | jq -e '."backing-filename" == "monday.qcow2"' >/dev/null

blocks '### How it goes on'
typed 1
# While nbdkit reads, no checkpoint can be made; and a script has what it is given.
printf '#!/bin/sh\nnbdinfo --size "$uri" && [ -S "$unixsocket" ]\n' >script
chmod 755 script
line=$(grep -oE "\`--run '[^\`]*'\`" "$readme" | tr -d '`')
type_it "nbdkit -U - checkpoint disk.qcow2 checkpoint=monday $line" \
  || fail "a script has no \$uri with $line"
sed -i 's,^nbdinfo.*,! qemu-img bitmap --add disk.qcow2 wednesday,' script
type_it "nbdkit -U - checkpoint disk.qcow2 checkpoint=monday $line" \
  || fail "a checkpoint was made under nbdkit's lock"
# The next day is what it is of the day before.
qemu-io -f qcow2 -c 'write -q -P 3 3M 64k' disk.qcow2
blocks '### A guest that is off'
sed -i 's/tuesday/wednesday/; s/monday/tuesday/g' block.2
typed 2
same disk.qcow2 wednesday.qcow2
[ "$(allocated wednesday.qcow2)" = "3145728 65536" ] || fail "$(allocated wednesday.qcow2)"

# ── Every day ──
blocks '## Every day'
rm tuesday.qcow2                # made again, and verified
typed 1 >printed
grep '^tuesday.qcow2 equals disk vda' printed || fail "$(cat printed)"
typed 2
same tuesday.qcow2 restored.qcow2
cp tuesday.qcow2 tuesday.before
qemu-img convert -O qcow2 wednesday.qcow2 wednesday.before
typed 3
[ ! -e monday.qcow2 ] || fail "monday is still there"
same restored.qcow2 tuesday.qcow2 && same wednesday.before wednesday.qcow2 \
  || fail "with monday, something else is gone"
[ "$("$tool" list --name --file=disk.qcow2)" = tuesday ] || fail "other checkpoints"

# ── A guest that runs ──
mkdir running
cd running
guest_disk vda.qcow2
lab_start
guest_define web1 vda.qcow2
guest_start web1
blocks '### A guest that runs'
[ "$(echo block.*)" = "block.1 block.2" ] || fail "these are not two commands"
typed 1
same vda.qcow2 monday.qcow2
guest_write web1 vda "write -P 2 1M 64k"
typed 2
same vda.qcow2 tuesday.qcow2
[ "$(allocated tuesday.qcow2)" = "1048576 65536" ] || fail "$(allocated tuesday.qcow2)"
[ "$(checkpoint_names web1 | xargs)" = "monday tuesday" ] || fail "other checkpoints"
no_job web1 || fail "a job is left"
blocks '### How it goes on'
typed 2
virsh checkpoint-delete web1 tuesday
! type_it "$(cat block.2)" || fail "it is said to be there"
