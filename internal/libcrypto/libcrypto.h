// The little of OpenSSL's libcrypto that RSA private keys need. It is found with
// dlopen when the server starts, so neither its headers nor the library are needed
// to build.
#ifndef TIDELOCK_LIBCRYPTO_H
#define TIDELOCK_LIBCRYPTO_H

#include <stddef.h>
#include <stdint.h>

// A number as libcrypto takes it: the bytes of the machine's order.
struct tl_number {
    void *bytes;
    size_t length;
};

// tl_load finds the library. It returns NULL, or what went wrong.
const char *tl_load(void);

// tl_version is the text of the library's own version.
const char *tl_version(void);

// tl_rsa_new makes an EVP_PKEY of n, e, d, p, q, dp, dq and qinv, or returns NULL.
void *tl_rsa_new(const struct tl_number numbers[8]);

// tl_rsa_free cleanses and frees an EVP_PKEY.
void tl_rsa_free(void *key);

// tl_rsa_sign signs with PSS where salt is above 0, with PKCS #1 v1.5 otherwise.
// Without a hash the input is a DigestInfo. *out_length is the room at out, then the
// signature's length. It returns 1, or 0 for every failure.
int tl_rsa_sign(void *key, const char *hash, int salt,
                const uint8_t *in, size_t in_length, uint8_t *out, size_t *out_length);

// tl_rsa_decrypt removes OAEP with these hash functions and this label. Without a hash
// there is no padding.
int tl_rsa_decrypt(void *key, const char *hash, const char *mgf, const uint8_t *label, size_t label_length,
                   const uint8_t *in, size_t in_length, uint8_t *out, size_t *out_length);

#endif
