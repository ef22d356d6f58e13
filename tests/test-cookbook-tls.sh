#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The cookbook's recipes for a backup on another host, over TLS with certificates and with
# a pre-shared key; nobody else gets a byte.  Both hosts are this test's network namespace.
. "$(dirname "$0")/cookbook.sh"
requires certtool
requires psktool

{ cat /etc/hosts; echo '127.0.0.1 vmhost'; } >/run/lab/hosts
mount --bind /run/lab/hosts /etc/hosts

guest_web1
virsh checkpoint-create-as web1 monday
qemu-img convert -U -O qcow2 $images/web1.qcow2 vda-monday.qcow2
writes vda "write -P 2 1M 64k"
writes vda "write -z 2M 64k"
now web1
# nbdkit writes it once it is in the background, and leaves it there.
is_served () { wait_until 20 test -s /run/web1-backup.pid; pids+=("$(cat /run/web1-backup.pid)"); }
served_until () { wait_until 20 no_job web1; rm /run/web1-backup.pid; }
right ()
{
  same_as "$tmpdir/web1.now" vda-tuesday.qcow2
  increment vda-tuesday.qcow2 "$1"
  rm vda-tuesday.qcow2
}

recipe tls-certificates
recipe tls-serve
is_served
# Without TLS, without a certificate, and with one that somebody else signed.
! nbdinfo nbd://vmhost:10888/vda || fail "served without TLS"
mkdir -p "$tmpdir/nobody" "$tmpdir/other"
cp /srv/pki/backup/ca-cert.pem "$tmpdir/nobody"
cp /srv/pki/backup/* "$tmpdir/other"
certtool --generate-privkey --outfile other-key.pem
certtool --generate-self-signed --load-privkey other-key.pem --template /srv/pki/ca.info \
  --outfile other-ca.pem
certtool --generate-certificate --load-ca-certificate other-ca.pem --load-ca-privkey other-key.pem \
  --load-privkey "$tmpdir/other/client-key.pem" --template /srv/pki/backup.info \
  --outfile "$tmpdir/other/client-cert.pem"
rm other-*
uri='nbds://vmhost:10888/vda?tls-certificates'
# With TLS 1.3, a client is told that it is refused when it first reads.
for who in nobody other; do
  ! nbdinfo "$uri=$tmpdir/$who" || fail "served to $who"
done
nbdinfo "$uri=/srv/pki/backup"
recipe tls-copy
right "1048576 65536 2097152 65536"
recipe tls-end
served_until
[ "$(checkpoint_names web1 | xargs)" = "monday tuesday" ] || fail "other checkpoints"

recipe psk-serve
is_served
psktool -u backup -p "$tmpdir/other.psk"
! nbdinfo "nbds://backup@vmhost:10888/vda?tls-psk-file=$tmpdir/other.psk" \
  || fail "served to another key"
recipe psk-copy
right "1048576 65536 2097152 65536"
recipe tls-end
served_until
