#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# create --quiesce --libvirt: libvirtd is killed while the guest is frozen, and the guest
# is thawed once it is there again, by a process that stays if need be.
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/held-calls.sh"

lab_with_agent

# It comes back at once.
hold create create three "${of[@]}" --quiesce
lab_kill
is_frozen web1
go_on
lab_daemon
goes_on
ended 2 'whether it was done is not known; to see, type virsh .*checkpoint-list web1'
[ -z "$(names || :)" ] || fail "made without a daemon"
wait_until 10 no_keeper
# It does not come back at once: a process stays, and tries again.
hold create create three "${of[@]}" --quiesce
lab_kill
go_on
ended 2 'and then: .*still frozen, and cannot be thawed .*type virsh .*domfsthaw web1'
is_frozen web1
! no_keeper || fail "nobody is left to thaw it"
lab_daemon
goes_on
wait_until 30 no_keeper
# The guest is destroyed.
hold frozen create three "${of[@]}" --quiesce
guest_destroy web1
go_on
ended 2 'web1'
wait_until 10 no_keeper
