// Operations: permits and round trips, length rules, buffers, data longer than a
// frame, output longer than a frame, cancelling.
#include <string.h>

#include "check.h"
#include "fake.h"

static struct fake *fake;
static CK_SESSION_HANDLE session;
static unsigned char data[3 << 20], output[sizeof data + 64];

enum { FIXED = FAKE_KEY + 1, LONGER, SHORTER, PADDED, UNPADDED, AT_MOST };

static unsigned requests(void) {
    unsigned all = 0;
    for (size_t i = 0; i < 128; i++)
        all += atomic_load(&fake->count[i]);
    return all;
}

#define ROUND_TRIPS(wanted, statement)                                                                                 \
    do {                                                                                                               \
        unsigned before = requests();                                                                                  \
        statement;                                                                                                     \
        unsigned made = requests() - before;                                                                           \
        if (made != (wanted))                                                                                          \
            fprintf(stderr, "%u round trips, want %u\n", made, (unsigned)(wanted));                                    \
        CHECK(made == (wanted));                                                                                       \
    } while (0)

static CK_MECHANISM mechanism = {CKM_SHA256_HMAC, NULL, 0};

static unsigned char checksum(const unsigned char *bytes, size_t n) {
    unsigned char sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = (unsigned char)(sum * 31 + bytes[i]);
    return sum;
}

static void sign(CK_ULONG n) {
    CK_ULONG length = 32;
    CHECK_RV(CKR_OK, C_SignInit(session, &mechanism, FIXED));
    CHECK_RV(CKR_OK, C_Sign(session, data, n, output, &length));
    CHECK(length == 32 && output[0] == checksum(data, n));
}

static void permits(void) {
    ROUND_TRIPS(2, sign(10)); // the first asks for the permit
    ROUND_TRIPS(1, sign(10));
    ROUND_TRIPS(1, sign(11));
    CHECK_RV(CKR_OK, C_Login(session, CKU_USER, (CK_UTF8CHAR *)"1234", 4)); // advances the epoch
    ROUND_TRIPS(2, sign(10));
    ROUND_TRIPS(1, sign(10));
    // Another session of the slot shares the permit, one of another slot does not.
    CK_SESSION_HANDLE first = session;
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    ROUND_TRIPS(1, sign(10));
    CHECK_RV(CKR_OK, C_CloseSession(session));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT + 1, CKF_SERIAL_SESSION, NULL, NULL, &session));
    ROUND_TRIPS(2, sign(10));
    CHECK_RV(CKR_OK, C_CloseSession(session));
    session = first;
    // An IV is not part of what a permit is found by; its length is.
    unsigned char iv[16] = {0};
    CK_MECHANISM cbc = {CKM_AES_CBC, iv, 16};
    CK_ULONG length = sizeof output;
    for (unsigned i = 0; i < 3; i++) {
        iv[0] = (unsigned char)i;
        ROUND_TRIPS(i == 0 ? 2 : 1, {
            CHECK_RV(CKR_OK, C_EncryptInit(session, &cbc, LONGER));
            CHECK_RV(CKR_OK, C_Encrypt(session, data, 16, output, &length));
        });
    }
    cbc.ulParameterLen = 15;
    ROUND_TRIPS(1, CHECK_RV(CKR_OK, C_EncryptInit(session, &cbc, LONGER)));
    CHECK_RV(CKR_OK, C_EncryptInit(session, NULL, 0));

    atomic_store(&fake->no_permits, true);
    CHECK_RV(CKR_OK, C_Logout(session));
    ROUND_TRIPS(2, sign(10));
    ROUND_TRIPS(2, sign(10));
    atomic_store(&fake->no_permits, false);
    ROUND_TRIPS(2, sign(10));

    CK_MECHANISM unknown = {CKM_VENDOR_DEFINED, NULL, 0};
    CHECK_RV(CKR_MECHANISM_INVALID, C_SignInit(session, &unknown, FIXED));
    CHECK_RV(CKR_KEY_HANDLE_INVALID, C_SignInit(session, &mechanism, 5));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_Sign(session, data, 1, output, &length));
}

