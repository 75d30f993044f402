// standard uses what PKCS#11 has had since 3.0, as a program of that version does:
//
//     standard MODULE TOKEN PIN
//
// It takes the interface 3.0, reads the token's profile objects, and encrypts and
// decrypts messages with AES-GCM whose IVs the token makes. What C_EncryptMessage makes is
// what C_Decrypt takes.
#include <tidelock/pkcs11.h>

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IV = 12, TAG = 16, MESSAGE = 100000 };

static const CK_FUNCTION_LIST_3_0 *p11;
static CK_SESSION_HANDLE session;

static void check(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "standard: not so: %s\n", what);
    exit(1);
}

static void expect(const char *call, CK_RV want, CK_RV got) {
    if (got == want)
        return;
    fprintf(stderr, "standard: %s returned 0x%lx, not 0x%lx\n", call, got, want);
    exit(1);
}

static void load(const char *module) {
    void *library = dlopen(module, RTLD_NOW);
    check(library != NULL, "the module can be loaded");
    CK_C_GetInterface get;
    *(void **)&get = dlsym(library, "C_GetInterface");
    check(get != NULL, "the module has C_GetInterface");
    CK_VERSION version = {3, 0};
    CK_INTERFACE *interface = NULL;
    expect("C_GetInterface", CKR_OK, get((CK_UTF8CHAR *)"PKCS 11", &version, &interface, 0));
    p11 = interface->pFunctionList;
}

static CK_SLOT_ID find_slot(const char *label) {
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;
    expect("C_GetSlotList", CKR_OK, p11->C_GetSlotList(CK_TRUE, slots, &count));
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        expect("C_GetTokenInfo", CKR_OK, p11->C_GetTokenInfo(slots[i], &info));
        if (memcmp(info.label, label, strlen(label)) == 0)
            return slots[i];
    }
    check(false, "there is a token of this label");
    return 0;
}

static void profiles(void) {
    CK_OBJECT_CLASS class = CKO_PROFILE;
    CK_ATTRIBUTE of_class = {CKA_CLASS, &class, sizeof class};
    CK_OBJECT_HANDLE found[8];
    CK_ULONG n = 0;
    bool baseline = false, extended = false;
    expect("C_FindObjectsInit", CKR_OK, p11->C_FindObjectsInit(session, &of_class, 1));
    expect("C_FindObjects", CKR_OK, p11->C_FindObjects(session, found, 8, &n));
    expect("C_FindObjectsFinal", CKR_OK, p11->C_FindObjectsFinal(session));
    for (CK_ULONG i = 0; i < n; i++) {
        CK_PROFILE_ID id = CKP_INVALID_ID;
        CK_ATTRIBUTE wanted = {CKA_PROFILE_ID, &id, sizeof id};
        expect("C_GetAttributeValue", CKR_OK, p11->C_GetAttributeValue(session, found[i], &wanted, 1));
        baseline = baseline || id == CKP_BASELINE_PROVIDER;
        extended = extended || id == CKP_EXTENDED_PROVIDER;
        expect("C_DestroyObject", CKR_ACTION_PROHIBITED, p11->C_DestroyObject(session, found[i]));
    }
    check(n == 2 && baseline && extended, "the token is a baseline and an extended provider");
    // A program that lists all objects sees none of them.
    expect("C_FindObjectsInit", CKR_OK, p11->C_FindObjectsInit(session, NULL, 0));
    expect("C_FindObjects", CKR_OK, p11->C_FindObjects(session, found, 8, &n));
    expect("C_FindObjectsFinal", CKR_OK, p11->C_FindObjectsFinal(session));
    check(n == 0, "an empty token lists nothing");
}

static CK_OBJECT_HANDLE generate(void) {
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    CK_BBOOL yes = CK_TRUE;
    CK_ULONG length = 32;
    CK_ATTRIBUTE template[] = {
        {CKA_ENCRYPT, &yes, sizeof yes}, {CKA_DECRYPT, &yes, sizeof yes}, {CKA_VALUE_LEN, &length, sizeof length}};
    CK_OBJECT_HANDLE key;
    expect("C_GenerateKey", CKR_OK, p11->C_GenerateKey(session, &mechanism, template, 3, &key));
    return key;
}

