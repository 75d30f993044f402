// A server that dies, stalls, restarts or sends nonsense; programs with busy timers
// or with no descriptors left.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "check.h"
#include "fake.h"
#include "socket.h"

static struct fake *fake;
static CK_SESSION_HANDLE session;
static CK_MECHANISM mechanism = {CKM_SHA256_HMAC, NULL, 0};

static unsigned count(unsigned call) { return atomic_load(&fake->count[call]); }

static CK_RV info(void) {
    CK_SESSION_INFO i;
    return C_GetSessionInfo(session, &i);
}

static CK_RV sign(void) {
    unsigned char output[32];
    CK_ULONG length = sizeof output;
    CK_RV rv = C_SignInit(session, &mechanism, FAKE_KEY + 1);
    return rv == CKR_OK ? C_Sign(session, (CK_BYTE *)"data", 4, output, &length) : rv;
}

static const enum fault losses[] = {
    FAULT_CLOSE, FAULT_ANSWER, FAULT_HEADER, FAULT_BODY, FAULT_GARBAGE, FAULT_LENGTH, FAULT_REQUEST, FAULT_SURPLUS,
    FAULT_SILENCE,
};

// What may be repeated survives two lost replies, not three; what may not be is sent once.
static void retries(void) {
    CK_OBJECT_HANDLE object;
    for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++) {
        unsigned before = count(TL_CALL_SESSION_INFO);
        fake_fault(fake, losses[i], TL_CALL_SESSION_INFO, 1);
        CHECK_RV(CKR_OK, info());
        CHECK(count(TL_CALL_SESSION_INFO) == before + 2);
        fake_fault(fake, losses[i], TL_CALL_SESSION_INFO, 3);
        CHECK_RV(CKR_DEVICE_ERROR, info());
        CHECK(count(TL_CALL_SESSION_INFO) == before + 5);

        before = count(TL_CALL_DESTROY_OBJECT);
        fake_fault(fake, losses[i], TL_CALL_DESTROY_OBJECT, 1);
        CHECK_RV(CKR_DEVICE_ERROR, C_DestroyObject(session, FAKE_OBJECT));
        CHECK(count(TL_CALL_DESTROY_OBJECT) == before + 1);

        CHECK_RV(CKR_OK, sign()); // the lost reply may have hidden an epoch, which this one brings
        CHECK_RV(CKR_OK, sign());
        before = count(TL_CALL_OPERATE_FUSED);
        fake_fault(fake, losses[i], TL_CALL_OPERATE_FUSED, 1);
        CHECK_RV(CKR_OK, sign());
        CHECK(count(TL_CALL_OPERATE_FUSED) == before + 2);

        fake_fault(fake, losses[i], TL_CALL_CREATE_OBJECT, 1);
        CHECK_RV(CKR_OK, C_CreateObject(session, NULL, 0, &object));
    }
    // With no connection left a process would be over for its server.
    unsigned revived = atomic_load(&fake->revived);
    for (int i = 0; i < 3; i++) {
        fake_fault(fake, FAULT_SILENCE, TL_CALL_SESSION_INFO, 1);
        CHECK_RV(CKR_OK, info());
    }
    CHECK(atomic_load(&fake->revived) == revived);
    fake_fault(fake, FAULT_EMPTY, TL_CALL_SESSION_INFO, 1);
    CHECK_RV(CKR_DEVICE_ERROR, info());
    CHECK_RV(CKR_OK, info());
}

// A lost reply to Update leaves the server with an operation that the library no
// longer has: the next Init clears it away.
static void doubt(void) {
    unsigned char output[32];
    CK_ULONG length = sizeof output;
    CHECK_RV(CKR_OK, C_SignInit(session, &mechanism, FAKE_KEY + 1));
    fake_fault(fake, FAULT_ANSWER, TL_CALL_UPDATE, 1);
    CHECK_RV(CKR_DEVICE_ERROR, C_SignUpdate(session, (CK_BYTE *)"data", 4));
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_SignFinal(session, output, &length));
    CHECK_RV(CKR_OK, sign());
    CHECK_RV(CKR_OK, C_Login(session, CKU_USER, (CK_UTF8CHAR *)"1234", 4));
    // An Init is made again, once, after what the first left has been cancelled.
    fake_fault(fake, FAULT_ANSWER, TL_CALL_OPERATION_INIT, 1);
    CHECK_RV(CKR_OK, C_SignInit(session, &mechanism, FAKE_KEY + 1));
    CHECK_RV(CKR_OK, C_SignInit(session, NULL, 0));
    CHECK_RV(CKR_OK, C_Login(session, CKU_USER, (CK_UTF8CHAR *)"1234", 4)); // voids the permit
    fake_fault(fake, FAULT_ANSWER, TL_CALL_OPERATION_INIT, 2);
    CHECK_RV(CKR_DEVICE_ERROR, C_SignInit(session, &mechanism, FAKE_KEY + 1));
    CHECK_RV(CKR_OK, sign());
}

