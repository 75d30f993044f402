// A log-linear histogram of latencies in nanoseconds: 32 buckets for every
// power of two, so that a quantile is right to 1.6 %.
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_BITS = 5,
    HISTOGRAM_SUB = 1 << HISTOGRAM_BITS,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_BITS + 1) * HISTOGRAM_SUB
};

struct histogram {
    uint64_t count[HISTOGRAM_BUCKETS];
};

static inline size_t histogram_bucket(uint64_t ns) {
    if (ns < HISTOGRAM_SUB)
        return (size_t)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - HISTOGRAM_BITS;
    return (size_t)((shift + 1u) * HISTOGRAM_SUB + ((ns >> shift) - HISTOGRAM_SUB));
}

// The middle of a bucket.
static inline double histogram_value(size_t bucket) {
    if (bucket < HISTOGRAM_SUB)
        return (double)bucket;
    unsigned shift = (unsigned)(bucket / HISTOGRAM_SUB) - 1u;
    uint64_t low = (uint64_t)(HISTOGRAM_SUB + bucket % HISTOGRAM_SUB) << shift;
    return (double)low + (double)(UINT64_C(1) << shift) / 2;
}

static inline void histogram_add(struct histogram *h, uint64_t ns) {
    h->count[histogram_bucket(ns)]++;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *from) {
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->count[i] += from->count[i];
}

// The latency, in nanoseconds, that the fraction q of all were no slower than;
// 0 for an empty histogram.
static inline double histogram_quantile(const struct histogram *h, double q) {
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        total += h->count[i];
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->count[i];
        if (seen > 0 && (double)seen >= q * (double)total)
            return histogram_value(i);
    }
    return 0;
}

#endif
