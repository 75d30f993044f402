// Luna's own functions: policies, containers, versions.
#include <string.h>

#include "check.h"
#include "fake.h"
#include "tidelock/vendor.h"

enum { NO_SLOT = 99 };

static struct fake *fake;

static const CK_ULONG huge = (CK_ULONG)1 << 40;

typedef CK_RV (*get_set)(CK_SLOT_ID, CK_ULONG_PTR, CK_ULONG_PTR, CK_ULONG_PTR, CK_ULONG_PTR);

static CK_RV container_capabilities(CK_SLOT_ID slot, CK_ULONG_PTR ids, CK_ULONG_PTR n, CK_ULONG_PTR values,
                                    CK_ULONG_PTR m) {
    return CA_GetContainerCapabilitySet(slot, slot, ids, n, values, m);
}

static CK_RV container_policies(CK_SLOT_ID slot, CK_ULONG_PTR ids, CK_ULONG_PTR n, CK_ULONG_PTR values,
                                CK_ULONG_PTR m) {
    return CA_GetContainerPolicySet(slot, slot, ids, n, values, m);
}

static const struct {
    get_set get;
    CK_ULONG count, last, value;
} sets[] = {
    {CA_GetHSMCapabilitySet, 1, 15, 255}, {CA_GetHSMPolicySet, 1, 15, 1},       {CA_GetTokenCapabilities, 2, 41, 255},
    {CA_GetTokenPolicies, 2, 41, 1},      {container_capabilities, 2, 41, 255}, {container_policies, 2, 41, 1},
};

static void lists(void) {
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        CK_ULONG ids[3] = {7, 7, 7}, values[3] = {7, 7, 7}, n = 0, m = 0, count = sets[i].count;
        CHECK_RV(CKR_ARGUMENTS_BAD, sets[i].get(FAKE_SLOT, ids, NULL, values, &m));
        CHECK_RV(CKR_ARGUMENTS_BAD, sets[i].get(FAKE_SLOT, ids, &n, values, NULL));
        CHECK_RV(CKR_SLOT_ID_INVALID, sets[i].get(NO_SLOT, NULL, &n, NULL, &m));
        CHECK_RV(CKR_OK, sets[i].get(FAKE_SLOT, NULL, &n, NULL, &m));
        CHECK(n == count && m == count);
        // One list that is too short keeps the other from being written.
        m = count - 1;
        CHECK_RV(CKR_BUFFER_TOO_SMALL, sets[i].get(FAKE_SLOT, ids, &n, values, &m));
        CHECK(m == count && ids[0] == 7 && values[0] == 7);
        n = count - 1;
        CHECK_RV(CKR_BUFFER_TOO_SMALL, sets[i].get(FAKE_SLOT, ids, &n, values, &m));
        CHECK(n == count && ids[0] == 7 && values[0] == 7);
        n = m = 3;
        CHECK_RV(CKR_OK, sets[i].get(FAKE_SLOT, ids, &n, values, &m));
        CHECK(n == count && m == count && ids[count - 1] == sets[i].last && values[count - 1] == sets[i].value);
        CHECK(ids[count] == 7 && values[count] == 7);
        atomic_store(&fake->uneven, true);
        CHECK_RV(CKR_DEVICE_ERROR, sets[i].get(FAKE_SLOT, NULL, &n, NULL, &m));
        atomic_store(&fake->uneven, false);
    }
    CK_ULONG n, m;
    CHECK_RV(CKR_CONTAINER_HANDLE_INVALID, CA_GetContainerCapabilitySet(FAKE_SLOT, 0, NULL, &n, NULL, &m));
    CHECK_RV(CKR_CONTAINER_HANDLE_INVALID, CA_GetContainerPolicySet(FAKE_SLOT, 0, NULL, &n, NULL, &m));
}

