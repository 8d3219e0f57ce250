/*
 * registry.c - driver options in the service's key.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Values are REG_QWORD; a REG_SZ or REG_DWORD that somebody put there is read, too.
 */
#include "registry.h"

#include "kernel.h"

static UNICODE_STRING service_key;

NTSTATUS
registry_load(const UNICODE_STRING *path)
{
	service_key.Buffer = mem_alloc(path->Length + sizeof(WCHAR));
	if (service_key.Buffer == NULL)
		return STATUS_INSUFFICIENT_RESOURCES;
	service_key.MaximumLength = (USHORT)(path->Length + sizeof(WCHAR));
	RtlCopyUnicodeString(&service_key, path);
	return STATUS_SUCCESS;
}

void
registry_unload(void)
{
	mem_free(service_key.Buffer);
	service_key.Buffer = NULL;
}

static NTSTATUS
open_key(HANDLE *key, ACCESS_MASK access)
{
	OBJECT_ATTRIBUTES attributes;

	InitializeObjectAttributes(&attributes, &service_key,
	    OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
	return ZwOpenKey(key, access, &attributes);
}

struct name {
	UNICODE_STRING	string;
	WCHAR		text[WNBD_MAX_OPT_NAME_LENGTH];
};

static void
make_name(struct name *n, enum option o)
{
	const char *s = option_table[o].name;
	size_t i;

	for (i = 0; s[i] != '\0'; i++)
		n->text[i] = (WCHAR)s[i];
	n->text[i] = 0;
	RtlInitUnicodeString(&n->string, n->text);
}

struct value {
	KEY_VALUE_PARTIAL_INFORMATION info;
	UCHAR	data[WNBD_MAX_NAME_LENGTH * sizeof(WCHAR)];
};

static bool
understand(enum option o, struct value *v, int64_t *value)
{
	WNBD_OPTION_VALUE given;
	ULONG len = v->info.DataLength;

	memset(&given, 0, sizeof(given));
	given.Type = WnbdOptInt64;
	if (v->info.Type == REG_QWORD && len == sizeof(INT64)) {
		memcpy(&given.Data.AsInt64, v->info.Data, sizeof(INT64));
	} else if (v->info.Type == REG_DWORD && len == sizeof(ULONG)) {
		ULONG dword;

		memcpy(&dword, v->info.Data, sizeof(dword));
		given.Data.AsInt64 = dword;
	} else if (v->info.Type == REG_SZ && len < sizeof(given.Data.AsWstr)) {
		given.Type = WnbdOptWstr;
		memcpy(given.Data.AsWstr, v->info.Data, len);
	} else {
		return false;
	}
	return option_convert(o, &given, value);
}

NTSTATUS
registry_get(enum option o, int64_t *value)
{
	struct value *v = mem_alloc(sizeof(*v));
	struct name name;
	NTSTATUS status;
	ULONG len;
	HANDLE key;

	if (v == NULL)
		return STATUS_INSUFFICIENT_RESOURCES;
	make_name(&name, o);
	status = open_key(&key, KEY_QUERY_VALUE);
	if (NT_SUCCESS(status)) {
		status = ZwQueryValueKey(key, &name.string,
		    KeyValuePartialInformation, v, sizeof(*v), &len);
		ZwClose(key);
	}
	if (NT_SUCCESS(status) && !understand(o, v, value))
		status = STATUS_OBJECT_NAME_NOT_FOUND;
	mem_free(v);
	return status;
}

NTSTATUS
registry_set(enum option o, int64_t value)
{
	struct name name;
	NTSTATUS status;
	HANDLE key;

	make_name(&name, o);
	status = open_key(&key, KEY_SET_VALUE);
	if (!NT_SUCCESS(status))
		return status;
	status = ZwSetValueKey(key, &name.string, 0, REG_QWORD, &value,
	    sizeof(value));
	ZwClose(key);
	return status;
}

NTSTATUS
registry_delete(enum option o)
{
	struct name name;
	NTSTATUS status;
	HANDLE key;

	make_name(&name, o);
	status = open_key(&key, KEY_SET_VALUE);
	if (!NT_SUCCESS(status))
		return status;
	status = ZwDeleteValueKey(key, &name.string);
	ZwClose(key);
	return status;
}
