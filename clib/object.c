// Objects and their attributes.
#include <string.h>

#include "call.h"
#include "entropy.h"

static CK_RV create_object(struct tl_entry *entry, struct tl_template template, CK_OBJECT_HANDLE *handle) {
    struct tl_call call;
    struct tl_create_object_request request = {.template = template};
    struct tl_create_object_reply reply;
    if (!tl_entropy(&request.token, sizeof request.token))
        return CKR_FUNCTION_FAILED;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_CREATE_OBJECT, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_create_object(call.out, &request);
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_create_object(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK)
        *handle = reply.object;
    tl_call_end(&call);
    return rv;
}

CK_RV C_CreateObject(CK_SESSION_HANDLE hSession, CK_ATTRIBUTE_PTR pTemplate, CK_ULONG ulCount,
                     CK_OBJECT_HANDLE_PTR phObject) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, tl_readable_template(pTemplate, ulCount) && phObject != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = create_object(&entry, (struct tl_template){pTemplate, ulCount}, phObject);
    tl_leave(&entry);
    return rv;
}

static CK_RV copy_object(struct tl_entry *entry, CK_OBJECT_HANDLE object, struct tl_template template,
                         CK_OBJECT_HANDLE *copy) {
    struct tl_call call;
    struct tl_copy_object_request request = {.object = object, .template = template};
    struct tl_copy_object_reply reply;
    if (!tl_entropy(&request.token, sizeof request.token))
        return CKR_FUNCTION_FAILED;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_COPY_OBJECT, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_copy_object(call.out, &request);
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_copy_object(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK)
        *copy = reply.copy;
    tl_call_end(&call);
    return rv;
}

CK_RV C_CopyObject(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ATTRIBUTE_PTR pTemplate,
                   CK_ULONG ulCount, CK_OBJECT_HANDLE_PTR phNewObject) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, tl_readable_template(pTemplate, ulCount) && phNewObject != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = copy_object(&entry, hObject, (struct tl_template){pTemplate, ulCount}, phNewObject);
    tl_leave(&entry);
    return rv;
}

static CK_RV destroy_object(struct tl_entry *entry, CK_OBJECT_HANDLE object) {
    struct tl_call call;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_DESTROY_OBJECT, TL_ONCE);
    if (rv != CKR_OK)
        return rv;
    tl_put_destroy_object(call.out, &(struct tl_destroy_object_request){.object = object});
    rv = tl_call_run(&call);
    tl_call_end(&call);
    return rv;
}

CK_RV C_DestroyObject(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, true);
    if (rv != CKR_OK)
        return rv;
    rv = destroy_object(&entry, hObject);
    tl_leave(&entry);
    return rv;
}

static CK_RV object_size(struct tl_entry *entry, CK_OBJECT_HANDLE object, CK_ULONG *size) {
    struct tl_call call;
    struct tl_object_size_reply reply;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_OBJECT_SIZE, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_object_size(call.out, &(struct tl_object_size_request){.object = object});
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_object_size(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK)
        *size = reply.size;
    tl_call_end(&call);
    return rv;
}

CK_RV C_GetObjectSize(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ULONG_PTR pulSize) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, pulSize != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = object_size(&entry, hObject, pulSize);
    tl_leave(&entry);
    return rv;
}

// deny leaves an attribute of the caller's template without a value.
static CK_RV deny(CK_ATTRIBUTE *attribute, CK_RV rv) {
    attribute->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    return rv;
}

// short_of tells whether there is no room for length bytes where the caller wants a value. What
// an earlier call has denied, and the caller has not set since, is no room at all.
static bool short_of(const CK_ATTRIBUTE *attribute, size_t length) {
    return attribute->pValue != NULL &&
           (attribute->ulValueLen < length || attribute->ulValueLen == CK_UNAVAILABLE_INFORMATION);
}

static CK_RV give_bytes(CK_ATTRIBUTE *attribute, struct tl_bytes value) {
    if (short_of(attribute, value.length))
        return deny(attribute, CKR_BUFFER_TOO_SMALL);
    if (attribute->pValue != NULL && value.length > 0)
        memcpy(attribute->pValue, value.data, value.length);
    attribute->ulValueLen = value.length;
    return CKR_OK;
}

