// One call to the server: a request out, a reply in.
//
//     struct tl_call call;
//     CK_RV rv = tl_call_begin(&call, state, NULL, TL_CALL_SLOT_INFO, TL_REPEAT);
//     if (rv != CKR_OK)
//         return rv;
//     tl_put_slot_info(call.out, &request);
//     rv = tl_call_run(&call);
//     if (rv == CKR_OK && !tl_get_slot_info(&call.in, &reply))
//         rv = CKR_DEVICE_ERROR;
//     ... what of the reply refers to the frame is copied ...
//     tl_call_end(&call);
#ifndef TIDELOCK_CALL_H
#define TIDELOCK_CALL_H

#include "gen/wire.h"
#include "state.h"

// Whether a call whose reply was lost is made again, once. A call that has an
// effect may be only when the server recognises the repeat.
enum tl_repeat { TL_ONCE, TL_REPEAT };

struct tl_call {
    struct tl_buffer *out; // the request's body goes here
    struct tl_view in;     // the reply's body, after tl_call_run
    bool answered;         // the server has spoken: the code is its own
    uint64_t epoch;        // the reply's

    struct tl_state *state;
    struct tl_session *session; // NULL for calls that have none
    struct tl_connection *connection;
    uint16_t number;
    enum tl_repeat repeat;
};

// tl_call_begin takes a connection and begins the frame. When it fails, with
// CKR_DEVICE_ERROR or CKR_CRYPTOKI_NOT_INITIALIZED (C_Finalize came in between), tl_call_end
// must not be called.
CK_RV tl_call_begin(struct tl_call *call, struct tl_state *state, struct tl_session *session, uint16_t number,
                    enum tl_repeat repeat);

// tl_call_run sends the request and waits for its reply. It returns the reply's
// code, or as tl_call_begin, or what the encoding of the request found wrong.
CK_RV tl_call_run(struct tl_call *call);

// tl_call_end gives the connection back. Nothing of the reply may be used after it.
void tl_call_end(struct tl_call *call);

// tl_call_plain makes a call, once, that has neither request nor reply fields.
CK_RV tl_call_plain(struct tl_state *state, struct tl_session *session, uint16_t number);

// tl_call_room is how many bytes of a body are left beside fixed bytes of it.
size_t tl_call_room(struct tl_state *state, size_t fixed);

#endif