static void settings(void) {
    CK_ULONG value;
    CHECK_RV(CKR_ARGUMENTS_BAD, CA_GetHSMPolicySetting(FAKE_SLOT, 15, NULL));
    CHECK_RV(CKR_SLOT_ID_INVALID, CA_GetHSMPolicySetting(NO_SLOT, 15, &value));
    CHECK_RV(CKR_POLICY_ID_INVALID, CA_GetHSMPolicySetting(FAKE_SLOT, 41, &value));
    CHECK_RV(CKR_OK, CA_GetHSMPolicySetting(FAKE_SLOT, 15, &value));
    CHECK(value == 1);
    CHECK_RV(CKR_OK, CA_GetHSMCapabilitySetting(FAKE_SLOT, 15, &value));
    CHECK(value == 255);
    CHECK_RV(CKR_CONTAINER_HANDLE_INVALID, CA_GetContainerPolicySetting(FAKE_SLOT, 0, 41, &value));
    CHECK_RV(CKR_POLICY_ID_INVALID, CA_GetContainerPolicySetting(FAKE_SLOT, FAKE_SLOT, 15, &value));
    CHECK_RV(CKR_OK, CA_GetContainerPolicySetting(FAKE_SLOT, FAKE_SLOT, 41, &value));
    CHECK(value == 1);
    CHECK_RV(CKR_CONTAINER_HANDLE_INVALID, CA_GetContainerCapabilitySetting(FAKE_SLOT, 0, 41, &value));
    CHECK_RV(CKR_OK, CA_GetContainerCapabilitySetting(FAKE_SLOT, FAKE_SLOT, 0, &value));
    CHECK(value == 255);
}

// changed tells what the server has heard of the last change.
static bool changed(unsigned call, CK_ULONG policy, CK_ULONG value, unsigned changes, bool destructive) {
    static unsigned before[2];
    unsigned hsm = call == TL_CALL_SET_HSM_POLICIES;
    bool came = atomic_load(&fake->count[call]) == ++before[hsm];
    return came && atomic_load(&fake->policy) == policy && atomic_load(&fake->value) == value &&
           atomic_load(&fake->changes) == changes && atomic_load(&fake->destructive) == destructive;
}

static void changes(void) {
    enum { HSM = TL_CALL_SET_HSM_POLICIES, PARTITION = TL_CALL_SET_PARTITION_POLICIES };
    CK_ULONG ids[2] = {41, 0}, values[2] = {1, 9};
    CK_SESSION_HANDLE s;
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, CA_SetHSMPolicy(0, 15, 1));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s));
    CHECK_RV(CKR_OK, CA_SetHSMPolicy(s, 15, 1));
    CHECK(changed(HSM, 15, 1, 1, false));
    CHECK_RV(CKR_OK, CA_SetDestructiveHSMPolicy(s, 12, 0));
    CHECK(changed(HSM, 12, 0, 1, true));
    CHECK_RV(CKR_OK, CA_SetHSMPolicies(s, 2, ids, values));
    CHECK(changed(HSM, 41, 1, 2, false));
    CHECK_RV(CKR_OK, CA_SetDestructiveHSMPolicies(s, 2, ids, values));
    CHECK(changed(HSM, 41, 1, 2, true));
    CHECK_RV(CKR_OK, CA_SetTokenPolicies(s, FAKE_SLOT, 2, ids, values));
    CHECK(changed(PARTITION, 41, 1, 2, false));
    CHECK_RV(CKR_OK, CA_SetContainerPolicy(s, FAKE_SLOT, 26, 30));
    CHECK(changed(PARTITION, 26, 30, 1, false));
    CHECK_RV(CKR_OK, CA_SetContainerPolicies(s, FAKE_SLOT, 2, ids, values));
    CHECK(changed(PARTITION, 41, 1, 2, false));
    CHECK_RV(CKR_OK, CA_SetDestructiveContainerPolicy(s, FAKE_SLOT, 41, 0));
    CHECK(changed(PARTITION, 41, 0, 1, true));
    CHECK_RV(CKR_OK, CA_SetDestructiveContainerPolicies(s, FAKE_SLOT, 2, ids, values));
    CHECK(changed(PARTITION, 41, 1, 2, true));

    CHECK_RV(CKR_SLOT_ID_INVALID, CA_SetTokenPolicies(s, FAKE_SLOT + 1, 2, ids, values));
    CHECK_RV(CKR_CONTAINER_HANDLE_INVALID, CA_SetContainerPolicy(s, FAKE_SLOT + 1, 26, 30));
    CHECK_RV(CKR_CONTAINER_HANDLE_INVALID, CA_SetDestructiveContainerPolicies(s, FAKE_SLOT + 1, 2, ids, values));
    CHECK_RV(CKR_ARGUMENTS_BAD, CA_SetTokenPolicies(s, FAKE_SLOT, 0, ids, values));
    CHECK_RV(CKR_ARGUMENTS_BAD, CA_SetTokenPolicies(s, FAKE_SLOT, 2, NULL, values));
    CHECK_RV(CKR_ARGUMENTS_BAD, CA_SetHSMPolicies(s, 2, ids, NULL));
    CHECK_RV(CKR_ARGUMENTS_BAD, CA_SetHSMPolicies(s, huge, ids, values));
    CHECK_RV(CKR_OK, CA_SetHSMPolicy(s, 15, 0));
    CHECK(changed(HSM, 15, 0, 1, false)); // none of those was sent
    fake_fault(fake, FAULT_EMPTY, TL_CALL_SET_HSM_POLICIES, 1);
    CHECK_RV(CKR_DEVICE_ERROR, CA_SetHSMPolicy(s, 15, 0));
    CHECK_RV(CKR_OK, CA_SessionCancel(s, CKF_SIGN));
    CHECK_RV(CKR_OK, C_CloseSession(s));
}

