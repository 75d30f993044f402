package firmware

import (
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func TestCanUpdate(t *testing.T) {
	for _, test := range []struct{ from, to, says string }{
		{"7.0.1", "7.7.0", ""}, {"7.4.2", "7.8.0", ""}, {"7.7.0", "7.7.1", ""}, {"5.4.0", "6.10.9", ""}, {"7.0.1", "7.0.2", ""},
		{"6.10.9", "7.7.0", "6.10.9 takes no 7.x firmware: migrate"},
		{"6.10.9", "7.0.1", "migrate"},
		{"5.4.0", "7.7.0", "update it to 6.10.9, then migrate"},
		{"7.7.0", "7.7.0", "already"},
		{"7.8.0", "7.7.0", "rollback"},
		{"7.8.0", "7.5.0", "no firmware level 7.5.0"},
	} {
		err := CanUpdate(level(t, test.from), level(t, test.to))
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s to %s: %v", test.from, test.to, err)
		}
	}
	for _, from := range Levels() {
		for _, to := range Levels() {
			if from.AtLeast(to) && CanUpdate(from, to) == nil {
				t.Errorf("%v updates to %v", from, to)
			}
			if !from.AtLeast(generation7) && to.AtLeast(versions) && CanUpdate(from, to) == nil {
				t.Errorf("%v updates to %v", from, to)
			}
		}
	}
}

func TestConverts(t *testing.T) {
	for _, test := range []struct {
		from, to string
		want     bool
	}{{"7.4.2", "7.7.0", true}, {"7.0.1", "7.8.0", true}, {"7.7.0", "7.8.0", false}, {"7.0.1", "7.4.2", false}} {
		if Converts(level(t, test.from), level(t, test.to)) != test.want {
			t.Errorf("%s to %s", test.from, test.to)
		}
	}
}

func TestRollbackTarget(t *testing.T) {
	u := Update{Current: Level{7, 8, 0}, Previous: Level{7, 4, 2}}
	if got, err := u.RollbackTarget(); got != u.Previous || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, u := range []Update{{Current: u.Current}, {Current: u.Current, Previous: u.Previous, Modules: true}} {
		if got, err := u.RollbackTarget(); cryptoki.Code(err) != cryptoki.CKR_OPERATION_NOT_ALLOWED {
			t.Errorf("%v, %v", got, err)
		}
	}
}
