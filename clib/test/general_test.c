// Initialising, the function lists, arguments, attributes, searches.
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "fake.h"

static struct fake *fake;

static CK_RV callback(CK_VOID_PTR_PTR mutex) {
    (void)mutex;
    return CKR_OK;
}

static CK_RV other_callback(CK_VOID_PTR mutex) {
    (void)mutex;
    return CKR_OK;
}

static void initialise(void) {
    CK_C_INITIALIZE_ARGS some = {.CreateMutex = callback};
    CK_C_INITIALIZE_ARGS all = {callback, other_callback, other_callback, other_callback, 0, NULL};
    CK_C_INITIALIZE_ARGS reserved = {.pReserved = &some};
    CK_C_INITIALIZE_ARGS locking = {.flags = CKF_OS_LOCKING_OK | CKF_LIBRARY_CANT_CREATE_OS_THREADS};
    CK_INFO info;
    unsigned goodbyes = atomic_load(&fake->count[TL_CALL_GOODBYE]);
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, C_Finalize(NULL));
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, C_GetInfo(NULL));
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, C_DigestKey(0, 0));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_Initialize(&some));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_Initialize(&reserved));
    CHECK_RV(CKR_CANT_LOCK, C_Initialize(&all));
    all.flags = CKF_OS_LOCKING_OK;
    CHECK_RV(CKR_OK, C_Initialize(&all));
    CHECK_RV(CKR_CRYPTOKI_ALREADY_INITIALIZED, C_Initialize(NULL));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_Finalize(&info));
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, C_Finalize(NULL));
    CHECK(atomic_load(&fake->count[TL_CALL_GOODBYE]) == goodbyes + 1);
    char *called = program_invocation_short_name, latin[] = "caf\xe9";
    program_invocation_short_name = latin; // the name of a program is any bytes
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    program_invocation_short_name = called;
    unsigned hellos = atomic_load(&fake->hellos);
    CHECK_RV(CKR_OK, C_Initialize(&locking));
    CHECK(atomic_load(&fake->hellos) == hellos + 1); // a new application each time
    CHECK_RV(CKR_ARGUMENTS_BAD, C_GetInfo(NULL));
    CHECK_RV(CKR_OK, C_GetInfo(&info));
    CHECK(info.cryptokiVersion.major == 3 && memcmp(info.manufacturerID, "Tidelock        ", 16) == 0);
    CHECK_RV(CKR_FUNCTION_NOT_SUPPORTED, C_MessageSignInit(0, NULL, 0));
    CHECK_RV(CKR_FUNCTION_NOT_PARALLEL, C_GetFunctionStatus(0));
    CHECK_RV(CKR_FUNCTION_NOT_PARALLEL, C_CancelFunction(0));
}

static void configuration(void) {
    char *socket = strdup(getenv("TIDELOCK_SOCKET")), *name = strrchr(socket, '/');
    char here[4096], *longer;
    CK_SLOT_ID slots[2];
    CK_ULONG count = 2;
    // A relative path is taken from where the program is at C_Initialize.
    CHECK(getcwd(here, sizeof here) != NULL);
    *name = '\0';
    CHECK(chdir(socket) == 0);
    *name = '/';
    setenv("TIDELOCK_SOCKET", name + 1, 1);
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK(chdir(here) == 0);
    CHECK_RV(CKR_OK, C_GetSlotList(CK_FALSE, slots, &count));
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    CHECK((longer = malloc(5000)) != NULL);
    memset(longer, 'x', 4999);
    longer[0] = '/';
    longer[4999] = '\0';
    setenv("TIDELOCK_SOCKET", longer, 1);
    CHECK_RV(CKR_GENERAL_ERROR, C_Initialize(NULL));
    free(longer);
    setenv("TIDELOCK_SOCKET", "/nonexistent/sock", 1);
    CHECK_RV(CKR_FUNCTION_FAILED, C_Initialize(NULL));
    setenv("TIDELOCK_HOME", "/nonexistent", 1);
    CHECK_RV(CKR_FUNCTION_FAILED, C_Initialize(NULL));
    unsetenv("TIDELOCK_HOME");
    setenv("TIDELOCK_SOCKET", socket, 1);
    free(socket);
}

