// C_SeedRandom, C_GenerateRandom.
#include <string.h>

#include "call.h"

static CK_RV seed(struct tl_entry *entry, struct tl_bytes bytes) {
    struct tl_call call;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_SEED_RANDOM, TL_ONCE);
    if (rv != CKR_OK)
        return rv;
    tl_put_seed_random(call.out, &(struct tl_seed_random_request){.seed = bytes});
    rv = tl_call_run(&call);
    tl_call_end(&call);
    return rv;
}

CK_RV C_SeedRandom(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pSeed, CK_ULONG ulSeedLen) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, tl_readable(pSeed, ulSeedLen));
    if (rv != CKR_OK)
        return rv;
    rv = seed(&entry, (struct tl_bytes){pSeed, ulSeedLen});
    tl_leave(&entry);
    return rv;
}

// How many random bytes one call asks for; a reply's frame holds more.
enum { PIECE = 512 << 10 };

// piece fills as much of bytes as one reply brings, and tells how much that is.
static CK_RV piece(struct tl_entry *entry, CK_BYTE *bytes, size_t length, size_t *filled) {
    struct tl_call call;
    struct tl_generate_random_reply reply;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_GENERATE_RANDOM, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    *filled = length < PIECE ? length : PIECE;
    tl_put_generate_random(call.out, &(struct tl_generate_random_request){.length = (uint32_t)*filled});
    rv = tl_call_run(&call);
    if (rv == CKR_OK && (!tl_get_generate_random(&call.in, &reply) || reply.random.length != *filled))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK && *filled > 0)
        memcpy(bytes, reply.random.data, *filled);
    tl_call_end(&call);
    return rv;
}

CK_RV C_GenerateRandom(CK_SESSION_HANDLE hSession, CK_BYTE_PTR RandomData, CK_ULONG ulRandomLen) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, tl_readable(RandomData, ulRandomLen));
    if (rv != CKR_OK)
        return rv;
    size_t done = 0, filled = 0;
    do {
        rv = piece(&entry, RandomData == NULL ? NULL : RandomData + done, ulRandomLen - done, &filled);
        done += filled;
    } while (rv == CKR_OK && done < ulRandomLen);
    tl_leave(&entry);
    return rv;
}
