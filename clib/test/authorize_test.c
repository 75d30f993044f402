// Per-key authorization: what the library sends of it, and what it refuses itself.
#include <string.h>

#include "check.h"
#include "fake.h"
#include "tidelock/vendor.h"

static struct fake *fake;

static CK_UTF8CHAR *text(const char *s) { return (CK_UTF8CHAR *)(uintptr_t)s; }

static const CK_ULONG huge = (CK_ULONG)1 << 40;

static CK_RV set(CK_SESSION_HANDLE s, const char *old, CK_ULONG old_length, const char *new, CK_ULONG new_length) {
    return CA_SetAuthorizationData(s, FAKE_OBJECT, text(old), old_length, text(new), new_length);
}

// sent checks what the server got with the last call, which it got count times in all.
static void sent(unsigned call, unsigned count, const char *old, const char *new) {
    CHECK(atomic_load(&fake->count[call]) == count);
    CHECK(atomic_load(&fake->key) == FAKE_OBJECT && strcmp(fake->old, old) == 0 && strcmp(fake->pin, new) == 0);
}

static void arguments(CK_SESSION_HANDLE s) {
    CHECK_RV(CKR_ARGUMENTS_BAD, CA_AuthorizeKey(s, FAKE_OBJECT, NULL, 8));
    CHECK_RV(CKR_ARGUMENTS_BAD, CA_ResetAuthorizationData(s, FAKE_OBJECT, NULL, 8));
    CHECK_RV(CKR_ARGUMENTS_BAD, set(s, "12345678", 8, NULL, 8));
    CHECK_RV(CKR_ARGUMENTS_BAD, set(s, NULL, 8, "12345678", 8));
    CHECK_RV(CKR_AUTH_DATA_TOO_LARGE, CA_AuthorizeKey(s, FAKE_OBJECT, text("12345678"), huge));
    CHECK_RV(CKR_AUTH_DATA_TOO_LARGE, CA_ResetAuthorizationData(s, FAKE_OBJECT, text("12345678"), huge));
    CHECK_RV(CKR_AUTH_DATA_TOO_LARGE, set(s, "12345678", huge, "12345678", 8));
    CHECK_RV(CKR_AUTH_DATA_TOO_LARGE, set(s, "12345678", 8, "12345678", huge));
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, CA_AuthorizeKey(4000, FAKE_OBJECT, text("12345678"), 8));
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, CA_AssignKey(4000, FAKE_OBJECT));
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, CA_IncrementFailedAuthCount(4000, FAKE_OBJECT));
}

static void calls(CK_SESSION_HANDLE s) {
    CHECK_RV(CKR_OK, CA_AuthorizeKey(s, FAKE_OBJECT, text("11111111"), 8));
    sent(TL_CALL_AUTHORIZE_KEY, 1, "", "11111111");
    CHECK_RV(CKR_OK, set(s, "22222222", 8, "333333333", 9));
    sent(TL_CALL_SET_AUTHORIZATION_DATA, 1, "22222222", "333333333");
    CHECK_RV(CKR_OK, set(s, NULL, 0, "4444444444", 10));
    sent(TL_CALL_SET_AUTHORIZATION_DATA, 2, "", "4444444444");
    CHECK_RV(CKR_OK, CA_ResetAuthorizationData(s, FAKE_OBJECT, text("55555555"), 8));
    sent(TL_CALL_RESET_AUTHORIZATION_DATA, 1, "", "55555555");
    CHECK_RV(CKR_OK, CA_AssignKey(s, FAKE_OBJECT));
    sent(TL_CALL_ASSIGN_KEY, 1, "", "");
    CHECK_RV(CKR_OK, CA_IncrementFailedAuthCount(s, FAKE_OBJECT));
    sent(TL_CALL_INCREMENT_FAILED_AUTH_COUNT, 1, "", "");
    CHECK_RV(CKR_KEY_HANDLE_INVALID, CA_AssignKey(s, FAKE_OBJECT + 1));
}

// An answer that is lost does not make the library try, or count, twice.
static void once(CK_SESSION_HANDLE s) {
    fake_fault(fake, FAULT_ANSWER, TL_CALL_AUTHORIZE_KEY, 1);
    CHECK_RV(CKR_DEVICE_ERROR, CA_AuthorizeKey(s, FAKE_OBJECT, text("11111111"), 8));
    sent(TL_CALL_AUTHORIZE_KEY, 2, "", "11111111");
    fake_fault(fake, FAULT_ANSWER, TL_CALL_INCREMENT_FAILED_AUTH_COUNT, 1);
    CHECK_RV(CKR_DEVICE_ERROR, CA_IncrementFailedAuthCount(s, FAKE_OBJECT));
    sent(TL_CALL_INCREMENT_FAILED_AUTH_COUNT, 2, "", "");
}

int main(void) {
    CK_SESSION_HANDLE session;
    fake = fake_start();
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, CA_AuthorizeKey(1, FAKE_OBJECT, text("12345678"), 8));
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, CA_AssignKey(1, FAKE_OBJECT));
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    arguments(session);
    calls(session);
    once(session);
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    fake_stop();
    return 0;
}