// The mechanism's memory may go as soon as Init has returned.
static void pending_copy(void) {
    unsigned char iv[16] = {1};
    CK_MECHANISM cbc = {CKM_AES_CBC, iv, sizeof iv};
    for (int i = 0; i < 2; i++) {
        CK_ULONG length = sizeof output;
        cbc = (CK_MECHANISM){CKM_AES_CBC, iv, sizeof iv};
        CHECK_RV(CKR_OK, C_EncryptInit(session, &cbc, LONGER));
        cbc = (CK_MECHANISM){CKM_VENDOR_DEFINED, NULL, 0};
        CHECK_RV(CKR_OK, C_Encrypt(session, data, 16, output, &length));
    }
}

// lengths checks the query and the room for n bytes of data under one rule.
static void lengths(CK_OBJECT_HANDLE key, CK_ULONG n, CK_ULONG told, CK_ULONG real, bool exact) {
    CK_ULONG length = 12345;
    bool asks = key == FAKE_KEY;
    CHECK_RV(CKR_OK, C_EncryptInit(session, &mechanism, key));
    CHECK_RV(CKR_OK, C_EncryptInit(session, NULL, 0));
    CHECK_RV(CKR_OK, C_EncryptInit(session, &mechanism, key));
    ROUND_TRIPS(asks ? 1 : 0, CHECK_RV(CKR_OK, C_Encrypt(session, data, n, NULL, &length)));
    CHECK(length == told);
    if (real > 0) {
        length = real - 1;
        ROUND_TRIPS(exact && !asks ? 0 : 1,
                    CHECK_RV(CKR_BUFFER_TOO_SMALL, C_Encrypt(session, data, n, output, &length)));
        CHECK(length == (exact ? told : real));
    }
    length = real;
    memset(output, 0x77, real + 1);
    ROUND_TRIPS(1, CHECK_RV(CKR_OK, C_Encrypt(session, data, n, output, &length)));
    CHECK(length == real && output[real] == 0x77);
    for (CK_ULONG i = 0; i < real && i < n && key != FIXED; i++)
        CHECK(output[i] == (unsigned char)~data[i]);
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_Encrypt(session, data, n, output, &length));
}

static void rules(void) {
    lengths(FAKE_KEY, 100, 32, 32, true);
    lengths(FIXED, 100, 32, 32, true);
    lengths(LONGER, 100, 116, 116, true);
    lengths(LONGER, 0, 16, 16, true);
    lengths(SHORTER, 100, 84, 84, true);
    lengths(SHORTER, 10, 0, 0, true);
    lengths(PADDED, 100, 112, 112, true);
    lengths(PADDED, 16, 32, 32, true);
    lengths(UNPADDED, 100, 100, 95, false);
    lengths(AT_MOST, 100, 32, 20, false);
    // Below the least that is possible nothing is asked.
    CK_ULONG length = 83;
    CHECK_RV(CKR_OK, C_EncryptInit(session, &mechanism, UNPADDED));
    ROUND_TRIPS(0, CHECK_RV(CKR_BUFFER_TOO_SMALL, C_Encrypt(session, data, 100, output, &length)));
    CHECK(length == 100);
    CHECK_RV(CKR_OK, C_EncryptInit(session, NULL, 0));
}

