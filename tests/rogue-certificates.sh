# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Sourced after functions.sh: the certificates of rogue_tls.py, in pki/.
requires certtool

# authority NAME: NAME-cert.pem and NAME-key.pem.
authority ()
{
  certtool --generate-privkey --key-type ecdsa --outfile "$1-key.pem"
  printf '%s\n' 'cn = "rogue test"' ca cert_signing_key expiration_days=100 \
    >template
  certtool --generate-self-signed --load-privkey "$1-key.pem" \
    --template template --outfile "$1-cert.pem"
}

# server NAME AUTHORITY LINE…: the same for a server; lines for its template.
server ()
{
  local name=$1 authority=$2
  shift 2
  certtool --generate-privkey --key-type ecdsa --outfile "$name-key.pem"
  printf '%s\n' 'cn = "rogue server"' tls_www_server signing_key "$@" \
    >template
  certtool --generate-certificate --load-privkey "$name-key.pem" \
    --load-ca-certificate "$authority-cert.pem" \
    --load-ca-privkey "$authority-key.pem" \
    --template template --outfile "$name-cert.pem"
}

certificates ()
{
  mkdir pki
  cd pki
  authority ca
  authority other
  here='ip_address = "127.0.0.1"'
  server server ca "$here" expiration_days=100
  server elsewhere ca 'dns_name = "nbd.example.org"' expiration_days=100
  server stranger other "$here" expiration_days=100
  server expired ca "$here" 'activation_date = "2020-01-01 00:00:00"' \
    'expiration_date = "2021-01-01 00:00:00"'
}
(certificates) >pki.log 2>&1 || { cat pki.log; fail "no certificates"; }
