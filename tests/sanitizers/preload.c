/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Loaded into nbdkit behind a sanitizer's runtime (see nbdkit in this folder):
 * what must be otherwise there.
 */
#include <locale.h>
#include <stdlib.h>

/* Programs that nbdkit starts run without the runtime; some cannot run with
 * it (dash with Debian 12's libtsan).
 */
static void __attribute__ ((constructor))
keep_to_nbdkit (void)
{
  unsetenv ("LD_PRELOAD");
}

/* Debian 12's nbdkit under a preloaded runtime hangs at exit, with any plugin
 * ("nbdkit file /nonexistent"), once it has printed the text of an errno:
 * p11-kit's destructor waits in freelocale for glibc's locale lock.  A
 * process that ends need not free its locale.
 */
void freelocale (locale_t locale);

void
freelocale (locale_t locale)
{
  (void) locale;
}

#ifdef __SANITIZE_THREAD__
/* GLib's locks are futexes, of which ThreadSanitizer knows nothing: it is told
 * what they order.
 */
#include <dlfcn.h>
#include <glib.h>
#include <sanitizer/tsan_interface.h>

#define REAL(function) \
  ((__typeof__ (&(function))) dlsym (RTLD_NEXT, #function))

void
g_mutex_lock (GMutex *mutex)
{
  REAL (g_mutex_lock) (mutex);
  __tsan_acquire (mutex);
}

gboolean
g_mutex_trylock (GMutex *mutex)
{
  const gboolean locked = REAL (g_mutex_trylock) (mutex);

  if (locked)
    __tsan_acquire (mutex);
  return locked;
}

void
g_mutex_unlock (GMutex *mutex)
{
  __tsan_release (mutex);
  REAL (g_mutex_unlock) (mutex);
}

void
g_cond_wait (GCond *cond, GMutex *mutex)
{
  __tsan_release (mutex);
  REAL (g_cond_wait) (cond, mutex);
  __tsan_acquire (mutex);
}

/* GVariant makes the lock of its types when it first needs it, out of the sight of
 * ThreadSanitizer: so before there are threads.
 */
static void __attribute__ ((constructor))
make_lock_of_types (void)
{
  g_variant_unref (g_variant_ref_sink (g_variant_new ("(s)", "")));
}

gboolean
g_cond_wait_until (GCond *cond, GMutex *mutex, gint64 end_time)
{
  __tsan_release (mutex);
  const gboolean in_time = REAL (g_cond_wait_until) (cond, mutex, end_time);
  __tsan_acquire (mutex);
  return in_time;
}
#endif /* __SANITIZE_THREAD__ */
