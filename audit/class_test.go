package audit

import (
	"math/bits"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func TestParseClasses(t *testing.T) {
	for list, want := range map[string]Classes{
		"none":                   AlwaysRecorded,
		"all":                    AllClasses,
		"failure,access":         ClassFailure | ClassAccess | AlwaysRecorded,
		"usage,symmetric":        ClassUsage | ClassSymmetric | AlwaysRecorded,
		DefaultClasses.String():  DefaultClasses,
		AllClasses.String():      AllClasses,
		"success,success,manage": ClassSuccess | AlwaysRecorded,
	} {
		if got, err := ParseClasses(list); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", list, got, err, want)
		}
	}
	for _, list := range []string{"", "login", "access,", "all,access", "Access", "access, usage", "class-3", "class-40"} {
		if c, err := ParseClasses(list); err == nil {
			t.Errorf("%q: %v", list, c)
		}
	}
	if n := bits.OnesCount32(uint32(AllClasses)); n != len(classNames) {
		t.Errorf("%d classes with %d names", n, len(classNames))
	}
}

// A class records nothing without a result that is wanted, and two classes always.
func TestRecords(t *testing.T) {
	const failed = cryptoki.CKR_PIN_INCORRECT
	for _, test := range []struct {
		classes string
		event   Event
		result  cryptoki.RV
		want    bool
	}{
		{"none", EventLogin, failed, false},
		{"access", EventLogin, cryptoki.CKR_OK, false},
		{"access", EventLogin, failed, false},
		{"access,failure", EventLogin, failed, true},
		{"access,failure", EventLogin, cryptoki.CKR_OK, false},
		{"access,success", EventLogin, cryptoki.CKR_OK, true},
		{"access,success", EventLogin, failed, false},
		{"access,success", EventKeyGenerate, cryptoki.CKR_OK, false},
		{"keymanage,success", EventKeyGenerate, cryptoki.CKR_OK, true},
		{"keymanage,failure", EventWrap, cryptoki.CKR_KEY_UNEXTRACTABLE, true},
		{"success", EventExternal, cryptoki.CKR_OK, false},
		{"external,success", EventExternal, cryptoki.CKR_OK, true},
		{"none", EventRoleLock, failed, true},
		{"none", EventHSMPolicy, cryptoki.CKR_OK, true},
		{"none", EventAuthorize, failed, true},
		{"none", EventLogConfig, cryptoki.CKR_OK, true},
		{"none", EventLogClear, cryptoki.CKR_OK, true},
		{"none", Event(9999), cryptoki.CKR_OK, true},
	} {
		c, err := ParseClasses(test.classes)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.records(test.event, test.result); got != test.want {
			t.Errorf("%v with %v, %v: %v", test.event, test.classes, test.result, got)
		}
	}
}

func TestUse(t *testing.T) {
	const failed = cryptoki.CKR_SIGNATURE_INVALID
	for _, test := range []struct {
		classes      string
		key          cryptoki.ObjectClass
		result       cryptoki.RV
		every, first bool
	}{
		{"usage", cryptoki.CKO_PRIVATE_KEY, cryptoki.CKR_OK, false, false},
		{"usage,success", cryptoki.CKO_PRIVATE_KEY, cryptoki.CKR_OK, true, false},
		{"usage,success", cryptoki.CKO_PUBLIC_KEY, failed, false, false},
		{"usage,failure", cryptoki.CKO_PUBLIC_KEY, failed, true, false},
		{"usage,success", cryptoki.CKO_SECRET_KEY, cryptoki.CKR_OK, false, false},
		{"first,success", cryptoki.CKO_PRIVATE_KEY, cryptoki.CKR_OK, false, true},
		{"first,success", cryptoki.CKO_SECRET_KEY, cryptoki.CKR_OK, false, false},
		{"symmetric,success", cryptoki.CKO_SECRET_KEY, cryptoki.CKR_OK, true, false},
		{"symfirst,success", cryptoki.CKO_SECRET_KEY, cryptoki.CKR_OK, false, true},
		{"symfirst,success", cryptoki.CKO_PRIVATE_KEY, cryptoki.CKR_OK, false, false},
	} {
		c, err := ParseClasses(test.classes)
		if err != nil {
			t.Fatal(err)
		}
		if every, first := c.Use(test.key, test.result); every != test.every || first != test.first {
			t.Errorf("%s, %v, %v: %v, %v", test.classes, test.key, test.result, every, first)
		}
	}
	if DefaultClasses.Uses() || AlwaysRecorded.Uses() || !ClassSymFirst.Uses() {
		t.Error("whether uses are recorded at all")
	}
}
