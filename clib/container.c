#include "container.h"

#include <string.h>

#include "call.h"
#include "tidelock/vendor.h"

CK_RV tl_firmware_version(struct tl_state *state, CK_SLOT_ID slot, struct tl_firmware_version_reply *version) {
    struct tl_call call;
    CK_RV rv = tl_call_begin(&call, state, NULL, TL_CALL_FIRMWARE_VERSION, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_firmware_version(call.out, &(struct tl_firmware_version_request){.slot = slot});
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_firmware_version(&call.in, version))
        rv = CKR_DEVICE_ERROR;
    tl_call_end(&call);
    return rv;
}

CK_RV CA_GetFirmwareVersion(CK_SLOT_ID slotID, CK_ULONG_PTR pulMajor, CK_ULONG_PTR pulMinor, CK_ULONG_PTR pulSubMinor) {
    struct tl_entry entry;
    struct tl_firmware_version_reply version;
    CK_RV rv = tl_enter(&entry, pulMajor != NULL && pulMinor != NULL && pulSubMinor != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = tl_firmware_version(entry.state, slotID, &version);
    if (rv == CKR_OK) {
        *pulMajor = version.major;
        *pulMinor = version.minor;
        *pulSubMinor = version.patch;
    }
    tl_leave(&entry);
    return rv;
}

// A container has the number of its partition's slot, which is one to one with it.

CK_RV CA_GetUserContainerNumber(CK_SLOT_ID slotID, CK_ULONG_PTR pulContainer) {
    struct tl_entry entry;
    struct tl_firmware_version_reply version;
    CK_RV rv = tl_enter(&entry, pulContainer != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = tl_firmware_version(entry.state, slotID, &version); // is there such a slot?
    if (rv == CKR_OK)
        *pulContainer = slotID;
    tl_leave(&entry);
    return rv;
}

// info begins a call that tells what a partition is. With CKR_OK the reply is good until
// tl_call_end; otherwise tl_call_end must not be called.
static CK_RV info(struct tl_call *call, struct tl_state *state, CK_SLOT_ID slot, CK_ULONG container,
                  struct tl_partition_info_reply *reply) {
    if (container != slot)
        return CKR_CONTAINER_HANDLE_INVALID;
    CK_RV rv = tl_call_begin(call, state, NULL, TL_CALL_PARTITION_INFO, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_partition_info(call->out, &(struct tl_partition_info_request){.slot = slot});
    rv = tl_call_run(call);
    if (rv == CKR_OK && !tl_get_partition_info(&call->in, reply))
        rv = CKR_DEVICE_ERROR;
    if (rv != CKR_OK)
        tl_call_end(call);
    return rv;
}

CK_RV CA_GetContainerName(CK_SLOT_ID slotID, CK_ULONG ulContainer, CK_BYTE_PTR pName, CK_ULONG_PTR pulNameLen) {
    struct tl_entry entry;
    struct tl_call call;
    struct tl_partition_info_reply reply;
    CK_RV rv = tl_enter(&entry, pulNameLen != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = info(&call, entry.state, slotID, ulContainer, &reply);
    if (rv == CKR_OK) {
        CK_ULONG room = *pulNameLen;
        *pulNameLen = reply.label.length;
        if (pName != NULL && room < reply.label.length)
            rv = CKR_BUFFER_TOO_SMALL;
        else if (pName != NULL && reply.label.length > 0)
            memcpy(pName, reply.label.data, reply.label.length);
        tl_call_end(&call);
    }
    tl_leave(&entry);
    return rv;
}

CK_RV CA_GetContainerStorageInformation(CK_SLOT_ID slotID, CK_ULONG ulContainer, CK_ULONG_PTR pulOverhead,
                                        CK_ULONG_PTR pulTotal, CK_ULONG_PTR pulUsed, CK_ULONG_PTR pulFree,
                                        CK_ULONG_PTR pulObjectCount) {
    struct tl_entry entry;
    struct tl_call call;
    struct tl_partition_info_reply reply;
    CK_RV rv = tl_enter(&entry, pulOverhead != NULL && pulTotal != NULL && pulUsed != NULL && pulFree != NULL &&
                                    pulObjectCount != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = info(&call, entry.state, slotID, ulContainer, &reply);
    if (rv == CKR_OK) {
        *pulOverhead = reply.overhead_bytes;
        *pulTotal = reply.total_bytes;
        *pulUsed = reply.used_bytes;
        *pulFree = reply.free_bytes;
        *pulObjectCount = reply.objects;
        tl_call_end(&call);
    }
    tl_leave(&entry);
    return rv;
}

CK_RV CA_GetTokenStorageInformation(CK_SLOT_ID slotID, CK_ULONG_PTR pulOverhead, CK_ULONG_PTR pulTotal,
                                    CK_ULONG_PTR pulUsed, CK_ULONG_PTR pulFree, CK_ULONG_PTR pulObjectCount) {
    return CA_GetContainerStorageInformation(slotID, slotID, pulOverhead, pulTotal, pulUsed, pulFree, pulObjectCount);
}
