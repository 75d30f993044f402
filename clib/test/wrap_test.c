// Wrapping, unwrapping, deriving, digesting keys, and arrays of attributes.
#include <string.h>

#include "check.h"
#include "fake.h"

static struct fake *fake;
static CK_SESSION_HANDLE session;
static CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP, NULL, 0};

enum { KEY = 7 };

static void wraps(void) {
    unsigned char wrapped[FAKE_WRAPPED + 1] = {0};
    CK_ULONG length = 0;
    CHECK_RV(CKR_ARGUMENTS_BAD, C_WrapKey(session, NULL, FAKE_KEY, KEY, NULL, &length));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_WrapKey(session, &mechanism, FAKE_KEY, KEY, wrapped, NULL));
    CHECK_RV(CKR_OK, C_WrapKey(session, &mechanism, FAKE_KEY, KEY, NULL, &length));
    CHECK(length == FAKE_WRAPPED && wrapped[0] == 0);
    length = FAKE_WRAPPED - 1;
    CHECK_RV(CKR_BUFFER_TOO_SMALL, C_WrapKey(session, &mechanism, FAKE_KEY, KEY, wrapped, &length));
    CHECK(length == FAKE_WRAPPED && wrapped[0] == 0);
    length = sizeof wrapped;
    CHECK_RV(CKR_OK, C_WrapKey(session, &mechanism, FAKE_KEY, KEY, wrapped, &length));
    CHECK(length == FAKE_WRAPPED && wrapped[0] == KEY && wrapped[FAKE_WRAPPED - 1] == KEY && wrapped[FAKE_WRAPPED] == 0);
    length = ~(CK_ULONG)0;
    CHECK_RV(CKR_OK, C_WrapKey(session, &mechanism, FAKE_KEY, KEY, wrapped, &length));
    CHECK(length == FAKE_WRAPPED);
    CHECK_RV(CKR_WRAPPING_KEY_HANDLE_INVALID, C_WrapKey(session, &mechanism, KEY, KEY, NULL, &length));
    // A lost reply does no harm: the call is made again.
    fake_fault(fake, FAULT_ANSWER, TL_CALL_WRAP_KEY, 1);
    length = sizeof wrapped;
    CHECK_RV(CKR_OK, C_WrapKey(session, &mechanism, FAKE_KEY, KEY, wrapped, &length));
    fake_fault(fake, FAULT_EMPTY, TL_CALL_WRAP_KEY, 1);
    CHECK_RV(CKR_DEVICE_ERROR, C_WrapKey(session, &mechanism, FAKE_KEY, KEY, wrapped, &length));
}

static void makes_keys(void) {
    unsigned char wrapped[FAKE_WRAPPED] = {0};
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE template[] = {{CKA_EXTRACTABLE, &no, sizeof no}};
    CK_OBJECT_HANDLE made = 0;
    CK_ULONG n = sizeof wrapped, huge = (CK_ULONG)1 << 61;
    CHECK_RV(CKR_OK, C_UnwrapKey(session, &mechanism, KEY, wrapped, n, template, 1, &made));
    CHECK(made == KEY);
    CHECK_RV(CKR_WRAPPED_KEY_LEN_RANGE, C_UnwrapKey(session, &mechanism, KEY, NULL, 0, template, 1, &made));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_UnwrapKey(session, &mechanism, KEY, NULL, n, template, 1, &made));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_UnwrapKey(session, NULL, KEY, wrapped, n, template, 1, &made));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_UnwrapKey(session, &mechanism, KEY, wrapped, n, template, huge, &made));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_UnwrapKey(session, &mechanism, KEY, wrapped, n, template, 1, NULL));
    CHECK_RV(CKR_DATA_LEN_RANGE, C_UnwrapKey(session, &mechanism, KEY, wrapped, huge, template, 1, &made));
    CHECK_RV(CKR_OK, C_DeriveKey(session, &mechanism, KEY + 1, template, 1, &made));
    CHECK(made == KEY + 1);
    CHECK_RV(CKR_TEMPLATE_INCOMPLETE, C_DeriveKey(session, &mechanism, KEY, NULL, 0, &made));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_DeriveKey(session, &mechanism, KEY, NULL, 1, &made));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_DeriveKey(session, NULL, KEY, template, 1, &made));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_DeriveKey(session, &mechanism, KEY, template, 1, NULL));
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, C_DeriveKey(session + 1, &mechanism, KEY, template, 1, &made));
}

