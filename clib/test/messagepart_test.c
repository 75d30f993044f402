// Messages in parts.
#include <string.h>

#include "check.h"
#include "fake.h"

static struct fake *fake;
static CK_SESSION_HANDLE session;
static CK_MECHANISM gcm = {CKM_AES_GCM, NULL, 0};
static CK_BYTE iv[12], tag[17], aad[] = {1, 2, 3}, data[3 << 20], output[sizeof data + 1], back[sizeof data];
static CK_GCM_MESSAGE_PARAMS p = {iv, sizeof iv, 0, CKG_GENERATE, tag, 128};

enum { LAST = CKF_END_OF_MESSAGE };

static CK_RV begin(void) { return C_EncryptMessageBegin(session, &p, sizeof p, aad, sizeof aad); }

static CK_RV next(CK_BYTE *from, CK_ULONG n, CK_BYTE *to, CK_ULONG *length, CK_FLAGS flags) {
    return C_EncryptMessageNext(session, &p, sizeof p, from, n, to, length, flags);
}

static CK_RV decrypt(CK_BYTE *from, CK_ULONG n, CK_BYTE *to, CK_ULONG *length, CK_FLAGS flags) {
    return C_DecryptMessageNext(session, &p, sizeof p, from, n, to, length, flags);
}

static void whole_way(CK_ULONG first, CK_ULONG second) {
    CK_ULONG n = first + second, length = n;
    memset(iv, 9, sizeof iv);
    memset(tag, 0, sizeof tag);
    CHECK_RV(CKR_OK, begin());
    CHECK(iv[0] == FAKE_OBJECT && iv[11] == FAKE_OBJECT);
    CHECK_RV(CKR_OK, next(data, first, output, &length, 0));
    CHECK(length == 0);
    CHECK_RV(CKR_OK, next(data + first, second, NULL, &length, LAST));
    CHECK(length == n);
    if (n > 0) {
        length = n - 1;
        CHECK_RV(CKR_BUFFER_TOO_SMALL, next(data + first, second, output, &length, LAST));
        CHECK(length == n && tag[0] == 0);
    }
    output[n] = 0x77;
    CHECK_RV(CKR_OK, next(data + first, second, output, &length, LAST));
    CHECK(length == n && output[n] == 0x77 && tag[16] == 0);
    for (CK_ULONG i = 0; i < n; i++)
        CHECK((output[i] ^ data[i]) == 0xff);
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, next(data, 1, output, &length, 0));
    CHECK_RV(CKR_OK, C_DecryptMessageBegin(session, &p, sizeof p, aad, sizeof aad));
    length = 0;
    CHECK_RV(CKR_OK, decrypt(output, first, back, &length, 0));
    length = n;
    CHECK_RV(CKR_OK, decrypt(output + first, second, back, &length, LAST));
    CHECK(length == n && memcmp(back, data, n) == 0);

    tag[0] ^= 1;
    memset(back, 0, sizeof back);
    CHECK_RV(CKR_OK, C_DecryptMessageBegin(session, &p, sizeof p, aad, sizeof aad));
    CHECK_RV(CKR_AEAD_DECRYPT_FAILED, decrypt(output, n, back, &length, LAST));
    CHECK(n == 0 || back[0] == 0);
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, decrypt(output, n, back, &length, LAST));
}

static void states(void) {
    CK_ULONG length = sizeof output;
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, begin());
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, next(data, 1, output, &length, 0));
    CHECK_RV(CKR_OK, C_MessageEncryptInit(session, &gcm, FAKE_KEY));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, next(data, 1, output, &length, 0));
    CHECK_RV(CKR_OK, begin());
    CHECK_RV(CKR_OPERATION_ACTIVE, begin());
    CHECK_RV(CKR_OPERATION_ACTIVE, C_MessageEncryptInit(session, &gcm, FAKE_KEY));
    CHECK_RV(CKR_OPERATION_ACTIVE,
             C_EncryptMessage(session, &p, sizeof p, NULL, 0, data, 1, output, &length));
    CHECK_RV(CKR_OK, next(data, 3, output, &length, 0)); // nothing of that has ended it
    // Final ends the message, too, here and at the server.
    unsigned before = atomic_load(&fake->count[TL_CALL_OPERATION_CANCEL]);
    CHECK_RV(CKR_OK, C_MessageEncryptFinal(session));
    CHECK(atomic_load(&fake->count[TL_CALL_OPERATION_CANCEL]) == before + 1);
    CHECK_RV(CKR_OK, C_MessageEncryptInit(session, &gcm, FAKE_KEY));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, next(data, 1, output, &length, 0));
    CHECK_RV(CKR_OK, begin());
    CHECK_RV(CKR_OK, C_SessionCancel(session, CKF_MESSAGE_ENCRYPT));
    CHECK(atomic_load(&fake->count[TL_CALL_OPERATION_CANCEL]) == before + 2);
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_MessageEncryptFinal(session));
    CHECK_RV(CKR_OK, C_MessageEncryptInit(session, &gcm, FAKE_KEY));
    CHECK_RV(CKR_OK, C_MessageDecryptInit(session, &gcm, FAKE_KEY));
}