// Every place of every list is filled, and leads to the exported function.
static void lists(void) {
    CK_FUNCTION_LIST *list;
    CK_INTERFACE interfaces[3], *interface;
    CK_ULONG count = 0;
    CHECK_RV(CKR_ARGUMENTS_BAD, C_GetFunctionList(NULL));
    CHECK_RV(CKR_OK, C_GetFunctionList(&list));
    CHECK(list->version.major == 2 && list->version.minor == 40 && list->C_Sign == C_Sign);
    CHECK_RV(CKR_OK, C_GetInterfaceList(NULL, &count));
    CHECK(count == 3);
    count = 2;
    CHECK_RV(CKR_BUFFER_TOO_SMALL, C_GetInterfaceList(interfaces, &count));
    CHECK(count == 3);
    CHECK_RV(CKR_OK, C_GetInterfaceList(interfaces, &count));
    const size_t sizes[] = {sizeof(CK_FUNCTION_LIST_3_2), sizeof(CK_FUNCTION_LIST_3_0), sizeof(CK_FUNCTION_LIST)};
    for (size_t i = 0; i < 3; i++) {
        CHECK(interfaces[i].flags == 0);
        void *const *places = interfaces[i].pFunctionList;
        for (size_t place = 1; place < sizes[i] / sizeof *places; place++)
            CHECK(places[place] != NULL);
    }
    CK_VERSION version = {3, 0};
    CHECK_RV(CKR_OK, C_GetInterface((CK_UTF8CHAR *)"PKCS 11", &version, &interface, 0));
    CHECK(interface->pFunctionList == interfaces[1].pFunctionList);
    CHECK_RV(CKR_OK, C_GetInterface(NULL, NULL, &interface, 0));
    CHECK(interface->pFunctionList == interfaces[0].pFunctionList);
    CHECK_RV(CKR_FUNCTION_FAILED, C_GetInterface(NULL, NULL, &interface, CKF_INTERFACE_FORK_SAFE));
    CHECK_RV(CKR_FUNCTION_FAILED, C_GetInterface((CK_UTF8CHAR *)"Vendor", NULL, &interface, 0));
    version.major = 9;
    CHECK_RV(CKR_FUNCTION_FAILED, C_GetInterface(NULL, &version, &interface, 0));
}

static void slots(void) {
    CK_SLOT_ID list[2];
    CK_ULONG count = 1;
    CHECK_RV(CKR_ARGUMENTS_BAD, C_GetSlotList(CK_TRUE, NULL, NULL));
    CHECK_RV(CKR_BUFFER_TOO_SMALL, C_GetSlotList(CK_TRUE, list, &count));
    CHECK(count == 2);
    CHECK_RV(CKR_OK, C_GetSlotList(CK_TRUE, NULL, &count));
    CHECK_RV(CKR_OK, C_GetSlotList(CK_TRUE, list, &count));
    CHECK(list[0] == FAKE_SLOT && list[1] == FAKE_SLOT + 1);
}

