/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * A media that reads another one in larger pieces, and keeps some.
 */
#pragma once

#include "filesystem/media.h"

/* The most that is read at once. */
#define CACHED_MEDIA_READ ((guint32) 1024 * 1024)

/* Both must live as long as what was made.  One thread; 16 MiB. */
Media *cached_media_new (Media *media);
void cached_media_free (Media *media);
