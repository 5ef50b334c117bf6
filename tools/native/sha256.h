/* SHA-256 (FIPS 180-4) of a block of memory. */
#ifndef TFMPQ_SHA256_H
#define TFMPQ_SHA256_H

#include <stddef.h>

#define SHA256_HEX_SIZE 65

/* Writes 64 lower-case hexadecimal digits and a final zero. */
void sha256_hex(const void* bytes, size_t size, char hex[SHA256_HEX_SIZE]);

#endif
