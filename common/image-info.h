/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * What "qemu-img info --output=json" says of one image.
 */
#ifndef COMMON_IMAGE_INFO_H
#define COMMON_IMAGE_INFO_H

#include "disk.h"

/* Read one image's JSON document (ImageInfo in QEMU 7.2's
 * qapi/block-core.json) into a new Layer for path.  The text may come from
 * a hostile image.  EINVAL when it is not what qemu-img prints, or when the
 * image is marked corrupt or is encrypted, which cannot be served.
 */
Layer *image_info_parse (const char *text, gsize length, const char *path,
                         GError **error);

#endif /* COMMON_IMAGE_INFO_H */
