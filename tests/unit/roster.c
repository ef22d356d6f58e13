/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Which disk a file was, by what documents tell: exchanges, new names, and
 * snapshots over them.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "tree/roster.h"

/* "vda=/a vdb=/b": checkpoint c0 of a guest with these disks; "" is of one whose
 * document does not tell.
 */
static Forest *
make_tree (const char *disks)
{
  g_auto (GStrv) words = g_strsplit (disks, " ", -1);
  g_autoptr (GString) xml = g_string_new (
    "<domaincheckpoint><name>c0</name><creationTime>1</creationTime>"
    "<disks/>");
  g_autoptr (GError) error = NULL;
  Forest *forest = forest_new ();

  if (*disks)
    g_string_append (xml, "<domain><name>g</name><devices>");
  for (guint i = 0; *disks && words[i]; i++) {
    char *path = strchr (words[i], '=');
    *path++ = '\0';
    g_string_append_printf (xml, "<disk type='file'><source file='%s'/>"
                            "<target dev='%s'/></disk>", path, words[i]);
  }
  if (*disks)
    g_string_append (xml, "</devices></domain>");
  g_string_append (xml, "</domaincheckpoint>");
  Checkpoint *checkpoint
    = checkpoint_parse (xml->str, xml->len, CHECKPOINT_PARSE_DEFAULT, &error);
  g_assert_no_error (error);
  g_assert_true (forest_add (forest, checkpoint, &error));
  forest_link (forest);
  return forest;
}

/* "vda=/top,/base vdb=/b": today. */
static Roster *
make_roster (const char *disks, bool local, const Forest *forest)
{
  g_auto (GStrv) words = g_strsplit (disks, " ", -1);
  Roster *roster = roster_new (local);

  for (guint i = 0; words[i]; i++) {
    g_auto (GStrv) parts = g_strsplit (words[i], "=", 2);
    g_auto (GStrv) files = g_strsplit (parts[1], ",", -1);
    for (guint j = 0; files[j]; j++)
      roster_add (roster, parts[0], files[j]);
  }
  roster_learn (roster, forest);
  return roster;
}

static void
test_cases (void)
{
  static const struct {
    const char *then, *now, *target;
    const char *refusal;        /* words in it; NULL: none */
    int place;
    const char *strayed;
  } cases[] = {
    { "vda=/a vdb=/b", "vda=/a vdb=/b", "vda", NULL, 0, NULL },
    /* Exchanged; renamed, with the old one gone. */
    { "vda=/a vdb=/b", "vda=/b vdb=/a", "vda", "its /b was vdb then", -1, "/a" },
    { "vda=/a vdb=/b", "vda=/b vdb=/a", "vdb", "its /a was vda then", -1, "/b" },
    { "vda=/a vdb=/b vdc=/c", "vda=/a vdb=/c", "vdb", "/c was vdc", -1, "/b" },
    /* Another name only. */
    { "vda=/a", "sda=/a", "sda", "sda was vda at checkpoint c0 (its /a)", -1, NULL },
    { "vda=/a vdb=/b", "sda=/s,/a vdb=/b", "sda", "its /a)", -1, NULL },
    { "vda=/a", "sda=/a vda=/new", "sda", "its /a was vda then", -1, NULL },
    /* The file has another name today, and what has its name is new. */
    { "vda=/a", "vda=/new vdb=/a", "vda", "was /a then, which is vdb", -1, "/a" },
    { "vda=/a", "vda=/new vdb=/s,/a", "vda", "which is vdb now", -1, "/a" },
    /* Snapshots over the own file, and over another's. */
    { "vda=/a vdb=/b", "vda=/s,/a vdb=/b", "vda", NULL, 1, NULL },
    { "vda=/a", "vda=/s2,/s1,/a,/base", "vda", NULL, 2, NULL },
    { "vda=/a vdb=/b", "vda=/s,/b vdb=/t,/a", "vda", "/b was vdb", -1, "/a" },
    /* A base that two disks share is nobody's, unless it was somebody's. */
    { "vda=/a vdb=/b", "vda=/a,/base vdb=/b,/base", "vda", NULL, 0, NULL },
    { "vda=/base vdb=/b", "vda=/s,/base vdb=/b,/base", "vda", NULL, 1, NULL },
    { "vda=/base vdb=/b", "vda=/b,/base vdb=/base", "vda", "/b was vdb", 1,
      NULL },
    /* Merged away: a warning's case. */
    { "vda=/mid", "vda=/top,/base", "vda", NULL, -1, "/mid" },
    /* Nothing is known. */
    { "", "vda=/b", "vda", NULL, -1, NULL },
    { "vda=/a", "vdb=/a", "vdc", NULL, -1, NULL },
    { "vdb=/b", "vda=/a", "vda", NULL, -1, NULL },
    { "vda=/a", "vda=/a vdb=/new", "vdb", NULL, -1, NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Forest) forest = make_tree (cases[i].then);
    g_autoptr (Roster) roster = make_roster (cases[i].now, false, forest);
    const Checkpoint *c0 = forest_lookup (forest, "c0");
    g_autoptr (GError) error = NULL;

    g_test_message ("%s, then %s, %s", cases[i].now, cases[i].then,
                    cases[i].target);
    const bool same = roster_check (roster, c0, cases[i].target, &error);
    g_assert_cmpint (same, ==, !cases[i].refusal);
    if (cases[i].refusal) {
      g_assert_cmpint (error->code, ==, EIO);
      g_assert_nonnull (strstr (error->message, cases[i].refusal));
      g_assert_nonnull (strstr (error->message, cases[i].target));
    }
    g_assert_cmpint (roster_place (roster, c0, cases[i].target), ==,
                     cases[i].place);
    g_assert_cmpstr (roster_strayed (roster, c0, cases[i].target), ==,
                     cases[i].strayed);
    g_assert_true (roster_check (NULL, c0, cases[i].target, NULL));
    g_assert_cmpint (roster_place (NULL, c0, cases[i].target), ==, -1);
  }
}

