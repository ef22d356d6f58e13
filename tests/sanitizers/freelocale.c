/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Debian 12's nbdkit under a preloaded libasan hangs at exit, with any plugin
 * ("nbdkit file /nonexistent"), once it has printed the text of an errno:
 * p11-kit's destructor waits in freelocale for glibc's locale lock.  A
 * process that ends need not free its locale.
 */
#include <locale.h>

void freelocale (locale_t locale);

void
freelocale (locale_t locale)
{
  (void) locale;
}