static void messages(CK_SLOT_ID slot) {
    static CK_BYTE plain[MESSAGE], sealed[MESSAGE + TAG], back[MESSAGE];
    CK_BYTE iv[IV] = {0}, first[IV], tag[TAG], aad[] = "header";
    CK_GCM_MESSAGE_PARAMS parameter = {iv, IV, 0, CKG_GENERATE, tag, 8 * TAG};
    CK_MECHANISM gcm = {CKM_AES_GCM, NULL, 0};
    CK_MECHANISM_INFO info;
    CK_OBJECT_HANDLE key = generate();
    expect("C_GetMechanismInfo", CKR_OK, p11->C_GetMechanismInfo(slot, CKM_AES_GCM, &info));
    check((info.flags & CKF_MESSAGE_ENCRYPT) != 0 && (info.flags & CKF_MESSAGE_DECRYPT) != 0, "AES-GCM has messages");
    expect("C_MessageEncryptInit", CKR_OK, p11->C_MessageEncryptInit(session, &gcm, key));
    expect("C_MessageDecryptInit", CKR_OK, p11->C_MessageDecryptInit(session, &gcm, key));
    for (CK_ULONG n = 0; n <= MESSAGE; n = n * 7 + 1) {
        CK_ULONG length = sizeof sealed;
        memset(plain, (int)n & 0xff, n);
        memcpy(first, iv, IV);
        expect("C_EncryptMessage", CKR_OK,
               p11->C_EncryptMessage(session, &parameter, sizeof parameter, aad, sizeof aad, plain, n, sealed, &length));
        check(length == n && memcmp(first, iv, IV) != 0, "each message has an IV of its own");
        length = sizeof back;
        expect("C_DecryptMessage", CKR_OK,
               p11->C_DecryptMessage(session, &parameter, sizeof parameter, aad, sizeof aad, sealed, n, back, &length));
        check(length == n && memcmp(plain, back, n) == 0, "a message comes back");

        CK_GCM_PARAMS whole = {iv, IV, 8 * IV, aad, sizeof aad, 8 * TAG};
        CK_MECHANISM one_part = {CKM_AES_GCM, &whole, sizeof whole};
        memcpy(sealed + n, tag, TAG);
        length = sizeof back;
        expect("C_DecryptInit", CKR_OK, p11->C_DecryptInit(session, &one_part, key));
        expect("C_Decrypt", CKR_OK, p11->C_Decrypt(session, sealed, n + TAG, back, &length));
        check(length == n && memcmp(plain, back, n) == 0, "C_Decrypt takes a message");

        tag[0] ^= 1;
        expect("C_DecryptMessage", CKR_AEAD_DECRYPT_FAILED,
               p11->C_DecryptMessage(session, &parameter, sizeof parameter, aad, sizeof aad, sealed, n, back, &length));
    }
    expect("C_MessageEncryptFinal", CKR_OK, p11->C_MessageEncryptFinal(session));
    expect("C_MessageDecryptFinal", CKR_OK, p11->C_MessageDecryptFinal(session));
}

int main(int argc, char **argv) {
    check(argc == 4, "the arguments are MODULE TOKEN PIN");
    load(argv[1]);
    expect("C_Initialize", CKR_OK, p11->C_Initialize(NULL));
    CK_SLOT_ID slot = find_slot(argv[2]);
    expect("C_OpenSession", CKR_OK,
           p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
    expect("C_Login", CKR_OK, p11->C_Login(session, CKU_USER, (CK_UTF8CHAR *)argv[3], strlen(argv[3])));
    profiles();
    messages(slot);
    expect("C_Finalize", CKR_OK, p11->C_Finalize(NULL));
    return 0;
}