static void digests(void) {
    CK_MECHANISM sha = {CKM_SHA_1, NULL, 0};
    unsigned char output[32], text[] = {3}, same[] = {3, FAKE_OBJECT};
    CK_ULONG length = sizeof output;
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_DigestKey(session, FAKE_OBJECT));
    // A key is a part of what is digested, also after an Init that was only noted.
    for (int i = 0; i < 2; i++) {
        CHECK_RV(CKR_OK, C_DigestInit(session, &sha));
        CHECK_RV(CKR_OK, C_DigestUpdate(session, text, sizeof text));
        CHECK_RV(CKR_OK, C_DigestKey(session, FAKE_OBJECT));
        CHECK_RV(CKR_OK, C_DigestFinal(session, output, &length));
        CHECK(output[0] == (unsigned char)(same[0] * 31 + same[1]));
    }
    CHECK_RV(CKR_OK, C_DigestInit(session, &sha));
    CHECK_RV(CKR_OK, C_DigestKey(session, FAKE_OBJECT));
    CHECK_RV(CKR_OPERATION_ACTIVE, C_Digest(session, text, sizeof text, output, &length));
    CHECK_RV(CKR_OK, C_DigestInit(session, &sha));
    CHECK_RV(CKR_KEY_INDIGESTIBLE, C_DigestKey(session, KEY));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_DigestFinal(session, output, &length));
    // A lost reply leaves nothing behind that a new digest would find.
    CHECK_RV(CKR_OK, C_DigestInit(session, &sha));
    fake_fault(fake, FAULT_ANSWER, TL_CALL_DIGEST_KEY, 1);
    CHECK_RV(CKR_DEVICE_ERROR, C_DigestKey(session, FAKE_OBJECT));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_DigestFinal(session, output, &length));
    CHECK_RV(CKR_OK, C_DigestInit(session, &sha));
    CHECK_RV(CKR_OK, C_Digest(session, text, sizeof text, output, &length));
    CHECK(output[0] == text[0]);
}

static void arrays(void) {
    char label[8] = "xxxxxxx";
    CK_BBOOL flag = CK_FALSE;
    CK_ATTRIBUTE inside[3] = {{0}};
    CK_ATTRIBUTE outside[] = {{CKA_WRAP_TEMPLATE, NULL, 0}, {CKA_LABEL, NULL, 0}};
    CHECK_RV(CKR_OK, C_GetAttributeValue(session, FAKE_OBJECT, outside, 2));
    CHECK(outside[0].ulValueLen == 2 * sizeof inside[0] && outside[1].ulValueLen == 5);

    outside[0].pValue = inside;
    CHECK_RV(CKR_OK, C_GetAttributeValue(session, FAKE_OBJECT, outside, 2));
    CHECK(outside[0].ulValueLen == 2 * sizeof inside[0]);
    CHECK(inside[0].type == CKA_LABEL && inside[0].ulValueLen == 5);
    CHECK(inside[1].type == CKA_EXTRACTABLE && inside[1].ulValueLen == 1 && inside[2].type == 0);

    inside[0].pValue = label;
    inside[1].pValue = &flag;
    CHECK_RV(CKR_OK, C_GetAttributeValue(session, FAKE_OBJECT, outside, 1));
    CHECK(memcmp(label, "labelxx", 8) == 0 && flag == CK_TRUE);

    inside[0].ulValueLen = 4;
    CHECK_RV(CKR_BUFFER_TOO_SMALL, C_GetAttributeValue(session, FAKE_OBJECT, outside, 1));
    CHECK(inside[0].ulValueLen == CK_UNAVAILABLE_INFORMATION && inside[1].ulValueLen == 1);
    outside[0].ulValueLen = sizeof inside[0];
    CHECK_RV(CKR_BUFFER_TOO_SMALL, C_GetAttributeValue(session, FAKE_OBJECT, outside, 1));
    CHECK(outside[0].ulValueLen == CK_UNAVAILABLE_INFORMATION);
    outside[0] = (CK_ATTRIBUTE){CKA_UNWRAP_TEMPLATE, NULL, 0};
    CHECK_RV(CKR_DEVICE_ERROR, C_GetAttributeValue(session, FAKE_OBJECT, outside, 1));
}

int main(void) {
    fake = fake_start();
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    wraps();
    makes_keys();
    digests();
    arrays();
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    fake_stop();
    return 0;
}
