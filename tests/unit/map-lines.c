/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Lists of random maps are what printf makes of them, and whatever ends a map early:
 * nothing is printed that was not proved, and all that is missing is dirty.  Chance
 * is the framework's: --seed=... as printed repeats it.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

/* What it knows of views is below. */
#include "tool/map-lines.c"

#define ROUNDS 12
#define EXTENTS_MOST 150000
#define NEVER G_MAXUINT

typedef struct {
  guint64 offset, length;
  DirtyState state;
} Extent;

/* A view whose server may be lost. */
struct OpenView {
  GArray *extents;
  guint fails_at;               /* this extent is never told */
  guint unproved;               /* so many proofs are given */
  guint proofs;
  guint64 visited, proved;      /* bytes */
};

bool
open_view_prove (const OpenView *view, GError **error)
{
  OpenView *self = (OpenView *) view;

  if (self->proofs++ >= self->unproved)
    return error_set (error, EIO, "no proof");
  self->proved = self->visited;
  return true;
}

bool
open_view_pass (OpenView *view, OpenViewVisit visit, OpenViewTold told,
                void *opaque, GError **error)
{
  for (guint i = 0; i < view->extents->len; i++) {
    const Extent *extent = &g_array_index (view->extents, Extent, i);
    if (i == view->fails_at)
      return error_set (error, EIO, "lost");
    if (!visit (opaque, extent->offset, extent->length, extent->state))
      return false;
    view->visited = extent->offset + extent->length;
    told (opaque, view->visited);
  }
  return open_view_prove (view, error);
}

guint64
open_view_size (const OpenView *view)
{
  guint64 size = 0;

  for (guint i = 0; i < view->extents->len; i++)
    size += g_array_index (view->extents, Extent, i).length;
  return size;
}

void
note_refused (int why G_GNUC_UNUSED)
{
  g_assert_not_reached ();
}

bool
terminal_is_there (void)
{
  return false;
}

void
progress_reach (void *opaque, guint64 done)
{
  ((ProgressPart *) opaque)->done = done;
}

void
progress_free (Progress *self)
{
  g_assert_null (self);
}

/* Most maps have blocks of one length, some have numbers of all lengths. */
static guint64
random_length (guint kind)
{
  const guint shift = (guint) g_test_rand_int_range (0, kind == 2 ? 36 : 6);

  return kind == 0 || g_test_rand_bit () ? 65536
    : (guint64) g_test_rand_int_range (1, 1000) << shift;
}

static GArray *
random_extents (void)
{
  static const DirtyState states[]
    = { DIRTY_MAP_CLEAN, DIRTY_MAP_DIRTY, DIRTY_MAP_ZERO };
  GArray *extents = g_array_new (FALSE, FALSE, sizeof (Extent));
  const guint count = g_test_rand_bit () ? EXTENTS_MOST
    : (guint) g_test_rand_int_range (0, 100);
  const guint kind = (guint) g_test_rand_int_range (0, 3);
  guint state = 0;
  guint64 offset = 0;

  for (guint i = 0; i < count; i++) {
    state = (state + (guint) g_test_rand_int_range (1, 3)) % 3;
    const Extent extent = { offset, random_length (kind), states[state] };
    g_array_append_val (extents, extent);
    offset += extent.length;
  }
  return extents;
}

static void
append_line (GString *text, const LineFormat *format, const Extent *extent)
{
  g_string_append_printf (text, "%s%s%*" G_GUINT64_FORMAT "%s%*" G_GUINT64_FORMAT
                          "%s", extent->offset == 0 ? "" : format->between,
                          format->offset, (int) format->width, extent->offset,
                          format->length, (int) format->width, extent->length,
                          format->states[extent->state]);
}

/* Those that begin before known, then all is dirty. */
static GString *
model (const OpenView *view, const LineFormat *format, guint64 known)
{
  const guint64 size = open_view_size (view);
  const Extent rest = { known, size - known, DIRTY_MAP_DIRTY };
  GString *text = g_string_new (format->begin);

  for (guint i = 0; i < view->extents->len; i++) {
    const Extent *extent = &g_array_index (view->extents, Extent, i);
    if (extent->offset < known)
      append_line (text, format, extent);
  }
  if (known < size)
    append_line (text, format, &rest);
  return g_string_append (text, format->end);
}

static bool
print_to (int fd, OpenView *view, const LineFormat *format, GError **error)
{
  const int before = dup (STDOUT_FILENO);

  fflush (stdout);
  g_assert_cmpint (dup2 (fd, STDOUT_FILENO), ==, STDOUT_FILENO);
  const bool done = map_lines_print (view, format, NULL, error);
  g_assert_cmpint (fflush (stdout), ==, 0);
  g_assert_cmpint (dup2 (before, STDOUT_FILENO), ==, STDOUT_FILENO);
  close (before);
  return done;
}

static void
check (int fd, const GString *want)
{
  const off_t length = lseek (fd, 0, SEEK_END);

  g_assert_cmpint (length, ==, (off_t) want->len);
  const char *text
    = mmap (NULL, want->len + 1, PROT_READ, MAP_PRIVATE, fd, 0);
  g_assert_true (text != MAP_FAILED);
  g_assert_true (memcmp (text, want->str, want->len) == 0);
  munmap ((void *) text, want->len + 1);
}

static void
check_print (GArray *extents, const LineFormat *format, guint fails_at,
             guint unproved)
{
  OpenView view = { .extents = extents, .fails_at = fails_at,
                    .unproved = unproved };
  g_autoptr (GError) error = NULL;
  guint64 known = open_view_size (&view);
  const int fd = memfd_create ("list", MFD_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  if (print_to (fd, &view, format, &error)) {
    g_assert_no_error (error);
    g_assert_true (fails_at >= extents->len && view.proofs <= unproved);
  }
  else {
    g_assert_nonnull (error);
    const char *from = strstr (error->message, " from byte ");
    g_assert_nonnull (from);
    known = g_ascii_strtoull (from + strlen (" from byte "), NULL, 10);
    g_assert_cmpuint (known, <=, view.proved);
  }
  g_autoptr (GString) want = model (&view, format, known);
  check (fd, want);
  close (fd);
}

static void
test_random (void)
{
  static const LineFormat *const formats[] = {
    &line_format_nbdinfo, &line_format_json, &line_format_extents,
    &line_format_imageio, &line_format_kubevirt,
  };

  for (guint round = 0; round < ROUNDS; round++) {
    g_autoptr (GArray) extents = random_extents ();
    for (guint i = 0; i < G_N_ELEMENTS (formats); i++) {
      check_print (extents, formats[i], NEVER, NEVER);
      check_print (extents, formats[i],
                   (guint) g_test_rand_int_range (0, (gint32) extents->len + 1),
                   NEVER);
      check_print (extents, formats[i], NEVER,
                   (guint) g_test_rand_int_range (0, 4));
    }
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/map-lines/random", test_random);
  return g_test_run ();
}
