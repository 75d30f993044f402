package audit

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"tidelock.dev/tidelock/cryptoki"
)

// Classes is a set of classes of events: what the Auditor wants recorded. The bits are
// stored and never used again.
//
// An event of one of the other classes is recorded when its result is wanted too: with
// neither ClassSuccess nor ClassFailure, no event is. Those of ClassManage and
// ClassLogManage are recorded in any case, and so are the uses of keys that have
// authorization data.
type Classes uint32

// The classes.
const (
	ClassFailure   Classes = 1 << iota // acts that failed
	ClassSuccess                       // acts that succeeded
	ClassAccess                        // logins and logouts
	ClassManage                        // the HSM, partitions, policies, roles, authorization of keys
	ClassKeyManage                     // keys and other objects: made, changed, wrapped, destroyed
	ClassUsage                         // every use of a public or private key
	ClassFirst                         // the first use of a public or private key
	ClassSymmetric                     // every use of a secret key
	ClassSymFirst                      // the first use of a secret key
	ClassExternal                      // texts of applications (CA_LogExternal)
	ClassLogManage                     // the log itself: checkpoints, settings, export
)

const (
	// AlwaysRecorded are the classes that nobody turns off.
	AlwaysRecorded = ClassManage | ClassLogManage
	// DefaultClasses are those of a new log.
	DefaultClasses = ClassFailure | ClassSuccess | ClassAccess | ClassKeyManage | AlwaysRecorded
	// AllClasses are the classes that this version knows.
	AllClasses = ClassLogManage<<1 - 1
)

// classNames are in the order of the bits.
var classNames = [...]string{
	"failure", "success", "access", "manage", "keymanage", "usage", "first", "symmetric", "symfirst", "external", "logmanage",
}

// String lists the names of the classes, with commas between them.
func (c Classes) String() string {
	var names []string
	for rest := c & AllClasses; rest != 0; rest &= rest - 1 {
		names = append(names, classNames[bits.TrailingZeros32(uint32(rest))])
	}
	return strings.Join(names, ",")
}

// ParseClasses reads a list of classes: names with commas between them, or all, or none.
// Those that are always recorded come with any list.
func ParseClasses(list string) (Classes, error) {
	switch list {
	case "all":
		return AllClasses, nil
	case "none":
		return AlwaysRecorded, nil
	}
	c := AlwaysRecorded
	for name := range strings.SplitSeq(list, ",") {
		bit := slices.Index(classNames[:], name)
		if bit < 0 {
			return 0, fmt.Errorf("audit: %q is no class of events: they are %s; or all, or none", name, strings.Join(classNames[:], ", "))
		}
		c |= 1 << bit
	}
	return c, nil
}

// class is the class that an event belongs to. The use of a key is of one that depends on
// the key: Classes.Use.
func (e Event) class() Classes {
	switch e {
	case EventLogin, EventLogout, EventOpenSession, EventCloseSession:
		return ClassAccess
	case EventKeyGenerate, EventKeyPairGenerate, EventKeyDerive, EventImport, EventUnwrap, EventWrap, EventCopy, EventDestroy, EventAttributes:
		return ClassKeyManage
	case EventKeyUse:
		return ClassUsage | ClassFirst | ClassSymmetric | ClassSymFirst
	case EventExternal:
		return ClassExternal
	case EventLogCreate, EventCheckpoint, EventLogConfig, EventLogExport, EventLogClear:
		return ClassLogManage
	}
	return ClassManage
}

// records tells whether an event with a result is wanted.
func (c Classes) records(e Event, result cryptoki.RV) bool {
	class := e.class()
	return class&AlwaysRecorded != 0 || c&class != 0 && c.wants(result)
}

func (c Classes) wants(result cryptoki.RV) bool {
	if result == cryptoki.CKR_OK {
		return c&ClassSuccess != 0
	}
	return c&ClassFailure != 0
}

// Use tells whether the use of a key, with a result, is recorded: every time, or when it
// is the first.
func (c Classes) Use(key cryptoki.ObjectClass, result cryptoki.RV) (every, first bool) {
	if !c.wants(result) {
		return false, false
	}
	if key == cryptoki.CKO_SECRET_KEY {
		return c&ClassSymmetric != 0, c&ClassSymFirst != 0
	}
	return c&ClassUsage != 0, c&ClassFirst != 0
}

// Uses tells whether any use of keys without authorization data is recorded.
func (c Classes) Uses() bool {
	return c&(ClassUsage|ClassFirst|ClassSymmetric|ClassSymFirst) != 0
}
