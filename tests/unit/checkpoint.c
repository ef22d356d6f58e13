/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/tree/checkpoint*.c: libvirt's own output, its defaults, each
 * kind of document that is refused, and hostile XML.  monday_xml and
 * tuesday_xml are from virDomainCheckpointGetXMLDesc of libvirt 9.0.0, test
 * driver.
 */

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "base/error.h"
#include "tree/checkpoint.h"

#include "refused.h"

static const char monday_xml[] =
  "<domaincheckpoint>\n"
  "  <name>monday</name>\n"
  "  <description>a &lt;b&gt; &amp; &quot;q&quot; &apos;s&apos;</description>\n"
  "  <creationTime>1795419337</creationTime>\n"
  "  <disks>\n"
  "    <disk name='vda' checkpoint='bitmap' bitmap='monday'/>\n"
  "    <disk name='vdb' checkpoint='bitmap' bitmap='monday'/>\n"
  "    <disk name='vdc' checkpoint='no'/>\n"
  "    <disk name='vdd' checkpoint='bitmap' bitmap='monday'/>\n"
  "    <disk name='fda' checkpoint='bitmap' bitmap='monday'/>\n"
  "    <disk name='hdc' checkpoint='no'/>\n"
  "  </disks>\n"
  "  <domain type='test'>\n"
  "    <name>web1</name>\n"
  "    <uuid>d6355fb8-4bff-4a46-bee8-c673145a10c5</uuid>\n"
  "    <memory unit='KiB'>1048576</memory>\n"
  "    <currentMemory unit='KiB'>1048576</currentMemory>\n"
  "    <vcpu placement='static'>1</vcpu>\n"
  "    <os>\n"
  "      <type arch='i686'>hvm</type>\n"
  "      <boot dev='hd'/>\n"
  "    </os>\n"
  "    <clock offset='utc'/>\n"
  "    <on_poweroff>destroy</on_poweroff>\n"
  "    <on_reboot>restart</on_reboot>\n"
  "    <on_crash>destroy</on_crash>\n"
  "    <devices>\n"
  "      <disk type='file' device='disk'>\n"
  "        <driver name='qemu' type='qcow2'/>\n"
  "        <source file='/var/lib/a&amp;b.qcow2'/>\n"
  "        <target dev='vda' bus='virtio'/>\n"
  "      </disk>\n"
  "      <disk type='block' device='disk'>\n"
  "        <driver name='qemu' type='qcow2'/>\n"
  "        <source dev='/dev/vg/lv'/>\n"
  "        <target dev='vdb' bus='virtio'/>\n"
  "      </disk>\n"
  "      <disk type='file' device='disk'>\n"
  "        <source file='/ro.img'/>\n"
  "        <target dev='vdc' bus='virtio'/>\n"
  "        <readonly/>\n"
  "      </disk>\n"
  "      <disk type='network' device='disk'>\n"
  "        <source protocol='rbd' name='pool/img'/>\n"
  "        <target dev='vdd' bus='virtio'/>\n"
  "      </disk>\n"
  "      <disk type='file' device='floppy'>\n"
  "        <source file='/f.img'/>\n"
  "        <target dev='fda' bus='fdc'/>\n"
  "        <address type='drive' controller='0' bus='0' target='0' unit='0'/>\n"
  "      </disk>\n"
  "      <disk type='file' device='cdrom'>\n"
  "        <target dev='hdc' bus='ide'/>\n"
  "        <readonly/>\n"
  "        <address type='drive' controller='0' bus='1' target='0' unit='0'/>\n"
  "      </disk>\n"
  "      <controller type='fdc' index='0'/>\n"
  "      <controller type='ide' index='0'/>\n"
  "    </devices>\n"
  "  </domain>\n"
  "</domaincheckpoint>\n";

