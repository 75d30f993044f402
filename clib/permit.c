#include "permit.h"

#include <string.h>

void tl_slot_saw(struct tl_slot *slot, uint64_t epoch) {
    uint64_t known = atomic_load(&slot->epoch);
    while (known < epoch && !atomic_compare_exchange_weak(&slot->epoch, &known, epoch)) {
    }
}

bool tl_permit_bounds(const struct tl_permit *permit, uint64_t n, uint64_t *least, uint64_t *greatest) {
    uint64_t r = permit->length;
    switch ((enum tl_rule)permit->rule) {
    case TL_RULE_FIXED:
        *least = *greatest = r;
        return true;
    case TL_RULE_LONGER:
        *least = *greatest = n + r;
        return n + r >= n;
    case TL_RULE_SHORTER:
        *least = *greatest = n > r ? n - r : 0;
        return true;
    case TL_RULE_PADDED:
        if (r == 0 || n / r + 1 > UINT64_MAX / r)
            return false;
        *least = *greatest = (n / r + 1) * r;
        return true;
    case TL_RULE_UNPADDED:
        *least = n > r ? n - r : 0;
        *greatest = n;
        return true;
    case TL_RULE_AT_MOST:
        *least = 0;
        *greatest = r;
        return true;
    case TL_RULE_ASK:
        break;
    }
    return false;
}

void tl_permit_table_start(struct tl_permit_table *table) {
    memset(table, 0, sizeof *table);
    for (size_t i = 0; i < TL_PERMIT_LOCKS; i++)
        pthread_mutex_init(&table->locks[i], NULL);
}

// place hashes with FNV-1a: keys are few, and nobody gains by a collision but a
// round trip more.
static size_t place(const struct tl_permit_key *key) {
    uint64_t hash = 0xcbf29ce484222325;
    uint64_t words[] = {(uint64_t)(uintptr_t)key->slot, key->key, key->function};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        hash = (hash ^ words[i]) * 0x100000001b3;
    for (size_t i = 0; i < key->fixed_length; i++)
        hash = (hash ^ key->fixed[i]) * 0x100000001b3;
    return (size_t)(hash ^ hash >> 32) % TL_PERMITS;
}

static bool same(const struct tl_permit_key *a, const struct tl_permit_key *b) {
    return a->slot == b->slot && a->key == b->key && a->function == b->function &&
           a->fixed_length == b->fixed_length && memcmp(a->fixed, b->fixed, a->fixed_length) == 0;
}

bool tl_permit_find(struct tl_permit_table *table, const struct tl_permit_key *key, struct tl_permit *permit) {
    size_t i = place(key);
    pthread_mutex_t *lock = &table->locks[i % TL_PERMIT_LOCKS];
    pthread_mutex_lock(lock);
    bool found = same(&table->entries[i].key, key);
    if (found)
        *permit = table->entries[i].permit;
    pthread_mutex_unlock(lock);
    return found && permit->epoch == atomic_load(&key->slot->epoch);
}

void tl_permit_store(struct tl_permit_table *table, const struct tl_permit_key *key, const struct tl_permit *permit) {
    size_t i = place(key);
    pthread_mutex_t *lock = &table->locks[i % TL_PERMIT_LOCKS];
    pthread_mutex_lock(lock);
    table->entries[i].key = *key;
    table->entries[i].permit = *permit;
    pthread_mutex_unlock(lock);
}
