// Children: by fork, by a raw clone, by vfork; grandchildren; with the parent's
// threads in the middle of calls; with descriptors closed and their numbers reused.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "check.h"
#include "fake.h"

static struct fake *fake;
static CK_SESSION_HANDLE session;
static CK_MECHANISM mechanism = {CKM_SHA256_HMAC, NULL, 0};

static CK_RV sign(CK_SESSION_HANDLE in) {
    unsigned char output[32];
    CK_ULONG length = sizeof output;
    CK_RV rv = C_SignInit(in, &mechanism, FAKE_KEY + 1);
    return rv == CKR_OK ? C_Sign(in, (CK_BYTE *)"d", 1, output, &length) : rv;
}

static pid_t plain_fork(void) { return fork(); }

// raw_clone goes around the C library: no handler runs, and malloc's and other
// locks stay as the parent's threads have them.
static pid_t raw_clone(void) { return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL); }

// await checks that a child ends well, and soon: a deadlock would last.
static void await(pid_t child) {
    int status;
    CHECK(child > 0);
    while (waitpid(child, &status, 0) < 0)
        CHECK(errno == EINTR);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void is_uninitialised(void) {
    CK_INFO info;
    CK_SESSION_INFO session_info;
    CK_ULONG count;
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, C_GetInfo(&info));
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, C_GetSlotList(CK_TRUE, NULL, &count));
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, C_GetSessionInfo(session, &session_info));
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, sign(session));
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, C_Finalize(NULL));
}

// works_anew is what a child does that wants to use the library.
static void works_anew(void) {
    CK_SESSION_HANDLE mine;
    unsigned hellos = atomic_load(&fake->hellos);
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK(atomic_load(&fake->hellos) > hellos); // an application of its own
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, sign(session)); // the parent's
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &mine));
    CHECK_RV(CKR_OK, sign(mine));
    CHECK_RV(CKR_OK, sign(mine));
    CHECK_RV(CKR_CRYPTOKI_ALREADY_INITIALIZED, C_Initialize(NULL));
}

static void child(pid_t (*make)(void), int generations) {
    alarm(60);
    is_uninitialised();
    works_anew();
    if (generations > 1) {
        pid_t next = make();
        if (next == 0) {
            child(make, generations - 1);
            _exit(0);
        }
        await(next);
        CK_INFO info;
        CHECK_RV(CKR_OK, C_GetInfo(&info)); // its child took nothing from it
    }
    if (generations % 2 == 1)
        CHECK_RV(CKR_OK, C_Finalize(NULL));
}

// A grandchild of a child that never initialised.
static void skipped_generation(pid_t (*make)(void)) {
    pid_t first = make();
    if (first == 0) {
        pid_t second = make();
        if (second == 0) {
            child(make, 1);
            _exit(0);
        }
        await(second);
        is_uninitialised();
        _exit(0);
    }
    await(first);
}

static _Atomic bool over;

static void *busy(void *argument) {
    (void)argument;
    CK_SESSION_HANDLE mine;
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &mine));
    for (unsigned i = 0; !atomic_load(&over); i++) {
        CHECK_RV(CKR_OK, sign(mine));
        if (i % 8 == 0) {
            CHECK_RV(CKR_OK, C_CloseSession(mine));
            CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &mine));
        }
    }
    return NULL;
}

