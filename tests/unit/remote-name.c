/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * Tests of common/image/remote-name.c.  QEMU itself is asked in
 * tests/test-network-backing.sh.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "base/error.h"
#include "image/remote-name.h"

typedef struct {
  const char *name;
  const char *options;          /* as JSON */
  const char *format;
} Read;

#define INET "\"server\":{\"type\":\"inet\",\"host\":\"h\",\"port\":\"10809\"}"
#define UNIX "\"server\":{\"type\":\"unix\",\"path\":\"/run/s\"}"
#define NBD_H "{\"driver\":\"nbd\"," INET "}"
#define RBD_PI "{\"driver\":\"rbd\",\"pool\":\"p\",\"image\":\"i\""
#define SSH_H "{\"driver\":\"ssh\"," \
  "\"server\":{\"host\":\"h\",\"port\":\"22\"},\"path\":\"/d\""
#define ISCSI_H "{\"driver\":\"iscsi\",\"transport\":\"tcp\"," \
  "\"portal\":\"h\",\"target\":\"iqn.x:y\",\"lun\":1}"

static const Read uris[] = {
  { "nbd://h", NBD_H, NULL },
  { "nbd+tcp://h:10809/", NBD_H, NULL },
  { "nbd://h/e", "{\"driver\":\"nbd\"," INET ",\"export\":\"e\"}", NULL },
  { "nbd://h//e%20%2F/f", "{\"driver\":\"nbd\"," INET
    ",\"export\":\"/e //f\"}", NULL },
  { "nbd://[::1]:1/e", "{\"driver\":\"nbd\",\"server\":{\"type\":\"inet\","
    "\"host\":\"::1\",\"port\":\"1\"},\"export\":\"e\"}", NULL },
  { "nbd+unix:///?socket=/run/s", "{\"driver\":\"nbd\"," UNIX "}", NULL },
  { "nbd+unix:///e?socket=/run%2fs",
    "{\"driver\":\"nbd\"," UNIX ",\"export\":\"e\"}", NULL },
  { "nbd:h:10809", NBD_H, NULL },
  { "nbd:[h]:10809", NBD_H, NULL },
  { "nbd:h:10809:exportname=e:f",
    "{\"driver\":\"nbd\"," INET ",\"export\":\"e:f\"}", NULL },
  { "nbd:unix:/run/s", "{\"driver\":\"nbd\"," UNIX "}", NULL },
  { "nbd:unix:/run/s:exportname=e",
    "{\"driver\":\"nbd\"," UNIX ",\"export\":\"e\"}", NULL },
  { "http://h/d?a=b#c",
    "{\"driver\":\"http\",\"url\":\"http://h/d?a=b#c\"}", NULL },
  { "https://u:p@h:1/d",
    "{\"driver\":\"https\",\"url\":\"https://u:p@h:1/d\"}", NULL },
  { "ftp://h/d", "{\"driver\":\"ftp\",\"url\":\"ftp://h/d\"}", NULL },
  { "ftps://h/d", "{\"driver\":\"ftps\",\"url\":\"ftps://h/d\"}", NULL },
  { "ssh://h/d", SSH_H "}", NULL },
  { "ssh://u@h:22/d", SSH_H ",\"user\":\"u\"}", NULL },
  { "ssh://h/d?host_key_check=no", SSH_H
    ",\"host-key-check\":{\"mode\":\"none\"}}", NULL },
  { "ssh://h/d?host_key_check=yes", SSH_H
    ",\"host-key-check\":{\"mode\":\"known_hosts\"}}", NULL },
  { "ssh://h/d?host_key_check=sha256:a:b", SSH_H
    ",\"host-key-check\":{\"mode\":\"hash\",\"type\":\"sha256\","
    "\"hash\":\"a:b\"}}", NULL },
  { "iscsi://h/iqn.x:y/1", ISCSI_H, NULL },
  { "rbd:p/i", RBD_PI "}", NULL },
  { "rbd:p/n/i@s", "{\"driver\":\"rbd\",\"pool\":\"p\",\"namespace\":\"n\","
    "\"image\":\"i\",\"snapshot\":\"s\"}", NULL },
  { "rbd:p\\/q/i\\@\\:j", "{\"driver\":\"rbd\",\"pool\":\"p/q\","
    "\"image\":\"i@:j\"}", NULL },
  { "rbd:p/i:id=admin:conf=/etc/c.conf", RBD_PI
    ",\"conf\":\"/etc/c.conf\",\"user\":\"admin\"}", NULL },
  /* As libvirt writes it. */
  { "rbd:p/i:id=a:auth_supported=cephx\\;none:mon_host=m1\\:6789\\;"
    "[\\:\\:1]\\:3300\\;m3", RBD_PI ",\"user\":\"a\","
    "\"auth-client-required\":[\"cephx\",\"none\"],"
    "\"server\":[{\"host\":\"m1\",\"port\":\"6789\"},"
    "{\"host\":\"::1\",\"port\":\"3300\"},"
    "{\"host\":\"m3\",\"port\":\"6789\"}]}", NULL },
  /* QEMU takes this for a snapshot, so it is one. */
  { "rbd:p/i:id=a@b", "{\"driver\":\"rbd\",\"pool\":\"p\","
    "\"image\":\"i:id=a\",\"snapshot\":\"b\"}", NULL },
};

