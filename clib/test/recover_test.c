// Signatures with recovery: operations of one part. The fake makes no difference between them
// and others; its keys give outputs of a fixed length, or of one with an upper bound.
#include <string.h>

#include "check.h"
#include "fake.h"

static CK_SESSION_HANDLE session;
static CK_MECHANISM rsa = {CKM_RSA_PKCS, NULL, 0};
static CK_BYTE data[TL_MAX_FRAME + 1] = "data", output[64];

enum { AT_MOST = FAKE_KEY + 6 };

typedef CK_RV begin(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE);
typedef CK_RV use(CK_SESSION_HANDLE, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG *);

static void works(begin *init, use *once, CK_OBJECT_HANDLE key, CK_ULONG told, CK_ULONG real, CK_FLAGS flag) {
    CK_ULONG length = 0;
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, once(session, data, 4, output, &length));
    CHECK_RV(CKR_KEY_HANDLE_INVALID, init(session, &rsa, FAKE_ONE_PART + 1));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, init(session, NULL, 0));
    for (int i = 0; i < 2; i++) { // the second time with a permit
        CHECK_RV(CKR_OK, init(session, &rsa, key));
        CHECK_RV(CKR_OPERATION_ACTIVE, init(session, &rsa, key));
        CHECK_RV(CKR_OK, once(session, data, 4, NULL, &length));
        CHECK(length == told);
        length = real - 1;
        CHECK_RV(CKR_BUFFER_TOO_SMALL, once(session, data, 4, output, &length));
        CHECK(length == real);
        memset(output, 0x77, sizeof output);
        length = real;
        CHECK_RV(CKR_OK, once(session, data, 4, output, &length));
        CHECK(length == real && output[real - 1] != 0x77 && output[real] == 0x77);
        CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, once(session, data, 4, output, &length));
    }
    CHECK_RV(CKR_OK, init(session, &rsa, key));
    CHECK_RV(CKR_OK, C_SessionCancel(session, CKF_SIGN | CKF_VERIFY)); // other functions
    CHECK_RV(CKR_OPERATION_ACTIVE, init(session, &rsa, key));
    CHECK_RV(CKR_OK, C_SessionCancel(session, flag));
    CHECK_RV(CKR_OK, init(session, &rsa, key));
    CHECK_RV(CKR_OK, init(session, NULL, 0));
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, init(session + 1, &rsa, key));
}

static void refuses(begin *init, use *once) {
    CK_ULONG length = sizeof output;
    CHECK_RV(CKR_ARGUMENTS_BAD, once(session, NULL, 1, output, &length));
    CHECK_RV(CKR_ARGUMENTS_BAD, once(session, data, 4, output, NULL));
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, once(session + 1, data, 4, output, &length));
    CHECK_RV(CKR_OK, init(session, &rsa, FAKE_ONE_PART));
    CHECK_RV(CKR_DATA_LEN_RANGE, once(session, data, sizeof data, output, &length));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, once(session, data, 4, output, &length));
    // It is an operation with a key.
    CHECK_RV(CKR_OK, init(session, &rsa, FAKE_ONE_PART));
    CHECK_RV(CKR_STATE_UNSAVEABLE, C_GetOperationState(session, NULL, &length));
    CHECK_RV(CKR_OK, init(session, NULL, 0));
}

int main(void) {
    fake_start();
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    works(C_SignRecoverInit, C_SignRecover, FAKE_ONE_PART, 32, 32, CKF_SIGN_RECOVER);
    works(C_VerifyRecoverInit, C_VerifyRecover, AT_MOST, 32, 20, CKF_VERIFY_RECOVER);
    refuses(C_SignRecoverInit, C_SignRecover);
    refuses(C_VerifyRecoverInit, C_VerifyRecover);
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    fake_stop();
    return 0;
}
