// C_MessageEncryptInit, C_EncryptMessage, C_MessageEncryptFinal, and the same for
// decryption: AES-GCM, whose parameter comes with each message. Init asks the server
// whether mechanism and key go together and keeps both here; a message is one round
// trip and has all checks made again, so that nothing is to be ended there. Messages in parts
// are in messagepart.c.
#include "message.h"

#include <string.h>

#include "call.h"
#include "step.h"

enum {
    MAX_IV = 256, // bytes; PKCS#11 3.2, CK_GCM_PARAMS
    MAX_TAG_BITS = 128,
    // What a request has beside IV, additional data, data and tag.
    FIXED_FIELDS = 1 + 16 + 8 + 3 * 8 + 4 * 4,
};

static struct tl_messages *messages_of(struct tl_entry *entry, enum tl_function function) {
    return &entry->session->messages[function];
}

enum tl_function tl_message_number(enum tl_function function) {
    return function == TL_ENCRYPT ? TL_MESSAGE_ENCRYPT : TL_MESSAGE_DECRYPT;
}

static CK_RV check(struct tl_entry *entry, enum tl_function function, const CK_MECHANISM *mechanism,
                   CK_OBJECT_HANDLE key) {
    struct tl_call call;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_MESSAGE_INIT, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_message_init(call.out, &(struct tl_message_init_request){
                                      .function = (uint8_t)function,
                                      .mechanism = {.native = mechanism},
                                      .key = key,
                                  });
    rv = tl_call_run(&call);
    tl_call_end(&call);
    return rv;
}

static CK_RV begin(struct tl_entry *entry, enum tl_function function, const CK_MECHANISM *mechanism,
                   CK_OBJECT_HANDLE key) {
    struct tl_messages *messages = messages_of(entry, function);
    if (messages->active)
        return CKR_OPERATION_ACTIVE;
    CK_MECHANISM bare = *mechanism;
    // Programs pass nothing, or the structure that they will pass with the first message.
    if (bare.ulParameterLen == sizeof(CK_GCM_MESSAGE_PARAMS)) {
        bare.pParameter = NULL;
        bare.ulParameterLen = 0;
    }
    CK_RV rv = check(entry, function, &bare, key);
    if (rv == CKR_OK)
        *messages = (struct tl_messages){.active = true, .mechanism = bare.mechanism, .key = key};
    return rv;
}

CK_RV tl_message_end(struct tl_entry *entry, enum tl_function function) {
    struct tl_messages *messages = messages_of(entry, function);
    if (!messages->active)
        return CKR_OPERATION_NOT_INITIALIZED;
    // A server that cannot be reached forgets the message with the next one, or the session.
    if (messages->begun)
        (void)tl_operation_end(entry, tl_message_number(function));
    *messages = (struct tl_messages){0};
    return CKR_OK;
}

// init begins the messages of a function, or ends them where mechanism is NULL.
static CK_RV init(CK_SESSION_HANDLE session, enum tl_function function, const CK_MECHANISM *mechanism,
                  CK_OBJECT_HANDLE key) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, session, true);
    if (rv != CKR_OK)
        return rv;
    pthread_mutex_lock(&entry.session->lock);
    rv = mechanism == NULL ? tl_message_end(&entry, function) : begin(&entry, function, mechanism, key);
    pthread_mutex_unlock(&entry.session->lock);
    tl_leave(&entry);
    return rv;
}

static CK_RV final(CK_SESSION_HANDLE session, enum tl_function function) {
    return init(session, function, NULL, CK_INVALID_HANDLE);
}

// A message as C_EncryptMessage and C_DecryptMessage have it.
struct message {
    void *parameter;
    CK_ULONG parameter_length;
    struct tl_bytes aad, data;
    CK_BYTE *output;
    CK_ULONG *output_length;
};

// readable tells whether a parameter's pointers are good for what it says.
static bool readable(const CK_GCM_MESSAGE_PARAMS *p) {
    return p->ulIvLen <= MAX_IV && p->ulTagBits <= MAX_TAG_BITS && tl_readable(p->pIv, p->ulIvLen) &&
           tl_readable(p->pTag, p->ulTagBits);
}

