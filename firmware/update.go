package firmware

import (
	"strings"

	"tidelock.dev/tidelock/cryptoki"
)

var (
	generation7 = Level{7, 0, 0}
	meets7      = Level{6, 10, 9} // the oldest level whose keys a 7.x HSM takes
	versions    = Level{7, 7, 0}  // partitions have versions, objects the second format
)

// CanUpdate tells whether an HSM may go from one level to a newer one. The error is
// CKR_OPERATION_NOT_ALLOWED and names the way out.
func CanUpdate(from, to Level) error {
	for _, l := range []Level{from, to} {
		if _, err := Describe(l); err != nil {
			return err
		}
	}
	switch {
	case to == from:
		return cryptoki.Errorf(cryptoki.CKR_OPERATION_NOT_ALLOWED, "the HSM already has firmware %v", to)
	case to.Compare(from) < 0:
		return cryptoki.Errorf(cryptoki.CKR_OPERATION_NOT_ALLOWED, "firmware %v is older than %v: only a rollback goes back, to the level before the last update", to, from)
	case from.AtLeast(generation7) || !to.AtLeast(generation7):
		return nil
	}
	ways := []string{"migrate its keys to a 7.x HSM by backup and restore, by cloning or through an HA group"}
	if !from.AtLeast(meets7) {
		ways = append([]string{"update it to " + meets7.String()}, ways...)
	}
	return cryptoki.Errorf(cryptoki.CKR_OPERATION_NOT_ALLOWED, "an HSM of firmware %v takes no 7.x firmware: %s", from, strings.Join(ways, ", then "))
}

// Converts tells whether an update rewrites partitions and objects: every partition
// becomes version 0.
func Converts(from, to Level) bool { return !from.AtLeast(versions) && to.AtLeast(versions) }

// An Update is what an HSM remembers of its firmware.
type Update struct {
	Current  Level
	Previous Level // before the last update; zero when there is nothing to go back to
	Modules  bool  // HSM policy 50 was on once
}

// RollbackTarget is the level to which a rollback goes. A rollback zeroizes the HSM,
// and the level it came from is no target of another one.
func (u Update) RollbackTarget() (Level, error) {
	if u.Modules {
		return Level{}, cryptoki.Errorf(cryptoki.CKR_OPERATION_NOT_ALLOWED, "functionality modules were allowed once (HSM policy 50), so this HSM cannot go back")
	}
	if u.Previous == (Level{}) {
		return Level{}, cryptoki.Errorf(cryptoki.CKR_OPERATION_NOT_ALLOWED, "there is no level to go back to before the next update")
	}
	return u.Previous, nil
}
