// What a server may do to the library: the calls of an application, over a socket
// that answers out of the input. Hello and C_OpenSession are answered as they should
// be; then the input tells call after call: its number, two bytes, and the replies
// to whatever the library asks for it.
//
// A reply is a byte that tells its kind (enum kind), a length of two bytes, and as many bytes.
// When the input is used up, every reply is CKR_DEVICE_ERROR. With an odd last byte replies go
// through shared memory.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../gen/wire.h"
#include "../shm.h"
#include "../socket.h"
#include "fuzz.h"
#include "tidelock/vendor.h"

// The numbers are those of wire/cfuzz_test.go.
enum kind {
    KIND_OK,
    KIND_SMALL,     // CKR_BUFFER_TOO_SMALL
    KIND_SENSITIVE, // CKR_ATTRIBUTE_SENSITIVE
    KIND_CODE,      // the code is the first byte
    KIND_RAW,       // the bytes are no frame
    KIND_WORKING,   // a working frame comes first
    KIND_LOST,      // nothing comes
    KIND_RESTART,   // nothing comes, and the next connection meets another run of the server
    KIND_AREA,      // the bytes are the area's: how far the turn moves, the length, the frame
    KINDS
};

enum { SLOT = 1, SESSION = 7 };

static struct tl_view input;
static struct tl_buffer stream; // what the socket has to say
static size_t said;             // of it has been read
static bool greeting;           // the server still does as it should
static uint64_t boot;

static bool sharing;         // connections get an area
static struct tl_area *area; // of the newest one
static int area_file = -1;   // until it is passed
static bool owing;           // nothing has been said to the last request

// The area.

static void end_area(void) {
    if (area != NULL)
        munmap(area, sizeof *area);
    if (area_file >= 0)
        close(area_file);
    area = NULL;
    area_file = -1;
}

