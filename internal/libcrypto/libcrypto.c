//go:build cgo && linux && (amd64 || arm64)

#include "libcrypto.h"

#include <dlfcn.h>
#include <string.h>

// OSSL_PARAM and its types: part of the ABI that every libcrypto.so.3 has.
struct ossl_param {
    const char *key;
    unsigned int type;
    void *data;
    size_t size;
    size_t return_size;
};

enum { type_integer = 1, type_unsigned = 2, type_utf8 = 4, type_octets = 5 };

// The values of EVP_PKEY_KEYPAIR, OPENSSL_INIT_NO_LOAD_CONFIG and OPENSSL_INIT_NO_ATEXIT.
enum { keypair = 0x87, init_no_config = 0x80, init_no_atexit = 0x80000 };

static int (*OPENSSL_init_crypto)(uint64_t options, const void *settings);
static const char *(*OpenSSL_version)(int type);
static void (*ERR_clear_error)(void);
static void *(*OSSL_LIB_CTX_new)(void);
static void *(*EVP_PKEY_CTX_new_from_name)(void *library, const char *name, const char *properties);
static void *(*EVP_PKEY_CTX_new_from_pkey)(void *library, void *key, const char *properties);
static void (*EVP_PKEY_CTX_free)(void *context);
static int (*EVP_PKEY_fromdata_init)(void *context);
static int (*EVP_PKEY_fromdata)(void *context, void **key, int selection, struct ossl_param *params);
static void (*EVP_PKEY_free)(void *key);
static int (*EVP_PKEY_sign_init_ex)(void *context, const struct ossl_param *params);
static int (*EVP_PKEY_sign)(void *context, uint8_t *out, size_t *out_length, const uint8_t *in, size_t in_length);
static int (*EVP_PKEY_decrypt_init_ex)(void *context, const struct ossl_param *params);
static int (*EVP_PKEY_decrypt)(void *context, uint8_t *out, size_t *out_length, const uint8_t *in, size_t in_length);

// A library context of our own: the default one reads openssl.cnf, which may name a
// PKCS#11 provider, and that may be ours.
static void *library;

const char *tl_load(void) {
    const struct {
        const char *name;
        void *address;
    } symbols[] = {
#define SYMBOL(name) {#name, &name}
        SYMBOL(OPENSSL_init_crypto),
        SYMBOL(OpenSSL_version),
        SYMBOL(ERR_clear_error),
        SYMBOL(OSSL_LIB_CTX_new),
        SYMBOL(EVP_PKEY_CTX_new_from_name),
        SYMBOL(EVP_PKEY_CTX_new_from_pkey),
        SYMBOL(EVP_PKEY_CTX_free),
        SYMBOL(EVP_PKEY_fromdata_init),
        SYMBOL(EVP_PKEY_fromdata),
        SYMBOL(EVP_PKEY_free),
        SYMBOL(EVP_PKEY_sign_init_ex),
        SYMBOL(EVP_PKEY_sign),
        SYMBOL(EVP_PKEY_decrypt_init_ex),
        SYMBOL(EVP_PKEY_decrypt),
#undef SYMBOL
    };
    void *handle = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return dlerror();
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        void *function = dlsym(handle, symbols[i].name);
        if (function == NULL)
            return dlerror();
        memcpy(symbols[i].address, &function, sizeof function);
    }
    if (OPENSSL_init_crypto(init_no_config | init_no_atexit, NULL) != 1)
        return "OPENSSL_init_crypto failed";
    library = OSSL_LIB_CTX_new();
    return library != NULL ? NULL : "OSSL_LIB_CTX_new failed";
}

const char *tl_version(void) { return OpenSSL_version(0); }

static struct ossl_param text(const char *key, const char *value) {
    return (struct ossl_param){key, type_utf8, (void *)value, strlen(value), (size_t)-1};
}

void *tl_rsa_new(const struct tl_number numbers[8]) {
    static const char *const names[8] = {
        "n", "e", "d", "rsa-factor1", "rsa-factor2", "rsa-exponent1", "rsa-exponent2", "rsa-coefficient1",
    };
    struct ossl_param params[9] = {0};
    for (int i = 0; i < 8; i++)
        params[i] = (struct ossl_param){names[i], type_unsigned, numbers[i].bytes, numbers[i].length, (size_t)-1};
    void *key = NULL;
    void *context = EVP_PKEY_CTX_new_from_name(library, "RSA", NULL);
    if (context == NULL || EVP_PKEY_fromdata_init(context) != 1 || EVP_PKEY_fromdata(context, &key, keypair, params) != 1) {
        ERR_clear_error();
        key = NULL;
    }
    EVP_PKEY_CTX_free(context);
    return key;
}

void tl_rsa_free(void *key) { EVP_PKEY_free(key); }

int tl_rsa_sign(void *key, const char *hash, int salt,
                const uint8_t *in, size_t in_length, uint8_t *out, size_t *out_length) {
    struct ossl_param params[5] = {0};
    int n = 0;
    if (hash != NULL)
        params[n++] = text("digest", hash);
    if (salt > 0) {
        params[n++] = text("pad-mode", "pss");
        params[n++] = text("mgf1-digest", hash);
        params[n++] = (struct ossl_param){"saltlen", type_integer, &salt, sizeof salt, (size_t)-1};
    } else {
        params[n++] = text("pad-mode", "pkcs1");
    }
    void *context = EVP_PKEY_CTX_new_from_pkey(library, key, NULL);
    int ok = context != NULL && EVP_PKEY_sign_init_ex(context, params) == 1 &&
             EVP_PKEY_sign(context, out, out_length, in, in_length) == 1;
    EVP_PKEY_CTX_free(context);
    if (!ok)
        ERR_clear_error();
    return ok;
}

int tl_rsa_decrypt(void *key, const char *hash, const char *mgf, const uint8_t *label, size_t label_length,
                   const uint8_t *in, size_t in_length, uint8_t *out, size_t *out_length) {
    struct ossl_param params[5] = {0};
    int n = 0;
    params[n++] = text("pad-mode", hash != NULL ? "oaep" : "none");
    if (hash != NULL) {
        params[n++] = text("digest", hash);
        params[n++] = text("mgf1-digest", mgf);
    }
    if (label_length > 0)
        params[n++] = (struct ossl_param){"oaep-label", type_octets, (void *)label, label_length, (size_t)-1};
    void *context = EVP_PKEY_CTX_new_from_pkey(library, key, NULL);
    int ok = context != NULL && EVP_PKEY_decrypt_init_ex(context, params) == 1 &&
             EVP_PKEY_decrypt(context, out, out_length, in, in_length) == 1;
    EVP_PKEY_CTX_free(context);
    // Always, since the queue would tell a wrong padding from a right one by the time.
    ERR_clear_error();
    return ok;
}
