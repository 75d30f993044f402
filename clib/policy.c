// Capabilities and policies of the HSM and of partitions, as Luna's clients ask for them
// and set them.
#include <string.h>

#include "call.h"
#include "container.h"
#include "tidelock/vendor.h"

// Whose policies: the HSM's, or one partition's.
enum whose { OF_HSM, OF_PARTITION };

// Which of their numbers: what a level allows, or what is set.
enum column { CAPABILITIES, VALUES };

// source is where numbers come from. A partition's container has its slot's number.
struct source {
    enum whose whose;
    CK_SLOT_ID slot;
    CK_ULONG container;
};

// list asks for policies. With CKR_OK the reply is good until tl_call_end; otherwise
// tl_call_end must not be called.
static CK_RV list(struct tl_call *call, struct tl_state *state, struct source from,
                  struct tl_partition_policies_reply *reply) {
    struct tl_firmware_version_reply version;
    // The HSM's are asked for without a slot, so that somebody else has to look at it.
    CK_RV rv = from.whose == OF_HSM ? tl_firmware_version(state, from.slot, &version) : CKR_OK;
    if (rv == CKR_OK && from.container != from.slot)
        rv = CKR_CONTAINER_HANDLE_INVALID;
    if (rv != CKR_OK)
        return rv;
    uint16_t number = from.whose == OF_HSM ? TL_CALL_HSM_POLICIES : TL_CALL_PARTITION_POLICIES;
    rv = tl_call_begin(call, state, NULL, number, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    if (from.whose == OF_PARTITION)
        tl_put_partition_policies(call->out, &(struct tl_partition_policies_request){.slot = from.slot});
    rv = tl_call_run(call);
    // Both replies have the same fields; all lists are as long as the first.
    if (rv == CKR_OK && (!tl_get_partition_policies(&call->in, reply) || reply->values.count != reply->ids.count ||
                         reply->capabilities.count != reply->ids.count || reply->names.count != reply->ids.count ||
                         reply->destructive.count != reply->ids.count || reply->effects.count != reply->ids.count))
        rv = CKR_DEVICE_ERROR;
    if (rv != CKR_OK)
        tl_call_end(call);
    return rv;
}

static struct source of_hsm(CK_SLOT_ID slot) { return (struct source){OF_HSM, slot, slot}; }

static struct source of_partition(CK_SLOT_ID slot, CK_ULONG container) {
    return (struct source){OF_PARTITION, slot, container};
}

static const struct tl_u64s *column_of(const struct tl_partition_policies_reply *reply, enum column column) {
    return column == CAPABILITIES ? &reply->capabilities : &reply->values;
}

// numbers is a list in the caller's memory: as in C_GetSlotList, *count is the room, then
// the length, and data is NULL to ask for the length only.
struct numbers {
    CK_ULONG *data;
    CK_ULONG *count;
};

// fits tells the list's length, and whether it has room for it.
static bool fits(struct numbers to, size_t length) {
    bool room = to.data == NULL || *to.count >= length;
    *to.count = length;
    return room;
}

static void give(struct numbers to, const struct tl_u64s *from) {
    for (size_t i = 0; to.data != NULL && i < from->count; i++)
        to.data[i] = tl_u64s_at(from, i);
}

static CK_RV get_set(struct source from, enum column column, struct numbers ids, struct numbers values) {
    struct tl_entry entry;
    struct tl_call call;
    struct tl_partition_policies_reply reply;
    CK_RV rv = tl_enter(&entry, ids.count != NULL && values.count != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = list(&call, entry.state, from, &reply);
    if (rv == CKR_OK) {
        bool id_room = fits(ids, reply.ids.count), value_room = fits(values, reply.ids.count);
        if (id_room && value_room) {
            give(ids, &reply.ids);
            give(values, column_of(&reply, column));
        } else {
            rv = CKR_BUFFER_TOO_SMALL;
        }
        tl_call_end(&call);
    }
    tl_leave(&entry);
    return rv;
}

// find tells the place of a policy in a reply. False when the level has no such policy.
static bool find(const struct tl_partition_policies_reply *reply, CK_ULONG id, size_t *place) {
    for (*place = 0; *place < reply->ids.count; ++*place)
        if (tl_u64s_at(&reply->ids, *place) == id)
            return true;
    return false;
}

static CK_RV get_setting(struct source from, enum column column, CK_ULONG id, CK_ULONG *value) {
    struct tl_entry entry;
    struct tl_call call;
    struct tl_partition_policies_reply reply;
    size_t place;
    CK_RV rv = tl_enter(&entry, value != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = list(&call, entry.state, from, &reply);
    if (rv == CKR_OK) {
        if (find(&reply, id, &place))
            *value = tl_u64s_at(column_of(&reply, column), place);
        else
            rv = CKR_POLICY_ID_INVALID;
        tl_call_end(&call);
    }
    tl_leave(&entry);
    return rv;
}

// A change, which the server makes whole or not at all.
struct change {
    enum whose whose;
    const CK_ULONG *ids, *values;
    CK_ULONG count;
    bool destructive; // the caller knows that it erases
};

static CK_RV send(struct tl_entry *entry, const struct change *change) {
    struct tl_call call;
    struct tl_set_partition_policies_reply reply;
    bool hsm = change->whose == OF_HSM;
    uint16_t number = hsm ? TL_CALL_SET_HSM_POLICIES : TL_CALL_SET_PARTITION_POLICIES;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, number, TL_ONCE);
    if (rv != CKR_OK)
        return rv;
    struct tl_ulongs ids = {change->ids, change->count}, values = {change->values, change->count};
    if (hsm)
        tl_put_set_hsm_policies(call.out,
                                &(struct tl_set_hsm_policies_request){
                                    .ids = ids, .values = values, .destructive = change->destructive});
    else
        tl_put_set_partition_policies(call.out,
                                      &(struct tl_set_partition_policies_request){
                                          .ids = ids, .values = values, .destructive = change->destructive});
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_set_partition_policies(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    tl_call_end(&call);
    return rv;
}

// set makes a change in a session, of the HSM or of the session's own partition. elsewhere
// is the code when slot is another than the session's.
static CK_RV set(CK_SESSION_HANDLE session, const CK_ULONG *slot, CK_RV elsewhere, struct change change) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, session, change.ids != NULL && change.values != NULL && change.count > 0);
    if (rv != CKR_OK)
        return rv;
    rv = slot != NULL && *slot != entry.session->slot->id ? elsewhere : send(&entry, &change);
    tl_leave(&entry);
    return rv == CKR_DATA_LEN_RANGE ? CKR_ARGUMENTS_BAD : rv;
}

static CK_RV set_hsm(CK_SESSION_HANDLE session, CK_ULONG count, const CK_ULONG *ids, const CK_ULONG *values,
                     bool destructive) {
    return set(session, NULL, CKR_OK, (struct change){OF_HSM, ids, values, count, destructive});
}

static CK_RV set_container(CK_SESSION_HANDLE session, CK_ULONG container, CK_ULONG count, const CK_ULONG *ids,
                           const CK_ULONG *values, bool destructive) {
    return set(session, &container, CKR_CONTAINER_HANDLE_INVALID,
               (struct change){OF_PARTITION, ids, values, count, destructive});
}

// The HSM's.

CK_RV CA_GetHSMCapabilitySet(CK_SLOT_ID slotID, CK_ULONG_PTR pulIds, CK_ULONG_PTR pulIdCount, CK_ULONG_PTR pulValues,
                             CK_ULONG_PTR pulValueCount) {
    return get_set(of_hsm(slotID), CAPABILITIES, (struct numbers){pulIds, pulIdCount},
                   (struct numbers){pulValues, pulValueCount});
}

CK_RV CA_GetHSMCapabilitySetting(CK_SLOT_ID slotID, CK_ULONG ulId, CK_ULONG_PTR pulValue) {
    return get_setting(of_hsm(slotID), CAPABILITIES, ulId, pulValue);
}

CK_RV CA_GetHSMPolicySet(CK_SLOT_ID slotID, CK_ULONG_PTR pulIds, CK_ULONG_PTR pulIdCount, CK_ULONG_PTR pulValues,
                         CK_ULONG_PTR pulValueCount) {
    return get_set(of_hsm(slotID), VALUES, (struct numbers){pulIds, pulIdCount},
                   (struct numbers){pulValues, pulValueCount});
}

CK_RV CA_GetHSMPolicySetting(CK_SLOT_ID slotID, CK_ULONG ulId, CK_ULONG_PTR pulValue) {
    return get_setting(of_hsm(slotID), VALUES, ulId, pulValue);
}

CK_RV CA_SetHSMPolicy(CK_SESSION_HANDLE hSession, CK_ULONG ulId, CK_ULONG ulValue) {
    return set_hsm(hSession, 1, &ulId, &ulValue, false);
}

CK_RV CA_SetHSMPolicies(CK_SESSION_HANDLE hSession, CK_ULONG ulCount, CK_ULONG_PTR pulIds, CK_ULONG_PTR pulValues) {
    return set_hsm(hSession, ulCount, pulIds, pulValues, false);
}

CK_RV CA_SetDestructiveHSMPolicy(CK_SESSION_HANDLE hSession, CK_ULONG ulId, CK_ULONG ulValue) {
    return set_hsm(hSession, 1, &ulId, &ulValue, true);
}

CK_RV CA_SetDestructiveHSMPolicies(CK_SESSION_HANDLE hSession, CK_ULONG ulCount, CK_ULONG_PTR pulIds,
                                   CK_ULONG_PTR pulValues) {
    return set_hsm(hSession, ulCount, pulIds, pulValues, true);
}

// A partition's, by its slot.

CK_RV CA_GetTokenCapabilities(CK_SLOT_ID slotID, CK_ULONG_PTR pulIds, CK_ULONG_PTR pulIdCount, CK_ULONG_PTR pulValues,
                              CK_ULONG_PTR pulValueCount) {
    return get_set(of_partition(slotID, slotID), CAPABILITIES, (struct numbers){pulIds, pulIdCount},
                   (struct numbers){pulValues, pulValueCount});
}

CK_RV CA_GetTokenPolicies(CK_SLOT_ID slotID, CK_ULONG_PTR pulIds, CK_ULONG_PTR pulIdCount, CK_ULONG_PTR pulValues,
                          CK_ULONG_PTR pulValueCount) {
    return get_set(of_partition(slotID, slotID), VALUES, (struct numbers){pulIds, pulIdCount},
                   (struct numbers){pulValues, pulValueCount});
}

CK_RV CA_SetTokenPolicies(CK_SESSION_HANDLE hSession, CK_SLOT_ID slotID, CK_ULONG ulCount, CK_ULONG_PTR pulIds,
                          CK_ULONG_PTR pulValues) {
    return set(hSession, &slotID, CKR_SLOT_ID_INVALID,
               (struct change){OF_PARTITION, pulIds, pulValues, ulCount, false});
}

// A partition's, by its container number, which is its slot's.

CK_RV CA_GetContainerCapabilitySet(CK_SLOT_ID slotID, CK_ULONG ulContainer, CK_ULONG_PTR pulIds,
                                   CK_ULONG_PTR pulIdCount, CK_ULONG_PTR pulValues, CK_ULONG_PTR pulValueCount) {
    return get_set(of_partition(slotID, ulContainer), CAPABILITIES, (struct numbers){pulIds, pulIdCount},
                   (struct numbers){pulValues, pulValueCount});
}

CK_RV CA_GetContainerCapabilitySetting(CK_SLOT_ID slotID, CK_ULONG ulContainer, CK_ULONG ulId, CK_ULONG_PTR pulValue) {
    return get_setting(of_partition(slotID, ulContainer), CAPABILITIES, ulId, pulValue);
}

CK_RV CA_GetContainerPolicySet(CK_SLOT_ID slotID, CK_ULONG ulContainer, CK_ULONG_PTR pulIds, CK_ULONG_PTR pulIdCount,
                               CK_ULONG_PTR pulValues, CK_ULONG_PTR pulValueCount) {
    return get_set(of_partition(slotID, ulContainer), VALUES, (struct numbers){pulIds, pulIdCount},
                   (struct numbers){pulValues, pulValueCount});
}

CK_RV CA_GetContainerPolicySetting(CK_SLOT_ID slotID, CK_ULONG ulContainer, CK_ULONG ulId, CK_ULONG_PTR pulValue) {
    return get_setting(of_partition(slotID, ulContainer), VALUES, ulId, pulValue);
}

CK_RV CA_SetContainerPolicy(CK_SESSION_HANDLE hSession, CK_ULONG ulContainer, CK_ULONG ulId, CK_ULONG ulValue) {
    return set_container(hSession, ulContainer, 1, &ulId, &ulValue, false);
}

CK_RV CA_SetContainerPolicies(CK_SESSION_HANDLE hSession, CK_ULONG ulContainer, CK_ULONG ulCount, CK_ULONG_PTR pulIds,
                              CK_ULONG_PTR pulValues) {
    return set_container(hSession, ulContainer, ulCount, pulIds, pulValues, false);
}

CK_RV CA_SetDestructiveContainerPolicy(CK_SESSION_HANDLE hSession, CK_ULONG ulContainer, CK_ULONG ulId,
                                       CK_ULONG ulValue) {
    return set_container(hSession, ulContainer, 1, &ulId, &ulValue, true);
}

CK_RV CA_SetDestructiveContainerPolicies(CK_SESSION_HANDLE hSession, CK_ULONG ulContainer, CK_ULONG ulCount,
                                         CK_ULONG_PTR pulIds, CK_ULONG_PTR pulValues) {
    return set_container(hSession, ulContainer, ulCount, pulIds, pulValues, true);
}

// What one of them is.

// width is how many bits the values up to a capability take, at least one.
static CK_ULONG width(uint64_t capability) {
    CK_ULONG bits = 1;
    while (bits < 64 && capability >> bits != 0)
        bits++;
    return bits;
}

// give_text writes a text with a zero byte behind it, which *length counts.
static CK_RV give_text(struct tl_bytes text, CK_CHAR *to, CK_ULONG *length) {
    CK_ULONG room = *length;
    *length = text.length + 1;
    if (to == NULL)
        return CKR_OK;
    if (room < text.length + 1)
        return CKR_BUFFER_TOO_SMALL;
    if (text.length > 0)
        memcpy(to, text.data, text.length);
    to[text.length] = '\0';
    return CKR_OK;
}

static struct tl_bytes text_at(struct tl_texts list, size_t place) {
    struct tl_bytes text = {0};
    for (size_t i = 0; i <= place && tl_next_text(&list, &text); i++)
        ;
    return text;
}

CK_RV CA_GetConfigurationElementDescription(CK_SLOT_ID slotID, CK_ULONG ulIsContainer, CK_ULONG ulIsCapability,
                                            CK_ULONG ulId, CK_ULONG_PTR pulBits, CK_ULONG_PTR pulDestructive,
                                            CK_ULONG_PTR pulWriteRestricted, CK_CHAR_PTR pText,
                                            CK_ULONG_PTR pulTextLen) {
    struct tl_entry entry;
    struct tl_call call;
    struct tl_partition_policies_reply reply;
    size_t place;
    bool arguments = pulBits != NULL && pulDestructive != NULL && pulWriteRestricted != NULL && pulTextLen != NULL;
    CK_RV rv = tl_enter(&entry, arguments);
    if (rv != CKR_OK)
        return rv;
    rv = list(&call, entry.state, ulIsContainer != 0 ? of_partition(slotID, slotID) : of_hsm(slotID), &reply);
    if (rv == CKR_OK) {
        if (find(&reply, ulId, &place)) {
            *pulBits = width(tl_u64s_at(&reply.capabilities, place));
            *pulDestructive = text_at(reply.destructive, place).length > 0;
            *pulWriteRestricted = ulIsCapability != 0 || tl_u64s_at(&reply.effects, place) == 0;
            rv = give_text(text_at(reply.names, place), pText, pulTextLen);
        } else {
            rv = CKR_POLICY_ID_INVALID;
        }
        tl_call_end(&call);
    }
    tl_leave(&entry);
    return rv;
}