static const Read jsons[] = {
  { "json:{\"driver\":\"nbd\",\"server\":{\"type\":\"inet\",\"host\":\"h\","
    "\"port\":10809}}", NBD_H, NULL },
  { "json: {\"driver\":\"raw\",\"file\":{\"driver\":\"nbd\",\"host\":\"h\"}}",
    NBD_H, "raw" },
  { "json:{\"driver\":\"qcow2\",\"file.driver\":\"nbd\","
    "\"file.server\":{\"type\":\"unix\"},\"file.server.path\":\"/run/s\"}",
    "{\"driver\":\"nbd\"," UNIX "}", "qcow2" },
  { "json:{\"file.driver\":\"nbd\",\"file.path\":\"/run/s\","
    "\"file.export\":\"\"}",
    "{\"driver\":\"nbd\"," UNIX ",\"export\":\"\"}", NULL },
  { "json:{\"driver\":\"raw\",\"node-name\":\"a\",\"read-only\":true,"
    "\"cache\":{\"direct\":true,\"no-flush\":false},\"discard\":\"unmap\","
    "\"file\":{\"driver\":\"nbd\",\"host\":\"h\",\"reconnect-delay\":10,"
    "\"auto-read-only\":true,\"detect-zeroes\":\"off\",\"cache\":{}}}",
    NBD_H, "raw" },
  { "json:{\"driver\":\"https\",\"url\":\"https://h/d\",\"sslverify\":\"off\","
    "\"timeout\":7,\"readahead\":\"512\",\"cookie\":\"c\"}",
    "{\"driver\":\"https\",\"url\":\"https://h/d\",\"cookie\":\"c\","
    "\"sslverify\":false,\"readahead\":512,\"timeout\":7}", NULL },
  { "json:{\"driver\":\"ssh\",\"server\":{\"host\":\"h\",\"port\":\"22\"},"
    "\"path\":\"/d\",\"host-key-check\":{\"mode\":\"none\"}}", SSH_H
    ",\"host-key-check\":{\"mode\":\"none\"}}", NULL },
  { "json:{\"driver\":\"ssh\",\"host\":\"h\",\"path\":\"/d\"}", SSH_H "}",
    NULL },
  { "json:{\"driver\":\"rbd\",\"pool\":\"p\",\"image\":\"i\",\"server\":["
    "{\"host\":\"a\",\"port\":\"1\"},{\"host\":\"b\",\"port\":\"2\"}]}",
    RBD_PI ",\"server\":[{\"host\":\"a\",\"port\":\"1\"},"
    "{\"host\":\"b\",\"port\":\"2\"}]}", NULL },
  { "json:{\"driver\":\"iscsi\",\"transport\":\"tcp\",\"portal\":\"h\","
    "\"target\":\"iqn.x:y\",\"lun\":\"1\"}", ISCSI_H, NULL },
};

