// Encrypting and decrypting message by message.
#include <string.h>

#include "check.h"
#include "fake.h"

static struct fake *fake;
static CK_SESSION_HANDLE session;
static CK_MECHANISM gcm = {CKM_AES_GCM, NULL, 0};

enum { IV = 12, TAG = 16 };

static CK_BYTE iv[IV], tag[TAG + 1];
static CK_BYTE aad[] = {1, 2, 3};

static CK_GCM_MESSAGE_PARAMS parameter(CK_GENERATOR_FUNCTION generator) {
    memset(iv, 9, sizeof iv);
    memset(tag, 0, sizeof tag);
    return (CK_GCM_MESSAGE_PARAMS){iv, IV, 0, generator, tag, 8 * TAG};
}

static CK_RV encrypt(CK_GCM_MESSAGE_PARAMS *p, CK_ULONG n, CK_BYTE *output, CK_ULONG *length) {
    return C_EncryptMessage(session, p, sizeof *p, aad, sizeof aad, (CK_BYTE *)"message", n, output, length);
}

static CK_RV decrypt(CK_GCM_MESSAGE_PARAMS *p, CK_BYTE *data, CK_ULONG n, CK_BYTE *output, CK_ULONG *length) {
    return C_DecryptMessage(session, p, sizeof *p, aad, sizeof aad, data, n, output, length);
}

static void begins_and_ends(void) {
    CK_BYTE output[8];
    CK_ULONG length = sizeof output;
    CK_GCM_MESSAGE_PARAMS p = parameter(CKG_GENERATE);
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, encrypt(&p, 7, output, &length));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_MessageEncryptFinal(session));
    CHECK_RV(CKR_KEY_HANDLE_INVALID, C_MessageEncryptInit(session, &gcm, FAKE_KEY + 1));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_MessageEncryptFinal(session));
    CHECK_RV(CKR_OK, C_MessageEncryptInit(session, &gcm, FAKE_KEY));
    CHECK_RV(CKR_OPERATION_ACTIVE, C_MessageEncryptInit(session, &gcm, FAKE_KEY));
    // The other function's are others.
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_MessageDecryptFinal(session));
    CHECK_RV(CKR_OK, C_MessageDecryptInit(session, &gcm, FAKE_KEY));
    CHECK_RV(CKR_OK, C_MessageEncryptFinal(session));
    CHECK_RV(CKR_OK, C_MessageDecryptFinal(session));
    // The structure of the messages may come with Init; nothing reads it then.
    CK_MECHANISM given = {CKM_AES_GCM, &p, sizeof p};
    CHECK_RV(CKR_OK, C_MessageEncryptInit(session, &given, FAKE_KEY));
    CHECK_RV(CKR_OK, C_MessageEncryptInit(session, NULL, 0));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_MessageEncryptInit(session, NULL, 0));
    CHECK_RV(CKR_OK, C_MessageEncryptInit(session, &gcm, FAKE_KEY));
    CHECK_RV(CKR_OK, C_MessageDecryptInit(session, &gcm, FAKE_KEY));
    CHECK_RV(CKR_OK, C_SessionCancel(session, CKF_MESSAGE_ENCRYPT));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_MessageEncryptFinal(session));
    CHECK_RV(CKR_OK, C_SessionCancel(session, CKF_MESSAGE_DECRYPT));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_MessageDecryptFinal(session));
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, C_MessageEncryptInit(session + 1, &gcm, FAKE_KEY));
    // Messages end with their session: another in its memory has none.
    CK_SESSION_HANDLE other;
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &other));
    CHECK_RV(CKR_OK, C_MessageEncryptInit(other, &gcm, FAKE_KEY));
    CHECK_RV(CKR_OK, C_CloseSession(other));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &other));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_MessageEncryptFinal(other));
    CHECK_RV(CKR_OK, C_CloseSession(other));
}

