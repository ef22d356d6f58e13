/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/libvirt/guest-xml.c: a running guest as libvirt 9.0.0 tells it, each
 * kind of disk that a backup leaves out, QEMU's user, and what is refused.
 */
#include <config.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include <glib.h>

#include "base/error.h"
#include "base/xml-text.h"
#include "image/remote-name.h"
#include "libvirt/guest-xml.h"
#include "libvirt/network-source.h"
#include "tree/checkpoint.h"

#include "refused.h"

#define HEAD "<domain type='kvm' id='1'><name>web1</name>" \
  "<uuid>d6355fb8-4bff-4a46-bee8-c673145a10c5</uuid>"
#define GUEST(inner) HEAD inner "</domain>"
#define DISKS(inner) GUEST ("<devices>" inner "</devices>")
#define DAC(label) GUEST ("<seclabel type='dynamic' model='dac' " \
  "relabel='yes'><label>" label "</label></seclabel>")

static const char running_xml[] =
  "<domain type='kvm' id='1' xmlns:qemu='http://libvirt.org/schemas/domain/"
  "qemu/1.0'>\n"
  "  <name>a &amp; b</name>\n"
  "  <uuid>d6355fb8-4bff-4a46-bee8-c673145a10c5</uuid>\n"
  "  <metadata><x:name xmlns:x='urn:x'>other</x:name></metadata>\n"
  "  <!-- a remark -->\n"
  "  <devices>\n"
  "    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n"
  "    <disk type='file' device='disk'>\n"
  "      <driver name='qemu' type='qcow2' cache='none'/>\n"
  "      <backingStore type='file' index='2'>\n"
  "        <format type='raw'/>\n"
  "        <source file='/base.img'/>\n"
  "        <backingStore/>\n"
  "      </backingStore>\n"
  "      <mirror type='file' file='/m' format='raw' job='copy'>\n"
  "        <format type='raw'/><source file='/mirror.img' index='4'/>\n"
  "      </mirror>\n"
  "      <source file='/images/a &amp; b.qcow2' index='3'>\n"
  "        <privateData><source file='/nested'/></privateData>\n"
  "      </source>\n"
  "      <target dev='vda' bus='virtio'/>\n"
  "      <alias name='virtio-disk0'/>\n"
  "    </disk>\n"
  "    <disk type='block' device='lun'>\n"
  "      <driver name='qemu' type='raw'/>\n"
  "      <source dev='/dev/vg/lv'/>\n"
  "      <target dev='sda' bus='scsi'/>\n"
  "    </disk>\n"
  "    <disk type='network' device='disk'>\n"
  "      <source protocol='rbd' name='pool/img'><host name='h'/></source>\n"
  "      <target dev='vdb' bus='virtio'/>\n"
  "    </disk>\n"
  "    <disk type='file' device='cdrom'>\n"
  "      <source file='/cd.iso'/><target dev='hdc' bus='ide'/>\n"
  "    </disk>\n"
  "    <controller type='usb'><disk><source file='/no'/>\n"
  "      <target dev='vdq'/></disk></controller>\n"
  "  </devices>\n"
  "  <seclabel type='dynamic' model='apparmor' relabel='yes'>\n"
  "    <label>libvirt-x</label><imagelabel>libvirt-x</imagelabel>\n"
  "  </seclabel>\n"
  "  <seclabel type='dynamic' model='dac' relabel='yes'>\n"
  "    <label>+64055:+108</label>\n"
  "    <imagelabel>+64055:+109</imagelabel>\n"
  "  </seclabel>\n"
  "</domain>\n";

static Guest *
parse_ok (const char *text)
{
  g_autoptr (GError) error = NULL;
  Guest *guest = guest_parse (text, strlen (text), &error);

  g_assert_no_error (error);
  g_assert_nonnull (guest);
  return guest;
}

static void
refused_bytes (const char *text, gsize length, int code, const char *part)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (guest_parse (text, length, &error));
  assert_refused (error, code, part);
}

static void
refused (const char *text, const char *part)
{
  refused_bytes (text, strlen (text), EINVAL, part);
}

