// Parts that two operations take at once.
#include <string.h>

#include "check.h"
#include "fake.h"

static struct fake *fake;
static CK_SESSION_HANDLE session;
static CK_MECHANISM cipher = {CKM_AES_CBC, NULL, 0}, mac = {CKM_SHA256_HMAC, NULL, 0}, hash = {CKM_SHA_1, NULL, 0};
static unsigned char data[3 << 20], output[sizeof data + 64];

enum { FIXED = FAKE_KEY + 1, LONGER };

typedef CK_RV update(CK_SESSION_HANDLE, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG *);

static unsigned char checksum(size_t n) {
    unsigned char sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = (unsigned char)(sum * 31 + data[i]);
    return sum;
}

static void fill(void) {
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7 + i / 1000);
}

static void begin_cipher(bool encrypts) {
    CHECK_RV(CKR_OK, (encrypts ? C_EncryptInit : C_DecryptInit)(session, &cipher, LONGER));
}

static void end_cipher(bool encrypts) {
    CK_ULONG length = 16;
    CHECK_RV(CKR_OK, (encrypts ? C_EncryptFinal : C_DecryptFinal)(session, output, &length));
}

static void begin_digest(void) { CHECK_RV(CKR_OK, C_DigestInit(session, &hash)); }
static void begin_sign(void) { CHECK_RV(CKR_OK, C_SignInit(session, &mac, FIXED)); }
static void begin_verify(void) { CHECK_RV(CKR_OK, C_VerifyInit(session, &mac, FIXED)); }

static void end_digest(unsigned char sum) {
    CK_ULONG length = 32;
    CHECK_RV(CKR_OK, C_DigestFinal(session, output, &length));
    CHECK(length == 32 && output[0] == sum);
}

static void end_sign(unsigned char sum) {
    CK_ULONG length = 32;
    CHECK_RV(CKR_OK, C_SignFinal(session, output, &length));
    CHECK(length == 32 && output[0] == sum);
}

static void end_verify(unsigned char sum) { CHECK_RV(CKR_OK, C_VerifyFinal(session, &sum, 1)); }

static const struct pair {
    update *update;
    bool encrypts;
    void (*begin)(void);
    void (*end)(unsigned char sum);
    CK_FLAGS other;
} pairs[] = {
    {C_DigestEncryptUpdate, true, begin_digest, end_digest, CKF_DIGEST},
    {C_DecryptDigestUpdate, false, begin_digest, end_digest, CKF_DIGEST},
    {C_SignEncryptUpdate, true, begin_sign, end_sign, CKF_SIGN},
    {C_DecryptVerifyUpdate, false, begin_verify, end_verify, CKF_VERIFY},
};

// invert makes the plaintext of data: what a decryption takes is its bytes, inverted.
static void invert(void) {
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)~data[i];
}

// takes goes the whole way, in one part and a second one.
static void takes(const struct pair *p) {
    CK_ULONG length = 0;
    fill();
    unsigned char sum = checksum(30);
    if (!p->encrypts)
        invert();
    begin_cipher(p->encrypts);
    p->begin();
    // The Inits may be pending; then a part is one round trip.
    CHECK_RV(CKR_OK, p->update(session, data, 10, NULL, &length));
    CHECK(length == 10);
    unsigned before = atomic_load(&fake->count[TL_CALL_UPDATE_BOTH]);
    length = 9;
    CHECK_RV(CKR_BUFFER_TOO_SMALL, p->update(session, data, 10, output, &length));
    CHECK(length == 10);
    CHECK_RV(CKR_OK, p->update(session, data, 10, output, &length));
    CHECK(length == 10 && output[9] == (unsigned char)~data[9]);
    CHECK_RV(CKR_OK, p->update(session, data + 10, 0, output, &length));
    CHECK(length == 0);
    length = 20;
    CHECK_RV(CKR_OK, p->update(session, data + 10, 20, data + 10, &length)); // in place
    CHECK(length == 20);
    CHECK(atomic_load(&fake->count[TL_CALL_UPDATE_BOTH]) == before + 4);
    end_cipher(p->encrypts);
    p->end(sum);
}

static CK_RV part(const struct pair *p) {
    CK_ULONG length = sizeof output;
    return p->update(session, data, 10, output, &length);
}

