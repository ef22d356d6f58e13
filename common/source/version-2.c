/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 */
#include <config.h>

#include "base/error.h"
#include "image/layer.h"
#include "image/unlocked.h"
#include "source/version-2.h"

bool
version_2_is (const GuestDisk *disk)
{
  return g_strcmp0 (disk->format, "qcow2") == 0 && disk->source
    && image_is_version_2 (disk->source);
}

char *
version_2_amend (const GuestDisk *disk)
{
  g_autofree char *word = error_shell_word (disk->source);

  return g_strdup_printf ("disk %s is of version 2: to change that, once its "
                          "guest is off, type: qemu-img " IMAGE_CHANGE_VERSION
                          " %s", disk->target, word);
}
