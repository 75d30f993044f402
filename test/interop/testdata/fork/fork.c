// fork shows that a PKCS#11 module survives fork(2):
//
//     fork MODULE TOKEN PIN fork|clone|grandchild|busy
//
// In the child the module is not initialised (PKCS#11 3.2, 5.1.4): every call
// says so, until the child initialises it for itself; then it works there. The
// parent goes on with its sessions as if nothing had happened.
//
// clone makes the children by the raw system call, so that nothing which hangs
// on the C library's fork (pthread_atfork) runs. busy forks while eight threads
// of the parent sign, so that the child is a copy of a module in the midst of
// calls.
#define _GNU_SOURCE
#include <tidelock/pkcs11.h>

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BUSY_THREADS = 8, CHILDREN = 5, LIMIT_SECONDS = 60 };

static const CK_FUNCTION_LIST *p11;
static const char *token, *pin, *where = "parent";

// What a process has after C_Initialize.
struct application {
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE public, private;
};

_Noreturn static void fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", where);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    _exit(1);
}

static void expect(const char *call, CK_RV want, CK_RV got) {
    if (got != want)
        fail("%s returned 0x%lx, not 0x%lx", call, got, want);
}

static CK_SLOT_ID find_slot(void) {
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;
    expect("C_GetSlotList", CKR_OK, p11->C_GetSlotList(CK_TRUE, slots, &count));
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        expect("C_GetTokenInfo", CKR_OK, p11->C_GetTokenInfo(slots[i], &info));
        if (strncmp((const char *)info.label, token, strlen(token)) == 0)
            return slots[i];
    }
    fail("no token %s", token);
}

static CK_SESSION_HANDLE open_session(CK_SLOT_ID slot) {
    CK_SESSION_HANDLE session;
    expect("C_OpenSession", CKR_OK,
           p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
    return session;
}

static CK_OBJECT_HANDLE find_key(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class) {
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}};
    CK_OBJECT_HANDLE key;
    CK_ULONG count = 0;
    expect("C_FindObjectsInit", CKR_OK, p11->C_FindObjectsInit(session, template, 1));
    expect("C_FindObjects", CKR_OK, p11->C_FindObjects(session, &key, 1, &count));
    expect("C_FindObjectsFinal", CKR_OK, p11->C_FindObjectsFinal(session));
    return count == 1 ? key : 0;
}

static void make_key(CK_SESSION_HANDLE session) {
    static CK_BBOOL yes = CK_TRUE;
    uint8_t p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_ATTRIBUTE public[] = {
        {CKA_TOKEN, &yes, sizeof yes}, {CKA_VERIFY, &yes, sizeof yes}, {CKA_EC_PARAMS, p256, sizeof p256}};
    CK_ATTRIBUTE private[] = {
        {CKA_TOKEN, &yes, sizeof yes}, {CKA_PRIVATE, &yes, sizeof yes}, {CKA_SIGN, &yes, sizeof yes}};
    CK_OBJECT_HANDLE made[2];
    expect("C_GenerateKeyPair", CKR_OK,
           p11->C_GenerateKeyPair(session, &mechanism, public, 3, private, 3, &made[0], &made[1]));
}

static struct application start(void) {
    struct application a;
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    expect("C_Initialize", CKR_OK, p11->C_Initialize(&args));
    a.slot = find_slot();
    a.session = open_session(a.slot);
    expect("C_Login", CKR_OK, p11->C_Login(a.session, CKU_USER, (CK_UTF8CHAR *)(uintptr_t)pin, strlen(pin)));
    if (find_key(a.session, CKO_PRIVATE_KEY) == 0)
        make_key(a.session);
    a.private = find_key(a.session, CKO_PRIVATE_KEY);
    a.public = find_key(a.session, CKO_PUBLIC_KEY);
    return a;
}

static void sign_and_verify(const struct application *a, CK_SESSION_HANDLE session) {
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    uint8_t digest[32] = "thirty-one bytes to be signed..";
    uint8_t signature[64];
    CK_ULONG length = sizeof signature;
    expect("C_SignInit", CKR_OK, p11->C_SignInit(session, &mechanism, a->private));
    expect("C_Sign", CKR_OK, p11->C_Sign(session, digest, sizeof digest, signature, &length));
    expect("C_VerifyInit", CKR_OK, p11->C_VerifyInit(session, &mechanism, a->public));
    expect("C_Verify", CKR_OK, p11->C_Verify(session, digest, sizeof digest, signature, length));
}

