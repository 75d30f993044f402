#include "fake.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "shm.h"
#include "socket.h"

enum { SESSIONS = 4096, PIECE = 200000 };

struct operation {
    bool active;
    uint64_t key;
    unsigned char sum;
    uint8_t *pending; // for Drain
    size_t left;
    bool ending;
};

static struct fake *shared;
static char directory[] = "/tmp/tidelock-test-XXXXXX";
static char path[sizeof directory + 16];
static pid_t server;

// Below this line everything runs in the server's process.

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct operation operations[SESSIONS][8];
static bool opened[SESSIONS];
static uint64_t sessions;

struct request {
    struct tl_header header;
    struct tl_view body;
};

// The area of the thread's connection, or NULL.
static _Thread_local struct tl_area *area;
static _Thread_local uint32_t turn;

// announce tells of a reply of length bytes in the area, or of one on the socket.
static void announce(uint32_t length) {
    if (area == NULL || atomic_load(&area->ready) == 0)
        return;
    atomic_store(&area->length, length);
    atomic_store(&area->turn, ++turn);
    if (atomic_exchange(&area->waiting, 0) != 0)
        syscall(SYS_futex, &area->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
}

// pass sends the reply to Hello along with an area.
static bool pass(int fd, const struct tl_buffer *frame) {
    int file = memfd_create("area", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(file >= 0 && ftruncate(file, sizeof *area) == 0);
    int seals = atomic_load(&shared->unsealed) ? F_SEAL_GROW : F_SEAL_GROW | F_SEAL_SHRINK;
    CHECK(fcntl(file, F_ADD_SEALS, seals) == 0);
    area = mmap(NULL, sizeof *area, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(area != MAP_FAILED);
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}};
    memcpy(CMSG_DATA(&control.header), &file, sizeof file);
    struct iovec from = {.iov_base = frame->data, .iov_len = frame->length};
    struct msghdr message = {
        .msg_iov = &from, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    close(file);
    return sent == (ssize_t)frame->length;
}

// deliver sends a reply the way that the server does.
static bool deliver(int fd, const struct tl_buffer *frame) {
    if (area == NULL || atomic_load(&area->ready) == 0 || frame->length > sizeof area->frame) {
        announce(0);
        return tl_socket_send(fd, frame->data, frame->length);
    }
    memcpy(area->frame, frame->data, frame->length);
    atomic_fetch_add(&shared->in_area, 1);
    announce((uint32_t)frame->length);
    return true;
}

static bool read_all(int fd, void *to, size_t n) {
    for (uint8_t *at = to; n > 0;) {
        ssize_t got = read(fd, at, n);
        if (got <= 0)
            return false;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

static bool write_all(int fd, const void *from, size_t n) { return tl_socket_send(fd, from, n); }

static unsigned char sum_of(unsigned char sum, struct tl_bytes data) {
    for (size_t i = 0; i < data.length; i++)
        sum = (unsigned char)(sum * 31 + data.data[i]);
    return sum;
}

static enum tl_rule { ASK, FIXED, LONGER, SHORTER, PADDED, UNPADDED, AT_MOST } rule_of(uint64_t key) {
    return key == FAKE_ONE_PART ? FIXED : (enum tl_rule)(key - FAKE_KEY);
}

static size_t length_of(uint64_t key, size_t n) {
    switch (rule_of(key)) {
    case LONGER:
        return n + 16;
    case SHORTER:
        return n > 16 ? n - 16 : 0;
    case PADDED:
        return (n / 16 + 1) * 16;
    case UNPADDED:
        return n > 5 ? n - 5 : 0;
    case AT_MOST:
        return 20;
    default:
        return 32;
    }
}

// put_output writes output and length, of which data is the beginning: a stream of
// the data's bytes, inverted, then the checksum.
static uint32_t put_output(struct tl_buffer *b, struct operation *o, struct tl_bytes data, size_t length,
                           uint64_t capacity, bool ends) {
    if (capacity == UINT64_MAX || length > capacity) {
        tl_put_u32(b, 0);
        tl_put_u64(b, length);
        return capacity == UINT64_MAX ? CKR_OK : CKR_BUFFER_TOO_SMALL;
    }
    uint8_t *output = malloc(length + 1);
    for (size_t i = 0; i < length; i++)
        output[i] = i < data.length ? (uint8_t)~data.data[i] : o->sum;
    size_t now = length < PIECE ? length : PIECE;
    tl_put_bytes(b, (struct tl_bytes){output, now});
    tl_put_u64(b, length);
    if (now < length) {
        o->left = length - now;
        o->pending = malloc(o->left);
        memcpy(o->pending, output + now, o->left);
        o->ending = ends;
    } else if (ends) {
        o->active = false;
    }
    free(output);
    return CKR_OK;
}

static uint64_t skip_mechanism(struct tl_view *v) {
    uint64_t type = tl_get_u64(v);
    tl_get_u16(v);
    unsigned fields = tl_get_u16(v);
    uint32_t length = tl_get_u32(v);
    for (unsigned i = 0; i < fields; i++)
        tl_get_u64(v);
    for (uint32_t i = 0; i < length; i++)
        tl_get_u8(v);
    return type;
}

static uint32_t begin(struct operation *o, struct tl_view *v) {
    uint64_t type = skip_mechanism(v);
    uint64_t key = tl_get_u64(v);
    if (o->active)
        return CKR_OPERATION_ACTIVE;
    if (type == CKM_VENDOR_DEFINED)
        return CKR_MECHANISM_INVALID;
    if (type == CKM_SHA_1) // the digest, which has no key
        key = FAKE_KEY + FIXED;
    if (key < FAKE_KEY || key > FAKE_ONE_PART)
        return CKR_KEY_HANDLE_INVALID;
    *o = (struct operation){.active = true, .key = key};
    return CKR_OK;
}

static uint32_t operate(struct operation *o, unsigned function, struct tl_view *v, struct tl_buffer *b) {
    struct tl_bytes data = tl_get_bytes(v), signature = tl_get_bytes(v);
    uint64_t capacity = tl_get_u64(v);
    if (!o->active)
        return CKR_OPERATION_NOT_INITIALIZED;
    unsigned char sum = sum_of(o->sum, data);
    if (function == 5) {
        o->active = false;
        tl_put_u32(b, 0);
        tl_put_u64(b, 0);
        return signature.length == 1 && signature.data[0] == sum ? CKR_OK : CKR_SIGNATURE_INVALID;
    }
    bool stream = function == 1 || function == 2;
    unsigned char before = o->sum;
    o->sum = sum;
    uint32_t rv = put_output(b, o, stream ? data : (struct tl_bytes){0}, length_of(o->key, data.length), capacity, true);
    if (o->active && o->left == 0)
        o->sum = before;
    return rv;
}

static uint32_t update(struct operation *o, unsigned function, struct tl_view *v, struct tl_buffer *b) {
    struct tl_bytes data = tl_get_bytes(v);
    uint64_t capacity = tl_get_u64(v);
    size_t length = function == 1 || function == 2 ? data.length : 0;
    if (!o->active)
        return CKR_OPERATION_NOT_INITIALIZED;
    uint32_t rv = put_output(b, o, data, length, capacity, false);
    if (rv == CKR_OK && capacity != UINT64_MAX)
        o->sum = sum_of(o->sum, data);
    return rv;
}

// update_both is an update of which other takes the plaintext.
static uint32_t update_both(struct operation *all, struct tl_view *v, struct tl_buffer *b) {
    unsigned function = tl_get_u8(v) & 7;
    struct operation *o = &all[function], *other = &all[tl_get_u8(v) & 7];
    struct tl_view again = *v;
    struct tl_bytes data = tl_get_bytes(&again);
    bool asks = tl_get_u64(&again) == UINT64_MAX;
    uint32_t rv = other->active ? update(o, function, v, b) : CKR_OPERATION_NOT_INITIALIZED;
    if (rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL)
        o->active = other->active = false;
    for (size_t i = 0; rv == CKR_OK && !asks && i < data.length; i++) {
        uint8_t plain = function == 1 ? data.data[i] : (uint8_t)~data.data[i];
        other->sum = sum_of(other->sum, (struct tl_bytes){&plain, 1});
    }
    return rv;
}

static uint32_t final(struct operation *o, unsigned function, struct tl_view *v, struct tl_buffer *b) {
    struct tl_bytes signature = tl_get_bytes(v);
    uint64_t capacity = tl_get_u64(v);
    if (!o->active)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (function == 5) {
        o->active = false;
        tl_put_u32(b, 0);
        tl_put_u64(b, 0);
        return signature.length == 1 && signature.data[0] == o->sum ? CKR_OK : CKR_SIGNATURE_INVALID;
    }
    return put_output(b, o, (struct tl_bytes){0}, function == 1 || function == 2 ? 16 : 32, capacity, true);
}

static uint32_t drain(struct operation *o, struct tl_buffer *b) {
    size_t now = o->left < PIECE ? o->left : PIECE;
    tl_put_bytes(b, (struct tl_bytes){o->pending, now});
    tl_put_u64(b, o->left);
    memmove(o->pending, o->pending + now, o->left - now);
    o->left -= now;
    if (o->left == 0) {
        free(o->pending);
        o->pending = NULL;
        if (o->ending)
            o->active = false;
    }
    return CKR_OK;
}

// A saved state is FAKE_STATE bytes, each of them the checksum of the digest.
static uint32_t get_state(const struct operation *all, struct tl_view *v, struct tl_buffer *b) {
    uint8_t state[FAKE_STATE];
    uint64_t capacity = tl_get_u64(v);
    if (!all[3].active)
        return CKR_OPERATION_NOT_INITIALIZED;
    memset(state, all[3].sum, sizeof state);
    bool fits = capacity >= sizeof state && capacity != UINT64_MAX;
    tl_put_bytes(b, (struct tl_bytes){state, fits ? sizeof state : 0});
    tl_put_u64(b, sizeof state);
    return fits || capacity == UINT64_MAX ? CKR_OK : CKR_BUFFER_TOO_SMALL;
}

static uint32_t set_state(struct operation *all, struct tl_view *v, struct tl_buffer *b) {
    struct tl_bytes state = tl_get_bytes(v);
    if (state.length != FAKE_STATE)
        return CKR_SAVED_STATE_INVALID;
    if ((tl_get_u64(v) | tl_get_u64(v)) != 0)
        return CKR_KEY_NOT_NEEDED;
    memset(all, 0, sizeof operations[0]);
    all[3] = (struct operation){.active = true, .key = FAKE_KEY + FIXED, .sum = state.data[0]};
    tl_put_u8(b, FIXED);
    tl_put_u64(b, 32);
    tl_put_u8(b, 1);
    tl_put_bool(b, state.data[0] != 0);
    return CKR_OK;
}

// wrap_key makes the wrapped key of the numbers of both keys.
static uint32_t wrap_key(struct tl_view *v, struct tl_buffer *b) {
    uint8_t wrapped[FAKE_WRAPPED];
    skip_mechanism(v);
    uint64_t wrapping = tl_get_u64(v), key = tl_get_u64(v), capacity = tl_get_u64(v);
    if (wrapping != FAKE_KEY)
        return CKR_WRAPPING_KEY_HANDLE_INVALID;
    memset(wrapped, (int)key, sizeof wrapped);
    bool fits = capacity >= sizeof wrapped && capacity != UINT64_MAX;
    tl_put_bytes(b, (struct tl_bytes){wrapped, fits ? sizeof wrapped : 0});
    tl_put_u64(b, sizeof wrapped);
    return fits || capacity == UINT64_MAX ? CKR_OK : CKR_BUFFER_TOO_SMALL;
}

// new_key answers a call that unwraps or derives: with the key that was used, unless the
// wrapped key or the template are empty.
static uint32_t new_key(struct tl_view *v, struct tl_buffer *b, bool unwraps) {
    tl_get_id(v);
    skip_mechanism(v);
    uint64_t key = tl_get_u64(v);
    if (unwraps && tl_get_bytes(v).length != FAKE_WRAPPED)
        return CKR_WRAPPED_KEY_LEN_RANGE;
    if (tl_get_attributes(v).count == 0)
        return CKR_TEMPLATE_INCOMPLETE;
    tl_put_u64(b, key);
    return CKR_OK;
}

// message_init knows AES-GCM, and no key but FAKE_KEY.
static uint32_t message_init(struct tl_view *v) {
    tl_get_u8(v);
    if (skip_mechanism(v) != CKM_AES_GCM)
        return CKR_MECHANISM_INVALID;
    return tl_get_u64(v) == FAKE_KEY ? CKR_OK : CKR_KEY_HANDLE_INVALID;
}

// message_crypt inverts the data. The tag is made of the last byte of IV and additional
// data; a generated IV is FAKE_OBJECT in each byte. Data that begins with ! comes back a
// byte short.
static uint32_t message_crypt(struct tl_view *v, struct tl_buffer *b) {
    uint8_t iv[256], tag[16];
    unsigned function = tl_get_u8(v);
    skip_mechanism(v);
    if (tl_get_u64(v) != FAKE_KEY)
        return CKR_KEY_HANDLE_INVALID;
    struct tl_bytes given = tl_get_bytes(v);
    tl_get_u64(v); // fixed bits
    bool generate = tl_get_u64(v) != CKG_NO_GENERATE && function == 1;
    uint64_t tag_bits = tl_get_u64(v);
    struct tl_bytes aad = tl_get_bytes(v), data = tl_get_bytes(v), brought = tl_get_bytes(v);
    if (given.length == 0 || given.length > sizeof iv || tag_bits > 128)
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(iv, given.data, given.length);
    if (generate)
        memset(iv, FAKE_OBJECT, given.length);
    size_t tag_length = (size_t)tag_bits / 8;
    memset(tag, iv[given.length - 1] ^ (aad.length == 0 ? 0 : aad.data[aad.length - 1]), sizeof tag);
    if (function == 2 && (brought.length != tag_length || memcmp(brought.data, tag, tag_length) != 0))
        return CKR_AEAD_DECRYPT_FAILED;
    tl_put_bytes(b, (struct tl_bytes){iv, given.length});
    if (data.length > 0 && data.data[0] == '!')
        data.length--;
    tl_put_u32(b, (uint32_t)data.length);
    for (size_t i = 0; i < data.length; i++)
        tl_put_u8(b, (uint8_t)~data.data[i]);
    tl_put_bytes(b, (struct tl_bytes){tag, function == 1 ? tag_length : 0});
    return CKR_OK;
}

// A message in parts inverts its data, up to PIECE bytes in a reply; the tag is the checksum.
static uint32_t message_begin(struct operation *all, struct tl_view *v, struct tl_buffer *b) {
    uint8_t iv[256];
    unsigned function = tl_get_u8(v);
    skip_mechanism(v);
    if (tl_get_u64(v) != FAKE_KEY)
        return CKR_KEY_HANDLE_INVALID;
    struct tl_bytes given = tl_get_bytes(v);
    tl_get_u64(v); // fixed bits
    memcpy(iv, given.data, given.length);
    if (function == 1 && tl_get_u64(v) != CKG_NO_GENERATE)
        memset(iv, FAKE_OBJECT, given.length);
    struct operation *o = &all[function == 1 ? 6 : 7];
    free(o->pending);
    *o = (struct operation){.active = true};
    tl_put_bytes(b, (struct tl_bytes){iv, given.length});
    return CKR_OK;
}

static uint32_t message_next(struct operation *all, struct tl_view *v, struct tl_buffer *b) {
    uint8_t tag[16];
    unsigned function = tl_get_u8(v);
    struct tl_bytes data = tl_get_bytes(v);
    bool last = tl_get_bool(v);
    struct tl_bytes brought = tl_get_bytes(v);
    struct operation *o = &all[function == 1 ? 6 : 7];
    if (!o->active)
        return CKR_OPERATION_NOT_INITIALIZED;
    o->pending = realloc(o->pending, o->left + data.length + 1);
    for (size_t i = 0; i < data.length; i++) {
        uint8_t plain = function == 1 ? data.data[i] : (uint8_t)~data.data[i];
        o->sum = sum_of(o->sum, (struct tl_bytes){&plain, 1});
        o->pending[o->left++] = (uint8_t)~data.data[i];
    }
    size_t all_of_it = last ? o->left : 0, now = all_of_it < PIECE ? all_of_it : PIECE;
    memset(tag, o->sum, sizeof tag);
    if (last && function == 2 && (brought.length != sizeof tag || memcmp(brought.data, tag, sizeof tag) != 0)) {
        o->active = false;
        o->left = 0;
        return CKR_AEAD_DECRYPT_FAILED;
    }
    tl_put_bytes(b, (struct tl_bytes){o->pending, now});
    tl_put_u64(b, all_of_it);
    tl_put_bytes(b, (struct tl_bytes){tag, last && function == 1 ? sizeof tag : 0});
    if (last) {
        memmove(o->pending, o->pending + now, o->left - now);
        o->left -= now;
        o->ending = true;
        o->active = o->left > 0;
    }
    return CKR_OK;
}

static uint32_t digest_key(struct operation *o, struct tl_view *v) {
    uint8_t key = (uint8_t)tl_get_u64(v);
    if (!o->active)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (key != FAKE_OBJECT) {
        o->active = false;
        return CKR_KEY_INDIGESTIBLE;
    }
    o->sum = sum_of(o->sum, (struct tl_bytes){&key, 1});
    return CKR_OK;
}

// inner is the template that the fake's object has for what it wraps.
static const CK_BBOOL yes = CK_TRUE;
static const CK_ATTRIBUTE inner[] = {{CKA_LABEL, (void *)"label", 5}, {CKA_EXTRACTABLE, (void *)&yes, sizeof yes}};

static void put_inner(struct tl_buffer *b) {
    struct tl_buffer value = {0};
    tl_put_template(&value, (struct tl_template){inner, sizeof inner / sizeof inner[0]});
    tl_put_bytes(b, (struct tl_bytes){value.data, value.length});
    tl_buffer_free(&value);
}

static uint32_t get_attributes(struct tl_view *v, struct tl_buffer *b) {
    tl_get_u64(v);
    struct tl_u64s types = tl_get_u64s(v);
    uint32_t rv = CKR_OK;
    tl_put_u32(b, (uint32_t)types.count);
    for (size_t i = 0; i < types.count; i++)
        switch (tl_u64s_at(&types, i)) {
        case CKA_LABEL:
            tl_put_u8(b, TL_VALUE_PRESENT);
            tl_put_bytes(b, (struct tl_bytes){(const uint8_t *)"label", 5});
            break;
        case CKA_WRAP_TEMPLATE:
            tl_put_u8(b, TL_VALUE_PRESENT);
            put_inner(b);
            break;
        case CKA_UNWRAP_TEMPLATE: // not a template at all
            tl_put_u8(b, TL_VALUE_PRESENT);
            tl_put_bytes(b, (struct tl_bytes){(const uint8_t *)"label", 5});
            break;
        case CKA_VALUE:
            tl_put_u8(b, TL_VALUE_SENSITIVE);
            tl_put_u32(b, 0);
            rv = rv == CKR_OK ? CKR_ATTRIBUTE_SENSITIVE : rv;
            break;
        default:
            tl_put_u8(b, TL_VALUE_ABSENT);
            tl_put_u32(b, 0);
            rv = CKR_ATTRIBUTE_TYPE_INVALID;
        }
    return rv;
}

static uint32_t find(struct tl_view *v, struct tl_buffer *b) {
    tl_get_attributes(v);
    uint64_t after = tl_get_u64(v);
    uint32_t limit = tl_get_u32(v), objects = atomic_load(&shared->objects);
    uint32_t n = after >= objects ? 0 : objects - (uint32_t)after;
    n = n > limit ? limit : n;
    tl_put_u32(b, n);
    for (uint32_t i = 1; i <= n; i++)
        tl_put_u64(b, after + i);
    tl_put_bool(b, after + n < objects);
    return CKR_OK;
}

static uint32_t hello(struct tl_view *v, struct tl_buffer *b) {
    tl_get_u16(v);
    tl_get_u16(v);
    tl_get_u64(v);
    atomic_store(&shared->level, tl_get_u32(v));
    struct tl_id application = tl_get_id(v);
    if (memcmp(shared->application, application.bytes, 16) != 0)
        atomic_fetch_add(&shared->hellos, 1);
    else if (atomic_load(&shared->open) == 1)
        atomic_fetch_add(&shared->revived, 1);
    memcpy(shared->application, application.bytes, 16);
    (void)tl_get_id(v);
    (void)tl_get_u64(v);
    struct tl_bytes program = tl_get_bytes(v);
    for (size_t i = 0; i < program.length; i++)
        if (program.data[i] >= 0x80)
            return CKR_ARGUMENTS_BAD; // as for text that is not UTF-8
    tl_put_u16(b, 1);
    tl_put_u64(b, getenv("FAKE_AREA") == NULL ? 0 : TL_SHARED_REPLIES);
    tl_put_u64(b, 1);
    tl_put_u64(b, atomic_load(&shared->boot));
    tl_put_u32(b, TL_MAX_FRAME);
    tl_put_u32(b, 0);
    return CKR_OK;
}

static const uint8_t ticket[32] = "a ticket for a later server";

static uint32_t resume(struct tl_view *v, struct tl_buffer *b) {
    (void)tl_get_u64(v);
    struct tl_bytes brought = tl_get_bytes(v);
    bool good = brought.length == sizeof ticket && memcmp(brought.data, ticket, sizeof ticket) == 0;
    struct tl_u64s wanted = tl_get_u64s(v);
    uint32_t n = atomic_load(&shared->forgetful) ? 0 : (uint32_t)wanted.count;
    if (good)
        atomic_fetch_add(&shared->tickets, 1);
    tl_put_u32(b, n);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t handle = tl_u64s_at(&wanted, i);
        opened[handle] = true;
        if (sessions < handle)
            sessions = handle;
        tl_put_u64(b, handle);
    }
    tl_put_bool(b, good);
    return CKR_OK;
}

// note_text keeps a field for the test, which looks at it after the reply.
static void note_text(char to[64], struct tl_bytes from) {
    size_t n = from.length < 63 ? from.length : 63;
    memset(to, 0, 64);
    memcpy(to, from.data, n);
}

static uint32_t partition_init(struct tl_view *v) {
    uint64_t slot = tl_get_u64(v);
    if (slot != FAKE_SLOT)
        return CKR_SLOT_ID_INVALID;
    for (uint64_t i = 0; i < SESSIONS; i++)
        if (opened[i])
            return CKR_SESSION_EXISTS;
    note_text(shared->label, tl_get_bytes(v));
    note_text(shared->pin, tl_get_bytes(v));
    return tl_get_bytes(v).length == 0 ? CKR_OK : CKR_ARGUMENTS_BAD; // no domain comes from here
}

static uint32_t role(struct tl_view *v) {
    atomic_store(&shared->user, tl_get_u64(v));
    note_text(shared->pin, tl_get_bytes(v));
    return CKR_OK;
}

// authorize notes the key and up to two texts, of which the last is the new data.
static uint32_t authorize(struct tl_view *v, unsigned texts) {
    atomic_store(&shared->key, tl_get_u64(v));
    shared->old[0] = shared->pin[0] = '\0';
    if (texts > 1)
        note_text(shared->old, tl_get_bytes(v));
    if (texts > 0)
        note_text(shared->pin, tl_get_bytes(v));
    return atomic_load(&shared->key) == FAKE_OBJECT ? CKR_OK : CKR_KEY_HANDLE_INVALID;
}

static uint32_t role_state(struct tl_view *v, struct tl_buffer *b) {
    uint64_t slot = tl_get_u64(v);
    atomic_store(&shared->user, tl_get_u64(v));
    if (slot != FAKE_SLOT)
        return CKR_SLOT_ID_INVALID;
    tl_put_u8(b, 0x13);
    tl_put_u8(b, FAKE_ATTEMPTS);
    tl_put_u8(b, 1);
    tl_put_u8(b, 2);
    return CKR_OK;
}

static void put_text(struct tl_buffer *b, const char *text) {
    tl_put_bytes(b, (struct tl_bytes){(const uint8_t *)text, strlen(text)});
}

static uint32_t partition_info(struct tl_view *v, struct tl_buffer *b) {
    static const uint64_t figures[] = {1000, 300, 700, 50, 3, 0}; // total to sessions
    if (tl_get_u64(v) != FAKE_SLOT)
        return CKR_SLOT_ID_INVALID;
    put_text(b, "name");
    put_text(b, "serial");
    put_text(b, "initialised");
    tl_put_u8(b, 0);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        tl_put_u64(b, figures[i]);
    for (int list = 0; list < 3; list++)
        tl_put_u64s(b, (struct tl_ulongs){0});
    return CKR_OK;
}

static uint32_t put_policies(struct tl_buffer *b, const CK_ULONG *ids, size_t count, bool effect) {
    CK_ULONG column[2];
    char name[8];
    tl_put_u64s(b, (struct tl_ulongs){ids, count});
    column[0] = column[1] = 1;
    tl_put_u64s(b, (struct tl_ulongs){column, count});
    column[0] = column[1] = 255;
    tl_put_u64s(b, (struct tl_ulongs){column, atomic_load(&shared->uneven) ? 0 : count});
    for (int text = 0; text < 2; text++) {
        tl_put_u32(b, (uint32_t)count);
        for (size_t i = 0; i < count; i++) {
            snprintf(name, sizeof name, "%u", (unsigned)ids[i]);
            put_text(b, text == 0 ? name : ids[i] == 41 ? "off" : "");
        }
    }
    column[0] = column[1] = effect;
    tl_put_u64s(b, (struct tl_ulongs){column, count});
    tl_put_u32(b, 0); // abouts
    tl_put_u32(b, 0); // rules
    tl_put_u32(b, 0); // verified
    return CKR_OK;
}

static uint32_t partition_policies(struct tl_view *v, struct tl_buffer *b) {
    static const CK_ULONG ids[] = {0, 41};
    return tl_get_u64(v) == FAKE_SLOT ? put_policies(b, ids, 2, true) : CKR_SLOT_ID_INVALID;
}

static uint32_t hsm_policies(struct tl_buffer *b) {
    static const CK_ULONG ids[] = {15};
    return put_policies(b, ids, 1, false);
}

static uint32_t set_policies(struct tl_view *v, struct tl_buffer *b) {
    struct tl_u64s ids = tl_get_u64s(v), values = tl_get_u64s(v);
    if (ids.count == 0 || values.count != ids.count)
        return CKR_ARGUMENTS_BAD;
    atomic_store(&shared->policy, tl_u64s_at(&ids, 0));
    atomic_store(&shared->value, tl_u64s_at(&values, 0));
    atomic_store(&shared->changes, (unsigned)ids.count);
    atomic_store(&shared->destructive, tl_get_bool(v));
    tl_put_bool(b, atomic_load(&shared->destructive));
    put_text(b, "");
    for (int i = 0; i < 7; i++) // what is changed and erased: nothing
        tl_put_u32(b, 0);
    return CKR_OK;
}

static uint32_t firmware_version(struct tl_view *v, struct tl_buffer *b) {
    if (tl_get_u64(v) != FAKE_SLOT)
        return CKR_SLOT_ID_INVALID;
    tl_put_u8(b, 7);
    tl_put_u8(b, 8);
    tl_put_u8(b, 4);
    return CKR_OK;
}

static uint32_t in_session(const struct tl_header *h, struct tl_view *v, struct tl_buffer *b) {
    if (h->session == 0 || h->session >= SESSIONS || !opened[h->session])
        return CKR_SESSION_HANDLE_INVALID;
    struct operation *all = operations[h->session], *o = NULL;
    unsigned function = 0;
    if (h->call >= TL_CALL_OPERATION_INIT && h->call <= TL_CALL_DRAIN) {
        function = tl_get_u8(v) & 7;
        o = &all[function];
    }
    uint32_t rv;
    switch (h->call) {
    case TL_CALL_CLOSE_SESSION:
        opened[h->session] = false;
        memset(all, 0, sizeof operations[0]);
        return CKR_OK;
    case TL_CALL_LOGIN:
        atomic_fetch_add(&shared->epoch, 1);
        tl_put_bytes(b, (struct tl_bytes){ticket, sizeof ticket});
        return CKR_OK;
    case TL_CALL_LOGOUT:
    case TL_CALL_DESTROY_OBJECT:
        atomic_fetch_add(&shared->epoch, 1);
        return CKR_OK;
    case TL_CALL_SESSION_INFO:
        tl_put_u64(b, FAKE_SLOT);
        tl_put_u64(b, CKS_RO_PUBLIC_SESSION);
        tl_put_u64(b, CKF_SERIAL_SESSION);
        tl_put_u64(b, 0);
        return CKR_OK;
    case TL_CALL_SESSION_VALIDATION:
        if (tl_get_u64(v) != CKS_LAST_VALIDATION_OK)
            return CKR_ARGUMENTS_BAD;
        tl_put_u64(b, 1);
        return CKR_OK;
    case TL_CALL_INIT_ROLE:
    case TL_CALL_RESET_ROLE:
        return role(v);
    case TL_CALL_AUTHORIZE_KEY:
    case TL_CALL_RESET_AUTHORIZATION_DATA:
        return authorize(v, 1);
    case TL_CALL_SET_AUTHORIZATION_DATA:
        return authorize(v, 2);
    case TL_CALL_ASSIGN_KEY:
    case TL_CALL_INCREMENT_FAILED_AUTH_COUNT:
        return authorize(v, 0);
    case TL_CALL_LOG_EXTERNAL:
        note_text(shared->label, tl_get_bytes(v));
        return CKR_OK;
    case TL_CALL_SET_PARTITION_POLICIES:
    case TL_CALL_SET_HSM_POLICIES:
        return set_policies(v, b);
    case TL_CALL_GET_ATTRIBUTES:
        return get_attributes(v, b);
    case TL_CALL_FIND:
        return find(v, b);
    case TL_CALL_CREATE_OBJECT:
        tl_put_u64(b, tl_get_u64(v)); // the token's first half, to tell a repeat by
        return CKR_OK;
    case TL_CALL_GET_OPERATION_STATE:
        return get_state(all, v, b);
    case TL_CALL_SET_OPERATION_STATE:
        return set_state(all, v, b);
    case TL_CALL_WRAP_KEY:
        return wrap_key(v, b);
    case TL_CALL_UNWRAP_KEY:
        return new_key(v, b, true);
    case TL_CALL_DERIVE_KEY:
        return new_key(v, b, false);
    case TL_CALL_MESSAGE_INIT:
        return message_init(v);
    case TL_CALL_MESSAGE_BEGIN:
        return message_begin(all, v, b);
    case TL_CALL_MESSAGE_NEXT:
        return message_next(all, v, b);
    case TL_CALL_MESSAGE_CRYPT:
        return message_crypt(v, b);
    case TL_CALL_DIGEST_KEY:
        return digest_key(&all[3], v);
    case TL_CALL_GENERATE_RANDOM: {
        uint32_t n = tl_get_u32(v);
        tl_put_u32(b, n);
        memset(tl_buffer_room(b, n), 0x42, n);
        return CKR_OK;
    }
    case TL_CALL_OPERATION_INIT:
        rv = begin(o, v);
        if (rv != CKR_OK)
            return rv;
        tl_put_bool(b, !atomic_load(&shared->no_permits));
        tl_put_u8(b, (uint8_t)rule_of(o->key));
        tl_put_u64(b, rule_of(o->key) == FIXED || rule_of(o->key) == AT_MOST ? 32 : 16);
        tl_put_u8(b, o->key == FAKE_ONE_PART ? 0 : 1);
        return CKR_OK;
    case TL_CALL_OPERATE_FUSED:
        rv = begin(o, v);
        return rv == CKR_OK ? operate(o, function, v, b) : rv;
    case TL_CALL_OPERATE:
        return operate(o, function, v, b);
    case TL_CALL_UPDATE:
        return update(o, function, v, b);
    case TL_CALL_UPDATE_BOTH:
        return update_both(all, v, b);
    case TL_CALL_FINAL:
        return final(o, function, v, b);
    case TL_CALL_DRAIN:
        return drain(o, b);
    case TL_CALL_OPERATION_CANCEL: {
        uint64_t functions = tl_get_u64(v);
        for (unsigned f = 0; f < 8; f++)
            if ((functions >> f & 1) != 0)
                all[f].active = false;
        return CKR_OK;
    }
    default:
        return CKR_FUNCTION_NOT_SUPPORTED;
    }
}

static uint32_t answer(const struct tl_header *h, struct tl_view *v, struct tl_buffer *b) {
    switch (h->call) {
    case TL_CALL_HELLO:
        return hello(v, b);
    case TL_CALL_GOODBYE:
        return CKR_OK;
    case TL_CALL_RESUME:
        return resume(v, b);
    case TL_CALL_SLOT_LIST:
        tl_put_u32(b, 2);
        tl_put_u64(b, FAKE_SLOT);
        tl_put_u64(b, FAKE_SLOT + 1);
        return CKR_OK;
    case TL_CALL_PARTITION_INIT:
        return partition_init(v);
    case TL_CALL_ROLE_STATE:
        return role_state(v, b);
    case TL_CALL_PARTITION_INFO:
        return partition_info(v, b);
    case TL_CALL_PARTITION_POLICIES:
        return partition_policies(v, b);
    case TL_CALL_HSM_POLICIES:
        return hsm_policies(b);
    case TL_CALL_FIRMWARE_VERSION:
        return firmware_version(v, b);
    case TL_CALL_OPEN_SESSION:
        if (sessions + 1 == SESSIONS)
            return CKR_SESSION_COUNT;
        opened[++sessions] = true;
        tl_put_u64(b, sessions);
        return CKR_OK;
    case TL_CALL_CLOSE_ALL_SESSIONS:
        memset(opened, 0, sizeof opened);
        return CKR_OK;
    default:
        return in_session(h, v, b);
    }
}

static void doze(long milliseconds) {
    nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000}, NULL);
}

// misbehave is false when the connection is to be closed.
static bool misbehave(int fd, enum fault fault, struct tl_buffer *frame, struct tl_header *header) {
    if (fault != FAULT_SILENCE && fault != FAULT_WORKING && fault < FAULT_AREA_LENGTH)
        announce(0);
    switch (fault) {
    case FAULT_AREA_LENGTH:
        announce(UINT32_MAX);
        return true;
    case FAULT_AREA_SHORT:
        if (area != NULL)
            memcpy(area->frame, frame->data, TL_HEADER_SIZE);
        announce(TL_HEADER_SIZE - 1);
        return true;
    case FAULT_AREA_OTHER:
        if (area != NULL)
            memcpy(area->frame, frame->data, frame->length);
        announce((uint32_t)frame->length + 1);
        return true;
    case FAULT_AREA_TURN:
        turn++;
        announce(0);
        return write_all(fd, frame->data, frame->length);
    case FAULT_HEADER:
        write_all(fd, frame->data, TL_HEADER_SIZE / 2);
        return false;
    case FAULT_BODY:
        write_all(fd, frame->data, frame->length - 1);
        return false;
    case FAULT_GARBAGE:
        memset(frame->data, 0xa5, frame->length);
        break;
    case FAULT_LENGTH:
        memset(frame->data, 0xff, 4);
        break;
    case FAULT_REQUEST:
        frame->data[8] ^= 1;
        break;
    case FAULT_SURPLUS:
        tl_put_u8(frame, 0);
        break;
    case FAULT_EMPTY:
        frame->length = TL_HEADER_SIZE;
        frame->data[0] = TL_HEADER_SIZE;
        frame->data[1] = frame->data[2] = frame->data[3] = 0;
        break;
    case FAULT_TRICKLE:
        for (size_t i = 0; i < frame->length; i++)
            if (!write_all(fd, frame->data + i, 1))
                return false;
        return true;
    case FAULT_WORKING: {
        struct tl_buffer working = {0};
        struct tl_header h = *header;
        h.kind = TL_KIND_WORKING;
        h.code = 0;
        h.epoch = 0;
        for (int i = 0; i < 6; i++) {
            tl_begin_frame(&working);
            tl_end_frame(&working, &h);
            if (!write_all(fd, working.data, working.length))
                return false;
            doze(TL_PATIENCE_SECONDS * 1000 / 4);
        }
        tl_buffer_free(&working);
        return deliver(fd, frame);
    }
    case FAULT_SILENCE: {
        char byte;
        (void)!read(fd, &byte, 1); // until the client gives up
        return false;
    }
    default:
        return false;
    }
    return write_all(fd, frame->data, frame->length);
}

static enum fault fault_of(unsigned call) {
    if (atomic_load(&shared->fault_call) != call)
        return FAULT_NONE;
    unsigned times = atomic_load(&shared->fault_times);
    while (times > 0)
        if (atomic_compare_exchange_weak(&shared->fault_times, &times, times - 1))
            return (enum fault)atomic_load(&shared->fault);
    return FAULT_NONE;
}

static bool serve_one(int fd, uint8_t *body, struct tl_buffer *out) {
    struct tl_header header;
    uint8_t bytes[TL_HEADER_SIZE];
    if (!read_all(fd, bytes, sizeof bytes) || !tl_get_header(bytes, &header) || header.kind != TL_KIND_REQUEST)
        return false;
    struct tl_view view = {.data = body, .left = header.length - TL_HEADER_SIZE};
    if (!read_all(fd, body, view.left))
        return false;
    atomic_fetch_add(&shared->count[header.call & 127], 1);
    enum fault fault = fault_of(header.call);
    if (fault == FAULT_CLOSE)
        return false;
    pthread_mutex_lock(&lock);
    tl_begin_frame(out);
    uint32_t code = answer(&header, &view, out);
    if (fault == FAULT_DEATH) {
        atomic_fetch_add(&shared->boot, 1);
        memset(opened, 0, sizeof opened);
        memset(operations, 0, sizeof operations);
    }
    pthread_mutex_unlock(&lock);
    if (code != CKR_OK && code != CKR_BUFFER_TOO_SMALL && code != CKR_ATTRIBUTE_SENSITIVE &&
        code != CKR_ATTRIBUTE_TYPE_INVALID)
        tl_begin_frame(out);
    struct tl_header reply = {.kind = TL_KIND_REPLY,
                              .call = header.call,
                              .request = header.request,
                              .application = header.application,
                              .session = header.session,
                              .code = code,
                              .epoch = header.session == 0 ? 0 : atomic_load(&shared->epoch)};
    tl_end_frame(out, &reply);
    if (header.call == TL_CALL_HELLO && fault == FAULT_NONE && getenv("FAKE_AREA") != NULL)
        return pass(fd, out);
    return fault == FAULT_NONE ? deliver(fd, out) : misbehave(fd, fault, out, &reply);
}

static void *serve(void *argument) {
    int fd = (int)(intptr_t)argument;
    uint8_t *body = malloc(TL_MAX_FRAME);
    struct tl_buffer out = {0};
    atomic_fetch_add(&shared->open, 1);
    while (serve_one(fd, body, &out)) {
    }
    atomic_fetch_sub(&shared->open, 1);
    tl_buffer_free(&out);
    free(body);
    if (area != NULL)
        munmap(area, sizeof *area);
    close(fd);
    return NULL;
}

static void run(int listener, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0); // the test was gone before the signal was ordered
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        atomic_fetch_add(&shared->connections, 1);
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0);
        pthread_detach(thread);
    }
}

