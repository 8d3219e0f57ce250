/*
 * netio.c - a netio.sys with no network: WSK says that there is no provider.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <ntddk.h>

NTSTATUS NTAPI WskRegister(PVOID npi, PVOID registration);
void NTAPI WskDeregister(PVOID registration);
NTSTATUS NTAPI WskCaptureProviderNPI(PVOID registration, ULONG wait, PVOID npi);
void NTAPI WskReleaseProviderNPI(PVOID registration);
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT, PUNICODE_STRING);

NTSTATUS NTAPI
WskRegister(PVOID npi, PVOID registration)
{
	(void)npi, (void)registration;
	return STATUS_SUCCESS;
}

void NTAPI
WskDeregister(PVOID registration)
{
	(void)registration;
}

NTSTATUS NTAPI
WskCaptureProviderNPI(PVOID registration, ULONG wait, PVOID npi)
{
	(void)registration, (void)wait, (void)npi;
	return STATUS_NOINTERFACE;
}

void NTAPI
WskReleaseProviderNPI(PVOID registration)
{
	(void)registration;
}

NTSTATUS NTAPI
DriverEntry(PDRIVER_OBJECT object, PUNICODE_STRING path)
{
	(void)object, (void)path;
	return STATUS_SUCCESS;
}
