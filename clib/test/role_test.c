// Initialising a token, making roles and asking for their state.
#include <string.h>

#include "check.h"
#include "fake.h"
#include "memory.h"
#include "tidelock/vendor.h"

static struct fake *fake;

static CK_UTF8CHAR *text(const char *s) { return (CK_UTF8CHAR *)(uintptr_t)s; }

static CK_UTF8CHAR label[32 + 1];
static const CK_ULONG huge = (CK_ULONG)1 << 40;

static void tokens(void) {
    CK_SESSION_HANDLE session, other;
    CK_SESSION_INFO info;
    memcpy(label, "my label                        ", 33);
    CHECK_RV(CKR_ARGUMENTS_BAD, C_InitToken(FAKE_SLOT, NULL, 0, label));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_InitToken(FAKE_SLOT, text("12345678"), 8, NULL));
    CHECK_RV(CKR_SLOT_ID_INVALID, C_InitToken(99, text("12345678"), 8, label));
    CHECK_RV(CKR_PIN_LEN_RANGE, C_InitToken(FAKE_SLOT, text("12345678"), huge, label));
    CHECK_RV(CKR_OK, C_InitToken(FAKE_SLOT, text("12345678"), 8, label));
    CHECK(strcmp(fake->label, "my label") == 0 && strcmp(fake->pin, "12345678") == 0);

    // A label that fills the field is not cut, and one of blanks is empty.
    memset(label, 'x', 32);
    CHECK_RV(CKR_OK, C_InitToken(FAKE_SLOT, text("12345678"), 8, label));
    CHECK(strlen(fake->label) == 32);
    memset(label, ' ', 32);
    CHECK_RV(CKR_OK, C_InitToken(FAKE_SLOT, text("12345678"), 8, label));
    CHECK(fake->label[0] == '\0');

    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    CHECK_RV(CKR_SESSION_EXISTS, C_InitToken(FAKE_SLOT, text("12345678"), 8, label));
    CHECK_RV(CKR_OK, C_GetSessionInfo(session, &info)); // a refusal changes nothing

    // The server has ended the sessions for a reason of its own: what the library lists is
    // dead, and after the init it knows so without asking.
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT + 1, CKF_SERIAL_SESSION, NULL, NULL, &other));
    CHECK_RV(CKR_OK, C_CloseAllSessions(FAKE_SLOT + 1)); // the fake closes all of them
    CHECK_RV(CKR_OK, C_InitToken(FAKE_SLOT, text("12345678"), 8, label));
    unsigned asked = atomic_load(&fake->count[TL_CALL_SESSION_INFO]);
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo(session, &info));
    CHECK(atomic_load(&fake->count[TL_CALL_SESSION_INFO]) == asked);
}

// A login on the slot that was initialised must not come back at a later server.
static void tickets(void) {
    CK_SESSION_HANDLE session;
    CK_SLOT_ID slots[2];
    CK_ULONG count = 2;
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    CHECK_RV(CKR_OK, C_Login(session, CKU_USER, text("12345678"), 8));
    CHECK_RV(CKR_OK, C_CloseAllSessions(FAKE_SLOT + 1));
    CHECK_RV(CKR_OK, C_InitToken(FAKE_SLOT, text("12345678"), 8, label));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    unsigned good = atomic_load(&fake->tickets);
    fake_again();
    CHECK_RV(CKR_OK, C_GetSlotList(CK_FALSE, slots, &count));
    CHECK(atomic_load(&fake->tickets) == good);
}

