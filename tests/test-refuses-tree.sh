#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# Checkpoint documents that are unreadable, malformed, hostile or of another
# guest: a single file is refused; in a directory each is reported by its
# name and the others are served.
. "$(dirname "$0")/functions.sh"

mkdir tmp
export TMPDIR=$PWD/tmp

uuid=11111111-2222-3333-4444-555555555555
document ()
{
  cat <<END
<domaincheckpoint><name>${1:-monday}</name><creationTime>1</creationTime>
  <disks><disk name='vda' checkpoint='bitmap' bitmap='monday'/></disks>
  <domain type='qemu'><name>${2:-web1}</name><uuid>${3:-$uuid}</uuid></domain>
</domaincheckpoint>
END
}

guest_disk disk.qcow2
qemu-img bitmap --add disk.qcow2 monday
with () { refuses "$1" disk.qcow2 "${@:2}"; }
document >good.xml
serve disk.qcow2 tree=good.xml -- 'nbdinfo --size "$uri"'

# Bad files, and what is said of each.
mkdir bad
echo 'no document' >bad/text
: >bad/empty
head -c 100 good.xml >bad/cut.xml
head -c 5000 /dev/urandom >bad/noise
echo '<domainsnapshot><name>monday</name></domainsnapshot>' >bad/other.xml
document '' | sed 's/<name>monday/<name>a\/b/' >bad/slash.xml
document | sed "s/checkpoint='bitmap'/checkpoint='no'/" >bad/no.xml
{ document; head -c 1048577 /dev/zero | tr '\0' ' '; } >bad/large.xml
{ echo '<!DOCTYPE domaincheckpoint>'; document; } >bad/doctype.xml
{ echo "<!DOCTYPE x [<!ENTITY a SYSTEM \"file://$PWD/secret\">]>"
  document | sed 's/<name>monday/<name>\&a;/'; } >bad/entity.xml
echo monday >secret
for i in {1..10000}; do printf '<a>'; done >bad/deep.xml
declare -A says=(
  [text]=XML [empty]=. [cut.xml]=XML [noise]=. [other.xml]=domainsnapshot
  [slash.xml]='a/b' [no.xml]="'no'" [large.xml]='larger than the 1048576'
  [doctype.xml]=DOCTYPE [entity.xml]=DOCTYPE [deep.xml]=XML)
for name in "${!says[@]}"; do
  with "$PWD/bad/$name: .*${says[$name]}" tree=bad/$name
done

# The same in a directory with a good one.
cp good.xml bad/
serve disk.qcow2 tree=bad -- 'nbdinfo --size "$uri"' 2>served.log
for name in "${!says[@]}"; do
  grep -q "error: .*bad/$name: .*${says[$name]}" served.log \
    || fail "bad/$name is not reported"
done
[ "$(grep -c . served.log)" -eq "${#says[@]}" ] || fail "other lines"
! grep good.xml served.log || fail "the good one is reported"
refuses_export 'no checkpoint tuesday; known are: monday' vda@tuesday \
  disk.qcow2 tree=bad

# Nothing there.
mkdir empty only
with "cannot open the checkpoint tree '$PWD/none': No such file.*; ." \
  tree=none
with "no checkpoint in '$PWD/empty'.*qemu-checkpoint create" tree=empty
echo text >only/monday.xml
with "no checkpoint in '$PWD/only'.*$PWD/only/monday.xml" tree=only

# Other guests.
document monday web2 99999999-2222-3333-4444-555555555555 >web2.xml
with "web2.xml: .*guest 'web2'.* not of web1" \
  tree=web2.xml domain=web1
mkdir several nested nested/web1 nested/web2
document tuesday >several/1.xml
cp web2.xml several/2.xml
with "several guests; add domain=.*web1 .$uuid.*, web2 " tree=several
serve disk.qcow2 tree=several domain=web2 -- 'nbdinfo --size "$uri"'
cp good.xml nested/web1/
cp web2.xml nested/web2/
with "no checkpoint in '$PWD/nested'.*domain=.* one: web1, web2" tree=nested
serve disk.qcow2 tree=nested domain=web1 -- 'nbdinfo --size "$uri"'

# Links take no room, and would be read for minutes: there is a bound.
"$python" - <<'END'
import os
os.mkdir("links")
with open("large.xml", "w") as f:
    f.write("<domaincheckpoint><name>large</name><description>%s</description>"
            "<disks><disk name='vda' checkpoint='bitmap' bitmap='monday'/>"
            "</disks></domaincheckpoint>" % ("x" * 1000000))
for i in range(300):
    os.symlink("../large.xml", "links/%d.xml" % i)
END
with "the checkpoint tree is not used: the files in '.*links'.* more than 256 MiB" \
  tree=links

# Unreadable, also for root, who is made to obey file modes.
if [ "$(id -u)" -eq 0 ]; then
  requires setpriv
  as_user=(setpriv --bounding-set -dac_override,-dac_read_search)
fi
chmod 0 good.xml empty several/1.xml
with "$PWD/good.xml'?: Permission denied; ." tree=good.xml
with "$PWD/empty'?: Permission denied; ." tree=empty
serve disk.qcow2 tree=several -- 'nbdinfo --size "$uri"' 2>served.log
grep -q 'error: .*several/1.xml: .*Permission denied' served.log \
  || fail "several/1.xml is not reported"

[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls -A tmp)"