static void busy_parent(pid_t (*make)(void), int children) {
    pthread_t threads[4];
    atomic_store(&over, false);
    for (size_t i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, busy, NULL) == 0);
    for (int i = 0; i < children; i++) {
        pid_t next = make();
        if (next == 0) {
            child(make, 1);
            _exit(0);
        }
        await(next);
        CHECK_RV(CKR_OK, sign(session));
    }
    atomic_store(&over, true);
    for (size_t i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void *opening_and_closing(void *argument) {
    (void)argument;
    while (!atomic_load(&over)) {
        CHECK_RV(CKR_OK, C_Finalize(NULL));
        CHECK_RV(CKR_OK, C_Initialize(NULL));
    }
    return NULL;
}

// A fork in the middle of the parent's C_Initialize or C_Finalize: the child owns a
// half-made state and a lock that nobody will release.
static void fork_in_initialize(pid_t (*make)(void), int children) {
    pthread_t thread;
    atomic_store(&over, false);
    CHECK(pthread_create(&thread, NULL, opening_and_closing, NULL) == 0);
    for (int i = 0; i < children; i++) {
        pid_t next = make();
        if (next == 0) {
            alarm(60);
            works_anew();
            _exit(0);
        }
        await(next);
    }
    atomic_store(&over, true);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
}

// A child closes the parent's connections when it initialises, but not what has
// taken their numbers since.
static void descriptors(void) {
    pid_t next = fork();
    if (next == 0) {
        int null = open("/dev/null", O_RDONLY);
        for (int fd = 3; fd < 64; fd++)
            if (fd != null)
                dup2(null, fd);
        CHECK_RV(CKR_OK, C_Initialize(NULL));
        for (int fd = 3; fd < 64; fd++)
            CHECK(fcntl(fd, F_GETFD) >= 0);
        _exit(0);
    }
    await(next);
    next = fork();
    if (next == 0) {
        int before = 0, after = 0;
        for (int fd = 3; fd < 256; fd++)
            before += fcntl(fd, F_GETFD) >= 0;
        CHECK_RV(CKR_OK, C_Initialize(NULL));
        for (int fd = 3; fd < 256; fd++)
            after += fcntl(fd, F_GETFD) >= 0;
        CHECK(after <= before); // at least one went, and one came
        _exit(0);
    }
    await(next);
    CHECK_RV(CKR_OK, sign(session));
}

// A program without standard streams opens its next file under their numbers, and
// prints under them what is no frame.
static void streams(void) {
    pid_t next = fork();
    if (next == 0) {
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        CHECK_RV(CKR_OK, C_Initialize(NULL));
        for (int fd = 0; fd < 3; fd++)
            CHECK(fcntl(fd, F_GETFD) < 0 && errno == EBADF);
        _exit(0);
    }
    await(next);
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static int vfork_body(void *argument) {
    (void)argument;
    is_uninitialised();
    _exit(0);
}

// A child in its parent's memory, as of vfork: it may look, and the parent goes on.
static void shared_memory(void) {
    static char stack[256 << 10] __attribute__((aligned(16)));
    pid_t next = clone(vfork_body, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    await(next);
    CHECK_RV(CKR_OK, sign(session));
}

static pid_t first_of_namespace(void) {
    return (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
}

// The first process of a pid namespace and its child, the first of another, have the
// same pid, 1.
static void same_pid(void) {
    pid_t outer = first_of_namespace();
    if (outer < 0 && errno == EPERM)
        return; // only root may
    if (outer == 0) {
        CHECK(getpid() == 1);
        works_anew();
        pid_t inner = first_of_namespace();
        if (inner == 0) {
            CHECK(getpid() == 1);
            is_uninitialised();
            works_anew();
            _exit(0);
        }
        await(inner);
        _exit(0);
    }
    await(outer);
}

// The parent must not notice its children, and a child forked before C_Initialize
// initialises like any process.
int main(void) {
    fake = fake_start();
    pid_t early = fork();
    if (early == 0) {
        child(plain_fork, 1);
        _exit(0);
    }
    await(early);
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    CHECK_RV(CKR_OK, sign(session));
    pid_t (*const ways[])(void) = {plain_fork, raw_clone};
    for (size_t i = 0; i < 2; i++) {
        if (SANITIZED && ways[i] == raw_clone)
            continue;
        pid_t next = ways[i]();
        if (next == 0) {
            child(ways[i], 3);
            _exit(0);
        }
        await(next);
        CHECK_RV(CKR_OK, sign(session));
        skipped_generation(ways[i]);
        busy_parent(ways[i], 30);
        fork_in_initialize(ways[i], 100);
    }
    descriptors();
    streams();
    if (!SANITIZED) { // whose own locks do not survive, and whose memory would be shared too
        same_pid();
        shared_memory();
    }
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    fake_stop();
    return 0;
}
