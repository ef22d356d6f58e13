#include <config.h>
#include <errno.h>
#include "base/error.h"
#include "image/remote-name.h"
bool remote_name_is (const char *name) { return strstr (name, "://") != NULL; }
JsonObject *remote_name_options (const char *name, char **format, GError **error)
{ *format = NULL; return error_null (error, ENOTSUP, "stub %s", name); }
char *json_name_local (const char *name, char **format, GError **error)
{ *format = NULL; return error_null (error, ENOTSUP, "stub %s", name); }