static CK_RV describe(CK_SLOT_ID slot, CK_ULONG container, CK_ULONG capability, CK_ULONG id, CK_CHAR *text,
                      CK_ULONG *length, CK_ULONG flags[3]) {
    return CA_GetConfigurationElementDescription(slot, container, capability, id, &flags[0], &flags[1], &flags[2], text,
                                                 length);
}

static void descriptions(void) {
    CK_ULONG flags[3], length = 0;
    CK_CHAR text[4] = "abc";
    CHECK_RV(CKR_ARGUMENTS_BAD, describe(FAKE_SLOT, 1, 0, 41, text, NULL, flags));
    CHECK_RV(CKR_SLOT_ID_INVALID, describe(NO_SLOT, 1, 0, 41, NULL, &length, flags));
    CHECK_RV(CKR_SLOT_ID_INVALID, describe(NO_SLOT, 0, 0, 15, NULL, &length, flags));
    CHECK_RV(CKR_POLICY_ID_INVALID, describe(FAKE_SLOT, 1, 0, 15, NULL, &length, flags));
    CHECK_RV(CKR_OK, describe(FAKE_SLOT, 1, 0, 41, NULL, &length, flags));
    CHECK(length == 3 && flags[0] == 8 && flags[1] == 1 && flags[2] == 0);
    length = 2;
    CHECK_RV(CKR_BUFFER_TOO_SMALL, describe(FAKE_SLOT, 1, 0, 41, text, &length, flags));
    CHECK(length == 3 && strcmp((char *)text, "abc") == 0);
    CHECK_RV(CKR_OK, describe(FAKE_SLOT, 1, 1, 41, text, &length, flags));
    CHECK(strcmp((char *)text, "41") == 0 && flags[2] == 1); // nobody changes a capability
    CHECK_RV(CKR_OK, describe(FAKE_SLOT, 1, 0, 0, text, &length, flags));
    CHECK(length == 2 && strcmp((char *)text, "0") == 0 && flags[1] == 0);
    length = sizeof text;
    CHECK_RV(CKR_OK, describe(FAKE_SLOT, 0, 0, 15, text, &length, flags));
    CHECK(strcmp((char *)text, "15") == 0 && flags[1] == 0 && flags[2] == 1); // it has no effect
}

