#include "operation.h"

#include <string.h>

#include "call.h"
#include "message.h"
#include "step.h"

// Begin.

// permit_key fills what a permit is found by; false when the mechanism gets none.
static bool permit_key(const struct tl_entry *entry, enum tl_function function, struct tl_permit_key *key) {
    const struct tl_operation *operation = &entry->session->operations[function];
    struct tl_bytes fixed = tl_fixed_part(tl_operation_mechanism(operation));
    if (fixed.length == 0 || fixed.length > TL_PERMIT_FIXED)
        return false;
    *key = (struct tl_permit_key){
        .slot = entry->session->slot,
        .key = operation->key,
        .function = (uint8_t)function,
        .fixed_length = (uint8_t)fixed.length,
    };
    memcpy(key->fixed, fixed.data, fixed.length);
    return true;
}

// try_init makes the operation active at the server, and keeps its permit.
static CK_RV try_init(struct tl_entry *entry, enum tl_function function) {
    struct tl_operation *operation = tl_operation_of(entry, function);
    struct tl_call call;
    struct tl_operation_init_reply reply;
    struct tl_permit_key key;
    operation->doubtful = false;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_OPERATION_INIT, TL_ONCE);
    if (rv != CKR_OK)
        return rv;
    tl_put_operation_init(call.out, &(struct tl_operation_init_request){
                                        .function = (uint8_t)function,
                                        .mechanism = {.encoded = tl_operation_mechanism(operation)},
                                        .key = operation->key,
                                    });
    rv = tl_call_run(&call);
    bool understood = rv != CKR_OK || tl_get_operation_init(&call.in, &reply);
    operation->doubtful = !call.answered || !understood;
    tl_call_end(&call);
    if (!understood)
        rv = CKR_DEVICE_ERROR;
    if (rv != CKR_OK)
        return rv;
    operation->state = TL_ACTIVE;
    operation->permitted = reply.permit;
    operation->permit = (struct tl_permit){
        .epoch = call.epoch, .length = reply.rule_length, .rule = reply.rule, .flags = reply.flags};
    if (reply.permit && call.epoch != 0 && permit_key(entry, function, &key))
        tl_permit_store(&entry->state->permits, &key, &operation->permit);
    return CKR_OK;
}

// send_init is try_init, once more when the reply was lost: whatever the server made
// of the first is cancelled before.
static CK_RV send_init(struct tl_entry *entry, enum tl_function function) {
    struct tl_operation *operation = tl_operation_of(entry, function);
    CK_RV rv = try_init(entry, function);
    if (rv != CKR_OK && operation->doubtful && tl_operation_end(entry, function) == CKR_OK)
        rv = try_init(entry, function);
    if (rv != CKR_OK)
        tl_operation_forget(operation);
    return rv;
}

// cancel ends one operation, on both sides.
static CK_RV cancel(struct tl_entry *entry, enum tl_function function) {
    struct tl_operation *operation = tl_operation_of(entry, function);
    bool there = operation->state == TL_ACTIVE || operation->doubtful;
    tl_operation_forget(operation);
    CK_RV rv = there ? tl_operation_end(entry, function) : CKR_OK;
    operation->doubtful = rv != CKR_OK;
    return rv;
}

static CK_RV begin(struct tl_entry *entry, enum tl_function function, const CK_MECHANISM *mechanism,
                   CK_OBJECT_HANDLE key) {
    struct tl_operation *operation = tl_operation_of(entry, function);
    struct tl_permit_key permit;
    if (operation->doubtful) {
        CK_RV rv = cancel(entry, function);
        if (rv != CKR_OK)
            return rv;
    }
    tl_buffer_reset(&operation->mechanism);
    tl_put_mechanism(&operation->mechanism, &(struct tl_mechanism){.native = mechanism});
    CK_RV rv = operation->mechanism.error;
    if (rv != CKR_OK) {
        tl_operation_forget(operation);
        return rv;
    }
    operation->key = key;
    if (permit_key(entry, function, &permit) &&
        tl_permit_find(&entry->state->permits, &permit, &operation->permit)) {
        operation->state = TL_PENDING;
        operation->permitted = true;
        return CKR_OK;
    }
    return send_init(entry, function);
}

CK_RV tl_operation_init(struct tl_entry *entry, enum tl_function function, const CK_MECHANISM *mechanism,
                        CK_OBJECT_HANDLE key) {
    struct tl_operation *operation = tl_operation_of(entry, function);
    CK_RV rv;
    pthread_mutex_lock(&entry->session->lock);
    if (mechanism == NULL)
        rv = operation->state == TL_IDLE ? CKR_OPERATION_NOT_INITIALIZED : cancel(entry, function);
    else if (operation->state != TL_IDLE)
        rv = CKR_OPERATION_ACTIVE;
    else
        rv = begin(entry, function, mechanism, key);
    pthread_mutex_unlock(&entry->session->lock);
    return rv;
}

