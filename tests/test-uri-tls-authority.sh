#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# uri=nbds: where no certificate of an authority is found: libnbd would encrypt
# for whoever answers, so nothing is asked of that server.  With one, it is
# asked who it is, wherever the certificate was found.
. "$(dirname "$0")/functions.sh"
requires certtool
export HOME=$PWD/home

# certificates FOLDER: a server's, and the authority's that vouches for it.
certificates ()
{
  mkdir -p "$1"
  cd "$1"
  certtool --generate-privkey --key-type ecdsa --outfile ca-key.pem
  printf '%s\n' 'cn = "authority"' ca cert_signing_key expiration_days=100 \
    >template
  certtool --generate-self-signed --load-privkey ca-key.pem \
    --template template --outfile ca-cert.pem
  certtool --generate-privkey --key-type ecdsa --outfile server-key.pem
  printf '%s\n' 'cn = "server"' tls_www_server signing_key \
    'ip_address = "127.0.0.1"' expiration_days=100 >template
  certtool --generate-certificate --load-privkey server-key.pem \
    --load-ca-certificate ca-cert.pem --load-ca-privkey ca-key.pem \
    --template template --outfile server-cert.pem
}
for folder in pki other; do
  (certificates $folder) >pki.log 2>&1 || { cat pki.log; fail "certtool"; }
done
mkdir empty

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
port=$(free_ports)
qemu-nbd -r -f qcow2 -t -e 20 -b 127.0.0.1 -p "$port" -B monday \
  --object "tls-creds-x509,id=tls0,endpoint=server,dir=$PWD/pki,verify-peer=no" \
  --tls-creds tls0 disk.qcow2 &
pids+=($!)
uri=nbds://127.0.0.1:$port/
certificates="?tls-certificates=$PWD"
is_up () { nbdinfo --size "$uri$certificates/pki" >/dev/null 2>&1; }
wait_until 10 is_up

not_found='not connected, as anybody could answer .* not found \(.*ca-cert.pem: No such file or directory.*tls-certificates=DIR'
for folder in empty mispelt; do
  refuses "$not_found" checkpoint=monday uri="$uri$certificates/$folder"
done
refuses "$not_found" checkpoint=monday uri="$uri?tls%2dcertificates=$PWD/empty"
refuses "$not_found" checkpoint=monday uri="$uri"
# The certificate is for 127.0.0.1.
for name in '' '&tls-hostname='; do
  refuses 'ertificate' checkpoint=monday \
    uri="nbds://localhost:$port/$certificates/pki$name"
done
refuses "no address is found for this host's name" checkpoint=monday \
  uri="nbds://no-such-host.invalid/$certificates/pki"
# One that vouches for others.
refuses 'ertificate' checkpoint=monday uri="$uri$certificates/other"

serve checkpoint=monday uri="$uri$certificates/pki" -- 'nbdinfo --size "$uri"'
if [ "$(id -u)" -ne 0 ]; then
  mkdir -p home/.config/pki
  ln -s "$PWD/pki" home/.config/pki/libnbd
  serve checkpoint=monday uri="$uri" -- 'nbdinfo --size "$uri"'
fi
