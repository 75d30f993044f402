// C_FindObjects: the server keeps no search, so the library asks for a page of
// handles when the one it has is used up.
#include <string.h>

#include "call.h"
#include "memory.h"

// begin keeps the encoded template for the pages to come.
static CK_RV begin(struct tl_search *search, struct tl_template template) {
    search->page = tl_map(TL_FIND_PAGE * sizeof *search->page);
    tl_put_template(&search->filter, template);
    CK_RV rv = search->page == NULL ? CKR_HOST_MEMORY : search->filter.error;
    if (rv != CKR_OK)
        tl_search_forget(search);
    else
        search->active = search->more = true;
    return rv;
}

CK_RV C_FindObjectsInit(CK_SESSION_HANDLE hSession, CK_ATTRIBUTE_PTR pTemplate, CK_ULONG ulCount) {
    struct tl_entry entry;
    bool arguments = tl_readable_template(pTemplate, ulCount);
    CK_RV rv = tl_enter_session(&entry, hSession, arguments);
    if (rv != CKR_OK)
        return rv;
    struct tl_search *search = &entry.session->search;
    pthread_mutex_lock(&entry.session->lock);
    rv = search->active ? CKR_OPERATION_ACTIVE : begin(search, (struct tl_template){pTemplate, ulCount});
    pthread_mutex_unlock(&entry.session->lock);
    tl_leave(&entry);
    return rv;
}

// turn fetches the next page.
static CK_RV turn(struct tl_entry *entry, struct tl_search *search) {
    struct tl_call call;
    struct tl_find_reply reply;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_FIND, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    // The fields of struct tl_find_request; its template has been encoded before.
    tl_put_raw(call.out, (struct tl_bytes){search->filter.data, search->filter.length});
    tl_put_u64(call.out, search->last);
    tl_put_u32(call.out, TL_FIND_PAGE);
    rv = tl_call_run(&call);
    if (rv == CKR_OK && (!tl_get_find(&call.in, &reply) || reply.objects.count > TL_FIND_PAGE ||
                         (reply.more && reply.objects.count == 0)))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK) {
        search->next = 0;
        search->count = reply.objects.count;
        search->more = reply.more;
        for (size_t i = 0; i < search->count; i++)
            search->page[i] = tl_u64s_at(&reply.objects, i);
        if (search->count > 0)
            search->last = search->page[search->count - 1];
    }
    tl_call_end(&call);
    return rv;
}

static CK_RV find(struct tl_entry *entry, CK_OBJECT_HANDLE *handles, CK_ULONG room, CK_ULONG *found) {
    struct tl_search *search = &entry->session->search;
    if (!search->active)
        return CKR_OPERATION_NOT_INITIALIZED;
    CK_ULONG n = 0;
    while (n < room && (search->next < search->count || search->more)) {
        if (search->next == search->count) {
            CK_RV rv = turn(entry, search);
            if (rv != CKR_OK && n == 0)
                return rv;
            if (rv != CKR_OK)
                break; // what has been found is given; the next call meets the error again
        }
        while (n < room && search->next < search->count)
            handles[n++] = search->page[search->next++];
    }
    *found = n;
    return CKR_OK;
}

CK_RV C_FindObjects(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE_PTR phObject, CK_ULONG ulMaxObjectCount,
                    CK_ULONG_PTR pulObjectCount) {
    struct tl_entry entry;
    bool arguments = pulObjectCount != NULL && tl_readable(phObject, ulMaxObjectCount);
    CK_RV rv = tl_enter_session(&entry, hSession, arguments);
    if (rv != CKR_OK)
        return rv;
    pthread_mutex_lock(&entry.session->lock);
    rv = find(&entry, phObject, ulMaxObjectCount, pulObjectCount);
    pthread_mutex_unlock(&entry.session->lock);
    tl_leave(&entry);
    return rv;
}

CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE hSession) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, true);
    if (rv != CKR_OK)
        return rv;
    pthread_mutex_lock(&entry.session->lock);
    rv = entry.session->search.active ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED;
    tl_search_forget(&entry.session->search);
    pthread_mutex_unlock(&entry.session->lock);
    tl_leave(&entry);
    return rv;
}
