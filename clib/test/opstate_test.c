// Saving and restoring the state of a digest.
#include <string.h>

#include "check.h"
#include "fake.h"

static struct fake *fake;
static CK_SESSION_HANDLE session;
static CK_MECHANISM hash = {CKM_SHA_1, NULL, 0}, mac = {CKM_SHA256_HMAC, NULL, 0}, gcm = {CKM_AES_GCM, NULL, 0};
static CK_BYTE data[] = "data", output[64], state[FAKE_STATE + 1];

static CK_RV get(CK_BYTE *to, CK_ULONG *length) { return C_GetOperationState(session, to, length); }
static CK_RV set(CK_ULONG length) { return C_SetOperationState(session, state, length, 0, 0); }

static CK_BYTE digest(void) {
    CK_ULONG length = 32;
    CHECK_RV(CKR_OK, C_DigestFinal(session, output, &length));
    CHECK(length == 32);
    return output[0];
}

static void saves(void) {
    CK_ULONG length = sizeof state;
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, get(state, &length));
    CHECK_RV(CKR_ARGUMENTS_BAD, get(state, NULL));
    CHECK_RV(CKR_OK, C_DigestInit(session, &hash)); // perhaps pending
    CHECK_RV(CKR_OK, get(NULL, &length));
    CHECK(length == FAKE_STATE);
    CHECK_RV(CKR_OK, C_DigestUpdate(session, data, 4));
    length = FAKE_STATE - 1;
    memset(state, 0x77, sizeof state);
    CHECK_RV(CKR_BUFFER_TOO_SMALL, get(state, &length));
    CHECK(length == FAKE_STATE && state[0] == 0x77);
    length = sizeof state;
    CHECK_RV(CKR_OK, get(state, &length));
    CHECK(length == FAKE_STATE && state[0] != 0x77 && state[FAKE_STATE] == 0x77);
    CHECK(digest() == state[0]);
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, get(state, &length));
}

static void restores(void) {
    CK_ULONG length = sizeof output;
    CHECK_RV(CKR_OK, set(FAKE_STATE));
    CHECK_RV(CKR_OPERATION_ACTIVE, C_DigestInit(session, &hash));
    CHECK_RV(CKR_OPERATION_ACTIVE, C_Digest(session, data, 4, output, &length)); // it works in parts
    CHECK_RV(CKR_OK, set(FAKE_STATE));
    CHECK_RV(CKR_OK, C_DigestFinal(session, NULL, &length));
    CHECK(length == 32);
    CHECK(digest() == state[0]);

    // It takes the place of all that there is, and leaves nothing of it.
    CHECK_RV(CKR_OK, C_SignInit(session, &mac, FAKE_KEY + 1));
    CHECK_RV(CKR_OK, C_SignUpdate(session, data, 4));
    CHECK_RV(CKR_OK, C_VerifyInit(session, &mac, FAKE_KEY + 1));
    CHECK_RV(CKR_OK, C_MessageEncryptInit(session, &gcm, FAKE_KEY));
    CHECK_RV(CKR_OK, C_DigestInit(session, &hash));
    CHECK_RV(CKR_OK, set(FAKE_STATE));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_SignUpdate(session, data, 4));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_VerifyUpdate(session, data, 4));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_MessageEncryptFinal(session));
    CHECK_RV(CKR_OK, C_SignInit(session, &mac, FAKE_KEY + 1));
    CHECK_RV(CKR_OK, C_SessionCancel(session, CKF_SIGN));
    CHECK(digest() == state[0]);

    // A digest that has had nothing yet may have it all in one part.
    CK_BYTE before = state[0];
    memset(state, 0, sizeof state);
    CHECK_RV(CKR_OK, set(FAKE_STATE));
    length = sizeof output;
    CHECK_RV(CKR_OK, C_Digest(session, data, 4, output, &length));
    memset(state, before, sizeof state);
}

