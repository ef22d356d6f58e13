/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 the nbdkit-checkpoint authors
 *
 * The commands: a row in main.c's table and a file for each.
 */
#pragma once

#include "tool/options.h"

/* What scripts can go by. */
typedef enum {
  STATUS_FINE,
  STATUS_FOUND,                 /* it looked; what was asked for is not there */
  STATUS_FAILED,                /* it could not look */
  STATUS_UNKNOWN,               /* the same, of check, whose status is as
                                 * monitoring plugins have it */
} Status;

typedef struct {
  const char *name;
  const char *word;             /* what must follow: "NAME"; "FILE...": one or
                                 * more; "[NAME]": one, or none; NULL: nothing */
  const char *help;
  guint options;                /* groups */
  /* Prints to the standard output.  An error is printed by who calls. */
  Status (*run) (const Options *options, GError **error);
} Command;

/* All of them, up to one without a name. */
extern const Command all_commands[];

/* NULL: there is none of that name. */
const Command *command_lookup (const char *name);

Status command_check (const Options *options, GError **error);
Status command_create (const Options *options, GError **error);
Status command_current (const Options *options, GError **error);
Status command_delete (const Options *options, GError **error);
Status command_edit (const Options *options, GError **error);
Status command_estimate (const Options *options, GError **error);
Status command_files (const Options *options, GError **error);
Status command_info (const Options *options, GError **error);
Status command_list (const Options *options, GError **error);
Status command_map (const Options *options, GError **error);
Status command_parent (const Options *options, GError **error);
Status command_redefine (const Options *options, GError **error);
Status command_show (const Options *options, GError **error);
Status command_verify (const Options *options, GError **error);

/* What could follow these words of a command line, of which the last is being
 * typed: one a line.
 */
void complete (char **words);

/* --help, of the tool and of a command. */
void print_help (void);
void print_command_help (const Command *command);