/* "vda:file:/a:qcow2 vdb:network:-:-" */
static void
assert_disks (const char *text, const char *expected)
{
  g_autoptr (Guest) guest = parse_ok (text);
  g_autoptr (GString) got = g_string_new (NULL);

  for (guint i = 0; i < guest->disks->len; i++) {
    const GuestDisk *disk = g_ptr_array_index (guest->disks, i);

    g_assert_true (guest_disk (guest, disk->target) == disk);
    g_string_append_printf (got, "%s%s:%s:%s:%s", i ? " " : "", disk->target,
                            disk->type, disk->source ? disk->source : "-",
                            disk->format ? disk->format : "-");
  }
  g_assert_cmpstr (got->str, ==, expected);
}

static void
test_running (void)
{
  g_autoptr (Guest) guest = parse_ok (running_xml);

  g_assert_cmpstr (guest->name, ==, "a & b");
  g_assert_cmpstr (guest->uuid, ==, "d6355fb8-4bff-4a46-bee8-c673145a10c5");
  g_assert_true (guest->owner_known);
  g_assert_cmpuint (guest->owner, ==, 64055);
  g_assert_cmpuint (guest->group, ==, 108);
  g_assert_null (guest_disk (guest, "hdc"));
  assert_disks (running_xml, "vda:file:/images/a & b.qcow2:qcow2 "
                "sda:block:/dev/vg/lv:raw vdb:network:-:-");
  guest_free (NULL);
}

#define DISK(inner) DISKS ("<disk type='file'>" inner \
  "<target dev='vda'/></disk>")
#define SOURCE "<source file='/a'/>"

/* Of all drives, and down to the last file. */
static void
test_chains (void)
{
  g_autoptr (Guest) guest
    = guest_parse (running_xml, strlen (running_xml), NULL);
  const GuestChain *vda = guest_chain (guest, "vda");

  g_assert_nonnull (vda);
  g_assert_cmpuint (vda->images->len, ==, 2);
  g_assert_true (vda->ends);
  g_assert_cmpstr (guest_chain_image (vda, 0)->key, ==,
                   "/images/a & b.qcow2");
  g_assert_cmpstr (guest_chain_image (vda, 0)->name, ==,
                   "/images/a & b.qcow2");
  g_assert_cmpstr (guest_chain_image (vda, 0)->format, ==, "qcow2");
  g_assert_cmpstr (guest_chain_image (vda, 1)->key, ==, "/base.img");
  g_assert_cmpstr (guest_chain_image (vda, 1)->format, ==, "raw");
  g_assert_cmpstr (guest_chain_image (guest_chain (guest, "vdb"), 0)->key, ==,
                   "rbd pool/img at h");
  g_assert_cmpstr (guest_chain_image (guest_chain (guest, "sda"), 0)->key, ==,
                   "/dev/vg/lv");
  g_assert_false (guest_chain (guest, "sda")->ends);
  g_assert_null (guest_chain (guest, "none"));
}

