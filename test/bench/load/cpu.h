// CPU time of this process and of the server that it speaks to.
#ifndef CPU_H
#define CPU_H

#include <sys/types.h>

// Seconds of CPU time that the process has used; pid 0 is this one. Negative
// when there is no such process.
double cpu_seconds(pid_t pid);

// The process at the other end of one of this process's Unix sockets, or 0.
pid_t cpu_peer(void);

#endif
