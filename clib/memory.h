// Memory that does not come from malloc. A child made by a raw clone may own
// malloc's locks in a state that nobody will ever release, and a secret in pages
// of our own cannot be handed to the program by a later malloc.
#ifndef TIDELOCK_MEMORY_H
#define TIDELOCK_MEMORY_H

#include <stddef.h>

// tl_map returns size bytes of zeros, kept out of core dumps, or NULL.
void *tl_map(size_t size);

// tl_unmap wipes and gives back what tl_map returned for the same size. NULL is ignored.
void tl_unmap(void *memory, size_t size);

// tl_wipe overwrites size bytes in a way that the compiler keeps.
void tl_wipe(void *memory, size_t size);

#endif
