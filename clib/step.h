// What of an operation crosses the wire: steps, what is left of their outputs, and its end. The
// session of the entry is locked.
#ifndef TIDELOCK_STEP_H
#define TIDELOCK_STEP_H

#include "operation.h"

// What an operation's request has beside data, signature and mechanism: function,
// key, two lengths, capacity.
enum { TL_STEP_FIELDS = 1 + 8 + 4 + 4 + 8 };

// tl_step is a request that gives input and takes output.
struct tl_step {
    uint16_t call; // TL_CALL_OPERATE, _OPERATE_FUSED, _UPDATE, _UPDATE_BOTH or _FINAL
    struct tl_bytes data;
    struct tl_bytes signature;
    enum tl_function other; // that takes an _UPDATE_BOTH, too
};

// tl_step_part is the step that gives a part; other is 0 where one operation takes it alone.
struct tl_step tl_step_part(enum tl_function other, struct tl_bytes data);

// tl_step_run makes a step and follows the operation's state.
CK_RV tl_step_run(struct tl_entry *entry, enum tl_function function, const struct tl_step *step, struct tl_room room);

// tl_operation_of is the session's operation of a function.
static inline struct tl_operation *tl_operation_of(struct tl_entry *entry, enum tl_function function) {
    return &entry->session->operations[function];
}

// tl_operation_mechanism is its mechanism, as it crosses the wire.
static inline struct tl_bytes tl_operation_mechanism(const struct tl_operation *operation) {
    return (struct tl_bytes){operation->mechanism.data, operation->mechanism.length};
}

// tl_operation_end has the server forget an operation, or a message in parts.
CK_RV tl_operation_end(struct tl_entry *entry, enum tl_function function);

// tl_operation_drain fetches what is left of an output that did not fit into a frame; of a
// message, too.
CK_RV tl_operation_drain(struct tl_entry *entry, enum tl_function function, CK_BYTE *to, uint64_t left);

#endif
