/*
 * format.c - what the commands print, as text and as JSON.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "format.h"

#include <string.h>

#include "json.h"
#include "wnbd_servers.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT_SIZE	(3 * WNBD_MAX_NAME_LENGTH + 1)	/* a name as UTF-8 */

/* ---- fields -------------------------------------------------------------- */

/* One line of "show" or "stats", one member of their JSON. */
struct field {
	const char *name;
	enum { FIELD_TEXT, FIELD_NUMBER, FIELD_FLAG } type;
	const char *text;
	INT64	number;
};

static void
print_fields(FILE *out, int width, const struct field *f, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (f[i].type == FIELD_TEXT)
			fprintf(out, "%-*s : %s\n", width, f[i].name, f[i].text);
		else
			fprintf(out, "%-*s : %lld\n", width, f[i].name,
			    (long long)f[i].number);
	}
}

static void
json_field(struct json *j, const struct field *f)
{
	if (f->type == FIELD_TEXT)
		json_text(j, f->name, f->text);
	else if (f->type == FIELD_FLAG)
		json_bool(j, f->name, f->number != 0);
	else if (f->number < 0)		/* not known, or never */
		json_text(j, f->name, NULL);
	else
		json_number(j, f->name, (uint64_t)f->number);
}

static void
json_fields(struct json *j, const struct field *f, size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_field(j, &f[i]);
}

#define STRING(name, value)	{ name, FIELD_TEXT, value, 0 }
#define NUMBER(name, value)	{ name, FIELD_NUMBER, NULL, (INT64)(value) }
#define FLAG(name, value)	{ name, FIELD_FLAG, NULL, (INT64)(value) }

/* ---- UTF-16 -------------------------------------------------------------- */

static size_t
put_utf8(char *to, uint32_t code)
{
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	for (size_t i = len - 1; i > 0; i--) {
		to[i] = (char)(0x80 | (code & 0x3f));
		code >>= 6;
	}
	to[0] = (char)(lead[len] | code);
	return len;
}

static bool
is_surrogate(WCHAR c, unsigned first)
{
	return (c & 0xfc00) == first;
}

void
format_wide(char *buf, size_t size, const WCHAR *text, size_t count)
{
	size_t used = 0;

	for (size_t i = 0; i < count && text[i] != 0 && used + 4 < size; i++) {
		uint32_t code = text[i];

		if (is_surrogate(text[i], 0xd800) && i + 1 < count &&
		    is_surrogate(text[i + 1], 0xdc00)) {
			code = 0x10000 + ((code & 0x3ff) << 10) +
			    (text[i + 1] & 0x3ffu);
			i++;
		} else if (code >= 0xd800 && code < 0xe000) {
			code = 0xfffd;
		}
		used += put_utf8(buf + used, code);
	}
	buf[used] = '\0';
}

/* ---- several servers ----------------------------------------------------- */

/* One of them, as it was given; "" behind the last one. */
static void
server_name(char *buf, size_t size, const char *list, unsigned number)
{
	while (number-- > 0 && *list != '\0')
		list += strcspn(list, ",") + (list[strcspn(list, ",")] != '\0');
	snprintf(buf, size, "%.*s", (int)strcspn(list, ","), list);
}

static const char *
server_state(const NBD_SERVER_INFO *s)
{
	static const char *const states[] = {
		[NbdServerStandby] = "standby", [NbdServerActive] = "active",
		[NbdServerFailed] = "failed",
	};

	return s->State < COUNT_OF(states) ? states[s->State] : "unknown";
}

static void
servers_text(FILE *out, const WNBD_CONNECTION_INFO *info, int width)
{
	const NBD_SERVERS *s = &info->Servers;
	char name[WNBD_MAX_NAME_LENGTH];

	if (s->Count == 0)
		return;
	fprintf(out, "Servers\n");
	for (unsigned i = 0; i < s->Count && i < NBD_MAX_SERVERS; i++) {
		server_name(name, sizeof(name), info->Properties.NbdProperties.Hostname,
		    i);
		fprintf(out, "%-*s : %s%s%s\n", width, name,
		    server_state(&s->Server[i]), s->Server[i].Tried ? ", tried" : "",
		    s->Server[i].Fencing ? ", may still write" : "");
	}
	fputc('\n', out);
}

