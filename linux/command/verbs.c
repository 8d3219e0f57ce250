/*
 * verbs.c - the table of verbs.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "verbs.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "nbe.h"

const struct verb verb_table[VERBS] = {
	[VERB_CONNECT] = { "connect", verb_connect, "SERVER ...", 1, NBE_MAX_PATHS,
	    "attach an export, print the device" },
	[VERB_SCALE] = { "scale", verb_scale, "NAME", 1, 1,
	    "change the number of connections" },
	[VERB_RECONNECT] = { "reconnect", verb_reconnect, "NAME", 1, 1,
	    "make missing connections now" },
	[VERB_MOVE] = { "move", verb_move, "NAME [SERVER]", 1, 2,
	    "go to another of the device's servers" },
	[VERB_DISCONNECT] = { "disconnect", verb_disconnect, "NAME", 1, 1,
	    "finish what is under way and detach" },
	[VERB_RECOVER] = { "recover", verb_recover, "NAME", 1, 1,
	    "start a new daemon where the old one was killed" },
	[VERB_UPGRADE] = { "upgrade", verb_upgrade, "NAME", 1, 1,
	    "go on with a daemon of the program as it is installed now" },
	[VERB_WAIT] = { "wait", verb_wait, "NAME", 1, 1,
	    "wait until a device is up, down, gone, or has a new size" },
	[VERB_EXPORTS] = { "exports", verb_exports, "SERVER", 1, 1,
	    "list what a server exports" },
	[VERB_INFO] = { "info", verb_info, "SERVER", 1, 1,
	    "tell what an export offers, without attaching it" },
	[VERB_CHECK_CONFIG] = { "check-config", verb_check_config, "FILE ...", 1,
	    OPERANDS_ANY, "look for mistakes in configuration files" },
	[VERB_IMPORT] = { "import", verb_import, "FILE [NAME]", 1, 2,
	    "print nbdtab(5) of nbd-client as configuration files" },
	[VERB_LIST] = { "list", verb_list, "[NAME ...]", 0, OPERANDS_ANY,
	    "tell all about devices, with counters" },
	[VERB_STATUS] = { "status", verb_status, "[NAME ...]", 0, OPERANDS_ANY,
	    "one line per device" },
	[VERB_SHOW] = { "show", verb_show, "NAME", 1, 1,
	    "settings, connections and their problems" },
	[VERB_STATS] = { "stats", verb_stats, "NAME", 1, 1,
	    "counters, and latencies per operation" },
	[VERB_TOP] = { "top", verb_top, "[NAME ...]", 0, OPERANDS_ANY,
	    "live rates and latencies" },
	[VERB_METRICS] = { "metrics", verb_metrics, "[NAME ...]", 0, OPERANDS_ANY,
	    "counters, states and latencies as OpenMetrics text" },
	[VERB_HELP] = { "help", verb_help, "[VERB]", 0, 1,
	    "explain verbs and options" },
	[VERB_VERSION] = { "version", verb_version, "", 0, 0,
	    "print the version" },
};

const struct verb *
verb_find(const char *name)
{
	for (unsigned i = 0; i < VERBS; i++)
		if (strcmp(verb_table[i].name, name) == 0)
			return &verb_table[i];
	return NULL;
}

void
complain(const char *text)
{
	while (*text != '\0') {
		int len = (int)strcspn(text, "\n");

		fprintf(stderr, "nbdisk: %.*s\n", len, text);
		text += len;
		text += *text == '\n';
	}
}