static const char tuesday_xml[] =
  "<domaincheckpoint>\n"
  "  <name>tuesday</name>\n"
  "  <parent>\n"
  "    <name>monday</name>\n"
  "  </parent>\n"
  "  <creationTime>1795419337</creationTime>\n"
  "  <disks>\n"
  "    <disk name='vda' checkpoint='no'/>\n"
  "    <disk name='vdb' checkpoint='bitmap' bitmap='foo'/>\n"
  "    <disk name='vdc' checkpoint='no'/>\n"
  "    <disk name='vdd' checkpoint='no'/>\n"
  "    <disk name='fda' checkpoint='no'/>\n"
  "    <disk name='hdc' checkpoint='no'/>\n"
  "  </disks>\n"
  "</domaincheckpoint>\n";

static Checkpoint *
parse_ok (const char *text)
{
  g_autoptr (GError) error = NULL;
  Checkpoint *checkpoint = checkpoint_parse (text, strlen (text),
                                             CHECKPOINT_PARSE_DEFAULT,
                                             &error);

  g_assert_no_error (error);
  g_assert_nonnull (checkpoint);
  return checkpoint;
}

static void
refused_bytes (const char *text, gsize length, int code, const char *part)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (checkpoint_parse (text, length, CHECKPOINT_PARSE_DEFAULT,
                                   &error));
  assert_refused (error, code, part);
}

static void
refused (const char *text, const char *part)
{
  refused_bytes (text, strlen (text), EINVAL, part);
}

#define DOC(inner) "<domaincheckpoint>" inner "</domaincheckpoint>"
#define NAMED(inner) DOC ("<name>m</name>" inner)

/* "vda=monday vdb=-" */
static void
assert_disks (const Checkpoint *checkpoint, const char *expected)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < checkpoint->disks->len; i++) {
    const CheckpointDisk *disk = g_ptr_array_index (checkpoint->disks, i);

    g_string_append_printf (text, "%s%s=%s", i ? " " : "", disk->name,
                            disk->bitmap ? disk->bitmap : "-");
  }
  g_assert_cmpstr (text->str, ==, expected);
}

static void
assert_equal_disks (const Checkpoint *a, const Checkpoint *b)
{
  g_assert_cmpuint (a->disks->len, ==, b->disks->len);
  for (guint i = 0; i < a->disks->len; i++) {
    const CheckpointDisk *x = g_ptr_array_index (a->disks, i);
    const CheckpointDisk *y = g_ptr_array_index (b->disks, i);

    g_assert_cmpstr (x->name, ==, y->name);
    g_assert_cmpstr (x->bitmap, ==, y->bitmap);
    g_assert_true (x->has_size == y->has_size);
    g_assert_cmpuint (x->size, ==, y->size);
  }
}

static void
round_trip (const char *text)
{
  g_autoptr (Checkpoint) a = parse_ok (text);
  g_autofree char *first = checkpoint_format (a);
  g_autoptr (Checkpoint) b = parse_ok (first);
  g_autofree char *second = checkpoint_format (b);

  g_assert_cmpstr (first, ==, second);
  g_assert_cmpstr (a->name, ==, b->name);
  g_assert_cmpstr (a->description, ==, b->description);
  g_assert_cmpstr (a->parent_name, ==, b->parent_name);
  g_assert_true (a->has_creation_time == b->has_creation_time);
  g_assert_cmpuint (a->creation_time, ==, b->creation_time);
  g_assert_true (a->covers_any_disk == b->covers_any_disk);
  g_assert_null (b->domain_name);
  assert_equal_disks (a, b);
}

