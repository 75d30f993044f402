#include "process.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

// What is in this page belongs to one process: the kernel gives a child zeros
// (MADV_WIPEONFORK, Linux 4.14), also after a raw clone. Where it cannot, the pid
// alone tells processes apart.
struct own_page {
    _Atomic uint64_t number; // 0: this process has not initialised
    _Atomic pid_t owner;     // holder of the lifecycle lock, 0: nobody
};

static _Atomic(struct own_page *) own;

// Copied at fork, so that a child's numbers go on where its parent's stopped.
static _Atomic uint64_t last_number;

static struct own_page *own_page(void) {
    struct own_page *page = atomic_load(&own);
    if (page != NULL)
        return page;
    void *fresh = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED)
        return NULL;
    (void)madvise(fresh, sizeof *page, MADV_WIPEONFORK);
    if (!atomic_compare_exchange_strong(&own, &page, fresh)) {
        (void)munmap(fresh, sizeof *page);
        return page;
    }
    return fresh;
}

bool tl_process_is(const struct tl_process *p) {
    struct own_page *page = atomic_load(&own);
    return page != NULL && atomic_load(&page->number) == p->number && getpid() == p->pid;
}

bool tl_process_lock(void) {
    struct own_page *page = own_page();
    if (page == NULL)
        return false;
    pid_t self = getpid();
    for (;;) {
        pid_t owner = 0;
        if (atomic_compare_exchange_strong(&page->owner, &owner, self))
            return true;
        // Another pid in here was copied from a parent whose thread is not in this process.
        if (owner != self && atomic_compare_exchange_strong(&page->owner, &owner, self))
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

void tl_process_unlock(void) {
    atomic_store(&atomic_load(&own)->owner, 0);
}

struct tl_process tl_process_current(void) {
    static pid_t numbered; // guarded by the lifecycle lock
    struct own_page *page = atomic_load(&own);
    pid_t self = getpid();
    if (atomic_load(&page->number) == 0 || numbered != self) {
        atomic_store(&page->number, atomic_fetch_add(&last_number, 1) + 1);
        numbered = self;
    }
    return (struct tl_process){.pid = self, .number = atomic_load(&page->number)};
}