static void unsaveable(void) {
    CK_ULONG length = sizeof state;
    CHECK_RV(CKR_OK, C_DigestInit(session, &hash));
    CHECK_RV(CKR_OK, C_SignInit(session, &mac, FAKE_KEY + 1));
    CHECK_RV(CKR_STATE_UNSAVEABLE, get(state, &length));
    CHECK_RV(CKR_OK, C_SessionCancel(session, CKF_SIGN));
    CHECK_RV(CKR_OK, C_MessageDecryptInit(session, &gcm, FAKE_KEY));
    CHECK_RV(CKR_STATE_UNSAVEABLE, get(state, &length));
    CHECK_RV(CKR_OK, C_MessageDecryptFinal(session));
    CHECK_RV(CKR_OK, get(NULL, &length));
    CHECK_RV(CKR_OK, C_SessionCancel(session, CKF_DIGEST));
    CHECK_RV(CKR_OK, C_MessageEncryptInit(session, &gcm, FAKE_KEY));
    CHECK_RV(CKR_STATE_UNSAVEABLE, get(state, &length));
    CHECK_RV(CKR_OK, C_MessageEncryptFinal(session));
}

// refuses changes nothing of the session.
static void refuses(void) {
    static CK_BYTE huge[TL_MAX_FRAME];
    CHECK_RV(CKR_OK, C_SignInit(session, &mac, FAKE_KEY + 1));
    CHECK_RV(CKR_OK, C_SignUpdate(session, data, 4));
    CHECK_RV(CKR_SAVED_STATE_INVALID, set(FAKE_STATE - 1));
    CHECK_RV(CKR_SAVED_STATE_INVALID, C_SetOperationState(session, NULL, 0, 0, 0));
    CHECK_RV(CKR_SAVED_STATE_INVALID, C_SetOperationState(session, huge, sizeof huge, 0, 0));
    CHECK_RV(CKR_SAVED_STATE_INVALID, C_SetOperationState(session, huge, ~(CK_ULONG)0, 0, 0));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_SetOperationState(session, NULL, 1, 0, 0));
    CHECK_RV(CKR_KEY_NOT_NEEDED, C_SetOperationState(session, state, FAKE_STATE, FAKE_KEY, 0));
    CHECK_RV(CKR_KEY_NOT_NEEDED, C_SetOperationState(session, state, FAKE_STATE, 0, FAKE_KEY));
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, C_SetOperationState(session + 1, state, FAKE_STATE, 0, 0));
    CHECK_RV(CKR_OK, C_SignUpdate(session, data, 4));
    CHECK_RV(CKR_OK, C_SessionCancel(session, CKF_SIGN));
}

static void loses_replies(void) {
    CK_ULONG length = sizeof state;
    // Both may be repeated.
    CHECK_RV(CKR_OK, C_DigestInit(session, &hash));
    fake_fault(fake, FAULT_ANSWER, TL_CALL_GET_OPERATION_STATE, 1);
    CHECK_RV(CKR_OK, get(state, &length));
    fake_fault(fake, FAULT_EMPTY, TL_CALL_GET_OPERATION_STATE, 1);
    length = sizeof state;
    CHECK_RV(CKR_DEVICE_ERROR, get(state, &length));
    fake_fault(fake, FAULT_ANSWER, TL_CALL_SET_OPERATION_STATE, 1);
    CHECK_RV(CKR_OK, set(FAKE_STATE));
    // Nobody knows whether the server has replaced the signature.
    CHECK_RV(CKR_OK, C_SignInit(session, &mac, FAKE_KEY + 1));
    CHECK_RV(CKR_OK, C_SignUpdate(session, data, 4));
    fake_fault(fake, FAULT_EMPTY, TL_CALL_SET_OPERATION_STATE, 1);
    CHECK_RV(CKR_DEVICE_ERROR, set(FAKE_STATE));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_SignUpdate(session, data, 4));
    CHECK_RV(CKR_OK, C_DigestInit(session, &hash));
    CHECK_RV(CKR_OK, C_DigestUpdate(session, data, 4));
    // Another run of the server has no digest.
    fake_again();
    length = sizeof state;
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, get(state, &length));
    CHECK_RV(CKR_OK, C_DigestInit(session, &hash));
    CHECK_RV(CKR_OK, C_SessionCancel(session, CKF_DIGEST));
}

int main(void) {
    fake = fake_start();
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    saves();
    restores();
    unsaveable();
    refuses();
    loses_replies();
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    fake_stop();
    return 0;
}