static void
test_libvirt (void)
{
  g_autoptr (Checkpoint) monday = parse_ok (monday_xml);
  g_autoptr (Checkpoint) tuesday = parse_ok (tuesday_xml);
  g_autofree char *text = checkpoint_format (monday);
  g_autofree char *text2 = checkpoint_format (tuesday);
  const char *domain = strstr (monday_xml, "  <domain ");
  g_autofree char *short_xml
    = g_strdup_printf ("%.*s</domaincheckpoint>\n",
                       (int) (domain - monday_xml), monday_xml);
  const DomainDisk *disk;

  g_assert_cmpstr (text, ==, short_xml);
  g_assert_cmpstr (text2, ==, tuesday_xml);
  g_assert_cmpstr (monday->name, ==, "monday");
  g_assert_cmpstr (monday->description, ==, "a <b> & \"q\" 's'");
  g_assert_true (monday->has_creation_time);
  g_assert_cmpstr (monday->domain_name, ==, "web1");
  g_assert_cmpuint (strlen (monday->domain_uuid), ==, 36);
  assert_disks (monday, "vda=monday vdb=monday vdc=- vdd=monday fda=monday "
                "hdc=-");
  g_assert_cmpuint (monday->domain_disks->len, ==, 6);
  disk = g_ptr_array_index (monday->domain_disks, 0);
  g_assert_cmpstr (disk->source, ==, "/var/lib/a&b.qcow2");
  disk = g_ptr_array_index (monday->domain_disks, 5);
  g_assert_true (disk->read_only && disk->source == NULL);
  g_assert_cmpstr (tuesday->parent_name, ==, "monday");
  g_assert_null (tuesday->domain_disks);
  g_assert_cmpstr (checkpoint_bitmap (tuesday, "vdb"), ==, "foo");
  g_assert_null (checkpoint_bitmap (tuesday, "vda"));
  g_assert_null (checkpoint_bitmap (tuesday, "vdz"));
}

/* libvirt derived the list in monday_xml from the domain; so must we. */
static void
test_defaults (void)
{
  const char *from = strstr (monday_xml, "  <disks>");
  const char *to = strstr (monday_xml, "  <domain ");
  g_autoptr (GString) text = g_string_new_len (monday_xml, from - monday_xml);
  g_autoptr (Checkpoint) a = NULL;

  g_string_append (text, to);
  a = parse_ok (text->str);
  assert_disks (a, "vda=monday vdb=monday vdc=- vdd=monday fda=monday hdc=-");
  round_trip (text->str);
}

#define DOMAIN(disks) "<domain><name>g</name><uuid>u</uuid><devices>" disks \
  "</devices></domain>"
#define DISK(source, target) "<disk type='file'><source file='" source \
  "'/><target dev='" target "'/></disk>"

static void
test_disks (void)
{
  static const struct { const char *text, *disks; } cases[] = {
    { NAMED ("<disks><disk name='vda'/><disk name='vdb' bitmap='x'/>"
             "<disk name='vdc' checkpoint='no'/></disks>"),
      "vda=m vdb=x vdc=-" },
    { NAMED ("<disks><disk name='/a'/></disks>" DOMAIN (DISK ("/a", "vda"))),
      "vda=m" },
    { NAMED ("<disks><disk name='/a'/></disks>"), "/a=m" },
    { NAMED ("<disks><disk name='/b'/></disks>" DOMAIN (DISK ("/a", "vda"))),
      "/b=m" },
    { NAMED ("<disks><disk name='/a'/></disks>"
             DOMAIN (DISK ("/a", "vda") DISK ("/a", "vdb"))), "/a=m" },
    { NAMED ("<disks><disk name='vdx'/></disks>" DOMAIN (DISK ("/a", "vda"))),
      "vdx=m" },
    { NAMED ("<disks/>" DOMAIN (DISK ("/a", "vda"))), "vda=m" },
    { NAMED (DOMAIN (DISK ("/a", "vda") DISK ("/b", "vda") DISK ("/c", "")
                     DISK ("/c", "/x") "<disk/>")), "vda=m" },
    { NAMED (DOMAIN ("<disk type='block'><source file='/a'/><target "
                     "dev='vda'/></disk><disk type='volume'><source pool='p' "
                     "volume='v'/><target dev='vdb'/></disk>"
                     "<disk type='nvme'><target dev='vdc'/></disk>"
                     "<disk><source dir=''/><target dev='vdd'/></disk>")),
      "vda=- vdb=m vdc=- vdd=-" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Checkpoint) checkpoint = parse_ok (cases[i].text);

    assert_disks (checkpoint, cases[i].disks);
    round_trip (cases[i].text);
  }
}