static const Read locals[] = {
  { "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\","
    "\"filename\":\"/x\"}}", "/x", "qcow2" },
  { "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"host_device\","
    "\"filename\":\"/dev/x\",\"aio\":\"native\"}}", "/dev/x", "raw" },
  { "json:{\"driver\":\"file\",\"filename\":\"x y\"}", "x y", NULL },
  { "json:{\"file.filename\":\"/x\",\"file.driver\":\"file\"}", "/x", NULL },
  { "json:{\"driver\":\"vmdk\",\"file.filename\":\"nbd://h\"}", "nbd://h",
    "vmdk" },
};

static const char *const malformed[] = {
  "nbd:", "nbd:h", "nbd:h:", "nbd::1", "nbd:h:1:exportname=", "nbd:h:1:2",
  "nbd:[::1:1", "nbd://", "nbd:///e", "nbd://h:x/", "nbd+unix:///e",
  "nbd+unix:", "nbd+unix://h/?socket=/s", "nbd+unix:///?socket=", "nbd+tcp:h:1",
  "nbd+unix:///?socket=/s&socket=/t", "nbd+unix:///?socket", "nbd://h/%zz",
  "nbd://h/%00", "nbd://h/%ff",
  "http:", "http:h/d", "http://", "http:///d", "https:/h", "ftps://",
  "ssh:h/d", "ssh:///d", "ssh://h", "ssh://h/d?host_key_check=maybe",
  "ssh://h/d?host_key_check=md5",
  "iscsi:h", "iscsi://h", "iscsi://h/t", "iscsi://h/t/", "iscsi:///t/1",
  "iscsi://h/t/x", "iscsi://h/t/1/2",
  "rbd:", "rbd:p", "rbd:p/", "rbd:/i", "rbd:p/i:id", "rbd:p/i:id=a:id=b",
  "rbd:p/i:mon_host=", "x", "/x", "",
  "json:", "json:{", "json:[]", "json:1", "json:{}", "json:{'driver':'nbd'}",
  "json:{\"driver\":\"nbd\"}",
  "json:{\"driver\":\"nbd\",\"server\":{\"host\":\"h\",\"port\":\"1\"}}",
  "json:{\"driver\":\"nbd\",\"host\":\"h\",\"path\":\"/s\"}",
  "json:{\"driver\":\"nbd\",\"host\":\"h\",\"server.host\":\"i\"}",
  "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"nbd\",\"host\":\"h\"},"
    "\"file.host\":\"i\"}",
  "json:{\"driver\":\"https\",\"url\":\"file:///etc/passwd\"}",
  "json:{\"driver\":\"https\",\"url\":\"http://h/d\"}",
  "json:{\"driver\":\"http\"}",
  "json:{\"driver\":\"iscsi\",\"portal\":\"h\"}",
  "json:{\"driver\":\"https\",\"url\":\"https://h/\",\"timeout\":1.5}",
  "json:{\"driver\":\"https\",\"url\":\"https://h/\",\"sslverify\":2}",
  "json:{\"driver\":\"raw\"}",
};

#define OVER(KEY) "json:{\"driver\":\"raw\"," KEY \
  ",\"file\":{\"driver\":\"nbd\",\"host\":\"h\"}}"
#define BESIDE(KEY) "json:{\"driver\":\"nbd\",\"host\":\"h\"," KEY "}"

