package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
)

var officer = Credential{Partition: 1234567890123, Role: cryptoki.CKU_USER, Epoch: 3}

func mustWrap(t testing.TB, s *Stretcher, p *PartKEK, factors []Factor, answers ...secret.Bytes) *Wrap {
	t.Helper()
	w, err := s.Wrap(officer, p, factors, answers...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestCombine(t *testing.T) {
	factors := []Factor{KeyFile(), {FactorPassword, salted(TestCost)}}
	d, err := NewStretcher(true).combine(factors, []secret.Bytes{counting(), password("correct horse")})
	// Computed with other implementations of HMAC and Argon2.
	if got, want := hex.EncodeToString(d.raw.Expose()), "5b2578616847750bc1fa105afa9b8694439f4d4ac14c8bc343ad212901f98134"; err != nil || got != want {
		t.Errorf("%s, %v; not %s", got, err, want)
	}
}

func TestCombineRefuses(t *testing.T) {
	s := NewStretcher(true)
	for _, c := range []struct {
		name    string
		factors []Factor
		answers []secret.Bytes
	}{
		{"no factors", nil, nil},
		{"an answer missing", []Factor{KeyFile(), KeyFile()}, []secret.Bytes{counting()}},
		{"an answer too many", []Factor{KeyFile()}, []secret.Bytes{counting(), counting()}},
		{"a short key file", []Factor{KeyFile()}, []secret.Bytes{secret.New(31)}},
		{"no key file", []Factor{KeyFile()}, []secret.Bytes{{}}},
		{"an unknown factor", []Factor{{Kind: 77}}, []secret.Bytes{counting()}},
		{"too many factors", slices.Repeat([]Factor{KeyFile()}, 9), slices.Repeat([]secret.Bytes{counting()}, 9)},
	} {
		if _, err := s.combine(c.factors, c.answers); err == nil {
			t.Errorf("%s: no error", c.name)
		}
	}
}

func TestWrapRoundTrip(t *testing.T) {
	s := NewStretcher(true)
	kek := NewPartKEK()
	for _, c := range []struct {
		name    string
		factors []Factor
		answers []secret.Bytes
	}{
		{"PIN", []Factor{Password(TestCost)}, []secret.Bytes{password("1234")}},
		{"FIPS PIN", []Factor{Password(FIPSCost)}, []secret.Bytes{password("1234")}},
		{"PIN and challenge", []Factor{Password(TestCost), Password(TestCost)}, []secret.Bytes{password("1234"), password("other")}},
		{"key file and PIN", []Factor{KeyFile(), Password(TestCost)}, []secret.Bytes{counting(), password("1234")}},
	} {
		w, err := ParseWrap(mustWrap(t, s, kek, c.factors, c.answers...).Encode())
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if w.Role != officer.Role || w.Epoch != officer.Epoch || !slices.Equal(w.Factors, c.factors) {
			t.Errorf("%s: parses as %+v", c.name, w)
		}
		got, err := s.Open(w, officer.Partition, c.answers...)
		if err != nil || !got.raw.Equal(kek.raw) {
			t.Errorf("%s: opens to another key, %v", c.name, err)
		}
		for i := range c.answers {
			wrong := slices.Clone(c.answers)
			wrong[i] = secret.Copy(wrong[i].Expose())
			wrong[i].Expose()[0] ^= 1
			if _, err := s.Open(w, officer.Partition, wrong...); err != ErrWrongSecret {
				t.Errorf("%s: answer %d wrong gives %v", c.name, i, err)
			}
		}
		if len(c.answers) == 2 {
			if _, err := s.Open(w, officer.Partition, c.answers[1], c.answers[0]); err == nil {
				t.Errorf("%s: opens with the answers exchanged", c.name)
			}
		}
	}
}

func TestWrapRefuses(t *testing.T) {
	s := NewStretcher(true)
	pin := password("1234")
	w := mustWrap(t, s, NewPartKEK(), []Factor{Password(TestCost)}, pin)
	for _, c := range []struct {
		name      string
		partition uint64
		change    func(*Wrap)
	}{
		{"another partition", officer.Partition + 1, func(*Wrap) {}},
		{"another role", officer.Partition, func(w *Wrap) { w.Role = cryptoki.CKU_SO }},
		{"another epoch", officer.Partition, func(w *Wrap) { w.Epoch++ }},
		{"another salt", officer.Partition, func(w *Wrap) { w.Factors[0].KDF.Salt[15] ^= 1 }},
	} {
		other := &Wrap{w.Role, w.Epoch, slices.Clone(w.Factors), w.sealed}
		c.change(other)
		if _, err := s.Open(other, c.partition, pin); err != ErrWrongSecret {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := s.Wrap(officer, NewPartKEK(), []Factor{Password(TestCost)}, secret.Bytes{}); cryptoki.Code(err) != cryptoki.CKR_PIN_LEN_RANGE {
		t.Errorf("an empty PIN gives %v", err)
	}
	if _, err := NewStretcher(false).Wrap(officer, NewPartKEK(), []Factor{Password(TestCost)}, pin); err == nil {
		t.Error("an HSM that is not marked test makes a test credential")
	}
	if _, err := NewStretcher(false).Open(w, officer.Partition, pin); err == nil || errors.Is(err, ErrWrongSecret) {
		t.Errorf("an HSM that is not marked test opens a test credential, or calls it a wrong PIN: %v", err)
	}
}

// No bit of an encoded wrap can be changed: it does not parse, or does not open.
func TestWrapBits(t *testing.T) {
	s := NewStretcher(true)
	pin := password("1234")
	encoded := mustWrap(t, s, NewPartKEK(), []Factor{Password(TestCost)}, pin).Encode()
	for bit := range 8 * len(encoded) {
		changed := bytes.Clone(encoded)
		changed[bit/8] ^= 1 << (bit % 8)
		w, err := ParseWrap(changed)
		if err != nil {
			if cryptoki.Code(err) != cryptoki.CKR_DEVICE_ERROR {
				t.Errorf("bit %d flipped: %v", bit, err)
			}
			continue
		}
		if _, err := s.Open(w, officer.Partition, pin); err != ErrWrongSecret {
			t.Errorf("bit %d flipped: %v", bit, err)
		}
	}
	for n := range encoded {
		if _, err := ParseWrap(encoded[:n]); err == nil {
			t.Errorf("a prefix of %d bytes parses", n)
		}
	}
	if _, err := ParseWrap(append(encoded, 0)); err == nil {
		t.Error("a longer wrap parses")
	}
}

// A record that opens under another PIN's key is still refused: the commitment is
// checked, not only the AEAD.
func TestCommitment(t *testing.T) {
	c := NewContext("test")
	key, under := newDerivationKey(), newDerivationKey()
	sealed := sealCommitted(under, key, c)
	if got, err := openCommitted(under, sealed, c); err != nil || !got.raw.Equal(key.raw) {
		t.Fatalf("opens to another key, %v", err)
	}
	forged := bytes.Clone(sealed)
	copy(forged, newDerivationKey().raw.Expose())
	if _, err := openDerivationKey(under.Key(c), forged[commitmentSize:], c); err != nil {
		t.Fatalf("the forged record should open without the commitment: %v", err)
	}
	if _, err := openCommitted(under, forged, c); err != ErrWrongSecret {
		t.Errorf("another commitment gives %v", err)
	}
}

func TestMaxWrap(t *testing.T) {
	factors := slices.Repeat([]Factor{Password(TestCost)}, maxFactors)
	answers := slices.Repeat([]secret.Bytes{password("1234")}, maxFactors)
	if n := len(mustWrap(t, NewStretcher(true), NewPartKEK(), factors, answers...).Encode()); n != MaxWrap {
		t.Errorf("the longest wrap has %d bytes, not %d", n, MaxWrap)
	}
}

func FuzzParseWrap(f *testing.F) {
	s := NewStretcher(true)
	f.Add(mustWrap(f, s, NewPartKEK(), []Factor{Password(TestCost)}, password("1234")).Encode())
	f.Add(mustWrap(f, s, NewPartKEK(), []Factor{KeyFile(), Password(FIPSCost)}, counting(), password("1234")).Encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := ParseWrap(b)
		if err != nil {
			return
		}
		if again := w.Encode(); !bytes.Equal(again, b) {
			t.Errorf("%x is encoded as %x", b, again)
		}
		for _, factor := range w.Factors {
			if factor.Kind == FactorPassword && factor.KDF.Cost.check() != nil {
				t.Errorf("cost %+v is out of bounds", factor.KDF.Cost)
			}
		}
	})
}