// needs_both leaves what is there as it is when the other is missing.
static void needs_both(const struct pair *p) {
    CK_ULONG length = 0;
    fill();
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, part(p));
    begin_cipher(p->encrypts);
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, part(p));
    end_cipher(p->encrypts);
    p->begin();
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, part(p));
    p->end(0);
    CHECK_RV(CKR_ARGUMENTS_BAD, p->update(session, NULL, 1, output, &length));
    CHECK_RV(CKR_ARGUMENTS_BAD, p->update(session, data, 1, output, NULL));
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, p->update(session + 1, data, 1, output, &length));
    // Bad arguments end both.
    begin_cipher(p->encrypts);
    p->begin();
    CHECK_RV(CKR_ARGUMENTS_BAD, p->update(session, data, 1, output, NULL));
    begin_cipher(p->encrypts);
    p->begin();
    end_cipher(p->encrypts);
    p->end(0);
}

// gone checks that neither operation is there, on both sides.
static void gone(const struct pair *p) {
    CHECK_RV(CKR_OK, C_SessionCancel(session, 0));
    begin_cipher(p->encrypts);
    p->begin();
    CHECK_RV(CKR_OK, part(p));
    CHECK_RV(CKR_OK, C_SessionCancel(session, CKF_ENCRYPT | CKF_DECRYPT | p->other));
}

static void ends_both(const struct pair *p) {
    static const enum fault faults[] = {FAULT_CLOSE, FAULT_ANSWER, FAULT_EMPTY, FAULT_GARBAGE};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        begin_cipher(p->encrypts);
        p->begin();
        CHECK_RV(CKR_OK, part(p));
        fake_fault(fake, faults[i], TL_CALL_UPDATE_BOTH, 1);
        CHECK_RV(CKR_DEVICE_ERROR, part(p));
        gone(p);
    }
    // Another run of the server has neither.
    begin_cipher(p->encrypts);
    p->begin();
    CHECK_RV(CKR_OK, part(p));
    fake_again();
    CK_RV rv = part(p);
    CHECK(rv == CKR_DEVICE_ERROR || rv == CKR_OPERATION_NOT_INITIALIZED);
    gone(p);
}

// The operations may go on with parts of their own, and with parts in between.
static void mixes(void) {
    CK_ULONG length = sizeof output;
    fill();
    begin_cipher(true);
    begin_digest();
    CHECK_RV(CKR_OK, C_DigestUpdate(session, data, 3));
    CHECK_RV(CKR_OK, C_DigestEncryptUpdate(session, data + 3, 4, output, &length));
    length = sizeof output;
    CHECK_RV(CKR_OPERATION_ACTIVE, C_Digest(session, data, 3, output, &length));
    begin_digest();
    CHECK_RV(CKR_OK, C_EncryptUpdate(session, data, 16, output, &length));
    CHECK_RV(CKR_OK, C_SessionCancel(session, CKF_ENCRYPT | CKF_DIGEST));
    // A digest that has had nothing but such a part works in parts from then on.
    begin_cipher(true);
    begin_digest();
    length = 0;
    CHECK_RV(CKR_OK, C_DigestEncryptUpdate(session, data, 4, NULL, &length)); // asks only
    length = sizeof output;
    CHECK_RV(CKR_OK, C_Digest(session, data, 3, output, &length));
    begin_digest();
    length = sizeof output;
    CHECK_RV(CKR_OK, C_DigestEncryptUpdate(session, data, 4, output, &length));
    CHECK_RV(CKR_OPERATION_ACTIVE, C_Digest(session, data, 3, output, &length));
    CHECK_RV(CKR_OK, C_SessionCancel(session, CKF_ENCRYPT | CKF_DIGEST));
}

static void long_part(void) {
    CK_ULONG length = 0;
    fill();
    unsigned char sum = checksum(sizeof data - 5);
    begin_cipher(true);
    begin_sign();
    CHECK_RV(CKR_OK, C_SignEncryptUpdate(session, data, sizeof data - 5, NULL, &length));
    CHECK(length == sizeof data - 5);
    length--;
    CHECK_RV(CKR_BUFFER_TOO_SMALL, C_SignEncryptUpdate(session, data, sizeof data - 5, output, &length));
    CHECK(length == sizeof data - 5);
    CHECK_RV(CKR_OK, C_SignEncryptUpdate(session, data, sizeof data - 5, output, &length));
    CHECK(length == sizeof data - 5);
    for (size_t i = 0; i < sizeof data - 5; i++)
        CHECK(output[i] == (unsigned char)~data[i]);
    end_cipher(true);
    end_sign(sum);
}

int main(void) {
    fake = fake_start();
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        takes(&pairs[i]);
        takes(&pairs[i]); // with the permits of before
        needs_both(&pairs[i]);
        ends_both(&pairs[i]);
    }
    mixes();
    long_part();
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    fake_stop();
    return 0;
}
