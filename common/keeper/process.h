/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The keeper's own side; see keeper.h.
 */
#pragma once

#include "keeper/job-ops.h"

/* What the process does until its server is gone.  held_fd: for held_start. */
G_NORETURN void keeper_process_run (const JobOps *ops,
                                      const Reporter *reporter, int fd,
                                      int held_fd);