static void containers(void) {
    CK_ULONG overhead, total, used, unused, objects, container, length = 0, version[3];
    CK_BYTE name[8];
    CHECK_RV(CKR_SLOT_ID_INVALID, CA_GetUserContainerNumber(NO_SLOT, &container));
    CHECK_RV(CKR_OK, CA_GetUserContainerNumber(FAKE_SLOT, &container));
    CHECK_RV(CKR_OK, CA_GetContainerName(FAKE_SLOT, container, NULL, &length));
    CHECK(length == 4);
    length = 3;
    CHECK_RV(CKR_BUFFER_TOO_SMALL, CA_GetContainerName(FAKE_SLOT, container, name, &length));
    CHECK(length == 4);
    CHECK_RV(CKR_OK, CA_GetContainerName(FAKE_SLOT, container, name, &length));
    CHECK(memcmp(name, "name", 4) == 0);
    CHECK_RV(CKR_CONTAINER_HANDLE_INVALID, CA_GetContainerName(FAKE_SLOT, container + 1, name, &length));
    CHECK_RV(CKR_ARGUMENTS_BAD, CA_GetTokenStorageInformation(FAKE_SLOT, &overhead, &total, &used, &unused, NULL));
    CHECK_RV(CKR_SLOT_ID_INVALID, CA_GetTokenStorageInformation(NO_SLOT, &overhead, &total, &used, &unused, &objects));
    CHECK_RV(CKR_OK, CA_GetTokenStorageInformation(FAKE_SLOT, &overhead, &total, &used, &unused, &objects));
    CHECK(overhead == 50 && total == 1000 && used == 300 && unused == 700 && objects == 3);
    fake_fault(fake, FAULT_EMPTY, TL_CALL_PARTITION_INFO, 1);
    CHECK_RV(CKR_DEVICE_ERROR, CA_GetContainerName(FAKE_SLOT, container, name, &length));

    CHECK_RV(CKR_ARGUMENTS_BAD, CA_GetFirmwareVersion(FAKE_SLOT, &version[0], NULL, &version[2]));
    CHECK_RV(CKR_SLOT_ID_INVALID, CA_GetFirmwareVersion(NO_SLOT, &version[0], &version[1], &version[2]));
    CHECK_RV(CKR_OK, CA_GetFirmwareVersion(FAKE_SLOT, &version[0], &version[1], &version[2]));
    CHECK(version[0] == 7 && version[1] == 8 && version[2] == 4);
    fake_fault(fake, FAULT_EMPTY, TL_CALL_FIRMWARE_VERSION, 1);
    CHECK_RV(CKR_DEVICE_ERROR, CA_GetFirmwareVersion(FAKE_SLOT, &version[0], &version[1], &version[2]));
}

// An application's text goes to the server once, whatever becomes of the answer.
static void texts(void) {
    CK_SESSION_HANDLE s;
    CK_CHAR text[] = "closing time";
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &s));
    CHECK_RV(CKR_ARGUMENTS_BAD, CA_LogExternal(FAKE_SLOT, s, NULL, 1));
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, CA_LogExternal(FAKE_SLOT, 4000, text, 12));
    CHECK_RV(CKR_SLOT_ID_INVALID, CA_LogExternal(NO_SLOT, s, text, 12));
    CHECK_RV(CKR_DATA_LEN_RANGE, CA_LogExternal(FAKE_SLOT, s, text, huge));
    CHECK(atomic_load(&fake->count[TL_CALL_LOG_EXTERNAL]) == 0);
    CHECK_RV(CKR_OK, CA_LogExternal(FAKE_SLOT, s, text, 7));
    CHECK(strcmp(fake->label, "closing") == 0 && atomic_load(&fake->count[TL_CALL_LOG_EXTERNAL]) == 1);
    fake_fault(fake, FAULT_ANSWER, TL_CALL_LOG_EXTERNAL, 1);
    CHECK_RV(CKR_DEVICE_ERROR, CA_LogExternal(FAKE_SLOT, s, text, 12));
    CHECK(atomic_load(&fake->count[TL_CALL_LOG_EXTERNAL]) == 2);
    CHECK_RV(CKR_OK, C_CloseSession(s));
}

int main(void) {
    CK_ULONG n, m;
    fake = fake_start();
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, CA_GetTokenPolicies(FAKE_SLOT, NULL, &n, NULL, &m));
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    lists();
    settings();
    changes();
    descriptions();
    containers();
    texts();
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    fake_stop();
    return 0;
}