// bad_arguments end an operation, as every error but CKR_BUFFER_TOO_SMALL does, whether its
// Init is pending or it has parts already. A bad session ends nothing.
static void bad_arguments(void) {
    CK_ULONG length = sizeof output;
    for (int parts = 0; parts < 2; parts++) {
        CHECK_RV(CKR_OK, C_SignInit(session, &mechanism, FIXED));
        if (parts)
            CHECK_RV(CKR_OK, C_SignUpdate(session, data, 10));
        CHECK_RV(CKR_SESSION_HANDLE_INVALID, C_SignUpdate(session + 1, data, 10));
        CHECK_RV(CKR_ARGUMENTS_BAD, C_SignUpdate(session + 1, NULL, 10));
        CHECK_RV(CKR_OK, C_SignUpdate(session, data, 10));
        CHECK_RV(CKR_ARGUMENTS_BAD, C_SignUpdate(session, NULL, 10));
        CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_SignUpdate(session, data, 10));

        CHECK_RV(CKR_OK, C_EncryptInit(session, &mechanism, LONGER));
        if (parts)
            CHECK_RV(CKR_OK, C_EncryptUpdate(session, data, 10, output, &length));
        CHECK_RV(CKR_ARGUMENTS_BAD, parts ? C_EncryptUpdate(session, data, 10, output, NULL)
                                          : C_Encrypt(session, data, 10, output, NULL));
        CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_Encrypt(session, data, 10, output, &length));
        length = sizeof output;

        CHECK_RV(CKR_OK, C_SignInit(session, &mechanism, FIXED));
        if (parts)
            CHECK_RV(CKR_OK, C_SignUpdate(session, data, 10));
        CHECK_RV(CKR_ARGUMENTS_BAD, C_SignFinal(session, output, NULL));
        CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_SignFinal(session, output, &length));

        CHECK_RV(CKR_OK, C_VerifyInit(session, &mechanism, FIXED));
        if (parts)
            CHECK_RV(CKR_OK, C_VerifyUpdate(session, data, 10));
        CHECK_RV(CKR_ARGUMENTS_BAD, parts ? C_VerifyFinal(session, NULL, 1) : C_Verify(session, data, 10, NULL, 1));
        CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_VerifyFinal(session, output, 1));
    }
}

static void states(void) {
    CK_ULONG length = sizeof output;
    CHECK_RV(CKR_ARGUMENTS_BAD, C_Sign(session, data, 10, output, NULL));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_Sign(session, NULL, 10, output, &length));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_SignInit(session, NULL, 0));
    CHECK_RV(CKR_OK, C_SignInit(session, &mechanism, FIXED));
    CHECK_RV(CKR_OPERATION_ACTIVE, C_SignInit(session, &mechanism, FIXED));
    CHECK_RV(CKR_OK, C_VerifyInit(session, &mechanism, FIXED)); // another function is free
    CHECK_RV(CKR_SIGNATURE_INVALID, C_Verify(session, data, 10, output, 1));
    output[0] = checksum(data, 10);
    CHECK_RV(CKR_OK, C_VerifyInit(session, &mechanism, FIXED));
    CHECK_RV(CKR_OK, C_Verify(session, data, 10, output, 1));

    CHECK_RV(CKR_OK, C_SignUpdate(session, data, 10)); // flushes the pending Init
    CHECK_RV(CKR_OPERATION_ACTIVE, C_Sign(session, data, 10, output, &length));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_SignUpdate(session, data, 10));

    CHECK_RV(CKR_OK, C_SignInit(session, &mechanism, FIXED));
    CHECK_RV(CKR_OK, C_SignUpdate(session, data, 10));
    CHECK_RV(CKR_OK, C_SignUpdate(session, data + 10, 20));
    ROUND_TRIPS(0, CHECK_RV(CKR_OK, C_SignFinal(session, NULL, &length)));
    CHECK(length == 32);
    length = 31;
    CHECK_RV(CKR_BUFFER_TOO_SMALL, C_SignFinal(session, output, &length));
    length = 40;
    CHECK_RV(CKR_OK, C_SignFinal(session, output, &length));
    CHECK(length == 32 && output[0] == checksum(data, 30));

    CHECK_RV(CKR_OK, C_SignInit(session, &mechanism, FIXED));
    ROUND_TRIPS(0, CHECK_RV(CKR_OK, C_SessionCancel(session, CKF_SIGN)));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_Sign(session, data, 10, output, &length));
    CHECK_RV(CKR_OK, C_SignInit(session, &mechanism, FIXED));
    CHECK_RV(CKR_OK, C_SignUpdate(session, data, 10));
    ROUND_TRIPS(1, CHECK_RV(CKR_OK, C_SessionCancel(session, CKF_SIGN | CKF_VERIFY)));
    ROUND_TRIPS(1, sign(10));

    CHECK_RV(CKR_OK, C_DigestInit(session, &(CK_MECHANISM){CKM_SHA256, NULL, 0}) == CKR_KEY_HANDLE_INVALID
                         ? CKR_OK
                         : CKR_GENERAL_ERROR); // the fake has no keyless rule; the error comes through
}

