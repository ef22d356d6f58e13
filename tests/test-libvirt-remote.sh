#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# A libvirt on another machine, reached over TLS in a network namespace: the
# data comes over TCP, encrypted as nbd-tls= says, which must be said.  When
# the client's certificates are not accepted, job and checkpoint are undone.  A
# guest whose disk has an iothread lives where nbdkit is killed as it connects.
LAB_ROOT_ONLY=1
. "$(dirname "$0")/libvirt-lab.sh"
. "$srcdir/tests/killed-connecting.sh"

# certificate NAME server|client|ca
certificate ()
{
  certtool --generate-privkey --outfile pki/$1-key.pem 2>/dev/null
  case $2 in
    ca) printf 'cn=ca\nca\ncert_signing_key\n' >template
        certtool --generate-self-signed --load-privkey pki/ca-key.pem \
          --template template --outfile pki/ca-cert.pem 2>/dev/null ;;
    *) printf "cn=127.0.0.1\nip_address=127.0.0.1\ntls_www_$2\nencryption_key\nsigning_key\n" \
         >template
       certtool --generate-certificate --load-privkey pki/$1-key.pem \
         --load-ca-certificate pki/ca-cert.pem \
         --load-ca-privkey pki/ca-key.pem --template template \
         --outfile pki/$1-cert.pem 2>/dev/null ;;
  esac
}
mkdir pki libvirt-pki
certificate ca ca
certificate server server
certificate client client
cp pki/ca-cert.pem libvirt-pki/cacert.pem
cp pki/client-cert.pem libvirt-pki/clientcert.pem
cp pki/client-key.pem libvirt-pki/clientkey.pem
lab_qemu_conf+="
backup_tls_x509_cert_dir = \"$tmpdir/pki\"
backup_tls_x509_verify = 1
"
lab_libvirtd_conf+="
listen_tls = 1
listen_addr = \"127.0.0.1\"
ca_file = \"$tmpdir/pki/ca-cert.pem\"
cert_file = \"$tmpdir/pki/server-cert.pem\"
key_file = \"$tmpdir/pki/server-key.pem\"
"
lab_libvirtd_options+=(--listen)

guest_disk vda.qcow2
guest_disk vdb.qcow2
lab_start
guest=web1
guest_iothread=virtio guest_define web1 vda.qcow2 vdb.qcow2
guest_start web1
virsh checkpoint-create-as web1 monday
guest_write web1 vda "write -P 2 1M 64k"
lab_state web1 >before
remote="qemu+tls://127.0.0.1/system?pkipath=$tmpdir/libvirt-pki"
wait_until 10 virsh -c "$remote" uri

serve libvirt="$remote" domain=web1 -- 'nbdinfo --list "$uri"' \
  | grep 'export="vda@monday"'
refuses 'is on another machine, .*nbd-tls=yes .*backup_tls_x509_cert_dir.*nbd-tls=no' \
  libvirt="$remote" domain=web1 checkpoint=monday

# one_backup ARGS…: the data is right, and libvirt's words are in job.
one_backup ()
{
  serve libvirt="$remote" domain=web1 checkpoint=monday disk=vda "$@" -- '
    virsh -c "$connect" backup-dumpxml web1 >job
    nbdinfo --map "$uri"
    qemu-img convert -f raw -O raw "$uri" got.raw' >map
  grep -Eq '^ *1048576 +65536 +0 +data' map || fail "another map"
  qemu-img compare -U -f raw -F qcow2 got.raw vda.qcow2
  lab_state web1 | diff -u before - || fail "something is left"
}
one_backup nbd-tls="$tmpdir/pki"
grep -q "server transport='tcp' tls='yes' name='127.0.0.1' port='10809'" job
one_backup nbd-tls=no
! grep -q "tls='yes'" job || fail "encrypted though not asked for"

# The port is taken: the next one.
"$python" -c '
import socket, time
s = socket.socket ()
s.setsockopt (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind (("127.0.0.1", 10809))
s.listen (1)
open ("listening", "w").close ()
time.sleep (600)' &
pids+=($!)
wait_until 10 test -e listening
one_backup nbd-tls=no
grep -q "port='10810'" job || fail "not the next port"

guest=web1 source=(libvirt="$remote" domain=web1)
for instant in go ready; do
  virsh resume web1
  killed_as_it_starts killed $instant nbd-tls="$tmpdir/pki"
  virsh suspend web1
  lab_state web1 | diff -u before - || fail "a killed start left something"
done

# Of both disks, which are connected to at once.
mkdir nothing
refuses 'guest web1 .*, disk vda \(nbds://127.0.0.1:10810/vda.*' \
  libvirt="$remote" domain=web1 checkpoint=monday create=tuesday \
  nbd-tls="$tmpdir/nothing"
lab_state web1 | diff -u before - || fail "a refusal left something"

# Whether a file below the disk's has lost its bitmaps is not seen from here.
virsh snapshot-create-as web1 snap --disk-only --no-metadata \
  --diskspec "vda,file=$tmpdir/top.qcow2"
serve libvirt="$remote" domain=web1 checkpoint=monday nbd-tls=no -- true 2>log
grep -q "error: .*disk vda: it cannot be seen whether $PWD/vda.qcow2.* (it is on 127.0.0.1).*start this there" log \
  || fail "it is not said that the base is not seen: $(cat log)"

# What is stopped there is not what lies here under the same path.
guest_destroy web1
refuses 'guest web1 .* is not running, and its images are on 127.0.0.1; start this there' \
  libvirt="$remote" domain=web1 checkpoint=monday
