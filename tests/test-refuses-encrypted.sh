#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Encrypted images that are not read: each for its own reason.  What is damaged is
# not blamed on the secret, and where a wrong secret would make other bytes without
# an error, none is tried.
. "$(dirname "$0")/functions.sh"

printf 'right one' >right
printf 'wrong one' >wrong
printf 'right one\n' >line
# create FORMAT FILE OPTION…
create ()
{
  create_slowly -f "$1" --object secret,id=s,file=right -o "$3" "$2" 1M
}
create luks plain.luks key-secret=s,iter-time=10
create qcow2 luks.qcow2 encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10
create qcow2 aes.qcow2 encrypt.format=aes,encrypt.key-secret=s

for image in 'plain.luks format=luks' luks.qcow2; do
  # shellcheck disable=SC2086
  {
    refuses 'is encrypted \(luks\), and cannot be read without its secret; .*secret=vda:FILE' \
      $image on-missing=full
    refuses 'not opened by what was given as the secret of disk vda: Invalid password' \
      $image on-missing=full secret=wrong
    refuses 'given as the secret of disk vda: .*newline' $image on-missing=full secret=wrong secret=line
    serve $image on-missing=full secret=wrong secret=right -- 'nbdinfo --size "$uri"'
  }
done

# Cut off, so that the secret is right and the image is not.
head -c 1000000 plain.luks >short.luks
refuses 'QEMU cannot read .*short.luks: .*; is the image whole' \
  short.luks format=luks on-missing=full secret=right
! grep -q 'secret' refused.log || fail "blamed on the secret"

for secret in right wrong; do
  refuses "aes.qcow2 is encrypted in a way \(aes\) that does not tell a wrong secret" \
    aes.qcow2 on-missing=full secret=$secret
done
qemu-img create -q -f qcow2 -u -b aes.qcow2 -F qcow2 over.qcow2 1M
qemu-img bitmap --add over.qcow2 monday
refuses "backing file of .*over.qcow2: .*aes.qcow2 is encrypted in a way" \
  over.qcow2 secret=right
