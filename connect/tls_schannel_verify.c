/*
 * tls_schannel_verify.c - is it the server that was meant?
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Schannel is told to leave the certificate alone, because it can neither be given a
 * CA file nor say in words what is wrong.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls_schannel.h"

#define IGNORE_NAME	0x1000	/* SECURITY_FLAG_IGNORE_CERT_CN_INVALID, wininet.h */

void
nbc_schannel_explain(struct nbc_tls *tls, const char *fmt, ...)
{
	va_list args;

	if (tls->error[0] != '\0')
		return;
	va_start(args, fmt);
	vsnprintf(tls->error, sizeof tls->error, fmt, args);
	va_end(args);
}

void
nbc_schannel_error_text(char *buf, size_t size, DWORD error)
{
	WCHAR wide[256];
	DWORD len = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM |
	    FORMAT_MESSAGE_IGNORE_INSERTS | FORMAT_MESSAGE_MAX_WIDTH_MASK, NULL, error,
	    0, wide, 256, NULL);

	while (len > 0 && (wide[len - 1] == L' ' || wide[len - 1] == L'.'))
		len--;
	wide[len < 256 ? len : 255] = L'\0';
	if (len == 0 || WideCharToMultiByte(CP_UTF8, 0, wide, -1, buf, (int)size, NULL,
	    NULL) == 0)
		snprintf(buf, size, "error 0x%08lx", error);
}

/* ---- names --------------------------------------------------------------- */

static void
print_subject(char *buf, size_t size, PCCERT_CONTEXT cert, DWORD flags)
{
	char name[256];

	CertGetNameStringA(cert, CERT_NAME_SIMPLE_DISPLAY_TYPE, flags, NULL, name,
	    sizeof name);
	nbc_printable(buf, size, (struct nbe_text){ name, (uint32_t)strlen(name) });
}

/* An address of 4 or 16 bytes; 0: the name is none. */
static unsigned
parse_address(const char *name, uint8_t address[16])
{
	if (inet_pton(AF_INET, name, address) == 1)
		return 4;
	return inet_pton(AF_INET6, name, address) == 1 ? 16 : 0;
}

/* Is one of the certificate's alternative names this address? */
static bool
names_address(PCCERT_CONTEXT cert, const uint8_t *address, unsigned len)
{
	const CERT_EXTENSION *e = CertFindExtension(szOID_SUBJECT_ALT_NAME2,
	    cert->pCertInfo->cExtension, cert->pCertInfo->rgExtension);
	CERT_ALT_NAME_INFO *names;
	bool found = false;
	DWORD size;

	if (e == NULL || !CryptDecodeObjectEx(X509_ASN_ENCODING, X509_ALTERNATE_NAME,
	    e->Value.pbData, e->Value.cbData, CRYPT_DECODE_ALLOC_FLAG, NULL, &names,
	    &size))
		return false;
	for (DWORD i = 0; i < names->cAltEntry && !found; i++) {
		const CERT_ALT_NAME_ENTRY *n = &names->rgAltEntry[i];

		found = n->dwAltNameChoice == CERT_ALT_NAME_IP_ADDRESS &&
		    n->IPAddress.cbData == len &&
		    memcmp(n->IPAddress.pbData, address, len) == 0;
	}
	LocalFree(names);
	return found;
}

/* ---- what is wrong ------------------------------------------------------- */

static void
explain_name(struct nbc_tls *tls, const char *subject)
{
	nbc_schannel_explain(tls, "the certificate \"%s\" is not for %s\n"
	    "Connect by its name, or give it as the TLS host name.", subject,
	    tls->context->host_name);
}

static void
explain_chain(struct nbc_tls *tls, PCCERT_CONTEXT cert, DWORD status)
{
	char subject[256], issuer[256], text[256];

	print_subject(subject, sizeof subject, cert, 0);
	print_subject(issuer, sizeof issuer, cert, CERT_NAME_ISSUER_FLAG);
	if (status == (DWORD)CERT_E_CN_NO_MATCH) {
		explain_name(tls, subject);
	} else if (status == (DWORD)CERT_E_EXPIRED) {
		nbc_schannel_explain(tls, "the certificate \"%s\" has expired, or is "
		    "not valid yet\nRenew it, or set this machine's clock.", subject);
	} else if (status == (DWORD)CERT_E_UNTRUSTEDROOT ||
	    status == (DWORD)CERT_E_CHAINING) {
		nbc_schannel_explain(tls, "the certificate \"%s\" is signed by \"%s\", "
		    "which is not trusted here\n%s", subject, issuer,
		    tls->context->roots != NULL ?
		    "The CA file given does not hold that authority's certificate." :
		    "Name the CA's certificate, if it is not one of the machine's.");
	} else {
		nbc_schannel_error_text(text, sizeof text, status);
		nbc_schannel_explain(tls, "the certificate \"%s\": %s", subject, text);
	}
}

