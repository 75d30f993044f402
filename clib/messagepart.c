// C_EncryptMessageBegin, C_EncryptMessageNext, and the same for decryption: a message in parts.
// The server keeps them until the last, with which all output comes: no plaintext is given out
// before its tag is checked. How long that is is known here.
#include <string.h>

#include "call.h"
#include "message.h"
#include "step.h"

enum {
    // What a request of Begin has beside IV and additional data, and one of Next beside data and tag.
    BEGIN_FIELDS = 1 + 16 + 8 + 3 * 8 + 2 * 4,
    NEXT_FIELDS = 1 + 4 + 1 + 4,
    MAX_TAG = 16,
};

static CK_RV begin(struct tl_entry *entry, enum tl_function function, const void *parameter, CK_ULONG length,
                   struct tl_bytes aad) {
    struct tl_messages *messages = &entry->session->messages[function];
    struct tl_call call;
    struct tl_message_begin_reply reply;
    CK_GCM_MESSAGE_PARAMS p;
    if (!messages->active)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (messages->begun)
        return CKR_OPERATION_ACTIVE;
    CK_RV rv = tl_message_parameter(parameter, length, &p);
    if (rv != CKR_OK)
        return rv;
    if (aad.length > tl_call_room(entry->state, BEGIN_FIELDS + p.ulIvLen))
        return function == TL_ENCRYPT ? CKR_DATA_LEN_RANGE : CKR_ENCRYPTED_DATA_LEN_RANGE;
    // A second one takes the place of the first.
    rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_MESSAGE_BEGIN, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    CK_MECHANISM mechanism = {.mechanism = messages->mechanism};
    tl_put_message_begin(call.out, &(struct tl_message_begin_request){
                                       .function = (uint8_t)function,
                                       .mechanism = {.native = &mechanism},
                                       .key = messages->key,
                                       .iv = {p.pIv, p.ulIvLen},
                                       .iv_fixed_bits = p.ulIvFixedBits,
                                       .iv_generator = p.ivGenerator,
                                       .tag_bits = p.ulTagBits,
                                       .aad = aad,
                                   });
    rv = tl_call_run(&call);
    if (rv == CKR_OK && (!tl_get_message_begin(&call.in, &reply) || reply.iv.length != p.ulIvLen))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK && function == TL_ENCRYPT && p.ivGenerator != CKG_NO_GENERATE && p.ulIvLen > 0)
        memcpy(p.pIv, reply.iv.data, p.ulIvLen);
    tl_call_end(&call);
    if (rv == CKR_OK) {
        messages->begun = true;
        messages->length = 0;
        messages->tag_bits = p.ulTagBits;
    }
    return rv;
}

// A part of a message as C_EncryptMessageNext and C_DecryptMessageNext have it.
struct part {
    const void *parameter;
    CK_ULONG parameter_length;
    struct tl_bytes data;
    CK_BYTE *output;
    CK_ULONG *output_length;
    bool last;
};

// send gives the server a part that fits into a frame and is not the last.
static CK_RV send(struct tl_entry *entry, enum tl_function function, struct tl_bytes data) {
    struct tl_call call;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_MESSAGE_NEXT, TL_ONCE);
    if (rv != CKR_OK)
        return rv;
    tl_put_message_next(call.out, &(struct tl_message_next_request){.function = (uint8_t)function, .data = data});
    rv = tl_call_run(&call);
    tl_call_end(&call);
    return rv;
}

// finish gives the last part and takes the message's output, length bytes, and its tag.
static CK_RV finish(struct tl_entry *entry, enum tl_function function, struct tl_bytes data,
                    const CK_GCM_MESSAGE_PARAMS *p, CK_BYTE *output, uint64_t length) {
    struct tl_call call;
    struct tl_message_next_reply reply;
    bool encrypts = function == TL_ENCRYPT;
    uint64_t now = 0;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_MESSAGE_NEXT, TL_ONCE);
    if (rv != CKR_OK)
        return rv;
    tl_put_message_next(call.out, &(struct tl_message_next_request){
                                      .function = (uint8_t)function,
                                      .data = data,
                                      .last = true,
                                      .tag = {p->pTag, encrypts ? 0 : (p->ulTagBits + 7) / 8},
                                  });
    rv = tl_call_run(&call);
    if (rv == CKR_OK &&
        (!tl_get_message_next(&call.in, &reply) || reply.length != length || reply.output.length > length ||
         (reply.output.length == 0 && length > 0) || reply.tag.length != (encrypts ? p->ulTagBits / 8 : 0)))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK) {
        now = reply.output.length;
        if (now > 0)
            memcpy(output, reply.output.data, now);
        if (reply.tag.length > 0)
            memcpy(p->pTag, reply.tag.data, reply.tag.length);
    }
    tl_call_end(&call);
    return rv == CKR_OK ? tl_operation_drain(entry, tl_message_number(function), output + now, length - now) : rv;
}