static void sessions(void) {
    CK_SESSION_HANDLE a, b;
    CK_SESSION_INFO info;
    CHECK_RV(CKR_SESSION_PARALLEL_NOT_SUPPORTED, C_OpenSession(FAKE_SLOT, 0, NULL, NULL, &a));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, NULL));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &a));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT + 1, CKF_SERIAL_SESSION, NULL, NULL, &b));
    CHECK_RV(CKR_OK, C_GetSessionInfo(a, &info));
    CHECK(info.slotID == FAKE_SLOT);
    CHECK_RV(CKR_ARGUMENTS_BAD, C_Login(a, CKU_USER, NULL, 4));
    CHECK_RV(CKR_PIN_LEN_RANGE, C_Login(a, CKU_USER, (CK_UTF8CHAR *)"1234", (CK_ULONG)1 << 40));
    CK_FLAGS flags = 0;
    CHECK_RV(CKR_ARGUMENTS_BAD, C_GetSessionValidationFlags(a, CKS_LAST_VALIDATION_OK, NULL));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_GetSessionValidationFlags(a, CKS_LAST_VALIDATION_OK + 1, &flags));
    CHECK_RV(CKR_OK, C_GetSessionValidationFlags(a, CKS_LAST_VALIDATION_OK, &flags));
    CHECK(flags == 1);
    fake_fault(fake, FAULT_EMPTY, TL_CALL_SESSION_VALIDATION, 1);
    CHECK_RV(CKR_DEVICE_ERROR, C_GetSessionValidationFlags(a, CKS_LAST_VALIDATION_OK, &flags));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_LoginUser(a, CKU_USER, (CK_UTF8CHAR *)"1234", 4, (CK_UTF8CHAR *)"name", 4));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_LoginUser(a, CKU_USER, NULL, 4, NULL, 0));
    unsigned logins = atomic_load(&fake->count[TL_CALL_LOGIN]);
    CHECK_RV(CKR_OK, C_LoginUser(a, CKU_USER, (CK_UTF8CHAR *)"1234", 4, NULL, 0));
    CHECK(atomic_load(&fake->count[TL_CALL_LOGIN]) == logins + 1);
    CHECK_RV(CKR_OK, C_Login(a, CKU_USER, (CK_UTF8CHAR *)"1234", 4));
    CHECK_RV(CKR_OK, C_CloseAllSessions(FAKE_SLOT));
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, C_GetSessionInfo(a, &info));
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, C_CloseSession(b)); // the fake has closed it too
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, C_CloseSession(CK_INVALID_HANDLE));
}

static void attributes(CK_SESSION_HANDLE session) {
    char label[8] = "xxxxxxx";
    unsigned char value[4];
    CK_ATTRIBUTE template[] = {
        {CKA_LABEL, label, sizeof label}, {CKA_LABEL, NULL, 99},         {CKA_LABEL, label, 4},
        {CKA_VALUE, value, sizeof value}, {CKA_ID, value, sizeof value},
    };
    CK_ATTRIBUTE many[TL_MAX_ATTRIBUTES];
    CHECK_RV(CKR_OK, C_GetAttributeValue(session, FAKE_OBJECT, template, 2));
    CHECK(template[0].ulValueLen == 5 && template[1].ulValueLen == 5 && memcmp(label, "labelxx", 8) == 0);
    CHECK_RV(CKR_BUFFER_TOO_SMALL, C_GetAttributeValue(session, FAKE_OBJECT, template, 3));
    CHECK(template[0].ulValueLen == 5 && template[2].ulValueLen == CK_UNAVAILABLE_INFORMATION);
    template[2].ulValueLen = 4;
    CHECK_RV(CKR_ATTRIBUTE_SENSITIVE, C_GetAttributeValue(session, FAKE_OBJECT, template, 4));
    CHECK(template[0].ulValueLen == 5 && template[3].ulValueLen == CK_UNAVAILABLE_INFORMATION);
    template[2].ulValueLen = template[3].ulValueLen = 4;
    CHECK_RV(CKR_ATTRIBUTE_TYPE_INVALID, C_GetAttributeValue(session, FAKE_OBJECT, template, 5));
    CHECK(template[1].ulValueLen == 5 && template[3].ulValueLen == CK_UNAVAILABLE_INFORMATION &&
          template[4].ulValueLen == CK_UNAVAILABLE_INFORMATION);
    // The length that a denial has left is no room.
    template[0].ulValueLen = CK_UNAVAILABLE_INFORMATION;
    CHECK_RV(CKR_BUFFER_TOO_SMALL, C_GetAttributeValue(session, FAKE_OBJECT, template, 1));
    CHECK_RV(CKR_OK, C_GetAttributeValue(session, FAKE_OBJECT, NULL, 0));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_GetAttributeValue(session, FAKE_OBJECT, NULL, 1));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_GetAttributeValue(session, FAKE_OBJECT, template, (CK_ULONG)1 << 61));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_FindObjectsInit(session, template, (CK_ULONG)1 << 61));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_SetAttributeValue(session, FAKE_OBJECT, template, ~(CK_ULONG)0));
    CK_OBJECT_HANDLE object;
    CHECK_RV(CKR_ARGUMENTS_BAD, C_CreateObject(session, template, (CK_ULONG)1 << 61, &object));
    CHECK_RV(CKR_ARGUMENTS_BAD, C_CreateObject(session, template, 1, NULL));
    template[0] = (CK_ATTRIBUTE){CKA_LABEL, NULL, 4};
    CHECK_RV(CKR_ATTRIBUTE_VALUE_INVALID, C_CreateObject(session, template, 1, &object));
    for (size_t i = 0; i < TL_MAX_ATTRIBUTES; i++)
        many[i] = (CK_ATTRIBUTE){CKA_LABEL, NULL, 0};
    CHECK_RV(CKR_OK, C_GetAttributeValue(session, FAKE_OBJECT, many, TL_MAX_ATTRIBUTES));
    CHECK(many[TL_MAX_ATTRIBUTES - 1].ulValueLen == 5);
}

