// Permits: what the server has said about an Init, so that the same Init can be
// answered without asking again (docs/wire.md, "Operations").
#ifndef TIDELOCK_PERMIT_H
#define TIDELOCK_PERMIT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// tl_slot is what is known of one slot. It lives as long as the state, so that
// sessions and permits may point to it. Epochs of a later run of the server are
// greater than those of an earlier one.
struct tl_slot {
    struct tl_slot *next;
    uint64_t id;
    _Atomic uint64_t epoch; // the newest permit epoch seen
};

// tl_slot_saw advances the slot's epoch; a late reply never takes it back.
void tl_slot_saw(struct tl_slot *slot, uint64_t epoch);

// The rules for the length of a one-part output; the numbers are the wire's.
enum tl_rule {
    TL_RULE_ASK,
    TL_RULE_FIXED,
    TL_RULE_LONGER,
    TL_RULE_SHORTER,
    TL_RULE_PADDED,
    TL_RULE_UNPADDED,
    TL_RULE_AT_MOST,
};

// TL_SEVERAL_PARTS in a permit's flags: the mechanism works in several parts.
enum { TL_SEVERAL_PARTS = 1 };

struct tl_permit {
    uint64_t epoch;
    uint64_t length; // the rule's number
    uint8_t rule;    // enum tl_rule
    uint8_t flags;
};

// tl_permit_bounds computes the least and the greatest length of the output for n
// bytes of input; both are equal where the rule is exact. False when the rule
// does not tell, or tells of a length that no memory holds.
bool tl_permit_bounds(const struct tl_permit *permit, uint64_t n, uint64_t *least, uint64_t *greatest);

// A mechanism whose fixed part is longer gets no permit.
enum { TL_PERMIT_FIXED = 64 };

// tl_permit_key is all that decides on an Init. Unused bytes of fixed are zero.
struct tl_permit_key {
    const struct tl_slot *slot;
    uint64_t key;
    uint8_t function;
    uint8_t fixed_length;
    uint8_t fixed[TL_PERMIT_FIXED];
};

enum { TL_PERMITS = 256, TL_PERMIT_LOCKS = 16 };

// tl_permit_table is direct-mapped: a permit that is pushed out costs a round trip.
struct tl_permit_table {
    pthread_mutex_t locks[TL_PERMIT_LOCKS]; // entry i is guarded by lock i % TL_PERMIT_LOCKS, for a copy
    struct {
        struct tl_permit_key key; // slot NULL: empty
        struct tl_permit permit;
    } entries[TL_PERMITS];
};

void tl_permit_table_start(struct tl_permit_table *table);

// tl_permit_find copies the permit for key when its epoch is still the slot's newest.
bool tl_permit_find(struct tl_permit_table *table, const struct tl_permit_key *key, struct tl_permit *permit);

void tl_permit_store(struct tl_permit_table *table, const struct tl_permit_key *key, const struct tl_permit *permit);

#endif