CK_RV tl_enter_operation(struct tl_entry *entry, CK_SESSION_HANDLE handle, enum tl_function function,
                         bool arguments) {
    CK_RV rv = tl_enter_session(entry, handle, arguments);
    if (rv == CKR_ARGUMENTS_BAD && tl_enter_session(entry, handle, true) == CKR_OK) {
        (void)tl_operation_init(entry, function, NULL, CK_INVALID_HANDLE);
        tl_leave(entry);
    }
    return rv;
}

// One part.

// by_rule answers what the permit's length rule can answer: the length, or that the
// room is too small. False when the operation has to run.
static bool by_rule(const struct tl_operation *operation, uint64_t n, struct tl_room room, CK_RV *rv) {
    uint64_t least, greatest, capacity = tl_capacity(room);
    if (room.length == NULL || !operation->permitted || !tl_permit_bounds(&operation->permit, n, &least, &greatest))
        return false;
    if (capacity != TL_ASK && capacity >= least)
        return false;
    *room.length = greatest;
    *rv = capacity == TL_ASK ? CKR_OK : CKR_BUFFER_TOO_SMALL;
    return true;
}

// flush sends a pending Init, before anything that needs the operation there.
static CK_RV flush(struct tl_entry *entry, enum tl_function function) {
    return tl_operation_of(entry, function)->state == TL_PENDING ? send_init(entry, function) : CKR_OK;
}

// rest is the part of a room behind what has been used of it.
static struct tl_room rest(struct tl_room room, CK_ULONG used, CK_ULONG *left) {
    if (room.length == NULL)
        return room;
    *left = *room.length - used;
    return (struct tl_room){room.data + used, left};
}

// fail ends an operation in the middle of a split: parts of the data are used up,
// so that there is nothing to come back to.
static CK_RV fail(struct tl_entry *entry, enum tl_function function, CK_RV rv) {
    if (tl_operation_of(entry, function)->state != TL_IDLE)
        (void)cancel(entry, function);
    return rv == CKR_BUFFER_TOO_SMALL ? CKR_DEVICE_ERROR : rv;
}

// Pieces are whole blocks of every mechanism, so that what they yield adds up.
enum { BLOCKS = 4096 };

static size_t piece_size(struct tl_entry *entry) {
    return tl_call_room(entry->state, TL_STEP_FIELDS) / BLOCKS * BLOCKS;
}

// feed gives all of data in pieces, the first of them first bytes long, and adds
// what they yield to *used; other as in tl_step_part.
static CK_RV feed(struct tl_entry *entry, enum tl_function function, enum tl_function other, struct tl_bytes data,
                  size_t first, struct tl_room room, CK_ULONG *used) {
    size_t done = 0, piece = first;
    while (done < data.length) {
        CK_ULONG left = 0;
        struct tl_step step = tl_step_part(other, (struct tl_bytes){data.data + done, piece});
        struct tl_room behind = rest(room, *used, &left);
        CK_RV rv = tl_step_run(entry, function, &step, behind);
        if (rv != CKR_OK)
            return fail(entry, function, rv);
        if (room.length != NULL)
            *used += left;
        done += piece;
        piece = piece_size(entry);
        if (piece > data.length - done)
            piece = data.length - done;
    }
    return CKR_OK;
}

// makes_output tells encryption and decryption from functions whose output has
// nothing to do with the length of the data.
static bool makes_output(enum tl_function function) { return function == TL_ENCRYPT || function == TL_DECRYPT; }

// measure finds the room that a split operation needs at most.
static CK_RV measure(struct tl_entry *entry, enum tl_function function, uint64_t n, uint64_t *needed) {
    uint64_t least;
    if (tl_permit_bounds(&tl_operation_of(entry, function)->permit, n, &least, needed))
        return CKR_OK;
    if (makes_output(function)) {
        (void)cancel(entry, function);
        return CKR_DATA_LEN_RANGE;
    }
    // The server knows the length of a digest or signature without the data.
    CK_ULONG length = 0;
    struct tl_step question = {.call = TL_CALL_OPERATE};
    CK_RV rv = tl_step_run(entry, function, &question, (struct tl_room){NULL, &length});
    *needed = length;
    return rv;
}

