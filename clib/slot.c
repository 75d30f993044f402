// Slots, tokens and their initialisation, mechanisms.
#include <string.h>

#include "call.h"
#include "text.h"

// give_list copies a list in the way of C_GetSlotList: *count is the room, then the
// length; without a list only the length is told.
static CK_RV give_list(const struct tl_u64s *from, CK_ULONG *list, CK_ULONG *count) {
    CK_ULONG room = *count;
    *count = from->count;
    if (list == NULL)
        return CKR_OK;
    if (room < from->count)
        return CKR_BUFFER_TOO_SMALL;
    for (size_t i = 0; i < from->count; i++)
        list[i] = tl_u64s_at(from, i);
    return CKR_OK;
}

static CK_RV slot_list(struct tl_state *state, CK_BBOOL token_present, CK_ULONG *list, CK_ULONG *count) {
    struct tl_call call;
    struct tl_slot_list_reply reply;
    CK_RV rv = tl_call_begin(&call, state, NULL, TL_CALL_SLOT_LIST, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_slot_list(call.out, &(struct tl_slot_list_request){.token_present = token_present != CK_FALSE});
    rv = tl_call_run(&call);
    if (rv == CKR_OK)
        rv = tl_get_slot_list(&call.in, &reply) ? give_list(&reply.slots, list, count) : CKR_DEVICE_ERROR;
    tl_call_end(&call);
    return rv;
}

CK_RV C_GetSlotList(CK_BBOOL tokenPresent, CK_SLOT_ID_PTR pSlotList, CK_ULONG_PTR pulCount) {
    struct tl_entry entry;
    CK_RV rv = tl_enter(&entry, pulCount != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = slot_list(entry.state, tokenPresent, pSlotList, pulCount);
    tl_leave(&entry);
    return rv;
}

static CK_RV slot_info(struct tl_state *state, CK_SLOT_ID slot, CK_SLOT_INFO *info) {
    struct tl_call call;
    struct tl_slot_info_reply reply;
    CK_RV rv = tl_call_begin(&call, state, NULL, TL_CALL_SLOT_INFO, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_slot_info(call.out, &(struct tl_slot_info_request){.slot = slot});
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_slot_info(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK) {
        *info = (CK_SLOT_INFO){
            .flags = reply.flags,
            .hardwareVersion = {reply.hardware_major, reply.hardware_minor},
            .firmwareVersion = {reply.firmware_major, reply.firmware_minor},
        };
        tl_pad(info->slotDescription, sizeof info->slotDescription, reply.description);
        tl_pad(info->manufacturerID, sizeof info->manufacturerID, reply.manufacturer);
    }
    tl_call_end(&call);
    return rv;
}

CK_RV C_GetSlotInfo(CK_SLOT_ID slotID, CK_SLOT_INFO_PTR pInfo) {
    struct tl_entry entry;
    CK_RV rv = tl_enter(&entry, pInfo != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = slot_info(entry.state, slotID, pInfo);
    tl_leave(&entry);
    return rv;
}

static void give_token(const struct tl_token_info_reply *reply, CK_TOKEN_INFO *info) {
    *info = (CK_TOKEN_INFO){
        .flags = reply->flags,
        .ulMaxSessionCount = reply->max_sessions,
        .ulSessionCount = reply->sessions,
        .ulMaxRwSessionCount = reply->max_rw_sessions,
        .ulRwSessionCount = reply->rw_sessions,
        .ulMaxPinLen = reply->max_pin,
        .ulMinPinLen = reply->min_pin,
        .ulTotalPublicMemory = reply->total_public,
        .ulFreePublicMemory = reply->free_public,
        .ulTotalPrivateMemory = reply->total_private,
        .ulFreePrivateMemory = reply->free_private,
        .hardwareVersion = {reply->hardware_major, reply->hardware_minor},
        .firmwareVersion = {reply->firmware_major, reply->firmware_minor},
    };
    tl_pad(info->label, sizeof info->label, reply->label);
    tl_pad(info->manufacturerID, sizeof info->manufacturerID, reply->manufacturer);
    tl_pad(info->model, sizeof info->model, reply->model);
    tl_pad(info->serialNumber, sizeof info->serialNumber, reply->serial);
    tl_pad(info->utcTime, sizeof info->utcTime, reply->utc_time);
}

static CK_RV token_info(struct tl_state *state, CK_SLOT_ID slot, CK_TOKEN_INFO *info) {
    struct tl_call call;
    struct tl_token_info_reply reply;
    CK_RV rv = tl_call_begin(&call, state, NULL, TL_CALL_TOKEN_INFO, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_token_info(call.out, &(struct tl_token_info_request){.slot = slot});
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_token_info(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK)
        give_token(&reply, info);
    tl_call_end(&call);
    return rv;
}

CK_RV C_GetTokenInfo(CK_SLOT_ID slotID, CK_TOKEN_INFO_PTR pInfo) {
    struct tl_entry entry;
    CK_RV rv = tl_enter(&entry, pInfo != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = token_info(entry.state, slotID, pInfo);
    tl_leave(&entry);
    return rv;
}

enum { LABEL_SIZE = sizeof((CK_TOKEN_INFO *)0)->label };

static CK_RV init_token(struct tl_state *state, CK_SLOT_ID slot, struct tl_bytes pin, const CK_UTF8CHAR *label) {
    struct tl_call call;
    CK_RV rv = tl_call_begin(&call, state, NULL, TL_CALL_PARTITION_INIT, TL_ONCE);
    if (rv != CKR_OK)
        return rv;
    tl_put_partition_init(call.out, &(struct tl_partition_init_request){
                                        .slot = slot, .label = tl_unpad(label, LABEL_SIZE), .pin = pin});
    rv = tl_call_run(&call);
    tl_call_end(&call);
    if (rv == CKR_OK) {
        // The server had no session on the slot: what is listed here of it is dead.
        tl_session_remove_slot(&state->sessions, slot);
        tl_ticket_drop(&state->tickets, slot);
    }
    return rv;
}

// There is no protected authentication path, so the PIN is never NULL. The label is
// LABEL_SIZE bytes, padded with blanks.
CK_RV C_InitToken(CK_SLOT_ID slotID, CK_UTF8CHAR_PTR pPin, CK_ULONG ulPinLen, CK_UTF8CHAR_PTR pLabel) {
    struct tl_entry entry;
    CK_RV rv = tl_enter(&entry, pPin != NULL && pLabel != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = init_token(entry.state, slotID, (struct tl_bytes){pPin, ulPinLen}, pLabel);
    tl_leave(&entry);
    return rv == CKR_DATA_LEN_RANGE ? CKR_PIN_LEN_RANGE : rv;
}

static CK_RV mechanism_list(struct tl_state *state, CK_SLOT_ID slot, CK_ULONG *list, CK_ULONG *count) {
    struct tl_call call;
    struct tl_mechanism_list_reply reply;
    CK_RV rv = tl_call_begin(&call, state, NULL, TL_CALL_MECHANISM_LIST, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_mechanism_list(call.out, &(struct tl_mechanism_list_request){.slot = slot});
    rv = tl_call_run(&call);
    if (rv == CKR_OK)
        rv = tl_get_mechanism_list(&call.in, &reply) ? give_list(&reply.mechanisms, list, count) : CKR_DEVICE_ERROR;
    tl_call_end(&call);
    return rv;
}

CK_RV C_GetMechanismList(CK_SLOT_ID slotID, CK_MECHANISM_TYPE_PTR pMechanismList, CK_ULONG_PTR pulCount) {
    struct tl_entry entry;
    CK_RV rv = tl_enter(&entry, pulCount != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = mechanism_list(entry.state, slotID, pMechanismList, pulCount);
    tl_leave(&entry);
    return rv;
}

static CK_RV mechanism_info(struct tl_state *state, CK_SLOT_ID slot, CK_MECHANISM_TYPE type,
                            CK_MECHANISM_INFO *info) {
    struct tl_call call;
    struct tl_mechanism_info_reply reply;
    CK_RV rv = tl_call_begin(&call, state, NULL, TL_CALL_MECHANISM_INFO, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_mechanism_info(call.out, &(struct tl_mechanism_info_request){.slot = slot, .mechanism = type});
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_mechanism_info(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK)
        *info = (CK_MECHANISM_INFO){reply.min_key_size, reply.max_key_size, reply.flags};
    tl_call_end(&call);
    return rv;
}

CK_RV C_GetMechanismInfo(CK_SLOT_ID slotID, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR pInfo) {
    struct tl_entry entry;
    CK_RV rv = tl_enter(&entry, pInfo != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = mechanism_info(entry.state, slotID, type, pInfo);
    tl_leave(&entry);
    return rv;
}
