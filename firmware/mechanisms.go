package firmware

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"tidelock.dev/tidelock/cryptoki"
)

// A Mechanism is what a span of levels allows of a mechanism. Which mechanisms this
// build has is the business of package mech; an HSM offers what both have.
type Mechanism struct {
	Type cryptoki.MechanismType
	Span
	Functions cryptoki.Flags     // CKF_SIGN, CKF_GENERATE_KEY_PAIR and the like
	KeyTypes  []cryptoki.KeyType // empty for a digest
	// Sizes of keys, in bits: outside FIPS configuration Min to Max; in it FIPSMin for
	// what protects, and LegacyMin for what only undoes: verify, decrypt, unwrap.
	Min, FIPSMin, LegacyMin, Max uint64
	Approved                     bool           // offered in FIPS configuration
	Barred                       cryptoki.Flags // functions that FIPS configuration takes away
	Verified                     bool           // documented, not deduced
}

// undoes are the functions of the past: what they take was protected before.
const undoes = cryptoki.CKF_VERIFY | cryptoki.CKF_VERIFY_RECOVER | cryptoki.CKF_DECRYPT | cryptoki.CKF_UNWRAP

// Allowed are the functions in or out of FIPS configuration; none of a mechanism
// that is not approved.
func (m Mechanism) Allowed(fips bool) cryptoki.Flags {
	switch {
	case !fips:
		return m.Functions
	case !m.Approved:
		return 0
	}
	return m.Functions &^ m.Barred
}

// Permit tells whether one function may use a key of a size in bits. Errors:
// CKR_MECHANISM_INVALID for the function and CKR_KEY_SIZE_RANGE for the size.
func (m Mechanism) Permit(function cryptoki.Flags, bits uint64, fips bool) error {
	if m.Allowed(fips)&function == 0 {
		if fips && m.Functions&function != 0 {
			return cryptoki.Errorf(cryptoki.CKR_MECHANISM_INVALID, "%v is not offered for this use in FIPS configuration", m.Type)
		}
		return cryptoki.Errorf(cryptoki.CKR_MECHANISM_INVALID, "%v is not for this use", m.Type)
	}
	least := m.Min
	if fips {
		least = m.FIPSMin
		if function&undoes != 0 {
			least = m.LegacyMin
		}
	}
	if bits < least || bits > m.Max {
		return cryptoki.Errorf(cryptoki.CKR_KEY_SIZE_RANGE, "%v takes keys of %d to %d bits for this use, not %d", m.Type, least, m.Max, bits)
	}
	return nil
}

//go:embed mechanisms.csv
var mechanismText []byte

var mechanismTable = sync.OnceValue(func() []Mechanism {
	columns := []string{"mechanism", "from", "to", "functions", "keys", "min", "fips", "legacy", "max", "approved", "barred", "verified"}
	return mustTable("mechanisms.csv", mechanismText, columns, parseMechanism)
})

var functionNames = map[string]cryptoki.Flags{
	"encrypt": cryptoki.CKF_ENCRYPT, "decrypt": cryptoki.CKF_DECRYPT, "digest": cryptoki.CKF_DIGEST,
	"sign": cryptoki.CKF_SIGN, "verify": cryptoki.CKF_VERIFY,
	"sign-recover": cryptoki.CKF_SIGN_RECOVER, "verify-recover": cryptoki.CKF_VERIFY_RECOVER,
	"generate": cryptoki.CKF_GENERATE, "pair": cryptoki.CKF_GENERATE_KEY_PAIR,
	"wrap": cryptoki.CKF_WRAP, "unwrap": cryptoki.CKF_UNWRAP, "derive": cryptoki.CKF_DERIVE,
}

func parseFunctions(s string) (cryptoki.Flags, error) {
	var flags cryptoki.Flags
	for name := range strings.FieldsSeq(s) {
		flag, known := functionNames[name]
		if !known {
			return 0, fmt.Errorf("%q is no function", name)
		}
		flags |= flag
	}
	return flags, nil
}

func parseMechanism(f []string) (m Mechanism, err error) {
	if m.Type, err = cryptoki.ParseMechanismType(f[0]); err != nil {
		return m, err
	}
	if m.Span, err = ParseSpan(f[1], f[2]); err != nil {
		return m, err
	}
	if m.Functions, err = parseFunctions(f[3]); err != nil {
		return m, err
	}
	for name := range strings.FieldsSeq(f[4]) {
		keyType, err := cryptoki.ParseKeyType(name)
		if err != nil {
			return m, err
		}
		m.KeyTypes = append(m.KeyTypes, keyType)
	}
	for i, size := range []*uint64{&m.Min, &m.FIPSMin, &m.LegacyMin, &m.Max} {
		if *size, err = strconv.ParseUint(f[5+i], 10, 32); err != nil {
			return m, err
		}
	}
	if m.Approved, err = parseMark(f[9]); err != nil {
		return m, err
	}
	if m.Barred, err = parseFunctions(f[10]); err != nil {
		return m, err
	}
	m.Verified, err = parseMark(f[11])
	return m, err
}

// Mechanisms is the level's table, in the order of the types.
func (l Level) Mechanisms() []Mechanism {
	var all []Mechanism
	for _, m := range mechanismTable() {
		if m.Holds(l) {
			all = append(all, m)
		}
	}
	return all
}

// Mechanism finds one entry of the level's table.
func (l Level) Mechanism(t cryptoki.MechanismType) (Mechanism, bool) {
	for _, m := range mechanismTable() {
		if m.Type == t && m.Holds(l) {
			return m, true
		}
	}
	return Mechanism{}, false
}