// From here on in the test's process.

static void launch(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    unlink(path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(listener, 512) == 0);
    atomic_fetch_add(&shared->boot, 1);
    pid_t self = getpid();
    server = fork();
    CHECK(server >= 0);
    if (server == 0)
        run(listener, self);
    close(listener);
}

struct fake *fake_start(void) {
    if (shared == NULL) {
        shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(shared != MAP_FAILED);
        CHECK(mkdtemp(directory) != NULL);
        snprintf(path, sizeof path, "%s/sock", directory);
        setenv("TIDELOCK_SOCKET", path, 1);
        unsetenv("TIDELOCK_HOME");
    }
    atomic_store(&shared->epoch, 1);
    launch();
    return shared;
}

static void put_down(void) {
    kill(server, SIGKILL);
    while (waitpid(server, NULL, 0) < 0 && errno == EINTR) {
    }
    atomic_store(&shared->open, 0);
}

void fake_again(void) {
    put_down();
    launch();
}

void fake_stop(void) {
    put_down();
    unlink(path);
    rmdir(directory);
}

void fake_fault(struct fake *fake, enum fault fault, unsigned call, unsigned times) {
    atomic_store(&fake->fault, fault);
    atomic_store(&fake->fault_call, call);
    atomic_store(&fake->fault_times, times);
}
