// Many threads: on one pool, on one session, with sessions closing under them, with
// C_Finalize in the middle, with cancellation.
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "fake.h"

enum { THREADS = 64, ROUNDS = 50 };

static struct fake *fake;
static CK_MECHANISM mechanism = {CKM_SHA256_HMAC, NULL, 0};

static void in_threads(unsigned n, void *(*body)(void *), void *argument) {
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < n; i++)
        CHECK(pthread_create(&threads[i], NULL, body, argument) == 0);
    for (unsigned i = 0; i < n; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static CK_RV sign(CK_SESSION_HANDLE session, unsigned char value) {
    unsigned char output[32];
    CK_ULONG length = sizeof output;
    CK_RV rv = C_SignInit(session, &mechanism, FAKE_KEY + 1);
    if (rv == CKR_OK)
        rv = C_Sign(session, &value, 1, output, &length);
    CHECK(rv != CKR_OK || (length == 32 && output[0] == value)); // nobody else's answer
    return rv;
}

static void *own_session(void *argument) {
    (void)argument;
    CK_SESSION_HANDLE session;
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    for (unsigned i = 0; i < ROUNDS; i++) {
        CHECK_RV(CKR_OK, sign(session, (unsigned char)(i + session)));
        if (i % 16 == 0)
            CHECK_RV(CKR_OK, C_Logout(session)); // voids all permits
    }
    CHECK_RV(CKR_OK, C_CloseSession(session));
    return NULL;
}

static void *shared_session(void *argument) {
    CK_SESSION_HANDLE session = *(CK_SESSION_HANDLE *)argument;
    for (unsigned i = 0; i < ROUNDS; i++) {
        CK_RV rv = sign(session, (unsigned char)i);
        // The threads get in each other's way, and nothing worse.
        CHECK(rv == CKR_OK || rv == CKR_OPERATION_ACTIVE || rv == CKR_OPERATION_NOT_INITIALIZED);
    }
    return NULL;
}

static void *closing(void *argument) {
    (void)argument;
    for (unsigned i = 0; i < ROUNDS; i++) {
        CK_SESSION_HANDLE session;
        CK_SESSION_INFO info;
        CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT + 1, CKF_SERIAL_SESSION, NULL, NULL, &session));
        // Handles are numbers in a row here: these belong to whichever thread.
        for (CK_SESSION_HANDLE other = session > 3 ? session - 3 : 1; other <= session; other++) {
            CK_RV rv = C_GetSessionInfo(other, &info);
            CHECK(rv == CKR_OK || rv == CKR_SESSION_HANDLE_INVALID);
        }
        CHECK_RV(CKR_OK, C_CloseSession(session));
    }
    return NULL;
}

static _Atomic bool going;

static void *until_the_end(void *argument) {
    (void)argument;
    CK_SESSION_HANDLE session;
    CK_RV rv = C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session);
    while (rv == CKR_OK) {
        atomic_store(&going, true);
        unsigned char random[100];
        rv = C_GenerateRandom(session, random, sizeof random);
    }
    CHECK(rv == CKR_CRYPTOKI_NOT_INITIALIZED || rv == CKR_DEVICE_ERROR || rv == CKR_SESSION_HANDLE_INVALID);
    return NULL;
}

static void finalize_under_load(void) {
    for (int round = 0; round < 20; round++) {
        pthread_t threads[8];
        CHECK_RV(CKR_OK, C_Initialize(NULL));
        atomic_store(&going, false);
        for (size_t i = 0; i < 8; i++)
            CHECK(pthread_create(&threads[i], NULL, until_the_end, NULL) == 0);
        while (!atomic_load(&going))
            sched_yield();
        if (round % 2 == 1) // the next Initialize finds late calls of the last state
            fake_fault(fake, FAULT_WORKING, TL_CALL_GENERATE_RANDOM, 2);
        CHECK_RV(CKR_OK, C_Finalize(NULL));
        for (size_t i = 0; i < 8; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
        fake_fault(fake, FAULT_NONE, 0, 0);
    }
}

static void *initialising(void *argument) {
    _Atomic unsigned *first = argument;
    CK_RV rv = C_Initialize(NULL);
    CHECK(rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED);
    if (rv == CKR_OK)
        atomic_fetch_add(first, 1);
    return NULL;
}

// A thread that is cancelled in a call finishes the call: the connection stays whole.
static void *cancelled(void *argument) {
    CK_SESSION_HANDLE session = *(CK_SESSION_HANDLE *)argument;
    unsigned char random[1000];
    atomic_store(&going, true);
    for (;;) {
        CHECK_RV(CKR_OK, C_GenerateRandom(session, random, sizeof random));
        pthread_testcancel();
    }
    return NULL;
}

__attribute__((unused)) static void cancellation(CK_SESSION_HANDLE session) {
    unsigned connections = atomic_load(&fake->connections);
    // A reply in many pieces: the thread is nearly always in the middle of one.
    fake_fault(fake, FAULT_TRICKLE, TL_CALL_GENERATE_RANDOM, ~0U);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        void *result;
        atomic_store(&going, false);
        CHECK(pthread_create(&thread, NULL, cancelled, &session) == 0);
        while (!atomic_load(&going))
            sched_yield();
        CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    }
    CHECK(atomic_load(&fake->connections) == connections);
    fake_fault(fake, FAULT_NONE, 0, 0);
}

