// Partitions as Luna's clients call them, containers, and the firmware beneath them.
#ifndef TIDELOCK_CONTAINER_H
#define TIDELOCK_CONTAINER_H

#include "gen/wire.h"
#include "state.h"

// tl_firmware_version tells the firmware's level of the HSM that has a slot. The codes are
// the server's, CKR_SLOT_ID_INVALID among them.
CK_RV tl_firmware_version(struct tl_state *state, CK_SLOT_ID slot, struct tl_firmware_version_reply *version);

#endif
