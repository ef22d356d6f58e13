/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What people who know virsh type first, and what it is called here.
 */
#pragma once

/* "checkpoint-create-as" → "create NAME"; NULL: it is none of virsh's. */
const char *virsh_command (const char *name);

/* "--diskspec" → "--disk=TARGET", of a command.  NULL. */
const char *virsh_option (const char *name);
