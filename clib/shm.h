// The memory in which a server leaves small replies: docs/wire.md.
#ifndef TIDELOCK_SHM_H
#define TIDELOCK_SHM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The bit in Hello's features with which a caller asks for an area.
#define TL_SHARED_REPLIES UINT64_C(1)

// tl_area is what both sides see. serve/shm.go has the same.
struct tl_area {
    _Atomic uint32_t turn;    // how many replies there were
    _Atomic uint32_t length;  // of the newest reply; 0 when it comes over the socket
    _Atomic uint32_t waiting; // not 0 while the caller sleeps
    _Atomic uint32_t ready;   // not 0 when the caller wants the next reply here
    uint8_t gap[48];
    uint8_t frame[8192 - 64];
};

// tl_area_map maps the area behind a descriptor, which remains the caller's. NULL when it is none, or the system refuses. A child of fork() does
// not inherit the mapping.
struct tl_area *tl_area_map(int fd);

void tl_area_unmap(struct tl_area *area);

// tl_area_wait sleeps until turn is no longer seen. False when a signal came, or
// after a tenth of a second.
bool tl_area_wait(struct tl_area *area, uint32_t seen);

// tl_area_take moves the newest reply, of which nothing remains, to a buffer. It
// returns the length; 0 when the area says nonsense.
size_t tl_area_take(struct tl_area *area, void *to, size_t size);

#endif