static void slowness(void) {
    fake_fault(fake, FAULT_TRICKLE, TL_CALL_SESSION_INFO, 1);
    CHECK_RV(CKR_OK, info());
    // A server that says that it works is waited for, beyond the patience for silence.
    unsigned before = count(TL_CALL_OPEN_SESSION);
    CK_SESSION_HANDLE other = CK_INVALID_HANDLE;
    fake_fault(fake, FAULT_WORKING, TL_CALL_OPEN_SESSION, 1);
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &other));
    CHECK(other != CK_INVALID_HANDLE && count(TL_CALL_OPEN_SESSION) == before + 1);
    CHECK_RV(CKR_OK, C_CloseSession(other));
}

static void ignore(int signal) { (void)signal; }

static void interruptions(void) {
    struct sigaction action = {.sa_handler = ignore};
    struct itimerval storm = {{0, 200}, {0, 200}}, calm = {{0, 0}, {0, 0}};
    unsigned char random[100000];
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &storm, NULL);
    for (int i = 0; i < 300; i++) {
        CHECK_RV(CKR_OK, sign());
        CHECK_RV(CKR_OK, C_GenerateRandom(session, random, sizeof random));
    }
    fake_fault(fake, FAULT_TRICKLE, TL_CALL_GENERATE_RANDOM, 1);
    CHECK_RV(CKR_OK, C_GenerateRandom(session, random, 1000));
    // Signals do not make a silent server look alive.
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    fake_fault(fake, FAULT_SILENCE, TL_CALL_DESTROY_OBJECT, 1);
    CHECK_RV(CKR_DEVICE_ERROR, C_DestroyObject(session, FAKE_OBJECT));
    clock_gettime(CLOCK_MONOTONIC, &to);
    CHECK(to.tv_sec - from.tv_sec <= 2 * TL_PATIENCE_SECONDS + 1);
    setitimer(ITIMER_REAL, &calm, NULL);
}

// A server that starts anew gets everything back: sessions under their handles, and
// the login, if there was one.
static void restart(void) {
    CK_SESSION_HANDLE other;
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT + 1, CKF_SERIAL_SESSION, NULL, NULL, &other));
    CHECK_RV(CKR_OK, C_Login(session, CKU_USER, (CK_BYTE *)"12345678", 8));
    CHECK_RV(CKR_OK, sign());
    fake_again();
    CHECK_RV(CKR_OK, sign());
    CHECK_RV(CKR_OK, info());
    CHECK(count(TL_CALL_RESUME) == 2); // one for each slot
    CHECK(atomic_load(&fake->tickets) == 1);
    CHECK_RV(CKR_OK, C_CloseSession(other));

    // An Init that a server took with it is made again with its operation.
    unsigned char output[32];
    CK_ULONG length = sizeof output;
    CHECK_RV(CKR_OK, C_SignInit(session, &mechanism, FAKE_KEY + 1));
    fake_again();
    CHECK_RV(CKR_OK, C_Sign(session, (CK_BYTE *)"data", 4, output, &length));
    CHECK(atomic_load(&fake->tickets) == 2);

    // Parts that it had are lost.
    CHECK_RV(CKR_OK, C_SignInit(session, &mechanism, FAKE_KEY + 1));
    CHECK_RV(CKR_OK, C_SignUpdate(session, (CK_BYTE *)"data", 4));
    fake_again();
    length = sizeof output;
    CHECK_RV(CKR_OPERATION_NOT_INITIALIZED, C_SignFinal(session, output, &length));

    // A login is repeated at a new server, and never at the one that has it.
    CHECK_RV(CKR_OK, C_Logout(session));
    unsigned logins = count(TL_CALL_LOGIN);
    fake_fault(fake, FAULT_ANSWER, TL_CALL_LOGIN, 1);
    CHECK_RV(CKR_DEVICE_ERROR, C_Login(session, CKU_USER, (CK_BYTE *)"12345678", 8));
    CHECK(count(TL_CALL_LOGIN) == logins + 1);
    fake_fault(fake, FAULT_DEATH, TL_CALL_LOGIN, 1);
    CHECK_RV(CKR_OK, C_Login(session, CKU_USER, (CK_BYTE *)"12345678", 8));
    CHECK(count(TL_CALL_LOGIN) == logins + 3);

    CHECK_RV(CKR_OK, C_Logout(session));
    unsigned tickets = atomic_load(&fake->tickets);
    fake_again();
    CHECK_RV(CKR_OK, sign());
    CHECK(atomic_load(&fake->tickets) == tickets);

    atomic_store(&fake->forgetful, true);
    fake_again();
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, sign());
    CHECK_RV(CKR_SESSION_HANDLE_INVALID, info());
    atomic_store(&fake->forgetful, false);
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    CHECK_RV(CKR_OK, sign()); // with a permit of the new server
    CHECK_RV(CKR_OK, info());
    fake_again();
    // Even a call that is made once finds the new server: the dead connections show.
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    CHECK_RV(CKR_OK, C_CloseSession(session));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
}

