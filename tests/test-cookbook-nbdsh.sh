#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 the nbdkit-checkpoint authors
#
# The cookbook's script for nbdsh reads what changed, and nothing else.
. "$(dirname "$0")/cookbook.sh"

guest_web1
virsh checkpoint-create-as web1 monday
writes vda "write -P 2 1M 128k"
writes vda "write -z 2M 64k"
writes vda "write -P 3 12M 64k"
now web1
recipe nbdsh-script
recipe nbdsh
sum () { dd status=none if="$tmpdir/web1.now" bs=64k skip=$(($1 / 65536)) count=1 | sha256sum | cut -d' ' -f1; }
diff -u - "$tmpdir/printed" <<END
1048576 65536 $(sum 1048576)
1114112 65536 $(sum 1114112)
2097152 65536 zeroes
12582912 65536 $(sum 12582912)
END