CK_RV tl_message_parameter(const void *parameter, CK_ULONG length, CK_GCM_MESSAGE_PARAMS *p) {
    if (parameter == NULL || length != sizeof *p)
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(p, parameter, sizeof *p);
    return readable(p) ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

// take copies the result of a message to where the program wants it.
static CK_RV take(const struct tl_message_crypt_reply *reply, enum tl_function function, const struct message *m,
                  const CK_GCM_MESSAGE_PARAMS *p) {
    bool encrypts = function == TL_ENCRYPT;
    if (reply->output.length != m->data.length || reply->iv.length != p->ulIvLen ||
        reply->tag.length != (encrypts ? p->ulTagBits / 8 : 0))
        return CKR_DEVICE_ERROR;
    if (m->data.length > 0)
        memcpy(m->output, reply->output.data, m->data.length);
    *m->output_length = m->data.length;
    if (encrypts && p->ivGenerator != CKG_NO_GENERATE && p->ulIvLen > 0)
        memcpy(p->pIv, reply->iv.data, p->ulIvLen);
    if (encrypts && reply->tag.length > 0)
        memcpy(p->pTag, reply->tag.data, reply->tag.length);
    return CKR_OK;
}

static CK_RV crypt(struct tl_entry *entry, enum tl_function function, const struct message *m) {
    const struct tl_messages *messages = messages_of(entry, function);
    if (!messages->active)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (messages->begun)
        return CKR_OPERATION_ACTIVE;
    CK_GCM_MESSAGE_PARAMS p;
    CK_RV rv = tl_message_parameter(m->parameter, m->parameter_length, &p);
    if (rv != CKR_OK)
        return rv;
    // The ciphertext is as long as the plaintext; the tag is in the parameter.
    if (m->output == NULL || *m->output_length < m->data.length) {
        *m->output_length = m->data.length;
        return m->output == NULL ? CKR_OK : CKR_BUFFER_TOO_SMALL;
    }
    struct tl_bytes tag = {p.pTag, function == TL_DECRYPT ? (p.ulTagBits + 7) / 8 : 0};
    size_t room = tl_call_room(entry->state, FIXED_FIELDS + p.ulIvLen + MAX_TAG_BITS / 8);
    if (m->aad.length > room || m->data.length > room - m->aad.length)
        return function == TL_ENCRYPT ? CKR_DATA_LEN_RANGE : CKR_ENCRYPTED_DATA_LEN_RANGE;

    struct tl_call call;
    struct tl_message_crypt_reply reply;
    // Neither leaves anything behind at the server.
    rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_MESSAGE_CRYPT, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    CK_MECHANISM mechanism = {.mechanism = messages->mechanism};
    tl_put_message_crypt(call.out, &(struct tl_message_crypt_request){
                                       .function = (uint8_t)function,
                                       .mechanism = {.native = &mechanism},
                                       .key = messages->key,
                                       .iv = {p.pIv, p.ulIvLen},
                                       .iv_fixed_bits = p.ulIvFixedBits,
                                       .iv_generator = p.ivGenerator,
                                       .tag_bits = p.ulTagBits,
                                       .aad = m->aad,
                                       .data = m->data,
                                       .tag = tag,
                                   });
    rv = tl_call_run(&call);
    if (rv == CKR_OK)
        rv = tl_get_message_crypt(&call.in, &reply) ? take(&reply, function, m, &p) : CKR_DEVICE_ERROR;
    tl_call_end(&call);
    return rv;
}

static CK_RV message(CK_SESSION_HANDLE session, enum tl_function function, const struct message *m) {
    struct tl_entry entry;
    bool arguments = tl_readable(m->aad.data, m->aad.length) && tl_readable(m->data.data, m->data.length) &&
                     m->output_length != NULL;
    CK_RV rv = tl_enter_session(&entry, session, arguments);
    if (rv != CKR_OK)
        return rv;
    pthread_mutex_lock(&entry.session->lock);
    rv = crypt(&entry, function, m);
    pthread_mutex_unlock(&entry.session->lock);
    tl_leave(&entry);
    return rv;
}

CK_RV C_MessageEncryptInit(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey) {
    return init(hSession, TL_ENCRYPT, pMechanism, hKey);
}

CK_RV C_EncryptMessage(CK_SESSION_HANDLE hSession, CK_VOID_PTR pParameter, CK_ULONG ulParameterLen,
                       CK_BYTE_PTR pAssociatedData, CK_ULONG ulAssociatedDataLen, CK_BYTE_PTR pPlaintext,
                       CK_ULONG ulPlaintextLen, CK_BYTE_PTR pCiphertext, CK_ULONG_PTR pulCiphertextLen) {
    return message(hSession, TL_ENCRYPT,
                   &(struct message){pParameter,
                                     ulParameterLen,
                                     {pAssociatedData, ulAssociatedDataLen},
                                     {pPlaintext, ulPlaintextLen},
                                     pCiphertext,
                                     pulCiphertextLen});
}

CK_RV C_MessageEncryptFinal(CK_SESSION_HANDLE hSession) { return final(hSession, TL_ENCRYPT); }

CK_RV C_MessageDecryptInit(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey) {
    return init(hSession, TL_DECRYPT, pMechanism, hKey);
}

CK_RV C_DecryptMessage(CK_SESSION_HANDLE hSession, CK_VOID_PTR pParameter, CK_ULONG ulParameterLen,
                       CK_BYTE_PTR pAssociatedData, CK_ULONG ulAssociatedDataLen, CK_BYTE_PTR pCiphertext,
                       CK_ULONG ulCiphertextLen, CK_BYTE_PTR pPlaintext, CK_ULONG_PTR pulPlaintextLen) {
    return message(hSession, TL_DECRYPT,
                   &(struct message){pParameter,
                                     ulParameterLen,
                                     {pAssociatedData, ulAssociatedDataLen},
                                     {pCiphertext, ulCiphertextLen},
                                     pPlaintext,
                                     pulPlaintextLen});
}

CK_RV C_MessageDecryptFinal(CK_SESSION_HANDLE hSession) { return final(hSession, TL_DECRYPT); }