static void
servers_json(struct json *j, const WNBD_CONNECTION_INFO *info)
{
	const NBD_SERVERS *s = &info->Servers;
	char name[WNBD_MAX_NAME_LENGTH];

	if (s->Count == 0)
		return;
	json_open(j, "Servers", '[');
	for (unsigned i = 0; i < s->Count && i < NBD_MAX_SERVERS; i++) {
		server_name(name, sizeof(name), info->Properties.NbdProperties.Hostname,
		    i);
		json_open(j, NULL, '{');
		json_text(j, "Server", name);
		json_text(j, "State", server_state(&s->Server[i]));
		json_bool(j, "Tried", s->Server[i].Tried != 0);
		json_bool(j, "Fencing", s->Server[i].Fencing != 0);
		json_close(j, '}');
	}
	json_close(j, ']');
}

/* ---- list ---------------------------------------------------------------- */

static bool
is_nbd(const WNBD_PROPERTIES *p)
{
	return p->Flags.UseKernelNbd || p->Flags.UseUserspaceNbd;
}

static void
list_json(FILE *out, const WNBD_CONNECTION_INFO *info, size_t count)
{
	struct json j;

	json_start(&j, out, false);
	json_open(&j, NULL, '[');
	for (size_t i = 0; i < count; i++) {
		const WNBD_PROPERTIES *p = &info[i].Properties;
		const struct field fields[] = {
			STRING("InstanceName", p->InstanceName),
			STRING("Owner", p->Owner),
			NUMBER("Pid", p->Pid),
			NUMBER("DiskNumber", info[i].DiskNumber),
			FLAG("Nbd", is_nbd(p)),
		};

		json_open(&j, NULL, '{');
		json_fields(&j, fields, COUNT_OF(fields));
		servers_json(&j, &info[i]);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_finish(&j);
}

void
format_list(FILE *out, const WNBD_CONNECTION_INFO *info, size_t count, bool json)
{
	if (json) {
		list_json(out, info, count);
		return;
	}
	fprintf(out, "%-10s  %-10s  %-5s  %-15s  %s\n", "Pid", "DiskNumber", "Nbd",
	    "Owner", "InstanceName");
	for (size_t i = 0; i < count; i++) {
		const WNBD_PROPERTIES *p = &info[i].Properties;

		fprintf(out, "%-10d  %-10d  %-5s  %-15s  %s\n", p->Pid,
		    info[i].DiskNumber, is_nbd(p) ? "true" : "false", p->Owner,
		    p->InstanceName);
	}
}

/* ---- show ---------------------------------------------------------------- */

#define SHOW_WIDTH 25

struct shown {
	const WNBD_CONNECTION_INFO *info;
	const struct field *f, *nbd;
	size_t	count, nbd_count;
};

static void
show_text(FILE *out, const struct shown *s)
{
	fprintf(out, "Connection info\n");
	print_fields(out, SHOW_WIDTH, s->f, s->count);
	fputc('\n', out);
	if (s->nbd_count == 0)
		return;
	fprintf(out, "Nbd properties\n");
	print_fields(out, SHOW_WIDTH, s->nbd, s->nbd_count);
	fputc('\n', out);
	servers_text(out, s->info, SHOW_WIDTH);
}

static void
show_json(FILE *out, const struct shown *s)
{
	struct json j;

	json_start(&j, out, false);
	json_open(&j, NULL, '{');
	json_fields(&j, s->f, s->count);
	if (s->nbd_count > 0) {
		json_open(&j, "NbdProperties", '{');
		json_fields(&j, s->nbd, s->nbd_count);
		json_close(&j, '}');
		servers_json(&j, s->info);
	}
	json_close(&j, '}');
	json_finish(&j);
}

void
format_show(FILE *out, const WNBD_CONNECTION_INFO *info, struct io_limits limits,
    bool json)
{
	const WNBD_PROPERTIES *p = &info->Properties;
	char pnp_id[TEXT_SIZE];
	const struct field fields[] = {
		STRING("InstanceName", p->InstanceName),
		STRING("SerialNumber", p->SerialNumber),
		STRING("Owner", p->Owner),
		FLAG("ReadOnly", p->Flags.ReadOnly),
		FLAG("FlushSupported", p->Flags.FlushSupported),
		FLAG("FUASupported", p->Flags.FUASupported),
		FLAG("UnmapSupported", p->Flags.UnmapSupported),
		FLAG("UnmapAnchorSupported", p->Flags.UnmapAnchorSupported),
		FLAG("UseNbd", p->Flags.UseKernelNbd),
		FLAG("UseUserspaceNbd", p->Flags.UseUserspaceNbd),
		NUMBER("BlockCount", p->BlockCount),
		NUMBER("BlockSize", p->BlockSize),
		NUMBER("MaxUnmapDescCount", p->MaxUnmapDescCount),
		NUMBER("Pid", p->Pid),
		NUMBER("DiskNumber", info->DiskNumber),
		STRING("PNPDeviceID", pnp_id),
		NUMBER("BusNumber", info->BusNumber),
		NUMBER("TargetId", info->TargetId),
		NUMBER("Lun", info->Lun),
		NUMBER("MaxIOReqPerLun", limits.lun),
		NUMBER("MaxIOReqPerAdapter", limits.adapter),
	};
	const struct field nbd[] = {
		STRING("Hostname", p->NbdProperties.Hostname),
		NUMBER("PortNumber", p->NbdProperties.PortNumber),
		STRING("ExportName", p->NbdProperties.ExportName),
		FLAG("SkipNegotiation", p->NbdProperties.Flags.SkipNegotiation),
	};
	size_t nbd_count = is_nbd(p) ? COUNT_OF(nbd) : 0;

	format_wide(pnp_id, sizeof(pnp_id), info->PNPDeviceID,
	    COUNT_OF(info->PNPDeviceID));
	(json ? show_json : show_text)(out, &(struct shown){ info, fields, nbd,
	    COUNT_OF(fields), nbd_count });
}

/* ---- stats --------------------------------------------------------------- */

#define STATS_WIDTH 30

static INT64
since_ms(UINT64 then, UINT64 now)
{
	if (then == 0)
		return -1;
	return then > now ? 0 : (INT64)((now - then) / TICKS_PER_MS);
}

struct activity
activity_of(const WNBD_DRV_STATS *s, UINT64 now)
{
	return (struct activity){
		since_ms(s->LastReceivedReqTimestamp, now),
		since_ms(s->LastSubmittedReqTimestamp, now),
		since_ms(s->LastReplyTimestamp, now),
	};
}

void
format_stats(FILE *out, const WNBD_DRV_STATS *s, struct activity a, bool json)
{
	const struct field fields[] = {
		NUMBER("TotalReceivedIORequests", s->TotalReceivedIORequests),
		NUMBER("TotalSubmittedIORequests", s->TotalSubmittedIORequests),
		NUMBER("TotalReceivedIOReplies", s->TotalReceivedIOReplies),
		NUMBER("UnsubmittedIORequests", s->UnsubmittedIORequests),
		NUMBER("PendingSubmittedIORequests", s->PendingSubmittedIORequests),
		NUMBER("AbortedSubmittedIORequests", s->AbortedSubmittedIORequests),
		NUMBER("AbortedUnsubmittedIORequests",
		    s->AbortedUnsubmittedIORequests),
		NUMBER("CompletedAbortedIORequests", s->CompletedAbortedIORequests),
		NUMBER("OutstandingIOCount", s->OutstandingIOCount),
		NUMBER("TimeSinceLastReceivedReqMs", a.received_ms),
		NUMBER("TimeSinceLastSubmittedReqMs", a.submitted_ms),
		NUMBER("TimeSinceLastReplyMs", a.reply_ms),
	};
	struct json j;

	if (json) {
		json_start(&j, out, false);
		json_open(&j, NULL, '{');
		json_fields(&j, fields, COUNT_OF(fields));
		json_close(&j, '}');
		json_finish(&j);
		return;
	}
	fprintf(out, "Disk stats\n");
	print_fields(out, STATS_WIDTH, fields, COUNT_OF(fields));
	fputc('\n', out);
}

/* ---- driver options ------------------------------------------------------ */

static void
value_text(char *buf, size_t size, const WNBD_OPTION_VALUE *v)
{
	switch (v->Type) {
	case WnbdOptBool:
		snprintf(buf, size, "%s", v->Data.AsBool ? "true" : "false");
		break;
	case WnbdOptInt64:
		snprintf(buf, size, "%lld", (long long)v->Data.AsInt64);
		break;
	case WnbdOptWstr:
		format_wide(buf, size, v->Data.AsWstr, WNBD_MAX_NAME_LENGTH);
		break;
	default:
		snprintf(buf, size, "unknown");
		break;
	}
}

static void
json_value(struct json *j, const char *key, const WNBD_OPTION_VALUE *v)
{
	char text[TEXT_SIZE];

	if (v->Type == WnbdOptBool) {
		json_bool(j, key, v->Data.AsBool);
	} else if (v->Type == WnbdOptInt64 && v->Data.AsInt64 >= 0) {
		json_number(j, key, (uint64_t)v->Data.AsInt64);
	} else {
		value_text(text, sizeof(text), v);
		json_text(j, key, text);
	}
}

static void
options_json(FILE *out, const WNBD_OPTION *o, size_t count)
{
	char name[TEXT_SIZE];
	struct json j;

	json_start(&j, out, false);
	json_open(&j, NULL, '[');
	for (size_t i = 0; i < count; i++) {
		format_wide(name, sizeof(name), o[i].Name, WNBD_MAX_OPT_NAME_LENGTH);
		json_open(&j, NULL, '{');
		json_text(&j, "Name", name);
		json_value(&j, "Value", &o[i].Value);
		json_value(&j, "Default", &o[i].Default);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_finish(&j);
}

/* Of RemoveStaleConnections, so that a list of some has the columns of all. */
#define OPTION_WIDTH 22

static int
longest_name(const WNBD_OPTION *o, size_t count)
{
	char name[TEXT_SIZE];
	size_t width = OPTION_WIDTH;

	for (size_t i = 0; i < count; i++) {
		format_wide(name, sizeof(name), o[i].Name, WNBD_MAX_OPT_NAME_LENGTH);
		width = strlen(name) > width ? strlen(name) : width;
	}
	return (int)width;
}

void
format_options(FILE *out, const WNBD_OPTION *o, size_t count, bool json)
{
	int width = longest_name(o, count);
	char name[TEXT_SIZE], value[TEXT_SIZE], usual[TEXT_SIZE];

	if (json) {
		options_json(out, o, count);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		format_wide(name, sizeof(name), o[i].Name, WNBD_MAX_OPT_NAME_LENGTH);
		value_text(value, sizeof(value), &o[i].Value);
		value_text(usual, sizeof(usual), &o[i].Default);
		fprintf(out, "%-*s : %s (Default: %s)\n", width, name, value, usual);
	}
}

void
format_option(FILE *out, const char *name, const WNBD_OPTION_VALUE *v, bool json)
{
	char value[TEXT_SIZE];
	struct json j;

	if (json) {
		json_start(&j, out, false);
		json_open(&j, NULL, '{');
		json_text(&j, "Name", name);
		json_value(&j, "Value", v);
		json_close(&j, '}');
		json_finish(&j);
		return;
	}
	value_text(value, sizeof(value), v);
	fprintf(out, "Name: %s\nValue: %s\n", name, value);
}

/* ---- version ------------------------------------------------------------- */

void
format_version_json(FILE *out, const char *client, const char *library,
    const char *driver)
{
	struct json j;

	json_start(&j, out, false);
	json_open(&j, NULL, '{');
	json_text(&j, "wnbd-client.exe", client);
	json_text(&j, "libwnbd.dll", library);
	json_text(&j, "wnbd.sys", driver);
	json_close(&j, '}');
	json_finish(&j);
}