// rank orders what can be wrong with an attribute, for the one code of all
// (docs/check-order.md, "Objects").
static int rank(CK_RV rv) {
    switch (rv) {
    case CKR_OK:
        return 0;
    case CKR_BUFFER_TOO_SMALL:
        return 1;
    case CKR_ATTRIBUTE_SENSITIVE:
        return 2;
    default:
        return 3;
    }
}

// give_array fills an array of attributes, which the server gives one level deep: first the
// caller learns how large it is, then which attributes of which lengths are in it, and then
// he has given each of them a place.
static CK_RV give_array(CK_ATTRIBUTE *attribute, struct tl_bytes value) {
    struct tl_attributes list;
    struct tl_attribute inner;
    if (!tl_parse_template(value, &list))
        return deny(attribute, CKR_DEVICE_ERROR);
    CK_ULONG size = list.count * sizeof(CK_ATTRIBUTE);
    if (short_of(attribute, size))
        return deny(attribute, CKR_BUFFER_TOO_SMALL);
    attribute->ulValueLen = size;
    CK_RV worst = CKR_OK;
    for (CK_ATTRIBUTE *to = attribute->pValue; to != NULL && tl_next_attribute(&list, &inner); to++) {
        to->type = inner.type;
        CK_RV rv = tl_is_template(inner.type) ? deny(to, CKR_DEVICE_ERROR) : give_bytes(to, inner.value);
        if (rank(rv) > rank(worst))
            worst = rv;
    }
    return worst;
}

// give_value fills one attribute of the caller's template (PKCS#11 3.2, 5.7.5).
static CK_RV give_value(CK_ATTRIBUTE *attribute, const struct tl_value *value) {
    switch (value->status) {
    case TL_VALUE_SENSITIVE:
        return deny(attribute, CKR_ATTRIBUTE_SENSITIVE);
    case TL_VALUE_ABSENT:
        return deny(attribute, CKR_ATTRIBUTE_TYPE_INVALID);
    default:
        return tl_is_template(attribute->type) ? give_array(attribute, value->value)
                                               : give_bytes(attribute, value->value);
    }
}

static CK_RV give_values(CK_ATTRIBUTE *attributes, CK_ULONG count, struct tl_values values) {
    if (values.count != count)
        return CKR_DEVICE_ERROR;
    CK_RV worst = CKR_OK;
    struct tl_value value;
    for (CK_ULONG i = 0; i < count && tl_next_value(&values, &value); i++) {
        CK_RV rv = give_value(&attributes[i], &value);
        if (rank(rv) > rank(worst))
            worst = rv;
    }
    return worst;
}

static CK_RV get_attributes(struct tl_entry *entry, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes,
                            CK_ULONG count) {
    struct tl_call call;
    struct tl_get_attributes_reply reply;
    CK_ULONG types[TL_MAX_ATTRIBUTES];
    for (CK_ULONG i = 0; i < count; i++)
        types[i] = attributes[i].type;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_GET_ATTRIBUTES, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_get_attributes(call.out, &(struct tl_get_attributes_request){.object = object, .types = {types, count}});
    rv = tl_call_run(&call);
    if (rv == CKR_OK || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID)
        rv = tl_get_get_attributes(&call.in, &reply) ? give_values(attributes, count, reply.values)
                                                     : CKR_DEVICE_ERROR;
    tl_call_end(&call);
    return rv;
}

CK_RV C_GetAttributeValue(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ATTRIBUTE_PTR pTemplate,
                          CK_ULONG ulCount) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, tl_readable_template(pTemplate, ulCount));
    if (rv != CKR_OK)
        return rv;
    rv = get_attributes(&entry, hObject, pTemplate, ulCount);
    tl_leave(&entry);
    return rv;
}

static CK_RV set_attributes(struct tl_entry *entry, CK_OBJECT_HANDLE object, struct tl_template template) {
    struct tl_call call;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_SET_ATTRIBUTES, TL_ONCE);
    if (rv != CKR_OK)
        return rv;
    tl_put_set_attributes(call.out, &(struct tl_set_attributes_request){.object = object, .template = template});
    rv = tl_call_run(&call);
    tl_call_end(&call);
    return rv;
}

CK_RV C_SetAttributeValue(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ATTRIBUTE_PTR pTemplate,
                          CK_ULONG ulCount) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, tl_readable_template(pTemplate, ulCount));
    if (rv != CKR_OK)
        return rv;
    rv = set_attributes(&entry, hObject, (struct tl_template){pTemplate, ulCount});
    tl_leave(&entry);
    return rv;
}