static void goes_there_and_back(void) {
    static CK_BYTE kept[IV];
    CK_BYTE output[8] = {0}, back[8] = {0};
    CK_ULONG length = 0;
    CK_GCM_MESSAGE_PARAMS p = parameter(CKG_GENERATE);
    CHECK_RV(CKR_OK, C_MessageEncryptInit(session, &gcm, FAKE_KEY));
    CHECK_RV(CKR_OK, C_MessageDecryptInit(session, &gcm, FAKE_KEY));
    unsigned before = atomic_load(&fake->count[TL_CALL_MESSAGE_CRYPT]);
    CHECK_RV(CKR_OK, encrypt(&p, 7, NULL, &length));
    CHECK(length == 7);
    length = 6;
    CHECK_RV(CKR_BUFFER_TOO_SMALL, encrypt(&p, 7, output, &length));
    CHECK(length == 7 && iv[0] == 9 && tag[0] == 0 && output[0] == 0);
    CHECK(atomic_load(&fake->count[TL_CALL_MESSAGE_CRYPT]) == before); // the library knows the length

    length = sizeof output;
    CHECK_RV(CKR_OK, encrypt(&p, 7, output, &length));
    CHECK(length == 7 && output[0] == (CK_BYTE)~'m' && output[7] == 0);
    CHECK(iv[0] == FAKE_OBJECT && iv[IV - 1] == FAKE_OBJECT && tag[TAG - 1] == (FAKE_OBJECT ^ 3) && tag[TAG] == 0);
    length = sizeof back;
    CHECK_RV(CKR_OK, decrypt(&p, output, 7, back, &length));
    CHECK(length == 7 && memcmp(back, "message", 8) == 0);
    tag[0] ^= 1;
    memset(back, 0, sizeof back);
    CHECK_RV(CKR_AEAD_DECRYPT_FAILED, decrypt(&p, output, 7, back, &length));
    CHECK(back[0] == 0);
    tag[0] ^= 1; // an error has ended nothing
    CHECK_RV(CKR_OK, decrypt(&p, output, 7, back, &length));

    // An IV of the caller's own is not written.
    p = parameter(CKG_NO_GENERATE);
    CHECK_RV(CKR_OK, encrypt(&p, 7, output, &length));
    CHECK(iv[0] == 9 && tag[0] == (9 ^ 3));
    // Nothing but additional data; in place.
    length = 0;
    CHECK_RV(CKR_OK, C_EncryptMessage(session, &p, sizeof p, aad, sizeof aad, NULL, 0, output, &length));
    CHECK(length == 0);
    memcpy(kept, "in place", 8);
    length = 8;
    CHECK_RV(CKR_OK, C_EncryptMessage(session, &p, sizeof p, NULL, 0, kept, 8, kept, &length));
    CHECK(kept[0] == (CK_BYTE)~'i');

    // A lost reply does no harm: the message is sent again.
    fake_fault(fake, FAULT_ANSWER, TL_CALL_MESSAGE_CRYPT, 1);
    length = sizeof output;
    CHECK_RV(CKR_OK, encrypt(&p, 7, output, &length));
    fake_fault(fake, FAULT_EMPTY, TL_CALL_MESSAGE_CRYPT, 1);
    CHECK_RV(CKR_DEVICE_ERROR, encrypt(&p, 7, output, &length));
    CHECK_RV(CKR_OK, encrypt(&p, 7, output, &length));
    // A result of another length than it must have.
    CHECK_RV(CKR_DEVICE_ERROR, C_EncryptMessage(session, &p, sizeof p, NULL, 0, (CK_BYTE *)"!", 1, output, &length));
}

// The longest message fills the frame of its request.
static void fills_a_frame(void) {
    enum { LONGEST = TL_MAX_FRAME - TL_HEADER_SIZE - (1 + 16 + 8 + 3 * 8 + 4 * 4) - IV - TAG };
    static CK_BYTE data[LONGEST + 1];
    CK_ULONG length = sizeof data;
    CK_GCM_MESSAGE_PARAMS p = parameter(CKG_GENERATE);
    CHECK_RV(CKR_DATA_LEN_RANGE, C_EncryptMessage(session, &p, sizeof p, NULL, 0, data, LONGEST + 1, data, &length));
    CHECK_RV(CKR_OK, C_EncryptMessage(session, &p, sizeof p, NULL, 0, data, LONGEST, data, &length));
    CHECK(length == LONGEST && data[0] == 0xff && data[LONGEST - 1] == 0xff && data[LONGEST] == 0);
    CHECK_RV(CKR_DATA_LEN_RANGE, C_EncryptMessage(session, &p, sizeof p, data, LONGEST, data, 1, data, &length));
}

static void refuses(void) {
    CK_BYTE output[8];
    CK_ULONG length = sizeof output, huge = (CK_ULONG)1 << 61;
    CK_GCM_MESSAGE_PARAMS p = parameter(CKG_GENERATE);
    CHECK_RV(CKR_ARGUMENTS_BAD, encrypt(&p, 7, output, NULL));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_EncryptMessage(session, &p, sizeof p, NULL, 1, NULL, 0, output, &length));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_EncryptMessage(session, &p, sizeof p, NULL, 0, NULL, 1, output, &length));
    CHECK_RV(CKR_MECHANISM_PARAM_INVALID, C_EncryptMessage(session, NULL, sizeof p, NULL, 0, NULL, 0, output, &length));
    CHECK_RV(CKR_MECHANISM_PARAM_INVALID,
             C_EncryptMessage(session, &p, sizeof p - 1, NULL, 0, NULL, 0, output, &length));
    const CK_GCM_MESSAGE_PARAMS bad[] = {
        {NULL, IV, 0, CKG_GENERATE, tag, 8 * TAG}, {iv, huge, 0, CKG_GENERATE, tag, 8 * TAG},
        {iv, IV, 0, CKG_GENERATE, NULL, 8 * TAG},  {iv, IV, 0, CKG_GENERATE, tag, huge},
        {iv, 0, 0, CKG_GENERATE, tag, 8 * TAG},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        p = bad[i];
        CHECK_RV(CKR_MECHANISM_PARAM_INVALID, encrypt(&p, 7, output, &length));
        CHECK_RV(CKR_MECHANISM_PARAM_INVALID, decrypt(&p, (CK_BYTE *)"message", 7, output, &length));
    }
    p = parameter(CKG_GENERATE);
    length = huge;
    CHECK_RV(CKR_DATA_LEN_RANGE, C_EncryptMessage(session, &p, sizeof p, NULL, 0, aad, huge, output, &length));
    CHECK_RV(CKR_DATA_LEN_RANGE, C_EncryptMessage(session, &p, sizeof p, aad, huge, aad, 3, output, &length));
    CHECK_RV(CKR_ENCRYPTED_DATA_LEN_RANGE, C_DecryptMessage(session, &p, sizeof p, aad, huge, aad, 3, output, &length));
    CHECK_RV(CKR_OK, C_MessageEncryptFinal(session));
    CHECK_RV(CKR_OK, C_MessageDecryptFinal(session));
}

int main(void) {
    fake = fake_start();
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
    begins_and_ends();
    goes_there_and_back();
    fills_a_frame();
    refuses();
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    fake_stop();
    return 0;
}