static void begin_area(void) {
    end_area();
    area_file = memfd_create("area", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    require(area_file >= 0 && ftruncate(area_file, sizeof *area) == 0 &&
            fcntl(area_file, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    area = mmap(NULL, sizeof *area, PROT_READ | PROT_WRITE, MAP_SHARED, area_file, 0);
    require(area != MAP_FAILED);
}

static bool ready(void) { return area != NULL && atomic_load(&area->ready) != 0; }

static void announce(uint32_t turns, uint32_t length, struct tl_bytes frame) {
    if (frame.length > 0)
        memcpy(area->frame, frame.data, frame.length < sizeof area->frame ? frame.length : sizeof area->frame);
    atomic_store(&area->length, length);
    atomic_fetch_add(&area->turn, turns);
}

// The socket.

int tl_socket_connect(const char *path) {
    (void)path;
    tl_buffer_reset(&stream);
    said = 0;
    owing = false;
    if (sharing)
        begin_area();
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

struct tl_identity tl_socket_identity(int fd) { return (struct tl_identity){.device = 1, .inode = (ino_t)fd + 1}; }

bool tl_socket_is(int fd, struct tl_identity identity) { return identity.inode == (ino_t)fd + 1; }

static void put_body(struct tl_buffer *b, const struct tl_header *request) {
    switch (request->call) {
    case TL_CALL_HELLO:
        tl_put_u16(b, 1);
        tl_put_u64(b, sharing ? TL_SHARED_REPLIES : 0);
        tl_put_u64(b, 5);
        tl_put_u64(b, boot);
        tl_put_u32(b, 8192);
        tl_put_u32(b, 0);
        return;
    case TL_CALL_OPEN_SESSION:
        tl_put_u64(b, SESSION);
    }
}

static void say(struct tl_header header, struct tl_bytes body) {
    struct tl_buffer frame = {0};
    tl_begin_frame(&frame);
    if (header.kind == TL_KIND_REPLY && greeting)
        put_body(&frame, &header);
    else
        tl_put_raw(&frame, body);
    if (tl_end_frame(&frame, &header) == CKR_OK) {
        struct tl_bytes whole = {frame.data, frame.length};
        bool shared = header.kind == TL_KIND_REPLY && ready();
        bool fits = shared && frame.length <= sizeof area->frame;
        if (shared)
            announce(1, fits ? (uint32_t)frame.length : 0, fits ? whole : (struct tl_bytes){0});
        if (!fits)
            tl_put_raw(&stream, whole);
    }
    owing = false;
    tl_buffer_free(&frame);
}

static void answer(struct tl_header header) {
    header.kind = TL_KIND_REPLY;
    header.epoch = header.session == 0 ? 0 : 1;
    if (greeting || header.call == TL_CALL_HELLO) {
        bool before = greeting;
        greeting = true;
        say(header, (struct tl_bytes){0});
        greeting = before;
        return;
    }
    uint8_t kind = tl_get_u8(&input);
    size_t length = tl_get_u16(&input);
    if (input.failed) {
        header.code = CKR_DEVICE_ERROR;
        say(header, (struct tl_bytes){0});
        return;
    }
    if (length > input.left)
        length = input.left;
    struct tl_bytes body = {input.data, length};
    input.data += length;
    input.left -= length;
    struct tl_header working = header;
    working.kind = TL_KIND_WORKING;
    working.epoch = 0;
    switch ((enum kind)(kind % KINDS)) {
    case KIND_RESTART:
        boot++;
        return;
    case KIND_LOST:
        return;
    case KIND_RAW:
        if (ready())
            announce(1, 0, (struct tl_bytes){0});
        tl_put_raw(&stream, body);
        return;
    case KIND_AREA:
        if (ready() && length >= 8) {
            struct tl_view v = {.data = body.data, .left = body.length};
            uint32_t turns = tl_get_u32(&v), claimed = tl_get_u32(&v);
            announce(turns, claimed, (struct tl_bytes){v.data, v.left});
        }
        return;
    case KIND_CODE:
        header.code = length == 0 ? CKR_GENERAL_ERROR : body.data[0];
        say(header, (struct tl_bytes){0});
        return;
    case KIND_SMALL:
        header.code = CKR_BUFFER_TOO_SMALL;
        break;
    case KIND_SENSITIVE:
        header.code = CKR_ATTRIBUTE_SENSITIVE;
        break;
    case KIND_WORKING:
        say(working, (struct tl_bytes){0});
        break;
    default:
        break;
    }
    say(header, body);
}

bool tl_socket_send(int fd, const void *data, size_t length) {
    struct tl_header header;
    (void)fd;
    require(length >= TL_HEADER_SIZE && tl_get_header(data, &header) && header.length == length);
    require(header.kind == TL_KIND_REQUEST);
    owing = true;
    answer(header);
    return true;
}

size_t tl_socket_receive(int fd, void *data, size_t size, int *passed) {
    (void)fd;
    if (passed != NULL && *passed < 0) {
        *passed = area_file;
        area_file = -1;
    }
    size_t left = stream.length - said;
    size_t n = left < size ? left : size;
    if (n > 0)
        memcpy(data, stream.data + said, n);
    said += n;
    return n;
}

// A server that owes a reply has closed the connection.
bool tl_socket_is_quiet(int fd) { return (void)fd, said == stream.length && !owing; }

// The application. What it has room for is of exactly this size, so that a sanitizer sees
// a byte too many.

enum { ROOM = 48 };

static CK_BYTE *bytes(size_t n) {
    CK_BYTE *memory = malloc(n);
    require(memory != NULL);
    memset(memory, 0xa5, n);
    return memory;
}

// give writes and reads what a call said that it has written.
static void give(CK_RV rv, CK_BYTE *output, CK_ULONG length) {
    static volatile CK_BYTE sink;
    require(rv != CKR_OK || length <= ROOM);
    for (CK_ULONG i = 0; rv == CKR_OK && i < length; i++)
        sink = (CK_BYTE)(sink ^ output[i]);
    free(output);
}

static void slot_list(void) {
    CK_ULONG count = ROOM / sizeof(CK_SLOT_ID);
    CK_BYTE *slots = bytes(ROOM);
    CK_RV rv = C_GetSlotList(CK_TRUE, (CK_SLOT_ID *)slots, &count);
    give(rv, slots, rv == CKR_OK ? count * sizeof(CK_SLOT_ID) : 0);
}

static void mechanism_list(void) {
    CK_ULONG count = ROOM / sizeof(CK_MECHANISM_TYPE);
    CK_BYTE *types = bytes(ROOM);
    CK_RV rv = C_GetMechanismList(SLOT, (CK_MECHANISM_TYPE *)types, &count);
    give(rv, types, rv == CKR_OK ? count * sizeof(CK_MECHANISM_TYPE) : 0);
}

static void find(void) {
    CK_OBJECT_HANDLE found[4];
    CK_ULONG n = 0;
    if (C_FindObjectsInit(SESSION, NULL, 0) != CKR_OK)
        return;
    for (int i = 0; i < 8 && C_FindObjects(SESSION, found, 4, &n) == CKR_OK && n > 0; i++)
        require(n <= 4);
    C_FindObjectsFinal(SESSION);
}

static void attributes(void) {
    CK_BYTE *label = bytes(ROOM), *inner = bytes(8), *number = bytes(sizeof(CK_ULONG));
    CK_ATTRIBUTE nested[] = {{CKA_LABEL, inner, 8}, {CKA_KEY_TYPE, number, sizeof(CK_ULONG)}};
    CK_ATTRIBUTE wanted[] = {
        {CKA_LABEL, label, ROOM}, {CKA_VALUE, NULL, 0}, {CKA_WRAP_TEMPLATE, nested, sizeof nested}};
    CK_RV rv = C_GetAttributeValue(SESSION, 1, wanted, 3);
    require(rv != CKR_OK || wanted[2].ulValueLen <= sizeof nested);
    free(inner);
    free(number);
    give(rv, label, rv == CKR_OK ? wanted[0].ulValueLen : 0);
}

static CK_MECHANISM mechanism = {CKM_SHA256_HMAC, NULL, 0};

static void operate(void) {
    CK_ULONG length = ROOM;
    CK_BYTE *output = bytes(ROOM);
    CK_RV rv = C_SignInit(SESSION, &mechanism, 1);
    if (rv == CKR_OK)
        rv = C_Sign(SESSION, (CK_BYTE *)"data", 4, output, &length);
    give(rv, output, length);
    C_SessionCancel(SESSION, CKF_SIGN);
}

static void parts(void) {
    CK_BYTE data[64] = {0};
    CK_RV rv = C_EncryptInit(SESSION, &mechanism, 1);
    for (int i = 0; i < 2 && rv == CKR_OK; i++) {
        CK_ULONG length = ROOM;
        CK_BYTE *output = bytes(ROOM);
        rv = C_EncryptUpdate(SESSION, data, sizeof data, output, &length);
        give(rv, output, length);
    }
    CK_ULONG length = ROOM;
    CK_BYTE *output = bytes(ROOM);
    rv = C_EncryptFinal(SESSION, output, &length);
    give(rv, output, length);
    C_SessionCancel(SESSION, CKF_ENCRYPT);
}

// both is parts that two operations take.
static void both(void) {
    CK_BYTE data[64] = {0};
    CK_RV rv = C_EncryptInit(SESSION, &mechanism, 1);
    if (rv == CKR_OK)
        rv = C_DigestInit(SESSION, &mechanism);
    for (int i = 0; i < 2 && rv == CKR_OK; i++) {
        CK_ULONG length = ROOM;
        CK_BYTE *output = bytes(ROOM);
        rv = C_DigestEncryptUpdate(SESSION, data, sizeof data, output, &length);
        give(rv, output, length);
    }
    C_SessionCancel(SESSION, CKF_ENCRYPT | CKF_DIGEST);
}

static void operation_state(void) {
    CK_ULONG length = ROOM;
    CK_BYTE *state = bytes(ROOM);
    CK_RV rv = C_DigestInit(SESSION, &mechanism);
    if (rv == CKR_OK)
        rv = C_GetOperationState(SESSION, state, &length);
    if (rv == CKR_OK)
        (void)C_SetOperationState(SESSION, state, length < ROOM ? length : ROOM, 0, 0);
    give(rv, state, length);
    C_SessionCancel(SESSION, CKF_DIGEST);
}

// split is data longer than a frame, which goes in pieces.
static void split(void) {
    static CK_BYTE data[3 * 8192];
    CK_ULONG length = ROOM;
    CK_BYTE *output = bytes(ROOM);
    CK_RV rv = C_DigestInit(SESSION, &mechanism);
    if (rv == CKR_OK)
        rv = C_Digest(SESSION, data, sizeof data, output, &length);
    give(rv, output, length);
    C_SessionCancel(SESSION, CKF_DIGEST);
}

static void wrap(void) {
    CK_ULONG length = ROOM;
    CK_BYTE *output = bytes(ROOM);
    CK_RV rv = C_WrapKey(SESSION, &mechanism, 1, 2, output, &length);
    give(rv, output, length);
}

static void message(void) {
    CK_BYTE *output = bytes(ROOM), *iv = bytes(12), *tag = bytes(16);
    CK_GCM_MESSAGE_PARAMS parameter = {iv, 12, 0, CKG_GENERATE, tag, 128};
    CK_MECHANISM gcm = {CKM_AES_GCM, NULL, 0};
    CK_ULONG length = ROOM;
    CK_RV rv = C_MessageEncryptInit(SESSION, &gcm, 1);
    if (rv == CKR_OK)
        rv = C_EncryptMessage(SESSION, &parameter, sizeof parameter, NULL, 0, (CK_BYTE *)"data", 4, output, &length);
    C_MessageEncryptFinal(SESSION);
    free(iv);
    free(tag);
    give(rv, output, length);
}

static void random_bytes(void) {
    CK_BYTE *output = bytes(ROOM);
    give(C_GenerateRandom(SESSION, output, ROOM), output, ROOM);
}

static void policies(void) {
    CK_ULONG ids[4], values[4], count = 4, valued = 4;
    if (CA_GetTokenPolicies(SLOT, ids, &count, values, &valued) == CKR_OK)
        require(count <= 4 && valued <= 4);
}

static void apply(uint16_t call) {
    CK_OBJECT_HANDLE one, two;
    CK_SLOT_INFO slot;
    CK_TOKEN_INFO token;
    CK_MECHANISM_INFO offer;
    CK_SESSION_INFO state;
    CK_FLAGS flags;
    CK_ULONG number, minor, patch;
    CA_ROLE_STATE role;
    CK_BYTE name[64];
    switch (call) {
    case TL_CALL_SLOT_LIST:
        slot_list();
        return;
    case TL_CALL_SLOT_INFO:
        C_GetSlotInfo(SLOT, &slot);
        return;
    case TL_CALL_TOKEN_INFO:
        C_GetTokenInfo(SLOT, &token);
        return;
    case TL_CALL_MECHANISM_LIST:
        mechanism_list();
        return;
    case TL_CALL_MECHANISM_INFO:
        C_GetMechanismInfo(SLOT, CKM_AES_GCM, &offer);
        return;
    case TL_CALL_SESSION_INFO:
        C_GetSessionInfo(SESSION, &state);
        return;
    case TL_CALL_SESSION_VALIDATION:
        C_GetSessionValidationFlags(SESSION, CKS_LAST_VALIDATION_OK, &flags);
        return;
    case TL_CALL_LOGIN:
        C_Login(SESSION, CKU_USER, (CK_BYTE *)"password", 8);
        return;
    case TL_CALL_LOGOUT:
        C_Logout(SESSION);
        return;
    case TL_CALL_CREATE_OBJECT:
        C_CreateObject(SESSION, NULL, 0, &one);
        return;
    case TL_CALL_OBJECT_SIZE:
        C_GetObjectSize(SESSION, 1, &number);
        return;
    case TL_CALL_GET_ATTRIBUTES:
        attributes();
        return;
    case TL_CALL_FIND:
        find();
        return;
    case TL_CALL_OPERATION_INIT:
    case TL_CALL_OPERATE:
    case TL_CALL_OPERATE_FUSED:
        operate();
        return;
    case TL_CALL_UPDATE:
    case TL_CALL_FINAL:
        parts();
        return;
    case TL_CALL_DRAIN:
        split();
        return;
    case TL_CALL_UPDATE_BOTH:
        both();
        return;
    case TL_CALL_GET_OPERATION_STATE:
    case TL_CALL_SET_OPERATION_STATE:
        operation_state();
        return;
    case TL_CALL_UNWRAP_KEY:
        C_UnwrapKey(SESSION, &mechanism, 1, (CK_BYTE *)"wrapped", 7, NULL, 0, &one);
        return;
    case TL_CALL_DERIVE_KEY:
        C_DeriveKey(SESSION, &mechanism, 1, NULL, 0, &one);
        return;
    case TL_CALL_COPY_OBJECT:
        C_CopyObject(SESSION, 1, NULL, 0, &one);
        return;
    case TL_CALL_AUTHORIZE_KEY:
        CA_AuthorizeKey(SESSION, 1, (CK_BYTE *)"password", 8);
        return;
    case TL_CALL_GENERATE_KEY:
        C_GenerateKey(SESSION, &mechanism, NULL, 0, &one);
        return;
    case TL_CALL_GENERATE_KEY_PAIR:
        C_GenerateKeyPair(SESSION, &mechanism, NULL, 0, NULL, 0, &one, &two);
        return;
    case TL_CALL_WRAP_KEY:
        wrap();
        return;
    case TL_CALL_MESSAGE_INIT:
    case TL_CALL_MESSAGE_CRYPT:
        message();
        return;
    case TL_CALL_GENERATE_RANDOM:
        random_bytes();
        return;
    case TL_CALL_ROLE_STATE:
        CA_RoleStateGet(SLOT, CKU_USER, &role);
        return;
    case TL_CALL_FIRMWARE_VERSION:
        CA_GetFirmwareVersion(SLOT, &number, &minor, &patch);
        return;
    case TL_CALL_PARTITION_POLICIES:
    case TL_CALL_HSM_POLICIES:
        policies();
        return;
    case TL_CALL_PARTITION_INFO:
        number = sizeof name;
        if (CA_GetContainerName(SLOT, 1, name, &number) == CKR_OK)
            require(number <= sizeof name);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    CK_SESSION_HANDLE session;
    setenv("TIDELOCK_SOCKET", "/nowhere/tidelock.sock", 1);
    unsetenv("TIDELOCK_HOME");
    input = (struct tl_view){.data = data, .left = size};
    greeting = true;
    sharing = size > 0 && data[size - 1] % 2 == 1;
    boot = 9;
    require(C_Initialize(NULL) == CKR_OK);
    require(C_OpenSession(SLOT, CKF_SERIAL_SESSION, NULL, NULL, &session) == CKR_OK && session == SESSION);
    greeting = false;
    for (int calls = 0; calls < 64 && input.left > 0; calls++)
        apply(tl_get_u16(&input));
    greeting = true; // C_Finalize need not wait for anything
    require(C_Finalize(NULL) == CKR_OK);
    tl_buffer_free(&stream);
    end_area();
    return 0;
}