static void *cycling(void *argument) {
    (void)argument;
    for (;;) {
        CHECK_RV(CKR_OK, C_Initialize(NULL));
        atomic_store(&going, true);
        CHECK_RV(CKR_OK, C_Finalize(NULL));
        pthread_testcancel();
    }
    return NULL;
}

// A thread that is cancelled in C_Initialize does not keep others out of it.
__attribute__((unused)) static void cancelled_at_the_start(void) {
    for (int i = 0; i < 100; i++) {
        pthread_t thread;
        atomic_store(&going, false);
        CHECK(pthread_create(&thread, NULL, cycling, NULL) == 0);
        while (!atomic_load(&going))
            sched_yield();
        CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, NULL) == 0);
    }
}

static void *waiting(void *argument) {
    unsigned char byte;
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, C_GenerateRandom(*(CK_SESSION_HANDLE *)argument, &byte, 1));
    return NULL;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// C_Finalize frees a call that waits for a silent server before its patience ends.
static void finalize_frees(void) {
    pthread_t thread;
    CK_SESSION_HANDLE session;
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    unsigned before = atomic_load(&fake->count[TL_CALL_GENERATE_RANDOM]);
    fake_fault(fake, FAULT_SILENCE, TL_CALL_GENERATE_RANDOM, 1);
    CHECK(pthread_create(&thread, NULL, waiting, &session) == 0);
    while (atomic_load(&fake->count[TL_CALL_GENERATE_RANDOM]) == before)
        sched_yield();
    double start = seconds();
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    CHECK(pthread_join(thread, NULL) == 0 && seconds() - start < 0.7 * TL_PATIENCE_SECONDS);
}

static _Atomic pid_t waiter;
static _Atomic bool returned;

static void *for_an_event(void *argument) {
    CK_SLOT_ID slot = 99;
    (void)argument;
    atomic_store(&waiter, gettid());
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, C_WaitForSlotEvent(0, &slot, NULL));
    CHECK(slot == 99);
    atomic_store(&returned, true);
    return NULL;
}

// asleep tells whether the kernel has put a thread to sleep.
static bool asleep(pid_t thread) {
    char path[64], state = 'R';
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    FILE *file = thread == 0 ? NULL : fopen(path, "r");
    if (file == NULL)
        return false;
    CHECK(fscanf(file, "%*d (%*[^)]) %c", &state) == 1 && fclose(file) == 0);
    return state == 'S';
}

// There are no slot events: a caller who waits for one waits for C_Finalize.
static void slot_events(void) {
    CK_SLOT_ID slot;
    CHECK_RV(CKR_CRYPTOKI_NOT_INITIALIZED, C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL));
    for (unsigned round = 0; round < 3; round++) {
        pthread_t thread;
        CHECK_RV(CKR_OK, C_Initialize(NULL));
        CHECK_RV(CKR_ARGUMENTS_BAD, C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL));
        CHECK_RV(CKR_ARGUMENTS_BAD, C_WaitForSlotEvent(0, &slot, &slot));
        CHECK_RV(CKR_NO_EVENT, C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL));
        atomic_store(&waiter, 0);
        atomic_store(&returned, false);
        CHECK(pthread_create(&thread, NULL, for_an_event, NULL) == 0);
        while (!asleep(atomic_load(&waiter)))
            CHECK(!atomic_load(&returned));
        CHECK_RV(CKR_OK, C_Finalize(NULL));
        CHECK(pthread_join(thread, NULL) == 0);
    }
}

int main(void) {
    fake = fake_start();
    _Atomic unsigned first = 0;
    in_threads(16, initialising, &first);
    CHECK(atomic_load(&first) == 1);
    in_threads(THREADS, own_session, NULL);
    CHECK(atomic_load(&fake->connections) <= THREADS + 1);
    CK_SESSION_HANDLE session;
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    in_threads(8, shared_session, &session);
    in_threads(16, closing, NULL);
    CHECK_RV(CKR_OK, C_CloseSession(session));
    // With a new pool, where a connection that is lost cannot be replaced by an idle one.
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
#if !defined(__SANITIZE_ADDRESS__) // which leaves a cancelled thread's stack marked as in use
    cancellation(session);
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    cancelled_at_the_start();
#else
    CHECK_RV(CKR_OK, C_Finalize(NULL));
#endif
    finalize_under_load();
    finalize_frees();
    slot_events();
    fake_stop();
    return 0;
}
