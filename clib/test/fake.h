// A server for tests: it speaks the protocol, keeps sessions and operations, does
// arithmetic where a real one does cryptography, counts, and misbehaves on demand.
#ifndef TIDELOCK_TEST_FAKE_H
#define TIDELOCK_TEST_FAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "gen/wire.h"

enum fault {
    FAULT_NONE,
    FAULT_CLOSE,     // closes instead of answering
    FAULT_ANSWER,    // executes, then closes instead of answering
    FAULT_HEADER,    // sends half a header and closes
    FAULT_BODY,      // sends a frame without its last byte and closes
    FAULT_GARBAGE,   // sends bytes that are no frame
    FAULT_LENGTH,    // announces a frame longer than allowed
    FAULT_REQUEST,   // answers another request
    FAULT_SURPLUS,   // sends a byte behind the reply
    FAULT_EMPTY,     // sends CKR_OK with an empty body
    FAULT_TRICKLE,   // sends the reply byte by byte
    FAULT_WORKING,   // sends working frames for longer than the client's patience
    FAULT_SILENCE,   // does not answer at all
    FAULT_DEATH,     // executes, and is another run of the server from then on

    // Of an area, so only with FAKE_AREA in the environment:
    FAULT_AREA_LENGTH, // tells of more than the area holds
    FAULT_AREA_SHORT,  // tells of less than a header
    FAULT_AREA_OTHER,  // tells of another length than the header
    FAULT_AREA_TURN,   // skips a turn
};

// What the server and the test share.
struct fake {
    _Atomic uint64_t boot, epoch;
    _Atomic unsigned count[128];  // requests by call
    _Atomic unsigned connections; // ever accepted
    _Atomic unsigned open;        // now
    _Atomic unsigned hellos;      // of different applications
    _Atomic unsigned revived;     // Hellos of an application that had no other connection
    uint8_t application[16];      // of the last Hello
    _Atomic uint32_t level;       // of the last Hello

    _Atomic int fault;            // enum fault
    _Atomic unsigned fault_call;  // the call that the fault is for
    _Atomic unsigned fault_times; // how often it still happens
    _Atomic bool no_permits;
    _Atomic bool forgetful;   // a later server opens no session again
    _Atomic unsigned tickets; // how often a good ticket came
    _Atomic unsigned objects; // how many Find finds; handles 1 to that
    _Atomic uint64_t user;    // of the last call about a role
    _Atomic unsigned in_area; // replies that went through an area
    _Atomic bool unsealed;    // areas can shrink
    _Atomic uint64_t policy, value; // the first of the last change
    _Atomic unsigned changes;       // how many it had
    _Atomic bool destructive;       // whether it was meant to erase
    _Atomic bool uneven;            // lists of policies are not equally long
    char label[64];           // of the last PartitionInit; text of the last LogExternal
    char pin[64];             // of the last PartitionInit, InitRole or ResetRole; new authorization data
    char old[64];             // of the last SetAuthorizationData
    _Atomic uint64_t key;     // of the last call about a key's authorization
};

// The keys of the fake name the length rule: FAKE_KEY + rule, its number being 16,
// or 32 where it is fixed. One more works in one part only.
// A partition has policies 0 and 41, whose values are 1 below a capability of 255; the HSM 15
// without effect, and they have the numbers' names.
enum { FAKE_KEY = 100, FAKE_ONE_PART = 120, FAKE_ATTEMPTS = 9, FAKE_SLOT = 7, FAKE_OBJECT = 1, FAKE_WRAPPED = 40, FAKE_STATE = 50 };

// fake_start makes a server in a process and a directory of its own and points
// TIDELOCK_SOCKET to it. fake_again kills it and starts another, with another boot.
struct fake *fake_start(void);
void fake_again(void);
void fake_stop(void);

// fake_fault sets a fault for the next times requests of a call.
void fake_fault(struct fake *fake, enum fault fault, unsigned call, unsigned times);

#endif
