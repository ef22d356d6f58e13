/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/libvirt/backup-xml.c: a job as libvirt 9.0.0 tells it, what other
 * versions leave out, other programs' jobs, and requests.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "base/error.h"
#include "libvirt/backup-xml.h"
#include "tree/checkpoint.h"

#include "refused.h"

#define SERVER "<server transport='unix' socket='/s'/>"
#define JOB(inner) "<domainbackup mode='pull'>" inner "</domainbackup>"
#define DISKS(inner) JOB (SERVER "<disks>" inner "</disks>")
#define SINCE(inner) JOB ("<incremental>monday</incremental>" SERVER \
  "<disks>" inner "</disks>")

/* virDomainBackupGetXMLDesc of libvirt 9.0.0, QEMU driver. */
static const char job_xml[] =
  "<domainbackup mode='pull'>\n"
  "  <incremental>monday</incremental>\n"
  "  <server transport='unix' socket='/tmp/lab/d/sock'/>\n"
  "  <disks>\n"
  "    <disk name='vda' backup='yes' type='file' backupmode='incremental' "
  "incremental='monday' exportname='vda' exportbitmap='backup-vda' "
  "index='3'>\n"
  "      <driver type='qcow2'/>\n"
  "      <scratch file='/tmp/lab/d/vda.qcow2.1795490342'/>\n"
  "    </disk>\n"
  "    <disk name='vdb' backup='no'/>\n"
  "  </disks>\n"
  "</domainbackup>\n";

static Backup *
parse_ok (const char *text)
{
  g_autoptr (GError) error = NULL;
  Backup *backup = backup_parse (text, strlen (text), &error);

  g_assert_no_error (error);
  g_assert_nonnull (backup);
  return backup;
}

static void
refused_bytes (const char *text, gsize length, int code, const char *part)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (backup_parse (text, length, &error));
  assert_refused (error, code, part);
}

static void
refused (const char *text, const char *part)
{
  refused_bytes (text, strlen (text), EINVAL, part);
}

static void
unsupported (const char *text, const char *part)
{
  refused_bytes (text, strlen (text), ENOTSUP, part);
}

static void
test_job (void)
{
  g_autoptr (Backup) backup = parse_ok (job_xml);
  const BackupDisk *disk = backup_disk (backup, "vda");

  g_assert_cmpstr (backup->socket, ==, "/tmp/lab/d/sock");
  g_assert_null (backup->host);
  g_assert_cmpuint (backup->port, ==, 0);
  g_assert_false (backup->tls);
  g_assert_cmpuint (backup->disks->len, ==, 1);
  g_assert_null (backup_disk (backup, "vdb"));
  g_assert_cmpstr (disk->incremental, ==, "monday");
  g_assert_cmpstr (disk->scratch, ==, "/tmp/lab/d/vda.qcow2.1795490342");
  g_assert_cmpstr (disk->export_name, ==, "vda");
  g_assert_cmpstr (disk->export_bitmap, ==, "backup-vda");
  backup_free (NULL);
}

/* "vda:monday:name:bitmap:scratch", "-" for NULL */
static void
assert_disks (const char *text, const char *expected)
{
  g_autoptr (Backup) backup = parse_ok (text);
  g_autoptr (GString) got = g_string_new (NULL);

  for (guint i = 0; i < backup->disks->len; i++) {
    const BackupDisk *disk = g_ptr_array_index (backup->disks, i);

    g_string_append_printf (got, "%s%s:%s:%s:%s:%s", i ? " " : "",
                            disk->target,
                            disk->incremental ? disk->incremental : "-",
                            disk->export_name,
                            disk->export_bitmap ? disk->export_bitmap : "-",
                            disk->scratch ? disk->scratch : "-");
  }
  g_assert_cmpstr (got->str, ==, expected);
}