static void long_data(void) {
    CK_ULONG length = 0;
    CHECK_RV(CKR_OK, C_SignInit(session, &mechanism, FIXED));
    CHECK_RV(CKR_OK, C_Sign(session, data, sizeof data, NULL, &length));
    CHECK(length == 32);
    CHECK_RV(CKR_OK, C_Sign(session, data, sizeof data, output, &length));
    CHECK(length == 32 && output[0] == checksum(data, sizeof data));

    // Where the rule has to be asked for, the length of a signature still is known.
    length = 0;
    CHECK_RV(CKR_OK, C_SignInit(session, &mechanism, FAKE_KEY));
    CHECK_RV(CKR_BUFFER_TOO_SMALL, C_Sign(session, data, sizeof data, output, &length));
    CHECK(length == 32);
    CHECK_RV(CKR_OK, C_Sign(session, data, sizeof data, output, &length));
    CHECK(output[0] == checksum(data, sizeof data));

    output[0] = checksum(data, sizeof data);
    CHECK_RV(CKR_OK, C_VerifyInit(session, &mechanism, FIXED));
    CHECK_RV(CKR_OK, C_Verify(session, data, sizeof data, output, 1));

    CHECK_RV(CKR_OK, C_EncryptInit(session, &mechanism, LONGER));
    length = sizeof data + 15;
    CHECK_RV(CKR_BUFFER_TOO_SMALL, C_Encrypt(session, data, sizeof data, output, &length));
    CHECK(length == sizeof data + 16);
    CHECK_RV(CKR_OK, C_Encrypt(session, data, sizeof data, output, &length));
    CHECK(length == sizeof data + 16 && output[sizeof data] == checksum(data, sizeof data));
    for (size_t i = 0; i < sizeof data; i++)
        CHECK(output[i] == (unsigned char)~data[i]);

    length = sizeof output;
    CHECK_RV(CKR_OK, C_SignInit(session, &mechanism, FAKE_ONE_PART));
    CHECK_RV(CKR_DATA_LEN_RANGE, C_Sign(session, data, sizeof data, output, &length));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_Sign(session, data, 1, output, &length));
    CHECK_RV(CKR_OK, C_SignInit(session, &mechanism, FAKE_ONE_PART));
    CHECK_RV(CKR_OK, C_Sign(session, data, 1, output, &length));

    // A part longer than a frame; also one that needs Drain for each piece.
    memset(output, 0, sizeof output);
    CHECK_RV(CKR_OK, C_EncryptInit(session, &mechanism, LONGER));
    CHECK_RV(CKR_OK, C_EncryptUpdate(session, data, sizeof data - 5, NULL, &length));
    CHECK(length == sizeof data - 5);
    length--;
    CHECK_RV(CKR_BUFFER_TOO_SMALL, C_EncryptUpdate(session, data, sizeof data - 5, output, &length));
    CHECK_RV(CKR_OK, C_EncryptUpdate(session, data, sizeof data - 5, output, &length));
    CHECK(length == sizeof data - 5);
    length = 16;
    CHECK_RV(CKR_OK, C_EncryptFinal(session, output + sizeof data - 5, &length));
    CHECK(length == 16 && output[sizeof data - 5] == checksum(data, sizeof data - 5));
    for (size_t i = 0; i < sizeof data - 5; i++)
        CHECK(output[i] == (unsigned char)~data[i]);
}

int main(void) {
    fake = fake_start();
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7 + i / 1000);
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    permits();
    pending_copy();
    rules();
    bad_arguments();
    states();
    long_data();
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    fake_stop();
    return 0;
}
