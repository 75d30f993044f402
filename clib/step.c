#include "step.h"

#include <string.h>

#include "call.h"

// What is said of an operation that may be a message.

CK_RV tl_operation_end(struct tl_entry *entry, enum tl_function function) {
    struct tl_call call;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_OPERATION_CANCEL, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_operation_cancel(call.out, &(struct tl_operation_cancel_request){.functions = UINT64_C(1) << function});
    rv = tl_call_run(&call);
    tl_call_end(&call);
    return rv;
}

// drain_frame fetches what fits into one frame of the *left bytes that are to come.
static CK_RV drain_frame(struct tl_entry *entry, enum tl_function function, CK_BYTE **to, uint64_t *left) {
    struct tl_call call;
    struct tl_drain_reply reply;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_DRAIN, TL_ONCE);
    if (rv != CKR_OK)
        return rv;
    tl_put_drain(call.out, &(struct tl_drain_request){.function = (uint8_t)function});
    rv = tl_call_run(&call);
    if (rv == CKR_OK && (!tl_get_drain(&call.in, &reply) || reply.length != *left || reply.output.length == 0 ||
                         reply.output.length > *left))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK) {
        memcpy(*to, reply.output.data, reply.output.length);
        *to += reply.output.length;
        *left -= reply.output.length;
    }
    tl_call_end(&call);
    return rv;
}

CK_RV tl_operation_drain(struct tl_entry *entry, enum tl_function function, CK_BYTE *to, uint64_t left) {
    CK_RV rv = CKR_OK;
    while (left > 0 && rv == CKR_OK)
        rv = drain_frame(entry, function, &to, &left);
    return rv;
}

struct tl_step tl_step_part(enum tl_function other, struct tl_bytes data) {
    return (struct tl_step){
        .call = other == 0 ? TL_CALL_UPDATE : TL_CALL_UPDATE_BOTH,
        .data = data,
        .other = other,
    };
}

static void put_step(struct tl_buffer *out, const struct tl_operation *operation, enum tl_function function,
                     const struct tl_step *step, uint64_t capacity) {
    uint8_t f = (uint8_t)function;
    switch (step->call) {
    case TL_CALL_OPERATE:
        tl_put_operate(out, &(struct tl_operate_request){f, step->data, step->signature, capacity});
        return;
    case TL_CALL_OPERATE_FUSED:
        tl_put_operate_fused(out, &(struct tl_operate_fused_request){f, {.encoded = tl_operation_mechanism(operation)},
                                                                     operation->key, step->data, step->signature,
                                                                     capacity});
        return;
    case TL_CALL_UPDATE:
        tl_put_update(out, &(struct tl_update_request){f, step->data, capacity});
        return;
    case TL_CALL_UPDATE_BOTH:
        tl_put_update_both(out, &(struct tl_update_both_request){f, (uint8_t)step->other, step->data, capacity});
        return;
    default:
        tl_put_final(out, &(struct tl_final_request){f, step->signature, capacity});
    }
}

// take copies an output into the room, and tells what of it is still to come.
static CK_RV take(const struct tl_operate_reply *reply, struct tl_room room, uint64_t *left) {
    uint64_t capacity = tl_capacity(room);
    *left = 0;
    if (capacity != TL_ASK) {
        if (reply->length > capacity || reply->output.length > reply->length ||
            (reply->output.length == 0 && reply->length > 0))
            return CKR_DEVICE_ERROR;
        if (reply->output.length > 0)
            memcpy(room.data, reply->output.data, reply->output.length);
        *left = reply->length - reply->output.length;
    }
    if (room.length != NULL)
        *room.length = reply->length;
    return CKR_OK;
}

CK_RV tl_step_run(struct tl_entry *entry, enum tl_function function, const struct tl_step *step, struct tl_room room) {
    struct tl_operation *operation = tl_operation_of(entry, function);
    struct tl_call call;
    // All these replies have the same fields.
    struct tl_operate_reply reply = {0};
    uint64_t capacity = tl_capacity(room), left = 0;
    // An Init and its operation in one request leave nothing behind: they may be repeated.
    bool fused = step->call == TL_CALL_OPERATE_FUSED;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, step->call, fused ? TL_REPEAT : TL_ONCE);
    if (rv != CKR_OK) {
        operation->doubtful = operation->state == TL_ACTIVE;
        tl_operation_forget(operation);
        return rv;
    }
    put_step(call.out, operation, function, step, capacity);
    rv = tl_call_run(&call);
    bool understood = (rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL) || tl_get_operate(&call.in, &reply);
    if (understood && rv == CKR_OK)
        rv = take(&reply, room, &left);
    else if (!understood)
        rv = CKR_DEVICE_ERROR;
    bool doubtful = !call.answered || rv == CKR_DEVICE_ERROR || rv == CKR_OPERATION_ACTIVE;
    bool restarted = !call.answered || rv == CKR_OPERATION_NOT_INITIALIZED;
    tl_call_end(&call);
    // The server that had the operation has gone, but one part is all that it was to
    // get: with its Init it can be made anew.
    if (rv != CKR_OK && restarted && step->call == TL_CALL_OPERATE && operation->permitted &&
        tl_operation_end(entry, function) == CKR_OK) {
        struct tl_step anew = {.call = TL_CALL_OPERATE_FUSED, .data = step->data, .signature = step->signature};
        return tl_step_run(entry, function, &anew, room);
    }
    if (rv == CKR_OK && left > 0) {
        rv = tl_operation_drain(entry, function, room.data + (reply.length - left), left);
        doubtful = rv != CKR_OK;
    }
    if (rv == CKR_BUFFER_TOO_SMALL && room.length != NULL)
        *room.length = reply.length;

    if (rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && capacity == TL_ASK)) {
        operation->state = TL_ACTIVE;
    } else if (rv == CKR_OK && (step->call == TL_CALL_UPDATE || step->call == TL_CALL_UPDATE_BOTH)) {
        operation->in_parts = true;
        if (step->other != 0)
            tl_operation_of(entry, step->other)->in_parts = true;
    } else {
        operation->doubtful = doubtful;
        tl_operation_forget(operation);
    }
    return rv;
}
