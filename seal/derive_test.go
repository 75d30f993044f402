package seal

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// The values were computed with another implementation of HMAC, from the
// definition in RFC 5869. They also keep the format at rest from changing unnoticed.
func TestDerive(t *testing.T) {
	d := DerivationKey{counting()}
	purpose := NewContext("records").Uint64(7)
	for kind, want := range map[string]string{
		"seal":       "8e78064bf93efda1f0f592f05d42849afe36e3a0b5c4fc3dcda90618e746abbb",
		"mac":        "ca4958266ac6ae59c17af7245358b85a72bca81076784c00d1e690ea21bb5d7c",
		"commitment": "439d76bcb2f96776e2c9793a20277b76ff44fecace28291c6b55ac92016ec8b5",
	} {
		if got := hex.EncodeToString(d.derive(kind, purpose).Expose()); got != want {
			t.Errorf("%s: %s, not %s", kind, got, want)
		}
	}
	if got := d.MAC(purpose).raw.Expose(); !bytes.Equal(got, d.derive("mac", purpose).Expose()) {
		t.Error("MAC derives something else")
	}
	record := d.Key(purpose).Seal(nil, []byte("x"), purpose)
	if _, err := newKey(d.derive("seal", purpose)).Open(nil, record, purpose); err != nil {
		t.Error("Key derives something else")
	}
}

func TestMAC(t *testing.T) {
	m := &MAC{counting()}
	c := NewContext("records").Uint64(7)
	sum := m.Sum(c)
	if got, want := hex.EncodeToString(sum[:]), "4187ce64e968021908d662636c88ccd1c3526df1b3d385eb9484809d8f85f16a"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	if !m.Verify(c, sum[:]) {
		t.Error("the MAC does not verify")
	}
	if m.Verify(c.String(""), sum[:]) || m.Verify(c, sum[:16]) || m.Verify(c, nil) {
		t.Error("another context, a short MAC or none verifies")
	}
	for bit := range 8 * len(sum) {
		changed := sum
		changed[bit/8] ^= 1 << (bit % 8)
		if m.Verify(c, changed[:]) {
			t.Errorf("the MAC verifies with bit %d flipped", bit)
		}
	}
}

// All purposes of all keys differ, though the keys are the same here.
func TestPurposesDiffer(t *testing.T) {
	d := DerivationKey{counting()}
	h, pub, kek := &HSMKey{d}, &PartPub{d}, &PartKEK{d}
	c := NewContext("c")
	keys := map[string]*Key{
		"HSM records": h.Records(), "ticket": h.Ticket(counting()), "wrap": h.Key(NewContext("wrap")),
		"objects": pub.Objects(), "values": kek.Values(), "one subject": d.Key(NewContext("objects").Uint64(1)),
	}
	for a, ka := range keys {
		record := ka.Seal(nil, nil, c)
		for b, kb := range keys {
			if _, err := kb.Open(nil, record, c); (err == nil) != (a == b) {
				t.Errorf("%s opens with the key of %s: %v", a, b, err == nil)
			}
		}
	}
	sums := map[[MACSize]byte]string{}
	for name, m := range map[string]*MAC{"counters": h.Counters(), "audit": h.Audit(), "index": pub.Index()} {
		if other, ok := sums[m.Sum(c)]; ok {
			t.Errorf("%s and %s have one key", name, other)
		}
		sums[m.Sum(c)] = name
	}
}

func TestWipedKeys(t *testing.T) {
	d := newDerivationKey()
	m := d.MAC(NewContext("test"))
	underD, underM := d.raw.Expose(), m.raw.Expose()
	d.Wipe()
	m.Wipe()
	if !bytes.Equal(underD, make([]byte, keySize)) || !bytes.Equal(underM, make([]byte, keySize)) {
		t.Error("Wipe left a key")
	}
	for name, fn := range map[string]func(){
		"Key": func() { d.Key(NewContext("test")) },
		"MAC": func() { d.MAC(NewContext("test")) },
		"Sum": func() { m.Sum(NewContext("test")) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s works with a wiped key", name)
				}
			}()
			fn()
		}()
	}
}