static void refuses(void) {
    CK_ULONG length = sizeof output;
    CK_GCM_MESSAGE_PARAMS bad = p;
    CHECK_RV(CKR_ARGUMENTS_BAD, C_EncryptMessageBegin(session, &p, sizeof p, NULL, 1));
    CHECK_RV(CKR_MECHANISM_PARAM_INVALID, C_EncryptMessageBegin(session, NULL, sizeof p, NULL, 0));
    CHECK_RV(CKR_MECHANISM_PARAM_INVALID, C_EncryptMessageBegin(session, &p, sizeof p - 1, NULL, 0));
    bad.pIv = NULL;
    CHECK_RV(CKR_MECHANISM_PARAM_INVALID, C_EncryptMessageBegin(session, &bad, sizeof bad, NULL, 0));
    CHECK_RV(CKR_DATA_LEN_RANGE, C_EncryptMessageBegin(session, &p, sizeof p, data, sizeof data));
    CHECK_RV(CKR_ENCRYPTED_DATA_LEN_RANGE, C_DecryptMessageBegin(session, &p, sizeof p, data, sizeof data));
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, C_EncryptMessageBegin(session + 1, &p, sizeof p, NULL, 0));
    CHECK_RV(CKR_OK, begin());
    CHECK_RV(CKR_ARGUMENTS_BAD, next(NULL, 1, output, &length, 0));
    CHECK_RV(CKR_ARGUMENTS_BAD, next(data, 1, output, NULL, 0));
    CHECK_RV(CKR_ARGUMENTS_BAD, next(data, 1, output, &length, 2));
    bad = p;
    bad.ulTagBits = 96; // begun with another
    CHECK_RV(CKR_MECHANISM_PARAM_INVALID,
             C_EncryptMessageNext(session, &bad, sizeof bad, data, 1, output, &length, LAST));
    CHECK_RV(CKR_MECHANISM_PARAM_INVALID, C_EncryptMessageNext(session, NULL, 0, data, 1, output, &length, LAST));
    CHECK_RV(CKR_OK, next(data, 1, output, &length, LAST)); // nothing of that has ended it
    CHECK(length == 1);
}

static void loses_replies(void) {
    static const enum fault faults[] = {FAULT_CLOSE, FAULT_ANSWER, FAULT_EMPTY};
    CK_ULONG length = sizeof output;
    fake_fault(fake, FAULT_ANSWER, TL_CALL_MESSAGE_BEGIN, 1);
    CHECK_RV(CKR_OK, begin()); // once more
    CHECK_RV(CKR_OK, next(data, 1, output, &length, LAST));
    fake_fault(fake, FAULT_EMPTY, TL_CALL_MESSAGE_BEGIN, 1);
    CHECK_RV(CKR_DEVICE_ERROR, begin());
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        CHECK_RV(CKR_OK, begin());
        fake_fault(fake, faults[i], TL_CALL_MESSAGE_NEXT, 1);
        length = sizeof output;
        CHECK_RV(CKR_DEVICE_ERROR, next(data, 1, output, &length, LAST));
        CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, next(data, 1, output, &length, LAST));
    }
    CHECK_RV(CKR_OK, begin());
    fake_fault(fake, FAULT_CLOSE, TL_CALL_DRAIN, 1);
    length = sizeof output;
    CHECK_RV(CKR_DEVICE_ERROR, next(data, sizeof data, output, &length, LAST));
    // Another run of the server knows nothing of it.
    CHECK_RV(CKR_OK, begin());
    fake_again();
    CK_RV rv = next(data, 1, output, &length, 0);
    CHECK(rv == CKR_DEVICE_ERROR || rv == CKR_OPERATION_NOT_INITIALIZED);
    CHECK_RV(CKR_OK, begin());
    CHECK_RV(CKR_OK, C_MessageEncryptFinal(session));
}

int main(void) {
    fake = fake_start();
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (CK_BYTE)(i * 7 + i / 1000);
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    states();
    whole_way(0, 0);
    whole_way(3, 4);
    whole_way(1 << 20, sizeof data - (1 << 20));
    refuses();
    loses_replies();
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    fake_stop();
    return 0;
}
