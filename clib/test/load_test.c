// Loading: beside a program that has functions of the same names, and again and again.
// The argument is the library's file.
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "check.h"
#include "tidelock/pkcs11.h"

// These stand for another module in the same process: the linker finds them first.
CK_RV C_Sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR signature,
             CK_ULONG_PTR signature_length) {
    (void)session, (void)data, (void)length, (void)signature, (void)signature_length;
    return CKR_OK;
}

CK_RV C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG length) {
    (void)session, (void)user, (void)pin, (void)length;
    return CKR_OK;
}

static void *library;

static void *symbol(const char *name) {
    void *found = dlsym(library, name);
    CHECK(found != NULL);
    return found;
}

// own checks that every function of a list is the library's own: each gets PINs and data.
static void own(const CK_INTERFACE *interface) {
    static const size_t sizes[] = {sizeof(CK_FUNCTION_LIST_3_2), sizeof(CK_FUNCTION_LIST_3_0), sizeof(CK_FUNCTION_LIST)};
    const CK_FUNCTION_LIST *list = interface->pFunctionList;
    size_t size = sizes[list->version.major < 3 ? 2 : list->version.minor < 2 ? 1 : 0];
    Dl_info self, of;
    CHECK(dladdr(symbol("C_GetInterfaceList"), &self) != 0);
    void *functions[sizeof(CK_FUNCTION_LIST_3_2) / sizeof(void *)];
    size_t first = offsetof(CK_FUNCTION_LIST, C_Initialize), count = (size - first) / sizeof functions[0];
    memcpy(functions, (const char *)list + first, size - first);
    for (size_t i = 0; i < count; i++)
        CHECK(dladdr(functions[i], &of) != 0 && of.dli_fbase == self.dli_fbase);
}

static void names(void) {
    CK_INTERFACE interfaces[3];
    CK_ULONG count = 3;
    CK_C_GetInterfaceList list;
    CK_C_LoginUser login;
    *(void **)&list = symbol("C_GetInterfaceList");
    *(void **)&login = symbol("C_LoginUser");
    CHECK_RV(CKR_OK, list(interfaces, &count));
    CHECK(count == 3);
    for (CK_ULONG i = 0; i < count; i++)
        own(&interfaces[i]);
    // Which goes on as C_Login.
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, login(1, CKU_USER, NULL, 0, NULL, 0));
}

static long pages(void) {
    long n = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%ld", &n) == 1 && fclose(file) == 0);
    return n;
}

// A program that loads and unloads the library with every use takes no more memory for it.
static void again(const char *path) {
    long before = 0;
    for (int i = 0; i < 200; i++) {
        CK_C_Initialize initialize;
        library = dlopen(path, RTLD_NOW);
        CHECK(library != NULL);
        *(void **)&initialize = symbol("C_Initialize");
        CHECK_RV(CKR_FUNCTION_FAILED, initialize(NULL)); // no server is there
        CHECK(dlclose(library) == 0);
        if (i == 0)
            before = pages();
    }
    CHECK(pages() - before < 100);
}

int main(int count, char **arguments) {
    CHECK(count == 2);
    unsetenv("TIDELOCK_HOME");
    setenv("TIDELOCK_SOCKET", "/nowhere/tidelock.sock", 1);
    library = dlopen(arguments[1], RTLD_NOW);
    CHECK(library != NULL);
    names();
    CHECK(dlclose(library) == 0);
    again(arguments[1]);
    return 0;
}