static void roles(void) {
    CK_SESSION_HANDLE session;
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, C_InitPIN(4000, text("12345678"), 8));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_InitPIN(session, NULL, 0));
    CHECK_RV(CKR_ARGUMENTS_BAD, CA_InitRolePIN(session, CKU_CRYPTO_USER, NULL, 8));
    CHECK_RV(CKR_ARGUMENTS_BAD, CA_ResetPIN(session, NULL, 8));
    CHECK_RV(CKR_PIN_LEN_RANGE, C_InitPIN(session, text("12345678"), huge));
    CHECK_RV(CKR_PIN_LEN_RANGE, CA_ResetPIN(session, text("12345678"), huge));

    CHECK_RV(CKR_ARGUMENTS_BAD, CA_InitSlotRolePIN(session, FAKE_SLOT, CKU_CRYPTO_USER, NULL, 8));
    CHECK_RV(CKR_SLOT_ID_INVALID, CA_InitSlotRolePIN(session, FAKE_SLOT + 1, CKU_CRYPTO_USER, text("12345678"), 8));

    unsigned made = atomic_load(&fake->count[TL_CALL_INIT_ROLE]);
    CHECK_RV(CKR_OK, CA_InitSlotRolePIN(session, FAKE_SLOT, CKU_CRYPTO_USER, text("33333333"), 8));
    CHECK(atomic_load(&fake->user) == CKU_CRYPTO_USER && strcmp(fake->pin, "33333333") == 0);
    CHECK(atomic_load(&fake->count[TL_CALL_INIT_ROLE]) == ++made);
    CHECK_RV(CKR_OK, C_InitPIN(session, text("11111111"), 8));
    CHECK(atomic_load(&fake->user) == CKU_USER && strcmp(fake->pin, "11111111") == 0);
    CHECK_RV(CKR_OK, CA_InitRolePIN(session, CKU_CRYPTO_USER, text("222222222"), 9));
    CHECK(atomic_load(&fake->user) == CKU_CRYPTO_USER && strcmp(fake->pin, "222222222") == 0);
    CHECK(atomic_load(&fake->count[TL_CALL_INIT_ROLE]) == made + 2);
    CHECK_RV(CKR_OK, CA_ResetPIN(session, text("3333333333"), 10));
    CHECK(atomic_load(&fake->user) == CKU_USER && strcmp(fake->pin, "3333333333") == 0);
    CHECK(atomic_load(&fake->count[TL_CALL_RESET_ROLE]) == 1);

    // An answer that is lost does not make the library change a PIN twice.
    fake_fault(fake, FAULT_ANSWER, TL_CALL_INIT_ROLE, 1);
    made = atomic_load(&fake->count[TL_CALL_INIT_ROLE]);
    CHECK_RV(CKR_DEVICE_ERROR, C_InitPIN(session, text("11111111"), 8));
    CHECK(atomic_load(&fake->count[TL_CALL_INIT_ROLE]) == made + 1);
}

static void states(void) {
    CA_ROLE_STATE state = {0};
    _Static_assert(sizeof state == 4, "CA_ROLE_STATE is four bytes");
    CHECK_RV(CKR_ARGUMENTS_BAD, CA_RoleStateGet(FAKE_SLOT, CKU_SO, NULL));
    CHECK_RV(CKR_SLOT_ID_INVALID, CA_RoleStateGet(99, CKU_SO, &state));
    CHECK(state.flags == 0); // not written by a failure
    CHECK_RV(CKR_OK, CA_RoleStateGet(FAKE_SLOT, CKU_AUDIT, &state));
    CHECK(atomic_load(&fake->user) == CKU_AUDIT);
    CHECK(state.flags == (CAF_ROLE_STATE_INITIALIZED | CAF_ROLE_STATE_LOCKED_OUT | CAF_ROLE_STATE_PIN_CHANGE));
    CHECK(state.loginAttemptsLeft == FAKE_ATTEMPTS && state.primaryAuthMech == 1 && state.secondaryAuthMech == 2);
    fake_fault(fake, FAULT_EMPTY, TL_CALL_ROLE_STATE, 1);
    CHECK_RV(CKR_DEVICE_ERROR, CA_RoleStateGet(FAKE_SLOT, CKU_SO, &state));
    fake_fault(fake, FAULT_ANSWER, TL_CALL_ROLE_STATE, 1);
    CHECK_RV(CKR_OK, CA_RoleStateGet(FAKE_SLOT, CKU_SO, &state)); // asked again
}

int main(void) {
    fake = fake_start();
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, C_InitToken(FAKE_SLOT, text("12345678"), 8, label));
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, CA_RoleStateGet(FAKE_SLOT, CKU_SO, NULL));
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    tokens();
    tickets();
    roles();
    states();
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    fake_stop();
    return 0;
}
