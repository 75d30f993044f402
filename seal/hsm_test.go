package seal

import (
	"bytes"
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
)

func mustRoot(t testing.TB, factors []Factor, answers ...secret.Bytes) *RootKEK {
	t.Helper()
	r, err := NewStretcher(true).RootKEK(factors, answers...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestHSMKeyRoundTrip(t *testing.T) {
	for _, c := range []struct {
		name          string
		factors       []Factor
		answer, wrong secret.Bytes
	}{
		{"key file", []Factor{KeyFile()}, counting(), secret.New(KeyFileSize)},
		{"passphrase", []Factor{Password(TestCost)}, password("correct horse"), password("correct hors")},
	} {
		h := NewHSMKey()
		record := mustRoot(t, c.factors, c.answer).WrapHSMKey(h)
		factors, err := RootFactors(record)
		if err != nil || !slices.Equal(factors, c.factors) {
			t.Fatalf("%s: the record's factors are %v, %v", c.name, factors, err)
		}
		got, err := mustRoot(t, factors, c.answer).OpenHSMKey(record)
		if err != nil || !got.raw.Equal(h.raw) {
			t.Errorf("%s: opens to another key, %v", c.name, err)
		}
		if _, err := mustRoot(t, factors, c.wrong).OpenHSMKey(record); err != ErrWrongSecret {
			t.Errorf("%s: a wrong answer gives %v", c.name, err)
		}
	}
}

// No bit of an HSMKey's record can be changed.
func TestHSMKeyBits(t *testing.T) {
	root := mustRoot(t, []Factor{Password(TestCost)}, password("correct horse"))
	record := root.WrapHSMKey(NewHSMKey())
	for bit := range 8 * len(record) {
		changed := bytes.Clone(record)
		changed[bit/8] ^= 1 << (bit % 8)
		if _, err := root.OpenHSMKey(changed); err == nil {
			t.Errorf("opens with bit %d flipped", bit)
		}
	}
	for n := range record {
		if _, err := root.OpenHSMKey(record[:n]); cryptoki.Code(err) != cryptoki.CKR_DEVICE_ERROR {
			t.Errorf("a prefix of %d bytes gives %v", n, err)
		}
	}
}

func TestPartPub(t *testing.T) {
	h, pub := NewHSMKey(), NewPartPub()
	record := h.WrapPartPub(1, pub)
	if got, err := h.OpenPartPub(1, record); err != nil || !got.raw.Equal(pub.raw) {
		t.Errorf("opens to another key, %v", err)
	}
	if _, err := h.OpenPartPub(2, record); err != ErrSealed {
		t.Errorf("another partition gives %v", err)
	}
	if _, err := NewHSMKey().OpenPartPub(1, record); err != ErrSealed {
		t.Errorf("another HSM gives %v", err)
	}
	// A record of another kind under the same key is not a key.
	c := partPubContext(1)
	if _, err := h.OpenPartPub(1, h.Key(NewContext("wrap")).Seal(nil, make([]byte, 16), c)); cryptoki.Code(err) != cryptoki.CKR_DEVICE_ERROR {
		t.Errorf("a key of 16 bytes gives %v", err)
	}
}

func TestPartKEK(t *testing.T) {
	kek := NewPartKEK()
	ticket := secret.Copy([]byte("a client's random ticket"))
	h := NewHSMKey()
	c := NewContext("test")
	record := kek.Seal(h.Ticket(ticket), c)
	if got, err := OpenPartKEK(h.Ticket(ticket), record, c); err != nil || !got.raw.Equal(kek.raw) {
		t.Errorf("opens to another key, %v", err)
	}
	if ticket.Len() == 0 {
		t.Error("the caller's ticket was wiped")
	}
	if _, err := OpenPartKEK(h.Ticket(counting()), record, c); err != ErrSealed {
		t.Errorf("another ticket gives %v", err)
	}
}

func FuzzRootFactors(f *testing.F) {
	f.Add(mustRoot(f, []Factor{KeyFile()}, counting()).WrapHSMKey(NewHSMKey()))
	f.Add(mustRoot(f, []Factor{Password(TestCost)}, password("x")).WrapHSMKey(NewHSMKey()))
	f.Add([]byte{hsmRecordVersion, 8})
	f.Fuzz(func(t *testing.T, record []byte) {
		factors, sealed, err := parseHSMRecord(record)
		if err != nil {
			return
		}
		again := append(appendFactors([]byte{hsmRecordVersion}, factors), sealed...)
		if !bytes.Equal(again, record) {
			t.Errorf("%x is encoded as %x", record, again)
		}
	})
}
