// Which process this is. fork, vfork, a raw clone and a new pid namespace all
// must be noticed at the next call, without a handler and without a lock.
#ifndef TIDELOCK_PROCESS_H
#define TIDELOCK_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// tl_process names one process's use of the library. A child's differs from its
// parent's, even when the kernel gives both the same pid.
struct tl_process {
    pid_t pid;
    uint64_t number;
};

// tl_process_is tells whether p is the process that calls. It takes no lock and
// writes nothing: in a child of vfork the memory is still the parent's.
bool tl_process_is(const struct tl_process *p);

// tl_process_lock begins C_Initialize or C_Finalize: one thread of a process at a
// time. A lock that the parent's thread held at fork does not bind the child.
// False when memory is short.
bool tl_process_lock(void);
void tl_process_unlock(void);

// tl_process_current names the calling process. The caller holds the lock.
struct tl_process tl_process_current(void);

#endif