static void
test_disks (void)
{
  static const struct { const char *text, *disks; } cases[] = {
    { JOB (SERVER), "" },
    { DISKS (""), "" },
    { DISKS ("<disk name='vda'/>"), "vda:-:vda:-:-" },
    { SINCE ("<disk name='vda'/>"), "vda:monday:vda:backup-vda:-" },
    { SINCE ("<disk name='vda' backupmode='full'/>"), "vda:-:vda:-:-" },
    { SINCE ("<disk name='vda' backupmode='incremental'/>"),
      "vda:monday:vda:backup-vda:-" },
    { SINCE ("<disk name='vda' incremental='tuesday'/>"),
      "vda:tuesday:vda:backup-vda:-" },
    { DISKS ("<disk name='vda' backupmode='incremental' incremental='a'/>"
             "<disk name='vdb' backup='yes' backupmode='full'/>"
             "<disk name='vdc' backup='no'/>"),
      "vda:a:vda:backup-vda:- vdb:-:vdb:-:-" },
    { JOB ("<incremental/>" SERVER "<disks><disk name='vda'/></disks>"),
      "vda:-:vda:-:-" },
    { SINCE ("<disk name='vda' exportname='a&amp;b' exportbitmap='c'/>"),
      "vda:monday:a&b:c:-" },
    /* Of a full backup, QEMU exports no bitmap, whatever was asked for. */
    { DISKS ("<disk name='vda' exportname='' exportbitmap='c'/>"),
      "vda:-::-:-" },
    { DISKS ("<disk name='vda' type='block'><scratch dev='/dev/s'/></disk>"
             "<disk name='vdb' type='file'><scratch file='/s'/></disk>"),
      "vda:-:vda:-:/dev/s vdb:-:vdb:-:/s" },
    { DISKS ("<new/><disk name='vda' new='1'><new/></disk>"),
      "vda:-:vda:-:-" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_disks (cases[i].text, cases[i].disks);
}

static void
test_server (void)
{
  static const char *const texts[] = {
    JOB ("<server name='::1' port='10809' tls='yes'/>"),
    JOB ("<server transport='tcp' name='::1' port='10809' tls='yes'/>"),
  };
  g_autoptr (Backup) plain
    = parse_ok (JOB ("<server name='h' port='65535' tls='no'/>"));

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autoptr (Backup) backup = parse_ok (texts[i]);

    g_assert_null (backup->socket);
    g_assert_cmpstr (backup->host, ==, "::1");
    g_assert_cmpuint (backup->port, ==, 10809);
    g_assert_true (backup->tls);
  }
  g_assert_cmpuint (plain->port, ==, 65535);
  g_assert_false (plain->tls);
}

/* Another program's job may be of a kind we do not serve. */
static void
test_unsupported (void)
{
  unsupported ("<domainbackup mode='push'><disks><disk name='vda' "
               "backup='yes' type='file' backupmode='full' index='7'>"
               "<driver type='qcow2'/><target file='/t'/></disk></disks>"
               "</domainbackup>", "push mode");
  unsupported ("<domainbackup/>", "push mode");
  unsupported ("<domainbackup mode='shove'/>", "shove mode");
  unsupported (JOB ("<server transport='rdma' name='h' port='1'/>"),
               "transport='rdma'");
}

static void
test_refused (void)
{
  g_autofree char *name = g_strnfill (4097, 'n');
  g_autofree char *long_name
    = g_strdup_printf (DISKS ("<disk name='vda' exportname='%s'/>"), name);
  g_autofree char *long_bitmap
    = g_strdup_printf (SINCE ("<disk name='vda' exportbitmap='%.1024s'/>"),
                       name);

  refused ("", "backup XML, line");
  refused ("<domainbackup mode='pull'>", "backup XML, line");
  refused ("<domain/>", "a <domain>, not");
  refused (JOB (""), "no <server>");
  refused (JOB (SERVER SERVER), "second <server>");
  refused (JOB ("<server/>"), "has no name");
  refused (JOB ("<server name='h'/>"), "port=''");
  refused (JOB ("<server name='h' port='0'/>"), "port='0'");
  refused (JOB ("<server name='h' port='65536'/>"), "port='65536'");
  refused (JOB ("<server name='h' port='nbd'/>"), "port='nbd'");
  refused (JOB ("<server transport='unix'/>"), "socket=''");
  refused (JOB ("<server transport='unix' socket='s'/>"), "socket='s'");
  refused (JOB ("<server transport='unix' socket='/s' tls='1'/>"), "tls='1'");
  refused (JOB (SERVER "<disks/><disks/>"), "second <disks>");
  refused (JOB ("<incremental/><incremental/>" SERVER), "second <incremental");
  refused (DISKS ("<disk/>"), "'' cannot be the name of a disk");
  refused (DISKS ("<disk name='a@b'/>"), "'a@b' cannot be");
  refused (DISKS ("<disk name='a'/><disk name='a' backup='no'/>"),
           "listed twice");
  refused (DISKS ("<disk name='a' backup='maybe'/>"), "backup='maybe'");
  refused (DISKS ("<disk name='a' backupmode='half'/>"), "'half'");
  refused (DISKS ("<disk name='a' backupmode='incremental'/>"),
           "since nothing");
  refused (DISKS ("<disk name='a' backupmode='full' incremental='b'/>"),
           "and yet incremental");
  refused (DISKS ("<disk name='a' incremental='b/c'/>"), "'b/c'");
  refused (SINCE ("<disk name='a' exportbitmap=''/>"), "1 to 1023");
  refused (DISKS ("<disk name='a' type='network'/>"), "type='network'");
  refused (DISKS ("<disk name='a'><scratch/></disk>"), "scratch file");
  refused (DISKS ("<disk name='a'><scratch file='s'/></disk>"), "is 's'");
  refused (DISKS ("<disk name='a' type='block'><scratch file='/s'/></disk>"),
           "scratch device");
  refused (DISKS ("<disk name='a'><scratch file='/s'/><scratch file='/s'/>"
                  "</disk>"), "second <scratch>");
  refused ("<!DOCTYPE d>" JOB (SERVER), "DOCTYPE");
  refused (long_name, "NBD's limit");
  refused (long_bitmap, "1 to 1023");
}

static void
test_limits (void)
{
  g_autoptr (GString) text = g_string_new ("<domainbackup mode='pull'>" SERVER
                                           "<disks>");

  for (guint i = 0; i <= CHECKPOINT_MAX_DISKS; i++)
    g_string_append_printf (text, "<disk name='vd%u' backup='no'/>", i);
  g_string_append (text, "</disks></domainbackup>");
  refused_bytes (text->str, text->len, EFBIG, "more than 4096 disks");

  g_string_assign (text, JOB (SERVER));
  while (text->len <= BACKUP_MAX_BYTES)
    g_string_append_c (text, ' ');
  refused_bytes (text->str, text->len, EFBIG, "at most 4194304");
}

static void
test_request (void)
{
  g_autoptr (Backup) backup = backup_new ();
  g_autoptr (GPtrArray) left_out = g_ptr_array_new ();
  g_autofree char *text = NULL;
  BackupDisk *disk;

  backup->socket = g_strdup ("/run/a b's/<sock>");
  disk = backup_add_disk (backup, "vda");
  disk->incremental = g_strdup ("monday");
  disk->scratch = g_strdup ("/scratch/vda");
  disk->export_bitmap = g_strdup ("dirty");
  disk = backup_add_disk (backup, "vdb");
  disk->export_name = g_strdup ("b&b");
  disk->export_bitmap = g_strdup ("of a full backup");
  disk->scratch = g_strdup ("/scratch/\"s\"");
  backup_add_disk (backup, "vdc");
  g_ptr_array_add (left_out, (char *) "sda");
  text = backup_format (backup, left_out);
  g_assert_cmpstr (
    text, ==,
    "<domainbackup mode='pull'>\n"
    "  <server transport='unix' socket='/run/a b&apos;s/&lt;sock&gt;'/>\n"
    "  <disks>\n"
    "    <disk name='vda' backup='yes' type='file' backupmode='incremental' "
    "incremental='monday' exportbitmap='dirty'>\n"
    "      <driver type='qcow2'/>\n"
    "      <scratch file='/scratch/vda'/>\n"
    "    </disk>\n"
    "    <disk name='vdb' backup='yes' type='file' backupmode='full' "
    "exportname='b&amp;b'>\n"
    "      <driver type='qcow2'/>\n"
    "      <scratch file='/scratch/&quot;s&quot;'/>\n"
    "    </disk>\n"
    "    <disk name='vdc' backup='yes' type='file' backupmode='full'/>\n"
    "    <disk name='sda' backup='no'/>\n"
    "  </disks>\n"
    "</domainbackup>\n");
}

static void
test_request_tcp (void)
{
  g_autoptr (Backup) backup = backup_new ();
  g_autoptr (Backup) again = NULL;
  g_autofree char *text = NULL;

  backup->host = g_strdup ("localhost");
  backup->port = 10809;
  backup->tls = true;
  backup_add_disk (backup, "vda");
  text = backup_format (backup, NULL);
  g_assert_nonnull (strstr (text, "<server transport='tcp' tls='yes' "
                            "name='localhost' port='10809'/>"));
  again = parse_ok (text);
  g_assert_cmpstr (again->host, ==, "localhost");
  g_assert_cmpuint (again->port, ==, 10809);
  g_assert_true (again->tls);
  g_assert_cmpuint (again->disks->len, ==, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/backup-xml/job", test_job);
  g_test_add_func ("/backup-xml/disks", test_disks);
  g_test_add_func ("/backup-xml/server", test_server);
  g_test_add_func ("/backup-xml/unsupported", test_unsupported);
  g_test_add_func ("/backup-xml/refused", test_refused);
  g_test_add_func ("/backup-xml/limits", test_limits);
  g_test_add_func ("/backup-xml/request", test_request);
  g_test_add_func ("/backup-xml/request-tcp", test_request_tcp);
  return g_test_run ();
}