static const char *const unsupported[] = {
  "nbds://h/e", "gluster://h/v/i", "nfs://h/d", "iser://h/t/1", "fat:/etc",
  "NBD://h", "host_device:/dev/x", "blkdebug::nbd://h", "null-co://", "c:x",
  ":", "nbd://u@h/e", "nbd://h/e?socket=/s", "nbd://h/e#f", "nbd:unix:s",
  "nbd:h:1,ipv4", "nbd+unix:///?socket=s", "nbd+unix:///?socket=/%2525",
  "nbd+unix:///?x=/s", "nbd:unix:/\xff", "http://h/\xff", "ssh://u:p@h/d",
  "ssh://h/d?x=y", "iscsi://u%p@h/t/1", "iscsi://h/t%20/1",
  "iscsi://h/t/1?target_user=u", "rbd:p/i:key=a", "rbd:p/i:conf=c.conf",
  "rbd:p/i:mon_host=[v2\\:1.2.3.4\\:3300/0]", "rbd:p/i:mon_host=a\\:b",
  "rbd:p/i:mon_host=\\:\\:1", "rbd:p/i:auth_supported=gss",
  OVER ("\"offset\":0"), OVER ("\"size\":1"), OVER ("\"backing\":null"),
  OVER ("\"backing\":\"x\""), OVER ("\"backing\":{}"),
  OVER ("\"data-file\":{\"driver\":\"file\",\"filename\":\"/x\"}"),
  OVER ("\"key-secret\":\"s\""), OVER ("\"x\":[]"), OVER ("\"\":1"),
  OVER ("\"file.x\":{}"), OVER ("\"files.driver\":\"nbd\""),
  BESIDE ("\"tls-creds\":\"t\""), BESIDE ("\"x-dirty-bitmap\":\"b\""),
  BESIDE ("\"file\":\"x\""), BESIDE ("\"backing\":\"x\""),
  BESIDE ("\"server.fd\":\"x\""), BESIDE ("\"export\":null"),
  BESIDE ("\"export\":\"a\\u0000b\""), BESIDE ("\"export\":\"\xff\""),
  "json:{\"driver\":\"nbd\",\"server\":{\"type\":\"vsock\"}}",
  "json:{\"driver\":\"nbd\",\"path\":\"s\"}",
  "json:{\"driver\":\"qcow2\",\"file\":\"node\"}",
  "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"qcow2\",\"file\":"
    "{\"driver\":\"nbd\",\"host\":\"h\"}}}",
  "json:{\"driver\":\"blkdebug\",\"image\":{\"driver\":\"nbd\"}}",
  "json:{\"driver\":\"quorum\",\"children\":[\"a\",\"b\"]}",
  "json:{\"driver\":\"http\",\"url\":\"http://h/\",\"password-secret\":\"s\"}",
  "json:{\"driver\":\"iscsi\",\"transport\":\"tcp\",\"portal\":\"h\","
    "\"target\":\"t\",\"user\":\"u\",\"password-secret\":\"s\"}",
  "json:{\"driver\":\"rbd\",\"pool\":\"p\",\"image\":\"i\","
    "\"=keyvalue-pairs\":\"[]\"}",
  "json:{\"driver\":\"rbd\",\"pool\":\"p\",\"image\":\"i\","
    "\"server\":{\"1\":{\"host\":\"a\",\"port\":\"1\"}}}",
};

/* Of a json: name, neither a server nor a file. */
static const char *const unsupported_locals[] = {
  "json:{\"driver\":\"file\",\"filename\":\"/x\",\"locking\":\"off\"}",
  "json:{\"driver\":\"file\",\"filename\":\"/x\",\"pr-manager\":\"p\"}",
  "json:{\"driver\":\"raw\",\"size\":\"1\",\"file\":{\"driver\":\"file\","
    "\"filename\":\"/x\"}}",
  "json:{\"driver\":\"raw\",\"filename\":\"/x\"}",
  "json:{\"driver\":\"qcow2\",\"file.filename\":\"/x\",\"backing\":null}",
  "json:{\"driver\":\"null-co\"}",
};

static void
assert_options (const Read *wanted)
{
  g_autofree char *format = NULL, *local_format = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);

  g_test_message ("%s", wanted->name);
  g_autoptr (JsonObject) options = remote_name_options (wanted->name, &format,
                                                        &error);
  g_assert_no_error (error);
  json_node_set_object (node, options);
  g_autofree char *text = json_to_string (node, false);
  g_assert_cmpstr (text, ==, wanted->options);
  g_assert_cmpstr (format, ==, wanted->format);
  g_assert_true (remote_name_is (wanted->name));
  g_assert_null (json_name_local (wanted->name, &local_format, &error));
  g_assert_null (local_format);
  g_assert_no_error (error);
}

static void
test_uris (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (uris); i++)
    assert_options (&uris[i]);
}

static void
test_jsons (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (jsons); i++)
    assert_options (&jsons[i]);
}

static void
assert_refused (const char *name, int code)
{
  char *format = NULL;
  g_autoptr (GError) error = NULL;

  g_test_message ("%s", name);
  g_assert_null (remote_name_options (name, &format, &error));
  g_assert_null (format);
  g_assert_error (error, CHECKPOINT_ERROR, code);
  g_assert_null (strchr (error->message, '\n'));
}