// run gives a part, in pieces where it is longer than a frame.
static CK_RV run(struct tl_entry *entry, enum tl_function function, const struct part *part,
                 const CK_GCM_MESSAGE_PARAMS *p, uint64_t length) {
    size_t room = tl_call_room(entry->state, NEXT_FIELDS + MAX_TAG);
    struct tl_bytes data = part->data;
    CK_RV rv = CKR_OK;
    for (; rv == CKR_OK && data.length > room; data.data += room, data.length -= room)
        rv = send(entry, function, (struct tl_bytes){data.data, room});
    if (rv != CKR_OK)
        return rv;
    return part->last ? finish(entry, function, data, p, part->output, length) : send(entry, function, data);
}

static CK_RV next(struct tl_entry *entry, enum tl_function function, const struct part *part) {
    struct tl_messages *messages = &entry->session->messages[function];
    CK_GCM_MESSAGE_PARAMS p = {0};
    if (!messages->active || !messages->begun)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (part->data.length > UINT64_MAX - messages->length)
        return function == TL_ENCRYPT ? CKR_DATA_LEN_RANGE : CKR_ENCRYPTED_DATA_LEN_RANGE;
    uint64_t all = messages->length + part->data.length, length = part->last ? all : 0;
    if (part->last) {
        CK_RV rv = tl_message_parameter(part->parameter, part->parameter_length, &p);
        if (rv != CKR_OK || p.ulTagBits != messages->tag_bits)
            return CKR_MECHANISM_PARAM_INVALID;
    }
    if (part->output == NULL || *part->output_length < length) {
        *part->output_length = length;
        return part->output == NULL ? CKR_OK : CKR_BUFFER_TOO_SMALL;
    }
    CK_RV rv = run(entry, function, part, &p, length);
    if (rv == CKR_OK)
        *part->output_length = length;
    messages->length = all;
    // An error ends the message, but not the messages.
    messages->begun = rv == CKR_OK && !part->last;
    return rv;
}

static CK_RV message_begin(CK_SESSION_HANDLE session, enum tl_function function, const void *parameter,
                           CK_ULONG length, struct tl_bytes aad) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, session, tl_readable(aad.data, aad.length));
    if (rv != CKR_OK)
        return rv;
    pthread_mutex_lock(&entry.session->lock);
    rv = begin(&entry, function, parameter, length, aad);
    pthread_mutex_unlock(&entry.session->lock);
    tl_leave(&entry);
    return rv;
}

static CK_RV message_next(CK_SESSION_HANDLE session, enum tl_function function, const struct part *part,
                          CK_FLAGS flags) {
    struct tl_entry entry;
    bool arguments = tl_readable(part->data.data, part->data.length) && part->output_length != NULL &&
                     (flags & ~(CK_FLAGS)CKF_END_OF_MESSAGE) == 0;
    CK_RV rv = tl_enter_session(&entry, session, arguments);
    if (rv != CKR_OK)
        return rv;
    pthread_mutex_lock(&entry.session->lock);
    rv = next(&entry, function, part);
    pthread_mutex_unlock(&entry.session->lock);
    tl_leave(&entry);
    return rv;
}

CK_RV C_EncryptMessageBegin(CK_SESSION_HANDLE hSession, CK_VOID_PTR pParameter, CK_ULONG ulParameterLen,
                            CK_BYTE_PTR pAssociatedData, CK_ULONG ulAssociatedDataLen) {
    return message_begin(hSession, TL_ENCRYPT, pParameter, ulParameterLen,
                         (struct tl_bytes){pAssociatedData, ulAssociatedDataLen});
}

CK_RV C_EncryptMessageNext(CK_SESSION_HANDLE hSession, CK_VOID_PTR pParameter, CK_ULONG ulParameterLen,
                           CK_BYTE_PTR pPlaintextPart, CK_ULONG ulPlaintextPartLen, CK_BYTE_PTR pCiphertextPart,
                           CK_ULONG_PTR pulCiphertextPartLen, CK_FLAGS flags) {
    return message_next(hSession, TL_ENCRYPT,
                        &(struct part){pParameter,
                                       ulParameterLen,
                                       {pPlaintextPart, ulPlaintextPartLen},
                                       pCiphertextPart,
                                       pulCiphertextPartLen,
                                       (flags & CKF_END_OF_MESSAGE) != 0},
                        flags);
}

CK_RV C_DecryptMessageBegin(CK_SESSION_HANDLE hSession, CK_VOID_PTR pParameter, CK_ULONG ulParameterLen,
                            CK_BYTE_PTR pAssociatedData, CK_ULONG ulAssociatedDataLen) {
    return message_begin(hSession, TL_DECRYPT, pParameter, ulParameterLen,
                         (struct tl_bytes){pAssociatedData, ulAssociatedDataLen});
}

CK_RV C_DecryptMessageNext(CK_SESSION_HANDLE hSession, CK_VOID_PTR pParameter, CK_ULONG ulParameterLen,
                           CK_BYTE_PTR pCiphertextPart, CK_ULONG ulCiphertextPartLen, CK_BYTE_PTR pPlaintextPart,
                           CK_ULONG_PTR pulPlaintextPartLen, CK_FLAGS flags) {
    return message_next(hSession, TL_DECRYPT,
                        &(struct part){pParameter,
                                       ulParameterLen,
                                       {pCiphertextPart, ulCiphertextPartLen},
                                       pPlaintextPart,
                                       pulPlaintextPartLen,
                                       (flags & CKF_END_OF_MESSAGE) != 0},
                        flags);
}
