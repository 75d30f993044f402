package audit

import (
	"encoding/binary"
	"fmt"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/seal"
)

// Settings are what the Auditor sets.
type Settings struct {
	Classes Classes
	// Limit is how many entries there may be before the log is full.
	Limit uint64
}

// Bounds of Settings.Limit, in entries.
const (
	MinLimit = 1 << 8
	MaxLimit = 1 << 32
	// DefaultLimit is that of a new log: some four gigabytes.
	DefaultLimit = 1 << 24
)

var defaultSettings = Settings{Classes: DefaultClasses, Limit: DefaultLimit}

// Check tells what is wrong with settings. Error: CKR_ARGUMENTS_BAD.
func (s Settings) Check() error {
	if s.Classes&^AllClasses != 0 {
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "audit: there are no classes of events with the bits %#x", uint32(s.Classes&^AllClasses))
	}
	if s.Limit < MinLimit || s.Limit > MaxLimit {
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "audit: a log has room for %d to %d entries, not %d", MinLimit, uint64(MaxLimit), s.Limit)
	}
	return nil
}

// String is the settings as an entry tells of them.
func (s Settings) String() string {
	return fmt.Sprintf("%v; room for %d entries", s.Classes, s.Limit)
}

// Stored settings are: version 1, classes (4, big-endian), limit (8), MAC. Where there are
// none they are the default.
const (
	settingsVersion = 1
	settingsBody    = 1 + 4 + 8
)

var keySettings = []byte("audit settings")

func (l *Log) encodeSettings(s Settings) []byte {
	b := binary.BigEndian.AppendUint32([]byte{settingsVersion}, uint32(s.Classes))
	b = binary.BigEndian.AppendUint64(b, s.Limit)
	mac := l.mac.Sum(settingsContext(b))
	return append(b, mac[:]...)
}

func settingsContext(b []byte) seal.Context { return seal.NewContext("settings").Bytes(b) }

// parseSettings reads stored settings. Error: CKR_DEVICE_ERROR.
func (l *Log) parseSettings(b []byte) (Settings, error) {
	if len(b) != settingsBody+seal.MACSize || b[0] != settingsVersion || !l.mac.Verify(settingsContext(b[:settingsBody]), b[settingsBody:]) {
		return Settings{}, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "audit: the settings are not what this HSM wrote")
	}
	return Settings{Classes: Classes(binary.BigEndian.Uint32(b[1:])), Limit: binary.BigEndian.Uint64(b[5:])}, nil
}

// Load takes over the settings that the store has, for an HSM that starts.
// Errors: CKR_DEVICE_ERROR for settings, or ends of the log, that are not this HSM's.
func (l *Log) Load(r keystore.Reader) error {
	b, err := r.Get(keystore.TableHSM, keySettings)
	if err != nil {
		return err
	}
	s := defaultSettings
	if b != nil {
		if s, err = l.parseSettings(b); err != nil {
			return err
		}
	}
	l.settings.Store(&s)
	u, err := l.Usage(r)
	l.full.Store(u.Entries() >= u.Limit)
	return err
}

// Settings are the settings now. It costs an atomic load.
func (l *Log) Settings() Settings { return *l.settings.Load() }

// Set changes the settings, and records that. Callers do not overlap.
// Errors: CKR_ARGUMENTS_BAD, also for a smaller log than there are entries, and those of
// Append.
func (l *Log) Set(s keystore.Store, to Settings, by Actor) error {
	to.Classes |= AlwaysRecorded
	if err := to.Check(); err != nil {
		return err
	}
	err := s.Update(func(w keystore.Writer) error {
		u, err := l.Usage(w)
		if err != nil {
			return err
		}
		// It would at once be beyond the reserve, where logins go on unrecorded.
		if n := u.Entries(); to.Limit < min(n, u.Limit) {
			return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "audit: the log has %d entries already, more than %d: export and clear it first", n, to.Limit)
		}
		if err := w.Put(keystore.TableHSM, keySettings, l.encodeSettings(to)); err != nil {
			return err
		}
		return l.Append(w, Record{Event: EventLogConfig, Actor: by, Detail: to.String()})
	})
	if err != nil {
		return err
	}
	l.settings.Store(&to)
	l.full.Store(true) // the next who asks finds out
	return nil
}

// Reset removes the settings inside an update; Load makes the running log follow.
func (l *Log) Reset(w keystore.Writer) error { return w.Delete(keystore.TableHSM, keySettings) }
