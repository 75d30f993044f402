package firmware

import (
	"fmt"
	"strings"

	"tidelock.dev/tidelock/cryptoki"
)

// A Restriction is a mechanism of which one level allows less than another.
type Restriction struct {
	Before Mechanism
	After  Mechanism // zero where the mechanism goes
}

// Restrictions are the mechanisms of which an update takes something, in the order of
// their types.
func Restrictions(from, to Level) []Restriction {
	var all []Restriction
	for _, before := range from.Mechanisms() {
		after, _ := to.Mechanism(before.Type)
		if r := (Restriction{before, after}); len(r.Losses()) > 0 {
			all = append(all, r)
		}
	}
	return all
}

// Losses say, for people, what is lost: a phrase each.
func (r Restriction) Losses() []string {
	if r.After.Functions == 0 {
		return []string{"is gone"}
	}
	var losses []string
	for _, fips := range []bool{false, true} {
		where := ""
		if fips {
			where = " in FIPS configuration"
		}
		if lost := r.Before.Allowed(fips) &^ r.After.Allowed(fips); lost != 0 {
			losses = append(losses, "no "+functionList(lost)+where)
		}
	}
	for _, bound := range []struct {
		before, after uint64
		what          string
	}{
		{r.Before.Min, r.After.Min, "keys from %d bits on"},
		{r.Before.FIPSMin, r.After.FIPSMin, "keys from %d bits on in FIPS configuration"},
		{r.Before.LegacyMin, r.After.LegacyMin, "keys from %d bits on to verify, decrypt and unwrap in FIPS configuration"},
	} {
		if bound.after > bound.before {
			losses = append(losses, fmt.Sprintf(bound.what, bound.after))
		}
	}
	if r.After.Max < r.Before.Max {
		losses = append(losses, fmt.Sprintf("keys of up to %d bits", r.After.Max))
	}
	return losses
}

// functionList are the names of functions.
func functionList(functions cryptoki.Flags) string {
	var names []string
	for _, f := range []struct {
		flag cryptoki.Flags
		name string
	}{
		{cryptoki.CKF_ENCRYPT, "encrypt"}, {cryptoki.CKF_DECRYPT, "decrypt"}, {cryptoki.CKF_DIGEST, "digest"},
		{cryptoki.CKF_SIGN, "sign"}, {cryptoki.CKF_VERIFY, "verify"}, {cryptoki.CKF_SIGN_RECOVER, "sign with recovery"},
		{cryptoki.CKF_VERIFY_RECOVER, "verify with recovery"}, {cryptoki.CKF_GENERATE, "generate"},
		{cryptoki.CKF_GENERATE_KEY_PAIR, "generate"}, {cryptoki.CKF_WRAP, "wrap"}, {cryptoki.CKF_UNWRAP, "unwrap"},
		{cryptoki.CKF_DERIVE, "derive"},
	} {
		if functions&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ", ")
}