// split makes a one-part call whose data is longer than a frame of several parts.
static CK_RV split(struct tl_entry *entry, enum tl_function function, struct tl_bytes data,
                   struct tl_bytes signature, struct tl_room room) {
    struct tl_operation *operation = tl_operation_of(entry, function);
    CK_ULONG used = 0, left = 0;
    if ((operation->permit.flags & TL_SEVERAL_PARTS) == 0) {
        (void)cancel(entry, function);
        return CKR_DATA_LEN_RANGE;
    }
    CK_RV rv = flush(entry, function);
    if (rv != CKR_OK)
        return rv;
    if (room.length != NULL) {
        uint64_t needed;
        rv = measure(entry, function, data.length, &needed);
        if (rv != CKR_OK)
            return rv;
        // Once a part is used up there is no way back, so all must fit before it begins.
        if (tl_capacity(room) == TL_ASK || tl_capacity(room) < needed) {
            rv = tl_capacity(room) == TL_ASK ? CKR_OK : CKR_BUFFER_TOO_SMALL;
            *room.length = needed;
            return rv;
        }
    }
    struct tl_room parts = makes_output(function) ? room : (struct tl_room){0};
    rv = feed(entry, function, 0, data, piece_size(entry), parts, &used);
    if (rv != CKR_OK)
        return rv;
    struct tl_step final = {.call = TL_CALL_FINAL, .signature = signature};
    rv = tl_step_run(entry, function, &final, rest(room, used, &left));
    if (rv != CKR_OK)
        return fail(entry, function, rv);
    if (room.length != NULL)
        *room.length = used + left;
    return CKR_OK;
}

static CK_RV once(struct tl_entry *entry, enum tl_function function, struct tl_bytes data,
                  struct tl_bytes signature, struct tl_room room) {
    struct tl_operation *operation = tl_operation_of(entry, function);
    CK_RV rv;
    if (operation->state == TL_IDLE)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (operation->in_parts) {
        (void)cancel(entry, function);
        return CKR_OPERATION_ACTIVE;
    }
    if (by_rule(operation, data.length, room, &rv))
        return rv;
    size_t taken = TL_STEP_FIELDS + operation->mechanism.length + signature.length;
    if (data.length > tl_call_room(entry->state, taken))
        return split(entry, function, data, signature, room);
    struct tl_step step = {
        .call = operation->state == TL_PENDING ? TL_CALL_OPERATE_FUSED : TL_CALL_OPERATE,
        .data = data,
        .signature = signature,
    };
    return tl_step_run(entry, function, &step, room);
}

CK_RV tl_operation_once(struct tl_entry *entry, enum tl_function function, struct tl_bytes data,
                        struct tl_bytes signature, struct tl_room room) {
    pthread_mutex_lock(&entry->session->lock);
    CK_RV rv = once(entry, function, data, signature, room);
    pthread_mutex_unlock(&entry->session->lock);
    return rv;
}

// Several parts.

// update_long takes a part longer than a frame. What a first piece of the same
// length modulo the block size yields, and the length of the rest, make the whole.
static CK_RV update_long(struct tl_entry *entry, enum tl_function function, enum tl_function other,
                         struct tl_bytes part, struct tl_room room) {
    size_t first = part.length % BLOCKS == 0 ? BLOCKS : part.length % BLOCKS;
    CK_ULONG used = 0, yield = 0;
    if (room.length != NULL) {
        struct tl_step question = tl_step_part(other, (struct tl_bytes){part.data, first});
        CK_RV rv = tl_step_run(entry, function, &question, (struct tl_room){NULL, &yield});
        if (rv != CKR_OK)
            return rv;
        uint64_t needed = yield + (part.length - first), capacity = tl_capacity(room);
        if (capacity == TL_ASK || capacity < needed) {
            *room.length = needed;
            return capacity == TL_ASK ? CKR_OK : CKR_BUFFER_TOO_SMALL;
        }
    }
    CK_RV rv = feed(entry, function, other, part, first, room, &used);
    if (rv == CKR_OK && room.length != NULL)
        *room.length = used;
    return rv;
}

static CK_RV update(struct tl_entry *entry, enum tl_function function, enum tl_function other, struct tl_bytes part,
                    struct tl_room room) {
    if (tl_operation_of(entry, function)->state == TL_IDLE)
        return CKR_OPERATION_NOT_INITIALIZED;
    CK_RV rv = flush(entry, function);
    if (rv != CKR_OK)
        return rv;
    if (part.length > piece_size(entry))
        return update_long(entry, function, other, part, room);
    struct tl_step step = tl_step_part(other, part);
    return tl_step_run(entry, function, &step, room);
}

CK_RV tl_operation_update(struct tl_entry *entry, enum tl_function function, struct tl_bytes part,
                          struct tl_room room) {
    pthread_mutex_lock(&entry->session->lock);
    CK_RV rv = update(entry, function, 0, part, room);
    pthread_mutex_unlock(&entry->session->lock);
    return rv;
}

static CK_RV update_both(struct tl_entry *entry, enum tl_function function, enum tl_function other,
                         struct tl_bytes part, struct tl_room room) {
    const struct tl_operation *first = tl_operation_of(entry, function), *second = tl_operation_of(entry, other);
    if (first->state == TL_IDLE || second->state == TL_IDLE)
        return CKR_OPERATION_NOT_INITIALIZED;
    CK_RV rv = flush(entry, other);
    if (rv == CKR_OK)
        rv = update(entry, function, other, part, room);
    // What has ended one of them has ended both.
    if (first->state == TL_IDLE || second->state == TL_IDLE) {
        (void)cancel(entry, function);
        (void)cancel(entry, other);
    }
    return rv;
}

