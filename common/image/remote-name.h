#pragma once
#include <stdbool.h>
#include <json-glib/json-glib.h>
bool remote_name_is (const char *name);
JsonObject *remote_name_options (const char *name, char **format, GError **error);
char *json_name_local (const char *name, char **format, GError **error);
