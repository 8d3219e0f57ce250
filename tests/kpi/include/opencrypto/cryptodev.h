/*
 * opencrypto/cryptodev.h - for the KPI host: names of ciphers.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef KPI_OPENCRYPTO_CRYPTODEV_H
#define KPI_OPENCRYPTO_CRYPTODEV_H

#define CRYPTO_AES_NIST_GCM_16	25

#endif
