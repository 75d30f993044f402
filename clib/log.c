// The audit log: what an application has to say in it.
#include "call.h"
#include "tidelock/vendor.h"

static CK_RV log_text(struct tl_entry *entry, struct tl_bytes text) {
    struct tl_call call;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_LOG_EXTERNAL, TL_ONCE);
    if (rv != CKR_OK)
        return rv;
    tl_put_log_external(call.out, &(struct tl_log_external_request){.text = text});
    rv = tl_call_run(&call);
    tl_call_end(&call);
    return rv;
}

// The slot is the session's own: the text goes to the HSM that the session is with.
CK_RV CA_LogExternal(CK_SLOT_ID slotID, CK_SESSION_HANDLE hSession, CK_CHAR_PTR pMessage, CK_ULONG ulMessageLen) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, pMessage != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = slotID == entry.session->slot->id ? log_text(&entry, (struct tl_bytes){pMessage, ulMessageLen})
                                           : CKR_SLOT_ID_INVALID;
    tl_leave(&entry);
    return rv;
}
