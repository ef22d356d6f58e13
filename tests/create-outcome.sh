# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced after libvirt-lab.sh or qmp-lab.sh: however a backup of the guest web1 fails,
# the exit status of "qemu-checkpoint info" says whether the checkpoint of create= is
# there.

# backup STATUS WHERE COMMAND…: since monday, with create=tuesday; COMMAND is
# --run's.
backup ()
{
  local expected=$1 status=0
  shift
  bounded nbdkit -U - "$plugin" "${source[@]}" checkpoint=monday create=tuesday \
    "$1" --run "$2" >backup.log 2>&1 || status=$?
  cat backup.log
  [ $status -eq "$expected" ] || fail "nbdkit $1 --run '$2' ended with $status"
}
# outcome STATUS: asked at once, as a script would.
outcome ()
{
  local status=0
  bounded "$tool" info tuesday "${whose[@]}" >info.log 2>&1 || status=$?
  cat info.log
  [ $status -eq "$1" ] || fail "info ended with status $status, not $1"
  [ "$1" -eq 2 ] || {
    status=1
    ! checkpoint_exists web1 tuesday || status=0
    [ $status -eq "$1" ] || fail "info ended with $1, which is not so"
  }
}

outcomes ()
{
  whose=("$@")
  source_of web1
  # It could not serve.
  backup 1 disk=vdz 'echo ran'
  outcome 1
  # Nobody has come.
  backup 3 disk=vda 'exit 3'
  outcome 1
  # What came has failed.
  backup 4 disk=vda 'nbdinfo --size "$uri"; exit 4'
  outcome 0
  bounded "$tool" delete tuesday "${whose[@]}"
  outcome 1
  backup 0 disk=vda 'nbdinfo --size "$uri"'
  outcome 0
}
