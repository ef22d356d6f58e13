#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The keeper stays root where nbdkit --user becomes another user, who speaks
# with untrusted clients: who has taken over nbdkit can have it end the job,
# and nothing else: connect nowhere, run nothing, begin nothing.
. "$(dirname "$0")/libvirt-lab.sh"

lab_with_guest
lab_state web1 >before

options=()
[ "$(id -u)" -ne 0 ] || options=(-u 65534 -g 65534)
chmod 777 .
cat >script <<END
#!/bin/sh
id -u >"$tmpdir/was-run"
END
chmod 755 script
bounded "$python" "$srcdir/tests/keeper_words.py" "$PWD/script" \
  "$PWD/forged" -f "${options[@]}" -U "$PWD/n.sock" -P "$PWD/nbdkit.pid" \
  "$plugin" libvirt="$connect" domain=web1 checkpoint=monday >said 2>nbdkit.log \
  || { cat said nbdkit.log; fail "nbdkit or its keeper did not go on"; }
cat said nbdkit.log
! [ -e was-run ] || fail "the keeper ran a program as user $(cat was-run)"
! [ -e forged ] || fail "the keeper began a job"
for message in 1 2 2 3 99; do
  echo "refused message $message"
done >wanted
grep refused said | diff -u wanted - || fail "not all was refused"
rm -f n.sock nbdkit.pid
wait_until 20 no_job web1
lab_state web1 | diff -u before - || fail "something is left"