/* ---- the chain ----------------------------------------------------------- */

static DWORD
check_policy(const struct nbc_tls *tls, PCCERT_CHAIN_CONTEXT chain, bool by_name)
{
	WCHAR name[256] = L"";
	SSL_EXTRA_CERT_CHAIN_POLICY_PARA ssl = {
		.cbSize = sizeof ssl, .dwAuthType = AUTHTYPE_SERVER,
		.fdwChecks = by_name ? 0 : IGNORE_NAME,
		.pwszServerName = name,
	};
	CERT_CHAIN_POLICY_PARA para = {
		.cbSize = sizeof para, .pvExtraPolicyPara = &ssl,
	};
	CERT_CHAIN_POLICY_STATUS status = { .cbSize = sizeof status };

	MultiByteToWideChar(CP_UTF8, 0, tls->context->host_name, -1, name, 256);
	if (!CertVerifyCertificateChainPolicy(CERT_CHAIN_POLICY_SSL, chain, &para,
	    &status))
		return GetLastError();
	if (status.dwError == 0 && chain->TrustStatus.dwErrorStatus != 0 &&
	    chain->TrustStatus.dwErrorStatus != CERT_TRUST_REVOCATION_STATUS_UNKNOWN)
		return (DWORD)CERT_E_CHAINING;	/* the policy does not look at all */
	return status.dwError;
}

/* Revocation is not asked for: a server of one's own CA has no place to ask. */
static DWORD
check_chain(const struct nbc_tls *tls, PCCERT_CONTEXT cert, bool by_name)
{
	CERT_CHAIN_ENGINE_CONFIG config = {
		.cbSize = offsetof(CERT_CHAIN_ENGINE_CONFIG, hExclusiveTrustedPeople) +
		    sizeof config.hExclusiveTrustedPeople,	/* as of Windows 7 */
		.hExclusiveRoot = tls->context->roots,
	};
	CERT_CHAIN_PARA para = { .cbSize = sizeof para };
	char usage[] = szOID_PKIX_KP_SERVER_AUTH;
	char *usages[] = { usage };
	HCERTCHAINENGINE engine = NULL;
	PCCERT_CHAIN_CONTEXT chain;
	DWORD status;

	para.RequestedUsage.dwType = USAGE_MATCH_TYPE_OR;
	para.RequestedUsage.Usage.cUsageIdentifier = 1;
	para.RequestedUsage.Usage.rgpszUsageIdentifier = usages;
	if (tls->context->roots != NULL &&
	    !CertCreateCertificateChainEngine(&config, &engine))
		return GetLastError();
	if (CertGetCertificateChain(engine, cert, NULL, cert->hCertStore, &para, 0,
	    NULL, &chain)) {
		status = check_policy(tls, chain, by_name);
		CertFreeCertificateChain(chain);
	} else {
		status = GetLastError();
	}
	if (engine != NULL)
		CertFreeCertificateChainEngine(engine);
	return status;
}

bool
nbc_schannel_verify(struct nbc_tls *tls)
{
	const struct nbc_tls_context *c = tls->context;
	uint8_t address[16];
	unsigned len = parse_address(c->host_name, address);
	PCCERT_CONTEXT cert = NULL;
	char subject[256];
	DWORD status;

	if (c->no_verify)
		return true;
	status = (DWORD)QueryContextAttributesW(&tls->session,
	    SECPKG_ATTR_REMOTE_CERT_CONTEXT, &cert);
	if (status != SEC_E_OK || cert == NULL) {
		nbc_schannel_explain(tls, "the server has no certificate");
		return false;
	}
	/* Windows compares names only. */
	status = check_chain(tls, cert, len == 0);
	if (status != 0) {
		explain_chain(tls, cert, status);
	} else if (len != 0 && !names_address(cert, address, len)) {
		print_subject(subject, sizeof subject, cert, 0);
		explain_name(tls, subject);
		status = (DWORD)CERT_E_CN_NO_MATCH;
	}
	CertFreeCertificateContext(cert);
	return status == 0;
}