CK_RV tl_operation_update_both(struct tl_entry *entry, enum tl_function function, enum tl_function other,
                               struct tl_bytes part, struct tl_room room) {
    pthread_mutex_lock(&entry->session->lock);
    CK_RV rv = update_both(entry, function, other, part, room);
    pthread_mutex_unlock(&entry->session->lock);
    return rv;
}

static CK_RV digest_key(struct tl_entry *entry, CK_OBJECT_HANDLE key) {
    struct tl_operation *operation = tl_operation_of(entry, TL_DIGEST);
    struct tl_call call;
    if (operation->state == TL_IDLE)
        return CKR_OPERATION_NOT_INITIALIZED;
    CK_RV rv = flush(entry, TL_DIGEST);
    if (rv != CKR_OK)
        return rv;
    rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_DIGEST_KEY, TL_ONCE);
    bool doubtful = true;
    if (rv == CKR_OK) {
        tl_put_digest_key(call.out, &(struct tl_digest_key_request){.key = key});
        rv = tl_call_run(&call);
        doubtful = !call.answered;
        tl_call_end(&call);
    }
    if (rv == CKR_OK) {
        operation->in_parts = true;
        return CKR_OK;
    }
    operation->doubtful = doubtful;
    tl_operation_forget(operation);
    return rv;
}

CK_RV tl_operation_digest_key(struct tl_entry *entry, CK_OBJECT_HANDLE key) {
    pthread_mutex_lock(&entry->session->lock);
    CK_RV rv = digest_key(entry, key);
    pthread_mutex_unlock(&entry->session->lock);
    return rv;
}

static CK_RV final(struct tl_entry *entry, enum tl_function function, struct tl_bytes signature,
                   struct tl_room room) {
    const struct tl_operation *operation = tl_operation_of(entry, function);
    CK_RV rv;
    if (operation->state == TL_IDLE)
        return CKR_OPERATION_NOT_INITIALIZED;
    // A digest or signature is as long in the end as it would be in one part.
    if (operation->permit.rule == TL_RULE_FIXED && !makes_output(function) && by_rule(operation, 0, room, &rv))
        return rv;
    rv = flush(entry, function);
    if (rv != CKR_OK)
        return rv;
    struct tl_step step = {.call = TL_CALL_FINAL, .signature = signature};
    return tl_step_run(entry, function, &step, room);
}

CK_RV tl_operation_final(struct tl_entry *entry, enum tl_function function, struct tl_bytes signature,
                         struct tl_room room) {
    pthread_mutex_lock(&entry->session->lock);
    CK_RV rv = final(entry, function, signature, room);
    pthread_mutex_unlock(&entry->session->lock);
    return rv;
}

// All functions at once.

CK_RV tl_operation_flush(struct tl_entry *entry) {
    CK_RV rv = CKR_OK;
    for (int f = TL_ENCRYPT; f < TL_FUNCTIONS && rv == CKR_OK; f++)
        rv = flush(entry, (enum tl_function)f);
    return rv;
}

CK_RV tl_operation_cancel(struct tl_entry *entry, CK_FLAGS flags) {
    static const CK_FLAGS flag_of[TL_FUNCTIONS] = {
        [TL_ENCRYPT] = CKF_ENCRYPT,
        [TL_DECRYPT] = CKF_DECRYPT,
        [TL_DIGEST] = CKF_DIGEST,
        [TL_SIGN] = CKF_SIGN,
        [TL_VERIFY] = CKF_VERIFY,
        [TL_SIGN_RECOVER] = CKF_SIGN_RECOVER,
        [TL_VERIFY_RECOVER] = CKF_VERIFY_RECOVER,
    };
    CK_RV rv = CKR_OK;
    pthread_mutex_lock(&entry->session->lock);
    for (int f = TL_ENCRYPT; f < TL_FUNCTIONS; f++)
        if ((flags & flag_of[f]) != 0 && cancel(entry, (enum tl_function)f) != CKR_OK)
            rv = CKR_OPERATION_CANCEL_FAILED;
    if ((flags & CKF_MESSAGE_ENCRYPT) != 0)
        (void)tl_message_end(entry, TL_ENCRYPT);
    if ((flags & CKF_MESSAGE_DECRYPT) != 0)
        (void)tl_message_end(entry, TL_DECRYPT);
    if ((flags & CKF_FIND_OBJECTS) != 0)
        tl_search_forget(&entry->session->search);
    pthread_mutex_unlock(&entry->session->lock);
    return rv;
}