/* Other sources have other keys, and one has the same, however it is written. */
static void
test_keys (void)
{
  static const struct { const char *type, *source, *key; } cases[] = {
    { "network", "<source protocol='nbd' name='a'><host name='h' port='10809'/>"
      "</source>", "nbd a at h" },
    { "network", "<source name='a' protocol='nbd' index='1'><host name='h'/>"
      "<reservations/></source>", "nbd a at h" },
    { "network", "<source protocol='nbd' name='a'><host name='h' port='10810'/>"
      "</source>", "nbd a at h:10810" },
    { "network", "<source protocol='nbd'><host transport='unix' socket='/s'/>"
      "</source>", "nbd at /s" },
    { "network", "<source protocol='rbd' name='p/i'><host name='a'/>"
      "<host name='b' port='6789'/><snapshot name='s'/></source>",
      "rbd p/i at a at b:6789@s" },
    { "network", "<source protocol='nbd' name='/a'/>", "nbd /a" },
    { "volume", "<source pool='p' volume='v'/>", "volume p/v" },
    { "nvme", "<source type='pci' namespace='1'><address domain='0x0000'"
      " bus='0x01' slot='0x00' function='0x0'/></source>",
      "nvme namespace 1 0x0000:0x01:0x00.0x0" },
    { "file", "<source file='/a'/>", "/a" },
    { "block", "<source dev='/dev/a' file='/b'/>", "/dev/a" },
    { "file", "<source file=''/>", NULL },
    { "file", "", NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text
      = g_strdup_printf (DISKS ("<disk type='%s'>%s<target dev='vda'/></disk>"),
                         cases[i].type, cases[i].source);
    g_autoptr (Guest) guest = parse_ok (text);
    const GuestChain *chain = guest_chain (guest, "vda");
    g_assert_cmpstr (chain ? guest_chain_image (chain, 0)->key : NULL, ==,
                     cases[i].key);
  }
}

#define BACKED "<backingStore type='file'><format type='raw'/>" \
  "<source file='/b'/>"

/* "/a:qcow2+/data /b:raw.": with a point if nothing is below. */
static void
test_told (void)
{
  static const struct { const char *inner, *told; } cases[] = {
    { SOURCE, "/a:" },
    { "<driver type='qcow2'/>" SOURCE, "/a:qcow2" },
    { "<driver type='qcow2'/>" SOURCE "<backingStore/>", "/a:qcow2." },
    { "<driver type='qcow2'/>" SOURCE BACKED "</backingStore>",
      "/a:qcow2 /b:raw" },
    { "<driver type='qcow2'/>" SOURCE BACKED "<backingStore/></backingStore>",
      "/a:qcow2 /b:raw." },
    { "<driver type='raw'/><source file='/a'><encryption format='luks'/>"
      "</source>", "/a:luks" },
    { "<driver type='raw'/>" SOURCE "<encryption format='luks'/>", "/a:luks" },
    { "<driver type='qcow2'/><source file='/a'><encryption format='luks'/>"
      "</source>", "/a:qcow2" },
    { "<driver type='raw'/><source file='/a'><encryption format='luks' "
      "engine='qemu'/></source>", "/a:luks" },
    { "<driver type='qcow2'/>" SOURCE "<backingStore type='network'>"
      "<format type='raw'/><source protocol='nbd' name='e'><host name='h'/>"
      "</source><backingStore/></backingStore>", "/a:qcow2 nbd://h/e:raw." },
    { "<driver type='qcow2'/><source file='/a'><dataStore type='block'>"
      "<format type='raw'/><source dev='/d'/></dataStore></source>",
      "/a:qcow2+/d" },
    { "<driver type='qcow2'/>" SOURCE "<backingStore type='file'>"
      "<format type='qcow2'/><source file='/b'><dataStore type='file'>"
      "<format type='raw'/><source file='/d'/></dataStore></source>"
      "</backingStore>", "/a:qcow2 /b:qcow2+/d" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text
      = g_strdup_printf (DISKS ("<disk type='file'>%s<target dev='vda'/>"
                                "</disk>"), cases[i].inner);
    g_autoptr (Guest) guest = parse_ok (text);
    const GuestChain *chain = guest_chain (guest, "vda");
    g_autoptr (GString) told = g_string_new (NULL);
    for (guint j = 0; j < chain->images->len; j++) {
      const GuestImage *image = guest_chain_image (chain, j);
      g_assert_null (image->unfollowed);
      g_string_append_printf (told, "%s%s:%s%s%s", j ? " " : "", image->name,
                              image->format, image->data ? "+" : "",
                              image->data ? image->data : "");
    }
    g_string_append (told, chain->ends ? "." : "");
    g_assert_cmpstr (told->str, ==, cases[i].told);
  }
}

/* What QEMU would be told, or part of why it cannot be.  */
static const struct { const char *source, *name, *why; } names[] = {
  { "protocol='nbd' name='a'><host name='h'/>", "nbd://h/a", NULL },
  { "protocol='nbd' name='a' tls='no' index='1'><host name='h' port='10810'/>"
    "<reconnect delay='3'/>", "nbd://h:10810/a", NULL },
  { "protocol='nbd'><host name='::1' port='0'/>", "nbd://[::1]/", NULL },
  { "protocol='nbd' name='/a b?#%'><host name='h'/>",
    "nbd://h//a%20b%3F%23%25", NULL },
  { "protocol='nbd' name='a'><host transport='unix' socket='/r/s &amp;.s'/>",
    "nbd+unix:///a?socket=/r/s%20%26.s", NULL },
  { "protocol='nbd'><host transport='unix' socket='/s'/>",
    "nbd+unix:///?socket=/s", NULL },
  { "protocol='nbd'><host transport='unix' socket='s'/>", NULL, "absolute" },
  { "protocol='nbd' tls='yes'><host name='h'/>", NULL, "tls='yes'" },
  { "protocol='nbd' tlsHostname='x'><host name='h'/>", NULL, "tlsHostname" },
  { "protocol='nbd'><host name='h'/><host name='i'/>", NULL, "2 hosts" },
  { "protocol='nbd'/>", NULL, "0 hosts" },
  { "protocol='nbd'><host name='h' transport='rdma'/>", NULL, "rdma" },
  { "protocol='nbd'><host name='h/x'/>", NULL, "host \"h/x\"" },
  { "protocol='nbd'><host name='u@h'/>", NULL, "host" },
  { "protocol='nbd'><host/>", NULL, "host \"\"" },
  { "protocol='nbd'><host name='h' port='1x'/>", NULL, "port \"1x\"" },
  { "protocol='nbd'><host name='h'/><snapshot name='s'/>", NULL,
    "<snapshot>" },
  { "protocol='nbd'><host name='h'/><auth username='u'/>", NULL, "<auth>" },
  { "protocol='nbd'><host name='h'/><x:host xmlns:x='urn:x' name='i'/>",
    "nbd://h/", NULL },
  { "protocol='https' name='d/a b.img' query='k=v&amp;w'><host name='h' "
    "port='444'/><readahead size='1'/><timeout seconds='9'/>",
    "https://h:444/d/a%20b.img?k=v&w", NULL },
  { "protocol='http' name='/d/a'><host name='h'/>", "http://h/d/a", NULL },
  { "protocol='ftp' name='a'><host name='h'/>", "ftp://h/a", NULL },
  { "protocol='ftps' name='a'><host name='h'/>", "ftps://h/a", NULL },
  { "protocol='ftp' name='a' query='q'><host name='h'/>", NULL, "query='q'" },
  { "protocol='https' name='a' query='a b'><host name='h'/>", NULL,
    "\"a b\"" },
  { "protocol='https'><host name='h'/>", NULL, "no name" },
  { "protocol='https' name='a'><host name='h'/><ssl verify='no'/>", NULL,
    "<ssl>" },
  { "protocol='https' name='a'><host name='h'/><cookies/>", NULL,
    "<cookies>" },
  { "protocol='ssh' name='/a b'><host name='h' port='23'/>",
    "ssh://h:23/a%20b", NULL },
  { "protocol='ssh' name='/a'><host name='h'/><identity username='u@x'/>",
    "ssh://u%40x@h/a", NULL },
  { "protocol='ssh' name='a'><host name='h'/>", NULL, "not absolute" },
  { "protocol='ssh' name='/a'><host name='h'/><identity keyfile='k'/>", NULL,
    "keyfile" },
  { "protocol='ssh' name='/a'><host name='h'/><knownHosts path='/k'/>", NULL,
    "<knownHosts>" },
  { "protocol='iscsi' name='iqn.2013-07.com.example:t/2'><host name='h' "
    "port='3261'/>", "iscsi://h:3261/iqn.2013-07.com.example:t/2", NULL },
  { "protocol='iscsi' name='iqn.t'><host name='h'/>", "iscsi://h/iqn.t/0",
    NULL },
  { "protocol='iscsi' name='iqn.t/x'><host name='h'/>", NULL, "target" },
  { "protocol='iscsi' name='iqn.t/1'><host name='h'/><initiator>"
    "<iqn name='i'/></initiator>", NULL, "<initiator>" },
  { "protocol='rbd' name='p/i'/>", "rbd:p/i", NULL },
  { "protocol='rbd' name='p/i:j'><host name='h'/>"
    "<host name='::1' port='6789'/><snapshot name='s@'/>"
    "<config file='/etc/c=.conf'/>",
    "rbd:p/i\\:j@s\\@:conf=\\/etc\\/c\\=.conf"
    ":mon_host=h\\;[\\:\\:1]\\:6789", NULL },
  { "protocol='rbd' name='p/n/i'/>", NULL, "POOL/IMAGE" },
  { "protocol='rbd' name='i'/>", NULL, "POOL/IMAGE" },
  { "protocol='rbd' name='p/i'><auth username='u'/>", NULL, "<auth>" },
  { "protocol='gluster' name='v/i'><host name='h'/>", NULL, "gluster" },
  { "protocol='nbd' name='a'><host name='h'/><slices><slice type='storage' "
    "offset='0' size='1'/></slices>", "nbd://h/a", "<slices>" },
  { "protocol='nbd' name='a'><host name='h'/><encryption format='luks2' "
    "engine='librbd'/>", "nbd://h/a", "luks2 by librbd" },
};

/* By who reads images. */
static void
assert_understood (const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *format = NULL;

  g_assert_true (remote_name_is (name));
  g_autoptr (JsonObject) options = remote_name_options (name, &format, &error);
  g_assert_no_error (error);
  g_assert_nonnull (options);
}

static void
test_names (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    const bool is_empty = g_str_has_suffix (names[i].source, "'/>")
      && !strstr (names[i].source, "'>");
    g_autofree char *text
      = g_strdup_printf (DISKS ("<disk type='network'><source %s%s"
                                "<target dev='vda'/></disk>"),
                         names[i].source, is_empty ? "" : "</source>");
    g_autoptr (Guest) guest = parse_ok (text);
    const GuestImage *image
      = guest_chain_image (guest_chain (guest, "vda"), 0);
    g_assert_cmpstr (image->name, ==, names[i].name);
    if (image->name)
      assert_understood (image->name);
    if (!names[i].why)
      g_assert_null (image->unfollowed);
    else if (!image->unfollowed || !strstr (image->unfollowed, names[i].why))
      g_error ("%s: %s", names[i].source, image->unfollowed);
  }
}

/* Of no network, or beside its source. */
static void
test_unfollowed (void)
{
  static const struct { const char *type, *inner, *name, *why; } cases[] = {
    { "file", "<source file='/a'><slices><slice type='storage' offset='0' "
      "size='1'/></slices></source>", "/a", "<slices>" },
    { "file", SOURCE "<encryption format='qcow'/>", "/a", "(qcow)" },
    { "file", SOURCE "<encryption/>", "/a", "encryption" },
    { "file", "<source file='/a' fdgroup='f'/>", "/a", "fdgroup" },
    { "dir", "<source dir='/d'/>", NULL, "type dir" },
    { "nvme", "<source type='pci' namespace='1'/>", NULL, "type nvme" },
    { "volume", "<source pool='p' volume='v'/>", NULL, NULL },
    { "block", "<source dev='/dev/a'/>", "/dev/a", NULL },
    { "network", "<auth username='u'><secret type='ceph' usage='s'/></auth>"
      "<source protocol='rbd' name='p/i'/>", "rbd:p/i", "<auth>" },
    { "file", "<auth username='u'/>" SOURCE, "/a", NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text
      = g_strdup_printf (DISKS ("<disk type='%s'>%s<target dev='vda'/></disk>"),
                         cases[i].type, cases[i].inner);
    g_autoptr (Guest) guest = parse_ok (text);
    const GuestImage *image
      = guest_chain_image (guest_chain (guest, "vda"), 0);
    g_assert_cmpstr (image->name, ==, cases[i].name);
    if (!cases[i].why)
      g_assert_null (image->unfollowed);
    else
      g_assert_nonnull (strstr (image->unfollowed, cases[i].why));
  }
}

/* A LUN of a pool's, by the pool's own <source>. */
static void
test_iscsi_volume (void)
{
  static const struct { const char *inner, *volume, *name, *why; } cases[] = {
    { "<host name='h'/><device path='iqn.t'/>", "unit:0:0:2",
      "iscsi://h/iqn.t/2", NULL },
    { "<host name='h' port='3261'/><device path='iqn.t'/>", "unit:0:0:0",
      "iscsi://h:3261/iqn.t/0", NULL },
    { "<host name='h'/><device path='iqn.t'/><auth/>", "unit:0:0:2", NULL,
      "<auth>" },
    { "<host name='h'/><device path='iqn.t'/><initiator/>", "unit:0:0:2",
      NULL, "<initiator>" },
    { "<host name='h'/><device path='iqn.t'/>", "unit/x", NULL, "target" },
    { "<device path='iqn.t'/>", "unit:0:0:2", NULL, "0 hosts" },
  };
  static const XmlRules rules
    = { .what = "p", .kind = "p", .root = "source", .max_bytes = 65536 };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text
      = g_strdup_printf ("<source>%s</source>", cases[i].inner);
    g_autofree char *why = NULL;
    const xmlNode *root;
    g_autoptr (xmlDoc) doc
      = xml_parse (text, strlen (text), &rules, &root, NULL);
    g_autofree char *name
      = network_source_iscsi_volume (root, cases[i].volume, &why);
    g_assert_cmpstr (name, ==, cases[i].name);
    g_assert_true (!cases[i].why || strstr (why, cases[i].why));
  }
}

static void
test_disks (void)
{
  static const struct { const char *text, *disks; } cases[] = {
    { GUEST (""), "" },
    { DISK (SOURCE), "vda:file:/a:-" },
    { DISKS ("<disk>" SOURCE "<target dev='vda'/></disk>"), "vda:file:/a:-" },
    { DISK (SOURCE "<readonly/>"), "" },
    { DISK (SOURCE "<transient/>"), "" },
    { DISK (""), "" },
    { DISK ("<source/>"), "" },
    { DISK ("<source file=''/>"), "" },
    { DISK ("<source dev='/a'/>"), "" },
    { DISK ("<mirror><source file='/a'/></mirror>"), "" },
    { DISK ("<x:source xmlns:x='urn:x' file='/a'/>"), "" },
    { DISKS ("<disk device='floppy'>" SOURCE "<target dev='fda'/></disk>"),
      "" },
    /* What is left out need not have a target that can be served. */
    { DISKS ("<disk device='cdrom'>" SOURCE "<target dev='/'/></disk>"), "" },
    { DISKS ("<disk type='dir'><source dir='/d'/><target dev='vda'/></disk>"),
      "vda:dir:-:-" },
    { DISKS ("<disk type='dir'><source/><target dev='vda'/></disk>"), "" },
    { DISKS ("<disk type='volume'><source pool='p' volume='v'/>"
             "<target dev='vda'/></disk>"), "vda:volume:-:-" },
    { DISKS ("<disk type='vhostuser'><source path='/s'/>"
             "<target dev='vda'/></disk>"), "" },
    { GUEST ("<devices><disk>" SOURCE "<target dev='vda'/></disk></devices>"
             "<devices><disk>" SOURCE "<target dev='vdb'/></disk></devices>"),
      "vda:file:/a:- vdb:file:/a:-" },
    { GUEST ("<disk>" SOURCE "<target dev='vda'/></disk>"), "" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_disks (cases[i].text, cases[i].disks);
}

static void
assert_owner (const char *text, bool known, uid_t owner, gid_t group)
{
  g_autoptr (Guest) guest = parse_ok (text);

  g_assert_true (guest->owner_known == known);
  g_assert_cmpuint (guest->owner, ==, owner);
  g_assert_cmpuint (guest->group, ==, group);
}

static void
test_owner (void)
{
  const struct passwd *nobody = getpwnam ("nobody");
  const struct group *group;
  g_autofree char *named = NULL;
  g_autofree char *long_name = g_strnfill (300, 'u');
  g_autofree char *long_label
    = g_strdup_printf (DAC ("%s:%s"), long_name, long_name);
  uid_t uid;

  g_assert_nonnull (nobody);
  uid = nobody->pw_uid;
  group = getgrgid (nobody->pw_gid);
  g_assert_nonnull (group);
  named = g_strdup_printf (DAC ("nobody:%s"), group->gr_name);
  assert_owner (named, true, uid, group->gr_gid);
  assert_owner (DAC ("+0:+0"), true, 0, 0);
  assert_owner (DAC ("1000:1001"), true, 1000, 1001);
  assert_owner (DAC (" +4294967294:+1 "), true, 4294967294, 1);
  assert_owner (DAC ("+4294967295:+1"), false, 0, 0);
  assert_owner (DAC ("+1:4294967295"), false, 0, 0);
  assert_owner (DAC ("+1:no-such-group"), false, 0, 0);
  assert_owner (DAC ("no-such-user:+1"), false, 0, 0);
  assert_owner (DAC ("+nobody:+1"), false, 0, 0);
  assert_owner (DAC ("+1"), false, 0, 0);
  assert_owner (DAC (":"), false, 0, 0);
  assert_owner (DAC (""), false, 0, 0);
  assert_owner (DAC ("-1:-1"), false, 0, 0);
  assert_owner (long_label, false, 0, 0);
  assert_owner (GUEST (""), false, 0, 0);
  assert_owner (GUEST ("<seclabel type='none' model='dac'/>"), false, 0, 0);
  assert_owner (GUEST ("<seclabel model='selinux'><label>+1:+1</label>"
                       "</seclabel>"), false, 0, 0);
  assert_owner (GUEST ("<seclabel><label>+1:+1</label></seclabel>"), false,
                0, 0);
  assert_owner (GUEST ("<devices><seclabel model='dac'><label>+1:+1</label>"
                       "</seclabel></devices>"), false, 0, 0);
}

#define COVERED(target) "<disk>" SOURCE "<target dev='" target "'/></disk>"

static void
test_refused (void)
{
  refused ("", "guest XML, line");
  refused ("<domain/>", "no <name>");
  refused ("<domain><name/><uuid>u</uuid></domain>", "no <name>");
  refused ("<domain><name>n</name></domain>", "no <uuid>");
  refused (GUEST ("<name>n</name>"), "second <name>");
  refused (GUEST ("<uuid>u</uuid>"), "second <uuid>");
  refused ("<domainbackup/>", "a <domainbackup>, not");
  refused ("<domain xmlns='urn:x'/>", "in a namespace");
  refused (DISKS (COVERED ("vda") COVERED ("vda")), "second disk with target "
           "'vda'");
  refused (DISKS (COVERED ("")), "target ''");
  refused (DISKS (COVERED ("vda@x")), "target 'vda@x'");
  refused (DISKS (COVERED ("/dev/vda")), "target '/dev/vda'");
  refused (DISKS ("<disk>" SOURCE "</disk>"), "target ''");
  refused (GUEST ("<seclabel model='dac'/><seclabel model='dac'/>"),
           "second <seclabel");
  refused (GUEST ("<seclabel model='dac'><label>+1:+1</label>"
                  "<label>+2:+2</label></seclabel>"), "second <label>");
  refused ("<!DOCTYPE d [<!ENTITY f SYSTEM 'file:///etc/passwd'>]>"
           GUEST ("&f;"), "DOCTYPE");
  refused (GUEST ("\xff"), "not UTF-8");
}

static void
test_limits (void)
{
  g_autoptr (GString) text = g_string_new (HEAD "<devices>");
  g_autoptr (Guest) most = NULL;

  for (guint i = 0; i < CHECKPOINT_MAX_DISKS; i++)
    g_string_append_printf (text, "<disk>" SOURCE "<target dev='vd%u'/>"
                            "</disk>", i);
  g_string_append (text, "<disk/></devices></domain>");
  refused_bytes (text->str, text->len, EFBIG, "more than 4096 disks");
  g_string_erase (text, (gssize) text->len - 26, 7);
  most = parse_ok (text->str);
  g_assert_cmpuint (most->disks->len, ==, CHECKPOINT_MAX_DISKS);

  g_string_assign (text, HEAD "<devices>");
  for (guint i = 0; i <= XML_MAX_NODES; i++)
    g_string_append (text, "<disk/>");
  g_string_append (text, "</devices></domain>");
  refused_bytes (text->str, text->len, EFBIG, "elements and attributes");
}

/* The largest document, nearly all of it in parts that are not read. */
static void
test_size_limit (void)
{
  g_autoptr (GString) text = g_string_new (HEAD "<metadata>");
  const char *const end = "</metadata></domain>";
  g_autoptr (Guest) largest = NULL;

  while (text->len < GUEST_MAX_BYTES - strlen (end) - 8)
    g_string_append (text, "<a>b</a>");
  while (text->len < GUEST_MAX_BYTES - strlen (end))
    g_string_append_c (text, ' ');
  g_string_append (text, end);
  largest = parse_ok (text->str);
  g_string_append_c (text, '\n');
  refused_bytes (text->str, text->len, EFBIG, "at most 16777216");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/guest-xml/running", test_running);
  g_test_add_func ("/guest-xml/chains", test_chains);
  g_test_add_func ("/guest-xml/keys", test_keys);
  g_test_add_func ("/guest-xml/told", test_told);
  g_test_add_func ("/guest-xml/names", test_names);
  g_test_add_func ("/guest-xml/unfollowed", test_unfollowed);
  g_test_add_func ("/guest-xml/iscsi-volume", test_iscsi_volume);
  g_test_add_func ("/guest-xml/disks", test_disks);
  g_test_add_func ("/guest-xml/owner", test_owner);
  g_test_add_func ("/guest-xml/refused", test_refused);
  g_test_add_func ("/guest-xml/limits", test_limits);
  g_test_add_func ("/guest-xml/size-limit", test_size_limit);
  return g_test_run ();
}
