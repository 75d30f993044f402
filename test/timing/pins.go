package main

import (
	"strings"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/seal"
)

// pins are PINs that the server does not remember, through the whole password hash: Argon2id
// at the cost for tests, beside which a difference shows best, and PBKDF2 at its own, the
// least that is taken.
func pins() ([]timing, error) {
	var all []timing
	for _, c := range []struct {
		name  string
		share int
		cost  seal.Cost
	}{{"Argon2id", 2, seal.TestCost}, {"PBKDF2", 200, seal.FIPSCost}} {
		const right = "correct horse"
		s, kek := seal.NewStretcher(true), seal.NewPartKEK()
		w, err := s.Wrap(seal.Credential{Partition: 1, Role: cryptoki.CKU_USER, Epoch: 1}, kek, []seal.Factor{seal.Password(c.cost)}, secret.Copy([]byte(right)))
		if err != nil {
			return nil, err
		}
		open := func(pin string) func() {
			p := secret.Copy([]byte(pin))
			return func() {
				if kek, err := s.Open(w, 1, p); err == nil {
					kek.Wipe()
				}
			}
		}
		all = append(all, timing{"PIN, " + c.name, c.share, []class{
			{"first character wrong", open("x" + right[1:])},
			{"last character wrong", open(right[:len(right)-1] + "x")},
			{"all wrong", open(strings.Repeat("x", len(right)))},
			{"too short by one", open(right[1:])},
		}})
	}
	return all, nil
}
