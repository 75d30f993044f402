// load repeats one PKCS#11 operation in many threads and reports, as a line of
// JSON, how often and how fast it went. With --prepare it makes the keys that
// the operations need and says which module it has found.
//
// It is C so that nothing but the module is measured: no runtime schedules the
// threads, and no garbage collector runs beside them.
#define _GNU_SOURCE
#include "cpu.h"
#include "histogram.h"
#include "ops.h"

#include <dlfcn.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WARM_UP = 20, MAX_THREADS = 4096 };

struct options {
    const char *module, *token, *pin, *op;
    unsigned threads;
    double seconds;
    pid_t server;
    int prepare;
};

struct run {
    const struct op *op;
    uint64_t duration; // ns
    // All threads and main meet here twice: warmed up, and to start.
    pthread_barrier_t gate;
};

struct thread {
    pthread_t id;
    struct run *run;
    struct lane lane;
    struct histogram latency;
    uint64_t errors, end;
    CK_RV first_error;
};

_Noreturn static void fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void check(const char *call, CK_RV rv) {
    if (rv != CKR_OK)
        fail("%s: 0x%lx", call, rv);
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *work(void *argument) {
    struct thread *t = argument;
    const struct op *op = t->run->op;
    for (int i = 0; i < WARM_UP; i++, t->lane.count++)
        op->run(op, &t->lane);
    pthread_barrier_wait(&t->run->gate);
    pthread_barrier_wait(&t->run->gate);
    uint64_t before = now(), deadline = before + t->run->duration;
    while (before < deadline) {
        CK_RV rv = op->run(op, &t->lane);
        uint64_t after = now();
        if (rv == CKR_OK)
            histogram_add(&t->latency, after - before);
        else if (t->errors++ == 0)
            t->first_error = rv;
        t->lane.count++;
        before = after;
    }
    t->end = before;
    return NULL;
}

static const CK_FUNCTION_LIST *load_module(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        fail("%s", dlerror());
    CK_C_GetFunctionList get;
    *(void **)&get = dlsym(library, "C_GetFunctionList");
    if (get == NULL)
        fail("%s", dlerror());
    CK_FUNCTION_LIST *p11;
    check("C_GetFunctionList", get(&p11));
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    check("C_Initialize", p11->C_Initialize(&args));
    return p11;
}

static CK_SLOT_ID find_slot(const CK_FUNCTION_LIST *p11, const char *label) {
    CK_SLOT_ID slots[64];
    CK_ULONG count = sizeof slots / sizeof slots[0];
    check("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, slots, &count));
    char padded[32 + 1];
    snprintf(padded, sizeof padded, "%-32s", label);
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        check("C_GetTokenInfo", p11->C_GetTokenInfo(slots[i], &info));
        if (memcmp(info.label, padded, sizeof info.label) == 0)
            return slots[i];
    }
    fail("no token is labelled \"%s\"", label);
}

static CK_SESSION_HANDLE open_session(const CK_FUNCTION_LIST *p11, CK_SLOT_ID slot) {
    CK_SESSION_HANDLE session;
    check("C_OpenSession", p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
    return session;
}

// Says which library and token these are, as C_GetInfo and C_GetTokenInfo do.
static void present(const CK_FUNCTION_LIST *p11, CK_SLOT_ID slot) {
    CK_INFO library;
    CK_TOKEN_INFO token;
    check("C_GetInfo", p11->C_GetInfo(&library));
    check("C_GetTokenInfo", p11->C_GetTokenInfo(slot, &token));
    printf("%.16s firmware %d.%d, library %d.%d\n", token.model, token.firmwareVersion.major,
           token.firmwareVersion.minor, library.libraryVersion.major, library.libraryVersion.minor);
}

// Makes the keys that are missing of all operations that the token supports.
static void prepare(const CK_FUNCTION_LIST *p11, CK_SLOT_ID slot, CK_SESSION_HANDLE session) {
    for (const struct op *op = ops; op->name != NULL; op++) {
        CK_MECHANISM_INFO info;
        CK_OBJECT_HANDLE key;
        if (op->generate == NULL || p11->C_GetMechanismInfo(slot, op->mechanism, &info) != CKR_OK)
            continue;
        check("finding a key", op_find_key(op, p11, session, &key));
        if (key == 0)
            check(op->name, op->generate(op, p11, session));
    }
}

static void report(const struct options *o, const struct thread *threads, uint64_t start, double client, double server,
                   pid_t server_pid) {
    struct histogram all = {{0}};
    uint64_t end = start, done = 0, errors = 0;
    CK_RV first_error = CKR_OK;
    for (unsigned i = 0; i < o->threads; i++) {
        histogram_merge(&all, &threads[i].latency);
        errors += threads[i].errors;
        if (first_error == CKR_OK)
            first_error = threads[i].first_error;
        if (threads[i].end > end)
            end = threads[i].end;
    }
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        done += all.count[i];
    double seconds = (double)(end - start) / 1e9;
    printf("{\"op\":\"%s\",\"supported\":true,\"threads\":%u,\"seconds\":%.3f,\"ops\":%" PRIu64 ",\"rate\":%.1f,"
           "\"p50\":%.2f,\"p99\":%.2f,\"clientCPU\":%.6f,\"serverCPU\":%.6f,\"serverPID\":%d,"
           "\"errors\":%" PRIu64 ",\"firstError\":%lu}\n",
           o->op, o->threads, seconds, done, (double)done / seconds, histogram_quantile(&all, 0.50) / 1e3,
           histogram_quantile(&all, 0.99) / 1e3, client, server, (int)server_pid, errors, first_error);
}

static void measure(const struct options *o, const CK_FUNCTION_LIST *p11, CK_SLOT_ID slot, CK_SESSION_HANDLE session) {
    struct run run = {.op = op_named(o->op), .duration = (uint64_t)(o->seconds * 1e9)};
    if (run.op == NULL)
        fail("no operation is called \"%s\"", o->op);
    CK_OBJECT_HANDLE key = 0;
    if (run.op->generate != NULL) {
        check("finding the key", op_find_key(run.op, p11, session, &key));
        if (key == 0) {
            printf("{\"op\":\"%s\",\"supported\":false}\n", o->op);
            return;
        }
    }
    struct thread *threads = calloc(o->threads, sizeof *threads);
    if (threads == NULL || pthread_barrier_init(&run.gate, NULL, o->threads + 1) != 0)
        fail("no memory for %u threads", o->threads);
    for (unsigned i = 0; i < o->threads; i++) {
        struct thread *t = &threads[i];
        t->run = &run;
        t->lane = (struct lane){.p11 = p11, .session = open_session(p11, slot), .key = key};
        if (pthread_create(&t->id, NULL, work, t) != 0)
            fail("cannot start thread %u", i);
    }
    pthread_barrier_wait(&run.gate);
    // The server is found by the connections that the warm-up has opened.
    pid_t server = o->server != 0 ? o->server : cpu_peer();
    double client_before = cpu_seconds(0), server_before = server != 0 ? cpu_seconds(server) : 0;
    uint64_t start = now();
    pthread_barrier_wait(&run.gate);
    for (unsigned i = 0; i < o->threads; i++)
        pthread_join(threads[i].id, NULL);
    double client = cpu_seconds(0) - client_before;
    double in_server = server != 0 ? cpu_seconds(server) - server_before : 0;
    report(o, threads, start, client, in_server, server);
    free(threads);
}

static struct options parse(int argc, char **argv) {
    static const struct option known[] = {
        {"module", required_argument, NULL, 'm'},
        {"token", required_argument, NULL, 't'},
        {"pin", required_argument, NULL, 'p'},
        {"op", required_argument, NULL, 'o'},
        {"threads", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 's'},
        {"server-pid", required_argument, NULL, 'S'},
        {"prepare", no_argument, NULL, 'P'},
        {NULL, 0, NULL, 0},
    };
    struct options o = {.threads = 1, .seconds = 1};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'm':
            o.module = optarg;
            break;
        case 't':
            o.token = optarg;
            break;
        case 'p':
            o.pin = optarg;
            break;
        case 'o':
            o.op = optarg;
            break;
        case 'n':
            o.threads = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            o.seconds = strtod(optarg, NULL);
            break;
        case 'S':
            o.server = (pid_t)strtol(optarg, NULL, 10);
            break;
        case 'P':
            o.prepare = 1;
            break;
        default:
            exit(2);
        }
    }
    if (o.module == NULL || o.token == NULL || o.pin == NULL || (o.op == NULL && !o.prepare)) {
        fputs("usage: load --module FILE --token LABEL --pin PIN --prepare\n"
              "       load --module FILE --token LABEL --pin PIN --op NAME\n"
              "            [--threads N] [--seconds S] [--server-pid PID]\n"
              "operations:",
              stderr);
        for (const struct op *op = ops; op->name != NULL; op++)
            fprintf(stderr, " %s", op->name);
        fputc('\n', stderr);
        exit(2);
    }
    if (o.threads < 1 || o.threads > MAX_THREADS || !(o.seconds > 0 && o.seconds <= 3600))
        fail("threads must be 1 to %d, seconds more than 0 and at most 3600", MAX_THREADS);
    return o;
}

int main(int argc, char **argv) {
    struct options o = parse(argc, argv);
    const CK_FUNCTION_LIST *p11 = load_module(o.module);
    CK_SLOT_ID slot = find_slot(p11, o.token);
    CK_SESSION_HANDLE session = open_session(p11, slot);
    check("C_Login", p11->C_Login(session, CKU_USER, (CK_UTF8CHAR *)(uintptr_t)o.pin, strlen(o.pin)));
    if (o.prepare) {
        prepare(p11, slot, session);
        present(p11, slot);
    } else
        measure(&o, p11, slot, session);
    check("C_Finalize", p11->C_Finalize(NULL));
    return 0;
}