static void
test_unknown_disks (void)
{
  g_autoptr (Checkpoint) a = parse_ok (NAMED (""));
  g_autoptr (Checkpoint) b = parse_ok (NAMED (DOMAIN ("")));

  g_assert_true (a->covers_any_disk && b->covers_any_disk);
  g_assert_cmpstr (checkpoint_bitmap (a, "vda"), ==, "m");
  g_assert_null (checkpoint_disk (a, "vda"));
  g_assert_cmpstr (b->domain_name, ==, "g");
}

static void
test_round_trip (void)
{
  static const char *const texts[] = {
    monday_xml, tuesday_xml, NAMED (""), NAMED (DOMAIN ("")),
    "<?xml version='1.0' encoding='UTF-8'?>\n<!-- WARNING -->\n" NAMED ("\n"),
    "\xef\xbb\xbf" NAMED (""),
    NAMED ("<description> &#13;\t\n&#x1F600;<![CDATA[<&]]> </description>"),
    NAMED ("<description/><creationTime> 007 </creationTime><new a='b'/>"),
    NAMED ("<parent><name>-.x</name></parent><creationTime>"
           "18446744073709551615</creationTime>"),
    NAMED ("<disks><disk name='&apos;&#10;&lt;' bitmap='&quot;&#9;' size='7' "
           "new='1'/><new/></disks>"),
    "<domaincheckpoint xmlns:q='urn:q' xmlns:r='urn:r'><name>m</name><domain "
    "xmlns:r='urn:s'><q:a q:b='&#10;' xml:lang='en'/><r:c/><?pi x?><?pi?>"
    "<!-- c --><e></e><f><![CDATA[]]></f><g> </g><h xmlns='urn:h'><i/></h>"
    "</domain></domaincheckpoint>",
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    round_trip (texts[i]);
}

static void
test_refused (void)
{
  refused (DOC (""), "no <name>");
  refused (DOC ("<name/>"), "cannot be the name");
  refused (DOC ("<name>.a</name>"), "'.a'");
  refused (DOC ("<name>a/b</name>"), "'a/b'");
  refused (DOC ("<name>a\nb</name>"), "cannot be the name of a checkpoint");
  refused (DOC ("<name>\xc3\xa4</name>"), "cannot be the name");
  refused (NAMED ("<name>n</name>"), "second <name>");
  refused (NAMED ("<parent/>"), "<parent> has no <name>");
  refused (NAMED ("<parent><name>..</name></parent>"), "name of a parent");
  refused (NAMED ("<creationTime>-1</creationTime>"), "creationTime '-1'");
  refused (NAMED ("<creationTime/>"), "creationTime ''");
  refused (NAMED ("<creationTime>18446744073709551616</creationTime>"),
           "no number of seconds");
  refused (NAMED ("<disks/><disks/>"), "second <disks>");
  refused (NAMED ("<domain/><domain/>"), "second <domain>");
  refused (NAMED ("<disks><disk/></disks>"), "without a name");
  refused (NAMED ("<disks><disk name=''/></disks>"), "without a name");
  refused (NAMED ("<disks><disk name='a'/><disk name='a'/></disks>"),
           "'a' is listed twice");
  refused (NAMED ("<disks><disk name='vda'/><disk name='/a'/></disks>"
                  DOMAIN (DISK ("/a", "vda"))), "'vda' is listed twice");
  refused (NAMED ("<disks><disk name='a' checkpoint='no' bitmap='b'/></disks>"),
           "checkpoint='no' and yet a bitmap");
  refused (NAMED ("<disks><disk name='a' checkpoint='no' size='1'/></disks>"),
           "yet a size");
  refused (NAMED ("<disks><disk name='a' checkpoint='yes'/></disks>"),
           "checkpoint='yes'");
  refused (NAMED ("<disks><disk name='a' bitmap=''/></disks>"), "1 to 1023");
  refused (NAMED ("<disks><disk name='a' size='x'/></disks>"), "size='x'");
  refused ("<domainsnapshot><name>m</name></domainsnapshot>",
           "a <domainsnapshot>, not");
  refused ("<domaincheckpoint xmlns='urn:x'><name>m</name></domaincheckpoint>",
           "no checkpoint");
  refused ("", "checkpoint XML, line");
  refused ("<domaincheckpoint>\n<name>m</nam>", "line 2");
  refused (NAMED ("") "x", "line 1");
  refused (NAMED ("&x;"), "x");
}

static void
test_limits (void)
{
  g_autoptr (GString) text = g_string_new ("<domaincheckpoint><name>");
  g_autoptr (Checkpoint) longest = NULL;

  for (guint i = 0; i < 1023; i++)
    g_string_append_c (text, 'n');
  g_string_append (text, "</name></domaincheckpoint>");
  longest = parse_ok (text->str);
  g_string_insert (text, strlen ("<domaincheckpoint><name>"), "n");
  refused (text->str, "1 to 1023");

  g_string_assign (text, "<domaincheckpoint><name>m</name><disks>");
  for (guint i = 0; i <= CHECKPOINT_MAX_DISKS; i++)
    g_string_append_printf (text, "<disk name='vd%u'/>", i);
  g_string_append (text, "</disks></domaincheckpoint>");
  refused_bytes (text->str, text->len, EFBIG, "more than 4096 disks");

  g_string_assign (text, "<domaincheckpoint><name>m</name><domain><devices>");
  for (guint i = 0; i <= CHECKPOINT_MAX_DISKS; i++)
    g_string_append_printf (text, "<disk><target dev='vd%u'/></disk>", i);
  g_string_append (text, "</devices></domain></domaincheckpoint>");
  refused_bytes (text->str, text->len, EFBIG, "more than 4096 disks");
}

static void
test_size_limit (void)
{
  g_autoptr (GString) text = g_string_new (NAMED (""));
  g_autoptr (Checkpoint) largest = NULL;

  while (text->len < CHECKPOINT_MAX_BYTES)
    g_string_append_c (text, ' ');
  largest = parse_ok (text->str);
  g_string_append_c (text, ' ');
  refused_bytes (text->str, text->len, EFBIG, "at most 1048576");
}

/* libxml2 takes most of a minute for these. */
static void
test_wide (void)
{
  g_autoptr (GString) wide = g_string_new ("<domaincheckpoint");

  for (guint i = 0; i < 50000; i++)
    g_string_append_printf (wide, " a%u='>'", i);
  g_string_append (wide, "><name>c</name></domaincheckpoint>");
  refused_bytes (wide->str, wide->len, EFBIG, "1000 attributes");
}

static void
test_doctype (void)
{
  refused ("<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>"
           "<!ENTITY c '&b;&b;&b;&b;&b;'><!ENTITY d '&c;&c;&c;&c;&c;&c;'>]>"
           NAMED ("<description>&d;&d;&d;&d;</description>"), "DOCTYPE");
  refused ("<!DOCTYPE d [<!ENTITY f SYSTEM 'file:///etc/passwd'>]>"
           NAMED ("<description>&f;</description>"), "DOCTYPE");
  refused ("<!DOCTYPE d SYSTEM 'file:///etc/passwd'>" NAMED (""), "DOCTYPE");
  refused ("<!DOCTYPE d [<!ENTITY % p SYSTEM 'http://127.0.0.1:9/'>%p;]>"
           NAMED (""), "DOCTYPE");
  refused ("<?xml version='1.0'?><!-- c --><!DOCTYPE d>" NAMED (""),
           "DOCTYPE");
  /* After an error the parser may go on for a while. */
  refused ("<?xml version='1.0' standalone='x'?><!DOCTYPE d [<!ENTITY f "
           "SYSTEM 'file:///etc/passwd'>]>" NAMED ("&f;"), "checkpoint XML");
  refused (NAMED ("") "<!DOCTYPE d>", "checkpoint XML");
}

static void
test_encodings (void)
{
  static const char text[] = "<!DOCTYPE d>" NAMED ("");
  static const char *const others[] = { "UTF-16LE", "UTF-16BE", "UTF-16",
    "UTF-32LE", "UTF-32", "IBM037", "UTF-7" };

  for (guint i = 0; i < G_N_ELEMENTS (others); i++) {
    gsize length;
    g_autofree char *bytes = g_convert (text, -1, others[i], "UTF-8", NULL,
                                        &length, NULL);

    if (bytes != NULL)
      refused_bytes (bytes, length, EINVAL, "checkpoint XML");
    else
      g_test_message ("iconv has no %s", others[i]);
  }
  refused ("<?xml version='1.0' encoding='UTF-7'?>+ADwAIQ-DOCTYPE d+AD4-",
           "checkpoint XML");
  refused ("<?xml version='1.0' encoding='IBM037'?><!DOCTYPE d>" NAMED (""),
           "DOCTYPE");
  refused ("<?xml version='1.0' encoding='UTF-16'?><!DOCTYPE d>" NAMED (""),
           "DOCTYPE");
  refused (NAMED ("<description>\xff</description>"), "not UTF-8");
  refused ("<?xml version='1.0' encoding='ISO-8859-1'?>"
           NAMED ("<description>\xe4</description>"), "not UTF-8");
  refused_bytes (NAMED ("\0"), sizeof NAMED ("\0") - 1, EINVAL, "not UTF-8");
  refused_bytes ("\0", 1, EINVAL, "not UTF-8");
}

static void
test_deep (void)
{
  static const char *const wraps[] = { "%s", NAMED ("%s"),
    NAMED ("<domain>%s</domain>") };
  g_autoptr (GString) inner = g_string_new (NULL);

  for (guint i = 0; i < 10000; i++)
    g_string_append (inner, "<a>");
  for (guint i = 0; i < 10000; i++)
    g_string_append (inner, "</a>");
  for (guint i = 0; i < G_N_ELEMENTS (wraps); i++) {
    g_auto (GStrv) parts = g_strsplit (wraps[i], "%s", 2);
    g_autofree char *text = g_strjoinv (inner->str, parts);

    refused (text, "line 1");
  }
}

/* The parser must not print. */
static void
test_quiet (void)
{
  if (g_test_subprocess ()) {
    refused_bytes ("<a", 2, EINVAL, "line 1");
    refused ("<!DOCTYPE d>", "DOCTYPE");
    refused (DOC ("<a:b/><c d='1' d='2'/>"), "line 1");
    return;
  }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
  g_test_trap_assert_stderr ("");
}

static void
test_build (void)
{
  g_autoptr (Checkpoint) a = checkpoint_new ("my bitmap/1\x01\xff<");
  g_autofree char *text = NULL;

  g_assert_null (checkpoint_bitmap (a, "vda"));
  checkpoint_set_parent_name (a, "p");
  checkpoint_set_parent_name (a, NULL);
  checkpoint_cover (a, "vda", "x");
  checkpoint_cover (a, "vda", "y");
  checkpoint_cover (a, "vdb", a->name);
  assert_disks (a, "vda=y vdb=my bitmap/1\x01\xff<");
  text = checkpoint_format (a);
  g_assert_nonnull (strstr (text, "<name>my bitmap/1\xef\xbf\xbd\xef\xbf\xbd"
                            "&lt;</name>"));
  checkpoint_free (NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/checkpoint/libvirt", test_libvirt);
  g_test_add_func ("/checkpoint/defaults", test_defaults);
  g_test_add_func ("/checkpoint/disks", test_disks);
  g_test_add_func ("/checkpoint/unknown-disks", test_unknown_disks);
  g_test_add_func ("/checkpoint/round-trip", test_round_trip);
  g_test_add_func ("/checkpoint/refused", test_refused);
  g_test_add_func ("/checkpoint/limits", test_limits);
  g_test_add_func ("/checkpoint/size-limit", test_size_limit);
  g_test_add_func ("/checkpoint/wide", test_wide);
  g_test_add_func ("/checkpoint/doctype", test_doctype);
  g_test_add_func ("/checkpoint/encodings", test_encodings);
  g_test_add_func ("/checkpoint/deep", test_deep);
  g_test_add_func ("/checkpoint/quiet", test_quiet);
  g_test_add_func ("/checkpoint/build", test_build);
  return g_test_run ();
}