static void
test_locals (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (locals); i++) {
    g_autofree char *format = NULL;
    g_autoptr (GError) error = NULL;
    g_autofree char *path = json_name_local (locals[i].name, &format, &error);

    g_test_message ("%s", locals[i].name);
    g_assert_no_error (error);
    g_assert_cmpstr (path, ==, locals[i].options);
    g_assert_cmpstr (format, ==, locals[i].format);
    g_assert_false (remote_name_is (locals[i].name));
    assert_refused (locals[i].name, ENOTSUP);
  }
  for (guint i = 0; i < G_N_ELEMENTS (unsupported_locals); i++) {
    char *format = NULL;
    g_autoptr (GError) error = NULL;

    g_test_message ("%s", unsupported_locals[i]);
    g_assert_null (json_name_local (unsupported_locals[i], &format, &error));
    g_assert_error (error, CHECKPOINT_ERROR, ENOTSUP);
    g_assert_true (remote_name_is (unsupported_locals[i]));
    assert_refused (unsupported_locals[i], ENOTSUP);
  }
}

static void
test_refused (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (malformed); i++)
    assert_refused (malformed[i], EINVAL);
  for (guint i = 0; i < G_N_ELEMENTS (unsupported); i++)
    assert_refused (unsupported[i], ENOTSUP);
}

static void
test_local_names (void)
{
  static const char *const names[] = { "", "x", "/x", "/x:y", "./x:y", "a/b:c",
                                       "file:/x", "file:x", "json" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_false (remote_name_is (names[i]));
    g_assert_null (json_name_local (names[i], NULL, &error));
    g_assert_no_error (error);
  }
  g_assert_true (remote_name_is ("x:y/z"));
  g_assert_true (remote_name_is ("json:"));
}

/* Deep nesting, and numbers as long as one likes. */
static void
test_hostile (void)
{
  g_autofree char *deep = g_strnfill (100000, '[');
  g_autofree char *name = g_strconcat ("json:{\"file\":", deep, NULL);
  g_autofree char *dots = g_strnfill (100000, '.');
  g_autofree char *dotted = g_strdup_printf ("json:{\"%s\":1}", dots);

  assert_refused (name, EINVAL);
  assert_refused (dotted, ENOTSUP);
  assert_refused ("json:{\"driver\":\"rbd\",\"pool\":\"p\",\"image\":\"i\","
                  "\"server.99999999999.host\":\"h\"}", ENOTSUP);
}

/* Cut anywhere, or one byte changed: refused or read, with the rules of
 * remote-name.h. */
static void
try_name (const char *name)
{
  g_autofree char *format = NULL, *local_format = NULL;
  g_autoptr (GError) error = NULL, local_error = NULL;
  g_autoptr (JsonObject) options = remote_name_options (name, &format, &error);
  g_autofree char *local = json_name_local (name, &local_format, &local_error);

  g_assert_true ((options != NULL) == (error == NULL));
  g_assert_false (options && (local || local_error));
  g_assert_false (local && local_error);
  g_assert_false (options && !remote_name_is (name));
}

static void
try_mutations (const Read *reads, guint count)
{
  for (guint i = 0; i < count; i++) {
    const gsize length = strlen (reads[i].name);

    for (gsize at = 0; at < length; at++) {
      g_autofree char *name = g_strdup (reads[i].name);

      name[at] = (char) g_test_rand_int_range (1, 256);
      try_name (name);
      name[at] = '\0';
      try_name (name);
    }
  }
}

static void
test_mutations (void)
{
  try_mutations (uris, G_N_ELEMENTS (uris));
  try_mutations (jsons, G_N_ELEMENTS (jsons));
  try_mutations (locals, G_N_ELEMENTS (locals));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/remote-name/uris", test_uris);
  g_test_add_func ("/remote-name/jsons", test_jsons);
  g_test_add_func ("/remote-name/locals", test_locals);
  g_test_add_func ("/remote-name/local-names", test_local_names);
  g_test_add_func ("/remote-name/refused", test_refused);
  g_test_add_func ("/remote-name/hostile", test_hostile);
  g_test_add_func ("/remote-name/mutations", test_mutations);
  return g_test_run ();
}