static void searches(CK_SESSION_HANDLE session) {
    CK_OBJECT_HANDLE found[700];
    CK_ULONG n, all = 0;
    atomic_store(&fake->objects, 1500);
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_FindObjects(session, found, 1, &n));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_FindObjectsFinal(session));
    unsigned pages = atomic_load(&fake->count[TL_CALL_FIND]);
    CHECK_RV(CKR_OK, C_FindObjectsInit(session, NULL, 0));
    CHECK_RV(CKR_OPERATION_ACTIVE, C_FindObjectsInit(session, NULL, 0));
    CHECK(atomic_load(&fake->count[TL_CALL_FIND]) == pages); // nothing is asked before it is wanted
    CHECK_RV(CKR_OK, C_FindObjects(session, found, 10, &n));
    CHECK(n == 10 && atomic_load(&fake->count[TL_CALL_FIND]) == pages + 1);
    for (all = n; n > 0; all += n) {
        CHECK_RV(CKR_OK, C_FindObjects(session, found, 700, &n));
        for (CK_ULONG i = 0; i < n; i++)
            CHECK(found[i] == all + i + 1);
    }
    CHECK(all == 1500 && atomic_load(&fake->count[TL_CALL_FIND]) == pages + 3);
    CHECK_RV(CKR_OK, C_FindObjectsFinal(session));
    CHECK_RV(CKR_OK, C_FindObjectsInit(session, NULL, 0));
    CHECK_RV(CKR_OK, C_SessionCancel(session, CKF_FIND_OBJECTS));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_FindObjectsFinal(session));
}

static void randomness(CK_SESSION_HANDLE session) {
    enum { LONG = 3 << 20 };
    unsigned char *bytes = calloc(1, LONG);
    CHECK_RV(CKR_ARGUMENTS_BAD, C_GenerateRandom(session, NULL, 1));
    CHECK_RV(CKR_OK, C_GenerateRandom(session, NULL, 0));
    CHECK_RV(CKR_OK, C_GenerateRandom(session, bytes, LONG));
    for (size_t i = 0; i < LONG; i++)
        CHECK(bytes[i] == 0x42);
    free(bytes);
}

int main(void) {
    fake = fake_start();
    configuration();
    initialise();
    lists();
    slots();
    sessions();
    CK_SESSION_HANDLE session;
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    attributes(session);
    searches(session);
    randomness(session);
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    fake_stop();
    return 0;
}