// What every call of an inherited module says.
static void expect_not_initialized(const struct application *a) {
    CK_INFO info;
    CK_ULONG count = 0;
    CK_SESSION_INFO session_info;
    CK_SESSION_HANDLE session;
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    uint8_t bytes[64] = {0};
    CK_ULONG length = sizeof bytes;
    expect("C_GetInfo", CKR_CRYPTOKI_NOT_INITIALIZED, p11->C_GetInfo(&info));
    expect("C_GetSlotList", CKR_CRYPTOKI_NOT_INITIALIZED, p11->C_GetSlotList(CK_TRUE, NULL, &count));
    expect("C_OpenSession", CKR_CRYPTOKI_NOT_INITIALIZED,
           p11->C_OpenSession(a->slot, CKF_SERIAL_SESSION, NULL, NULL, &session));
    expect("C_GetSessionInfo", CKR_CRYPTOKI_NOT_INITIALIZED, p11->C_GetSessionInfo(a->session, &session_info));
    expect("C_SignInit", CKR_CRYPTOKI_NOT_INITIALIZED, p11->C_SignInit(a->session, &mechanism, a->private));
    expect("C_Sign", CKR_CRYPTOKI_NOT_INITIALIZED, p11->C_Sign(a->session, bytes, 32, bytes, &length));
    expect("C_GenerateRandom", CKR_CRYPTOKI_NOT_INITIALIZED, p11->C_GenerateRandom(a->session, bytes, 32));
    expect("C_CloseSession", CKR_CRYPTOKI_NOT_INITIALIZED, p11->C_CloseSession(a->session));
    expect("C_Finalize", CKR_CRYPTOKI_NOT_INITIALIZED, p11->C_Finalize(NULL));
}

static void wait_for(pid_t child) {
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child)
        fail("no child to wait for");
    if (WIFSIGNALED(status))
        fail("the child ended by signal %d (%d means that it hung)", WTERMSIG(status), SIGALRM);
    if (WEXITSTATUS(status) != 0)
        fail("the child failed");
}

static void be_child(const char *name) {
    where = name;
    alarm(LIMIT_SECONDS / 2); // does not come down by fork
}

_Noreturn static void child(const struct application *inherited, const char *name) {
    be_child(name);
    expect_not_initialized(inherited);
    struct application own = start();
    for (int i = 0; i < 5; i++)
        sign_and_verify(&own, own.session);
    expect("C_Finalize", CKR_OK, p11->C_Finalize(NULL));
    _exit(0);
}

static pid_t raw_clone(void) {
    return (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, NULL);
}

// A grandchild of a child that never touched the module, and one of a child
// that has initialised it for itself.
_Noreturn static void child_with_children(const struct application *inherited) {
    be_child("child with children");
    pid_t first = fork();
    if (first == 0)
        child(inherited, "grandchild of an idle child");
    wait_for(first);
    struct application own = start();
    pid_t second = fork();
    if (second == 0)
        child(&own, "grandchild of an active child");
    wait_for(second);
    sign_and_verify(&own, own.session);
    expect("C_Finalize", CKR_OK, p11->C_Finalize(NULL));
    _exit(0);
}

struct busy {
    pthread_t id;
    const struct application *application;
    atomic_bool *stop;
    unsigned long done;
};

static void *keep_busy(void *argument) {
    struct busy *b = argument;
    CK_SESSION_HANDLE session = open_session(b->application->slot);
    do {
        sign_and_verify(b->application, session);
        b->done++;
    } while (!atomic_load(b->stop));
    return NULL;
}

static void fork_while_busy(const struct application *a) {
    atomic_bool stop = false;
    struct busy busy[BUSY_THREADS];
    for (int i = 0; i < BUSY_THREADS; i++) {
        busy[i] = (struct busy){.application = a, .stop = &stop};
        if (pthread_create(&busy[i].id, NULL, keep_busy, &busy[i]) != 0)
            fail("cannot start a thread");
    }
    for (int i = 0; i < CHILDREN; i++) {
        pid_t pid = fork();
        if (pid == 0)
            child(a, "child of a busy parent");
        wait_for(pid);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < BUSY_THREADS; i++) {
        pthread_join(busy[i].id, NULL);
        if (busy[i].done == 0)
            fail("thread %d has signed nothing", i);
    }
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fputs("usage: fork MODULE TOKEN PIN fork|clone|grandchild|busy\n", stderr);
        return 2;
    }
    alarm(LIMIT_SECONDS);
    token = argv[2];
    pin = argv[3];
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        fail("%s", dlerror());
    CK_C_GetFunctionList get;
    CK_FUNCTION_LIST *list;
    *(void **)&get = dlsym(library, "C_GetFunctionList");
    if (get == NULL)
        fail("%s", dlerror());
    expect("C_GetFunctionList", CKR_OK, get(&list));
    p11 = list;

    struct application a = start();
    sign_and_verify(&a, a.session);
    const char *how = argv[4];
    if (strcmp(how, "busy") == 0) {
        fork_while_busy(&a);
    } else {
        for (int i = 0; i < CHILDREN; i++) {
            pid_t pid = strcmp(how, "clone") == 0 ? raw_clone() : fork();
            if (pid == 0 && strcmp(how, "grandchild") == 0)
                child_with_children(&a);
            if (pid == 0)
                child(&a, how);
            // The parent signs while the child lives, too.
            sign_and_verify(&a, a.session);
            wait_for(pid);
            sign_and_verify(&a, a.session);
        }
    }
    expect("C_Finalize", CKR_OK, p11->C_Finalize(NULL));
    return 0;
}
