#include "memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

// TL_HEAP puts everything on the heap, where AddressSanitizer watches it.
#ifdef TL_HEAP

void *tl_map(size_t size) { return calloc(1, size); }

void tl_unmap(void *memory, size_t size) {
    if (memory == NULL)
        return;
    tl_wipe(memory, size);
    free(memory);
}

#else

void *tl_map(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    // A kernel that cannot keep a page out of a core dump is no reason to fail.
    (void)madvise(memory, size, MADV_DONTDUMP);
    return memory;
}

void tl_unmap(void *memory, size_t size) {
    if (memory == NULL)
        return;
    tl_wipe(memory, size);
    (void)munmap(memory, size);
}

#endif

void tl_wipe(void *memory, size_t size) {
    if (size > 0)
        explicit_bzero(memory, size);
}
