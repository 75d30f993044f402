package audit

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tidelock.dev/tidelock/cryptoki"
)

// Limits of a record's texts, in bytes.
const (
	MaxProgram = 64
	MaxDetail  = 255
)

// Record says what happened. What does not apply stays zero.
type Record struct {
	// Time is set by Append: UTC, in microseconds.
	Time  time.Time
	Event Event
	// Result is the code that the caller got.
	Result cryptoki.RV
	Actor  Actor
	// Partition is the number of the partition, 0 for the HSM as a whole.
	Partition uint32
	// Object is what was acted on, Related the other object that took part, as the
	// event says.
	Object, Related cryptoki.ObjectHandle
	Mechanism       Optional[cryptoki.MechanismType]
	Class           Optional[cryptoki.ObjectClass]
	// Detail is a short text for people. No secret may be in it, and nothing that a
	// caller chose unless it is marked as such.
	Detail string
}

// Actor is who acted, as far as the HSM knows.
type Actor struct {
	Source Source
	// Role is the role that the actor had, or in a login the role that it asked for.
	Role Role
	// Application is the number of the application since the server's start.
	Application uint64
	// UID and PID are what the kernel says of the peer. PID is 0 where it is not known.
	UID uint32
	PID int32
	// Program is what the application calls itself: it may say anything.
	Program string
}

// Optional is a number that may be absent, where 0 is a value of its own.
type Optional[T ~uint64] struct {
	Value   T
	Present bool
}

// Some is a number that is there.
func Some[T ~uint64](v T) Optional[T] { return Optional[T]{v, true} }

// Source is the way that an actor came. The numbers are stored.
type Source uint8

// The sources.
const (
	// SourceHSM is the HSM itself; there is no user behind it.
	SourceHSM Source = 0
	// SourceLocal is a user of this host.
	SourceLocal Source = 1
)

var sourceNames = [...]string{SourceHSM: "hsm", SourceLocal: "local"}

// String returns the source's name.
func (s Source) String() string { return nameOf(sourceNames[:], "source", uint8(s)) }

func parseSource(s string) (Source, error) {
	n, err := parseName(sourceNames[:], "source", s)
	return Source(n), err
}

// Role is who an actor was logged in as. The numbers are stored.
type Role uint8

// The roles.
const (
	RoleNone                 Role = 0
	RolePartitionSO          Role = 1
	RoleCryptoOfficer        Role = 2
	RoleLimitedCryptoOfficer Role = 3
	RoleCryptoUser           Role = 4
	RoleHSMSO                Role = 5
	RoleAdministrator        Role = 6
	RoleAuditor              Role = 7
)

var roleNames = [...]string{
	RoleNone:                 "none",
	RolePartitionSO:          "partition-so",
	RoleCryptoOfficer:        "crypto-officer",
	RoleLimitedCryptoOfficer: "limited-crypto-officer",
	RoleCryptoUser:           "crypto-user",
	RoleHSMSO:                "hsm-so",
	RoleAdministrator:        "administrator",
	RoleAuditor:              "auditor",
}

// String returns the role's name.
func (r Role) String() string { return nameOf(roleNames[:], "role", uint8(r)) }

func parseRole(s string) (Role, error) {
	n, err := parseName(roleNames[:], "role", s)
	return Role(n), err
}

// nameOf returns a number's name, and kind-N for one that a later version wrote.
func nameOf(names []string, kind string, n uint8) string {
	if int(n) < len(names) {
		return names[n]
	}
	return fmt.Sprintf("%s-%d", kind, n)
}

// parseName reads what nameOf returned.
func parseName(names []string, kind, s string) (uint8, error) {
	for n, name := range names {
		if name == s {
			return uint8(n), nil
		}
	}
	if number, ok := strings.CutPrefix(s, kind+"-"); ok {
		if n, err := strconv.ParseUint(number, 10, 8); err == nil {
			return uint8(n), nil
		}
	}
	return 0, fmt.Errorf("audit: %q is no %s", s, kind)
}

// lastTime is the end of the year 9999, behind which a time has no RFC 3339 form.
var lastTime = time.Date(9999, time.December, 31, 23, 59, 59, 999_999_000, time.UTC)

// normal is the record as it is stored: every field in its bounds. A clock that is
// wrong or a program with a strange name must not keep an act from being recorded.
func (r Record) normal() Record {
	r.Time = time.UnixMicro(min(max(r.Time.UnixMicro(), 0), lastTime.UnixMicro())).UTC()
	r.Actor.Program = printable(r.Actor.Program, MaxProgram)
	r.Detail = printable(r.Detail, MaxDetail)
	return r
}

// prints tells whether a character may be in a text: no control character, which
// could act on the terminal that shows the log, no separator of lines, and none that
// changes the direction of writing, which could make a text look like another.
func prints(c rune) bool {
	switch {
	case c < 0x20, c >= 0x7f && c <= 0x9f:
		return false
	case c == 0x61c, c >= 0x200e && c <= 0x200f, c >= 0x2028 && c <= 0x202e, c >= 0x2066 && c <= 0x2069:
		return false
	}
	return true
}

// printable replaces what does not print or is no UTF-8 by U+FFFD, and cuts the text
// to at most size bytes, between characters.
func printable(s string, size int) string {
	// Beyond size bytes nothing can remain: do not walk through a text without end.
	s = strings.ToValidUTF8(s[:min(len(s), size)], "\uFFFD")
	s = strings.Map(func(c rune) rune {
		if !prints(c) {
			return '\uFFFD'
		}
		return c
	}, s)
	end := 0
	for i, c := range s {
		if i+len(string(c)) > size {
			break
		}
		end = i + len(string(c))
	}
	return s[:end]
}