/* The same file by another name; not on another machine. */
static void
test_links (void)
{
  g_autofree char *folder = g_dir_make_tmp ("roster.XXXXXX", NULL);
  g_autofree char *file = g_build_filename (folder, "b", NULL);
  g_autofree char *link = g_build_filename (folder, "link", NULL);
  g_autofree char *then = g_strdup_printf ("vda=/a vdb=%s", file);
  g_autofree char *now = g_strdup_printf ("vda=%s", link);
  g_autoptr (Forest) forest = make_tree (then);
  const Checkpoint *c0 = forest_lookup (forest, "c0");

  g_assert_true (g_file_set_contents (file, "", 0, NULL));
  g_assert_cmpint (symlink ("b", link), ==, 0);
  g_autoptr (Roster) here = make_roster (now, true, forest);
  g_autoptr (Roster) there = make_roster (now, false, forest);
  g_assert_false (roster_check (here, c0, "vda", NULL));
  g_assert_true (roster_check (there, c0, "vda", NULL));
  g_assert_true (roster_has (here, "vda", file));
  g_assert_false (roster_has (there, "vda", file));
  g_assert_true (roster_has (there, "vda", link));
  g_assert_false (roster_has (here, "vdb", file));
  g_assert_cmpint (g_unlink (link) | g_unlink (file) | g_rmdir (folder), ==, 0);
}

/* Documents name a volume by its pool, and its file is known by its path. */
static void
test_called (void)
{
  static const struct {
    const char *vda, *vdb, *refusal;
    int place;
  } cases[] = {
    { "vol:a", "vol:b", NULL, 1 },
    { "vol:b", "vol:a", "its /a was vdb then", -1 },
    { "vol:c", "vol:a", "was vol:a then, which is vdb now", -1 },
  };
  g_autoptr (Forest) forest = make_tree ("vda=vol:a vdb=vol:b");
  const Checkpoint *c0 = forest_lookup (forest, "c0");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Roster) roster
      = make_roster ("vda=/snapshot,/a vdb=/b", false, forest);
    g_autoptr (GError) error = NULL;
    roster_call (roster, "vda", 1, cases[i].vda);
    roster_call (roster, "vda", 2, "vol:none");
    roster_call (roster, "vdb", 0, "forgotten");
    roster_call (roster, "vdb", 0, cases[i].vdb);
    roster_call (roster, "vdc", 0, "vol:none");
    roster_learn (roster, forest);
    g_assert_true (roster_check (roster, c0, "vda", &error)
                   == !cases[i].refusal);
    g_assert_true (!cases[i].refusal
                   || strstr (error->message, cases[i].refusal));
    g_assert_cmpint (roster_place (roster, c0, "vda"), ==, cases[i].place);
    g_assert_true (roster_has (roster, "vda", cases[i].vda));
    g_assert_true (roster_has (roster, "vda", "/a"));
    g_assert_false (roster_has (roster, "vda", "vol:none"));
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/roster/cases", test_cases);
  g_test_add_func ("/roster/links", test_links);
  g_test_add_func ("/roster/called", test_called);
  return g_test_run ();
}
