#include "shm.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"

struct tl_area *tl_area_map(int fd) {
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);
    // A file that can shrink under the mapping could kill the program.
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd, &status) != 0 ||
        status.st_size != (off_t)sizeof(struct tl_area))
        return NULL;
    struct tl_area *area = mmap(NULL, sizeof *area, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (area == MAP_FAILED)
        return NULL;
    if (madvise(area, sizeof *area, MADV_DONTFORK) != 0) {
        (void)munmap(area, sizeof *area);
        return NULL;
    }
    // A kernel that cannot keep a page out of a core dump is no reason to fail.
    (void)madvise(area, sizeof *area, MADV_DONTDUMP);
    return area;
}

void tl_area_unmap(struct tl_area *area) {
    if (area == NULL)
        return;
    tl_wipe(area->frame, sizeof area->frame);
    (void)munmap(area, sizeof *area);
}

bool tl_area_wait(struct tl_area *area, uint32_t seen) {
    if (atomic_load(&area->turn) != seen)
        return true;
    atomic_store(&area->waiting, 1);
    long result = 0;
    while (atomic_load(&area->turn) == seen && result == 0)
        result = syscall(SYS_futex, &area->turn, FUTEX_WAIT, seen, &(struct timespec){.tv_nsec = 100000000}, NULL, 0);
    atomic_store(&area->waiting, 0);
    return atomic_load(&area->turn) != seen;
}

size_t tl_area_take(struct tl_area *area, void *to, size_t size) {
    size_t length = atomic_load(&area->length);
    if (length > sizeof area->frame || length > size)
        return 0;
    memcpy(to, area->frame, length);
    tl_wipe(area->frame, length);
    return length;
}
