package firmware

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func TestClientAccess(t *testing.T) {
	for _, test := range []struct {
		client  string
		version uint8
		want    cryptoki.RV
	}{
		{"7.2.0", 0, cryptoki.CKR_OK}, {"10.2.0", 0, cryptoki.CKR_OK}, {"10.3.0", 0, cryptoki.CKR_OK},
		{"7.2.0", 1, cryptoki.CKR_ACCESS_ID_INVALID}, {"10.2.0", 1, cryptoki.CKR_ACCESS_ID_INVALID},
		{"10.3.0", 1, cryptoki.CKR_OK}, {"10.5.0", 1, cryptoki.CKR_OK},
	} {
		if got := cryptoki.Code(ClientAccess(level(t, test.client), test.version)); got != test.want {
			t.Errorf("client %s, version %d: %v", test.client, test.version, got)
		}
	}
}

func TestCanCreateVersion(t *testing.T) {
	for _, test := range []struct {
		level   string
		version uint8
		can     bool
	}{{"7.4.2", 0, false}, {"7.4.2", 1, false}, {"7.7.0", 0, true}, {"7.8.0", 1, true}, {"7.8.0", 2, false}} {
		if err := level(t, test.level).CanCreateVersion(test.version); (err == nil) != test.can {
			t.Errorf("%s, version %d: %v", test.level, test.version, err)
		}
	}
}

func TestCanUsePED(t *testing.T) {
	for _, test := range []struct {
		level, ped string
		can        bool
	}{
		{"7.7.0", "2.7.3", false}, {"7.7.0", "2.7.4", true}, {"7.8.0", "2.7.9", true}, {"7.7.0", "2.8.0", false},
		{"7.7.0", "2.8.255", false}, {"7.7.0", "2.9.0", true}, {"7.7.0", "3.0.0", true}, {"7.7.0", "2.6.0", false},
		{"7.4.2", "2.7.1", true}, {"7.4.2", "2.8.0", true}, {"7.4.2", "2.7.0", false}, {"6.10.9", "2.6.0", true},
	} {
		if err := level(t, test.level).CanUsePED(level(t, test.ped)); (err == nil) != test.can {
			t.Errorf("HSM %s, PED %s: %v", test.level, test.ped, err)
		}
	}
}

func TestSecureChannelOf(t *testing.T) {
	for _, test := range []struct {
		level, appliance, client string
		want                     Feature
	}{
		{"7.7.0", "7.7.0", "10.3.0", SecureChannel},
		{"7.7.0", "7.4.0", "10.3.0", ""},
		{"7.7.0", "7.7.0", "10.2.0", ""},
		{"7.4.2", "7.7.0", "10.3.0", ""},
		{"7.4.2", "7.7.0", "10.2.0", OldSecureChannel},
		{"7.4.2", "7.4.0", "7.2.0", OldSecureChannel},
	} {
		got, err := SecureChannelOf(level(t, test.level), level(t, test.appliance), level(t, test.client))
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("HSM %s, appliance %s, client %s: %q, %v", test.level, test.appliance, test.client, got, err)
		}
	}
}

func TestCanBackUp(t *testing.T) {
	for _, test := range []struct {
		level               string
		kind                BackupKind
		device, client, rbs string
		can                 bool
	}{
		{"7.7.0", BackupG5, "6.28.0", "10.3.0", "", true},
		{"7.7.0", BackupG5, "6.27.0", "10.3.0", "", false},
		{"7.7.0", BackupHSM7, "7.7.1", "10.3.0", "10.3.0", true},
		{"7.7.0", BackupHSM7, "7.7.0", "10.3.0", "", false},
		{"7.8.0", BackupHSM7, "7.7.1", "10.2.0", "", false},
		{"7.8.0", BackupHSM7, "7.7.1", "10.3.0", "10.2.0", false},
		{"7.4.2", BackupG5, "6.10.9", "7.2.0", "", true},
	} {
		var rbs Level
		if test.rbs != "" {
			rbs = level(t, test.rbs)
		}
		if err := level(t, test.level).CanBackUp(test.kind, level(t, test.device), level(t, test.client), rbs); (err == nil) != test.can {
			t.Errorf("%v: %v", test, err)
		}
	}
}

func TestCanRestore(t *testing.T) {
	for _, test := range []struct {
		to, from string
		can      bool
	}{{"7.7.0", "7.4.2", true}, {"7.4.2", "7.7.0", false}, {"7.4.2", "6.10.9", true}, {"7.7.0", "7.8.0", true}} {
		if err := level(t, test.to).CanRestore(level(t, test.from)); (err == nil) != test.can {
			t.Errorf("%s to %s: %v", test.from, test.to, err)
		}
	}
}
