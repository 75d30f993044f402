package mech

import (
	"bytes"
	"crypto/rand"
	mathrand "math/rand/v2"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// message is data of the length that a use wants.
func (u use) message() []byte {
	n := u.length
	if n == 0 {
		n = 77
	}
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func TestSignVerify(t *testing.T) {
	for _, u := range signatureUses(t) {
		t.Run(u.name, func(t *testing.T) {
			data := u.message()
			signing := start(t, Sign, u.mechanism, u.keys.private)
			sig, err := signing.Once(data, nil)
			if err != nil {
				t.Fatal(err)
			}
			if want := (Rule{RuleFixed, uint64(len(sig))}); signing.Rule() != want {
				t.Errorf("rule %v of a signature of %d bytes", signing.Rule(), len(sig))
			}
			again, err := signing.Once(data, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range []Key{u.keys.public, u.keys.private} {
				op := start(t, Verify, u.mechanism, key)
				if op.Rule() != (Rule{RuleFixed, 0}) {
					t.Errorf("rule %v of a verification", op.Rule())
				}
				for _, s := range [][]byte{sig, again, sig} {
					if out, err := op.Once(data, s); err != nil || out != nil {
						t.Errorf("verify: %x, %v", out, err)
					}
				}
			}
			op := start(t, Verify, u.mechanism, u.keys.public)
			for range 8 {
				_, err = op.Once(data, flipped(sig, mathrand.IntN(8*len(sig))))
				wantCode(t, err, cryptoki.CKR_SIGNATURE_INVALID)
				_, err = op.Once(flipped(data, mathrand.IntN(8*len(data))), sig)
				wantCode(t, err, cryptoki.CKR_SIGNATURE_INVALID)
			}
			_, err = op.Once(data, make([]byte, len(sig)))
			wantCode(t, err, cryptoki.CKR_SIGNATURE_INVALID)
			_, err = op.Once(data, bytes.Repeat([]byte{0xff}, len(sig)))
			wantCode(t, err, cryptoki.CKR_SIGNATURE_INVALID)
			for _, s := range [][]byte{nil, sig[:len(sig)-1], append(bytes.Clone(sig), 0)} {
				_, err = op.Once(data, s)
				wantCode(t, err, cryptoki.CKR_SIGNATURE_LEN_RANGE)
			}
		})
	}
}
