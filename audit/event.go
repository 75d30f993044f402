package audit

import (
	"fmt"
	"strconv"
	"strings"
)

// Event is the kind of an act. The numbers are stored and never used again.
type Event uint16

// The events. An act that was refused or failed is the same event with another
// result.
const (
	// The log itself.
	EventLogCreate  Event = 1 // the first entry; the detail names the signing key
	EventCheckpoint Event = 2 // a checkpoint was signed
	EventLogConfig  Event = 3 // the Auditor changed the settings
	EventLogExport  Event = 4 // a segment was signed
	EventLogClear   Event = 5 // a segment's entries were taken out

	// The HSM as a whole.
	EventHSMCreate       Event = 20
	EventHSMStart        Event = 21
	EventHSMStop         Event = 22
	EventHSMPolicy       Event = 23
	EventHSMReset        Event = 24
	EventPartitionCreate Event = 25
	EventPartitionDelete Event = 26
	EventPartitionPolicy Event = 27
	EventPartitionInit   Event = 28
	EventClient          Event = 29 // a client was registered, changed or removed
	EventHSMFirmware     Event = 30 // the firmware was updated or rolled back

	// Roles and sessions.
	EventLogin        Event = 40
	EventLogout       Event = 41
	EventOpenSession  Event = 42
	EventCloseSession Event = 43
	EventRoleCreate   Event = 44
	EventPINChange    Event = 45 // by the role itself
	EventPINReset     Event = 46 // by another role
	EventRoleLock     Event = 47 // too many wrong PINs

	// Keys and other objects.
	EventKeyGenerate     Event = 60
	EventKeyPairGenerate Event = 61 // the object is the private key, the related one the public key
	EventKeyDerive       Event = 62 // the related object is the base key
	EventImport          Event = 63 // C_CreateObject
	EventUnwrap          Event = 64 // the related object is the unwrapping key
	EventWrap            Event = 65 // an export; the related object is the wrapping key
	EventCopy            Event = 66 // the related object is the source
	EventDestroy         Event = 67
	EventAttributes      Event = 68 // attributes of an object were changed
	EventAuthorize       Event = 69 // a key's own authorization was given, changed or removed

	// Uses of keys, where they are logged.
	EventKeyUse Event = 80

	// Texts of applications.
	EventExternal Event = 90 // CA_LogExternal; the detail is what the application says
)

// events names every event. The names are part of the exported form.
var events = map[Event]string{
	EventLogCreate:       "log-create",
	EventCheckpoint:      "checkpoint",
	EventLogConfig:       "log-config",
	EventLogExport:       "log-export",
	EventLogClear:        "log-clear",
	EventHSMCreate:       "hsm-create",
	EventHSMStart:        "hsm-start",
	EventHSMStop:         "hsm-stop",
	EventHSMPolicy:       "hsm-policy",
	EventHSMReset:        "hsm-reset",
	EventPartitionCreate: "partition-create",
	EventPartitionDelete: "partition-delete",
	EventPartitionPolicy: "partition-policy",
	EventPartitionInit:   "partition-init",
	EventClient:          "client",
	EventHSMFirmware:     "hsm-firmware",
	EventLogin:           "login",
	EventLogout:          "logout",
	EventOpenSession:     "open-session",
	EventCloseSession:    "close-session",
	EventRoleCreate:      "role-create",
	EventPINChange:       "pin-change",
	EventPINReset:        "pin-reset",
	EventRoleLock:        "role-lock",
	EventKeyGenerate:     "key-generate",
	EventKeyPairGenerate: "key-pair-generate",
	EventKeyDerive:       "key-derive",
	EventImport:          "import",
	EventUnwrap:          "unwrap",
	EventWrap:            "wrap",
	EventCopy:            "copy",
	EventDestroy:         "destroy",
	EventAttributes:      "attributes",
	EventAuthorize:       "authorize",
	EventKeyUse:          "key-use",
	EventExternal:        "external",
}

// unnamedEvent begins the name of an event that this version does not know.
const unnamedEvent = "event-"

// String returns the event's name, and event-N for one that a later version wrote.
func (e Event) String() string {
	if name, known := events[e]; known {
		return name
	}
	return unnamedEvent + strconv.FormatUint(uint64(e), 10)
}

// ParseEvent reads what String returned.
func ParseEvent(name string) (Event, error) {
	for e, n := range events {
		if n == name {
			return e, nil
		}
	}
	if number, ok := strings.CutPrefix(name, unnamedEvent); ok {
		if n, err := strconv.ParseUint(number, 10, 16); err == nil {
			return Event(n), nil
		}
	}
	return 0, fmt.Errorf("audit: %q is no event", name)
}
