#include "call.h"

// lost is the code for a call that cannot reach the server.
static CK_RV lost(struct tl_state *state) {
    return atomic_load(&state->pool.closing) ? CKR_CRYPTOKI_NOT_INITIALIZED : CKR_DEVICE_ERROR;
}

CK_RV tl_call_begin(struct tl_call *call, struct tl_state *state, struct tl_session *session, uint16_t number,
                    enum tl_repeat repeat) {
    *call = (struct tl_call){.state = state, .session = session, .number = number, .repeat = repeat};
    call->connection = tl_pool_take(&state->pool, false);
    if (call->connection == NULL)
        return lost(state);
    call->out = &call->connection->out;
    tl_begin_frame(call->out);
    return CKR_OK;
}

// exchange sends the frame and waits for the reply.
static CK_RV exchange(struct tl_call *call) {
    struct tl_header header;
    uint64_t session = call->session == NULL ? 0 : call->session->handle;
    CK_RV rv = tl_connection_send(call->connection, call->number, session);
    if (rv != CKR_OK)
        return rv;
    if (!tl_connection_receive(call->connection, call->number, &header, &call->in))
        return CKR_DEVICE_ERROR;
    call->answered = true;
    call->epoch = header.epoch;
    if (call->session != NULL)
        tl_slot_saw(call->session->slot, header.epoch);
    if (call->session != NULL && header.code == CKR_SESSION_HANDLE_INVALID)
        tl_session_remove(&call->state->sessions, call->session);
    return header.code;
}

// again moves the request to a new connection.
static CK_RV again(struct tl_call *call) {
    struct tl_buffer request = call->connection->out;
    call->connection->out = (struct tl_buffer){0};
    call->connection = tl_pool_replace(&call->state->pool, call->connection);
    if (call->connection == NULL) {
        tl_buffer_free(&request);
        return lost(call->state);
    }
    call->out = &call->connection->out;
    tl_buffer_free(call->out);
    *call->out = request;
    return CKR_OK;
}

// How often a call is sent that may be repeated. A caller who sleeps on an area hears
// late that his server has gone, and the next one may have gone by then.
enum { ATTEMPTS = 3 };

CK_RV tl_call_run(struct tl_call *call) {
    CK_RV rv = exchange(call);
    for (int n = 1; n < ATTEMPTS && call->connection != NULL && call->connection->lost && call->repeat == TL_REPEAT;
         n++) {
        rv = again(call);
        if (rv == CKR_OK)
            rv = exchange(call);
    }
    if (!call->answered && rv == CKR_DEVICE_ERROR)
        rv = lost(call->state);
    return rv;
}

void tl_call_end(struct tl_call *call) {
    if (call->connection != NULL)
        tl_pool_give(&call->state->pool, call->connection);
}

CK_RV tl_call_plain(struct tl_state *state, struct tl_session *session, uint16_t number) {
    struct tl_call call;
    CK_RV rv = tl_call_begin(&call, state, session, number, TL_ONCE);
    if (rv != CKR_OK)
        return rv;
    rv = tl_call_run(&call);
    tl_call_end(&call);
    return rv;
}

size_t tl_call_room(struct tl_state *state, size_t fixed) {
    size_t body = atomic_load(&state->pool.max_frame) - TL_HEADER_SIZE;
    return body > fixed ? body - fixed : 0;
}