// A program that closes descriptors it does not know, as daemons do, must not have
// its own next file written to.
static void closed_descriptors(void) {
    for (int fd = 3; fd < 100; fd++)
        close(fd);
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    for (int fd = 3; fd < 40; fd++)
        if (fd != pair[0] && fd != pair[1])
            dup2(pair[0], fd);
    CHECK_RV(CKR_OK, info());
    CHECK_RV(CKR_OK, sign());
    char byte;
    CHECK(recv(pair[1], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
    for (int fd = 3; fd < 40; fd++)
        CHECK(fcntl(fd, F_GETFD) >= 0); // and none of the program's was closed
    for (int fd = 3; fd < 100; fd++)
        close(fd);
}

static void no_descriptors(void) {
    struct rlimit limit, none;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    none = limit;
    none.rlim_cur = 3;
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK_RV(CKR_DEVICE_ERROR, info()); // the connection was closed above, and there is no other
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_RV(CKR_OK, info());
}

static void *drawing(void *wanted) {
    unsigned char random[1000];
    for (int i = 0; i < 20; i++)
        CHECK_RV(*(CK_RV *)wanted, C_GenerateRandom(session, random, sizeof random));
    return NULL;
}

static void draw(CK_RV wanted) {
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++)
        CHECK(pthread_create(&threads[i], NULL, drawing, &wanted) == 0);
    for (size_t i = 0; i < 8; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

// Threads for which there are no descriptors share the connections that there are; when
// those are lost, nobody waits for them.
static void few_descriptors(void) {
    struct rlimit limit, few;
    unsigned connections = atomic_load(&fake->connections);
    CHECK_RV(CKR_OK, info());
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    few = limit;
    few.rlim_cur = 4; // of which one is the connection
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    fake_fault(fake, FAULT_TRICKLE, TL_CALL_GENERATE_RANDOM, ~0U);
    draw(CKR_OK);
    CHECK(atomic_load(&fake->connections) <= connections + 1);
    fake_fault(fake, FAULT_CLOSE, TL_CALL_SESSION_INFO, 1);
    CHECK_RV(CKR_DEVICE_ERROR, info());
    draw(CKR_DEVICE_ERROR);
    fake_fault(fake, FAULT_NONE, 0, 0);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

// An area that says nonsense costs the connection, and nothing is read beyond it.
static void nonsense(void) {
    static const enum fault faults[] = {FAULT_AREA_LENGTH, FAULT_AREA_SHORT, FAULT_AREA_OTHER, FAULT_AREA_TURN};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        unsigned before = count(TL_CALL_SESSION_INFO);
        fake_fault(fake, faults[i], TL_CALL_SESSION_INFO, 1);
        CHECK_RV(CKR_OK, info());
        CHECK(count(TL_CALL_SESSION_INFO) == before + 2);
        fake_fault(fake, faults[i], TL_CALL_SESSION_INFO, 3);
        CHECK_RV(CKR_DEVICE_ERROR, info());
        CHECK_RV(CKR_OK, info());
    }
    unsigned through = atomic_load(&fake->in_area);
    CHECK(through > 0);
    CHECK_RV(CKR_OK, sign());
    CHECK(atomic_load(&fake->in_area) > through);
}

// A file that the server could shrink is not mapped.
static void unsealed(void) {
    atomic_store(&fake->unsealed, true);
    fake_again();
    unsigned through = atomic_load(&fake->in_area);
    CHECK_RV(CKR_OK, info());
    CHECK(atomic_load(&fake->in_area) == through);
    atomic_store(&fake->unsealed, false);
}

int main(void) {
    fake = fake_start();
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK_RV(CKR_OK, C_OpenSession(FAKE_SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session));
    retries();
    doubt();
    slowness();
    if (getenv("FAKE_AREA") != NULL)
        nonsense();
    else
        CHECK(atomic_load(&fake->in_area) == 0);
    interruptions();
    restart();
    unsealed();
    closed_descriptors();
    no_descriptors();
    few_descriptors();
    CHECK_RV(CKR_OK, C_Finalize(NULL));
    fake_stop();
    return 0;
}
