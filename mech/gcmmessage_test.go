package mech

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func TestGCMMessages(t *testing.T) {
	entry, _ := Lookup(cryptoki.CKM_AES_GCM)
	key := aesSecret().secret(t, cryptoki.CKK_AES).private
	given := bytes.Repeat([]byte{0xa5}, 20)
	tests := []struct {
		name      string
		iv        int // bytes
		fixed     uint64
		generator uint64
		tagBits   uint64
		approved  bool
	}{
		{"the usual", 12, 0, cryptoki.CKG_GENERATE, 128, true},
		{"random", 12, 0, cryptoki.CKG_GENERATE_RANDOM, 128, true},
		{"a short tag", 12, 0, cryptoki.CKG_GENERATE, 96, true},
		{"a long IV", 20, 0, cryptoki.CKG_GENERATE, 120, false},
		{"a fixed field", 16, 32, cryptoki.CKG_GENERATE_RANDOM, 128, false},
		{"a fixed field of odd bits", 14, 11, cryptoki.CKG_GENERATE, 104, false},
		{"the caller's IV", 12, 0, cryptoki.CKG_NO_GENERATE, 128, false},
		{"the caller's, of one byte", 1, 7, cryptoki.CKG_NO_GENERATE, 112, false},
	}
	for _, test := range tests {
		for _, n := range []int{0, 1, 1000} {
			t.Run(fmt.Sprintf("%s, %d bytes", test.name, n), func(t *testing.T) {
				m := Message{IV: given[:test.iv], FixedBits: test.fixed, Generator: test.generator, TagBits: test.tagBits,
					AAD: []byte("aad"), Data: bytes.Repeat([]byte{7}, n)}
				first, err := entry.Message(Encrypt, &m, key)
				if err != nil {
					t.Fatal(err)
				}
				if len(first.Output) != n || len(first.Tag) != int(test.tagBits/8) || len(first.IV) != test.iv || first.Approved != test.approved {
					t.Fatalf("%d bytes, tag of %d, IV of %d, approved %v", len(first.Output), len(first.Tag), len(first.IV), first.Approved)
				}
				second, err := entry.Message(Encrypt, &m, key)
				if err != nil {
					t.Fatal(err)
				}
				if same := bytes.Equal(first.IV, second.IV); same != (test.generator == cryptoki.CKG_NO_GENERATE) {
					t.Errorf("IVs %x and %x", first.IV, second.IV)
				}
				keeps := test.fixed
				if test.generator == cryptoki.CKG_NO_GENERATE {
					keeps = uint64(8 * test.iv)
				}
				for bit := range keeps {
					if (first.IV[bit/8]^given[0])<<(bit%8)&0x80 != 0 {
						t.Errorf("bit %d of the IV %x is not the caller's", bit, first.IV)
					}
				}
				// What is sealed is what C_Encrypt makes under that IV.
				plain := once(t, Decrypt, cryptoki.NewGCM(cryptoki.CKM_AES_GCM, cryptoki.GCMParameters{IV: first.IV, AAD: m.AAD, TagBits: test.tagBits}),
					key, slices.Concat(first.Output, first.Tag), nil)
				if !bytes.Equal(plain, m.Data) {
					t.Errorf("decrypted %x", plain)
				}
				back := Message{IV: first.IV, TagBits: test.tagBits, AAD: m.AAD, Data: first.Output, Tag: first.Tag, Generator: 99}
				opened, err := entry.Message(Decrypt, &back, key)
				if err != nil || !bytes.Equal(opened.Output, m.Data) || !opened.Approved {
					t.Fatalf("opened %x, approved %v, %v", opened.Output, opened.Approved, err)
				}
				for _, spoilt := range []*[]byte{&back.Tag, &back.AAD, &back.IV, &back.Data} {
					if len(*spoilt) == 0 {
						continue
					}
					before := *spoilt
					*spoilt = flipped(before, 8*len(before)-1)
					got, err := entry.Message(Decrypt, &back, key)
					wantCode(t, err, cryptoki.CKR_AEAD_DECRYPT_FAILED)
					if got.Output != nil {
						t.Error("an output beside an error")
					}
					*spoilt = before
				}
			})
		}
	}
}

// TestGCMMessageRefuses gives parameters and keys that messages do not take.
func TestGCMMessageRefuses(t *testing.T) {
	entry, _ := Lookup(cryptoki.CKM_AES_GCM)
	key := aesSecret().secret(t, cryptoki.CKK_AES).private
	iv, tag := make([]byte, 12), make([]byte, 16)
	tests := []struct {
		name string
		f    Function
		m    Message
		key  Key
		code cryptoki.RV
	}{
		{"no IV", Encrypt, Message{TagBits: 128}, key, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"an IV too long", Encrypt, Message{IV: make([]byte, gcmMaxIV+1), TagBits: 128}, key, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"a tag of 64 bits", Encrypt, Message{IV: iv, TagBits: 64}, key, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"a tag of 129 bits", Encrypt, Message{IV: iv, TagBits: 129}, key, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"a counter", Encrypt, Message{IV: iv, TagBits: 128, Generator: cryptoki.CKG_GENERATE_COUNTER}, key, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"no such generator", Encrypt, Message{IV: iv, TagBits: 128, Generator: 99}, key, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"95 random bits", Encrypt, Message{IV: iv, TagBits: 128, FixedBits: 1, Generator: cryptoki.CKG_GENERATE}, key, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"more fixed bits than there are", Encrypt, Message{IV: iv, TagBits: 128, FixedBits: 97, Generator: cryptoki.CKG_GENERATE}, key, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"all bits fixed", Encrypt, Message{IV: iv, TagBits: 128, FixedBits: ^uint64(0), Generator: cryptoki.CKG_GENERATE}, key, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"another tag than told", Decrypt, Message{IV: iv, TagBits: 96, Tag: tag}, key, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"no tag", Decrypt, Message{IV: iv, TagBits: 128}, key, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"a function without messages", Sign, Message{IV: iv, TagBits: 128}, key, cryptoki.CKR_MECHANISM_INVALID},
		{"another key", Encrypt, Message{IV: iv, TagBits: 128}, genericKey().secret(t, cryptoki.CKK_GENERIC_SECRET).private, cryptoki.CKR_KEY_TYPE_INCONSISTENT},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := entry.Message(test.f, &test.m, test.key)
			wantCode(t, err, test.code)
			if got.Output != nil || got.Tag != nil {
				t.Error("something beside an error")
			}
		})
	}
}

// some is a budget of so many.
type some int

func (s *some) Take() error {
	if *s--; *s < 0 {
		return cryptoki.CKR_KEY_EXHAUSTED
	}
	return nil
}

// What draws an IV, and nothing else, takes from the key's budget, once all else is checked.
func TestGCMMessageBudget(t *testing.T) {
	entry, _ := Lookup(cryptoki.CKM_AES_GCM)
	key := aesSecret().secret(t, cryptoki.CKK_AES).private
	iv := make([]byte, 12)
	sealed, err := entry.Message(Encrypt, &Message{IV: iv, TagBits: 128, Generator: cryptoki.CKG_GENERATE}, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		f     Function
		m     Message
		takes some
		code  cryptoki.RV
	}{
		{"the usual", Encrypt, Message{IV: iv, TagBits: 128, Generator: cryptoki.CKG_GENERATE}, 1, cryptoki.CKR_OK},
		{"random", Encrypt, Message{IV: iv, TagBits: 128, Generator: cryptoki.CKG_GENERATE_RANDOM}, 1, cryptoki.CKR_OK},
		{"a long IV", Encrypt, Message{IV: make([]byte, 20), FixedBits: 8, TagBits: 96, Generator: cryptoki.CKG_GENERATE}, 1, cryptoki.CKR_OK},
		{"the caller's", Encrypt, Message{IV: iv, TagBits: 128}, 0, cryptoki.CKR_OK},
		{"too many fixed bits", Encrypt, Message{IV: iv, FixedBits: 8, TagBits: 128, Generator: cryptoki.CKG_GENERATE}, 0, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"a counter", Encrypt, Message{IV: iv, TagBits: 128, Generator: cryptoki.CKG_GENERATE_COUNTER}, 0, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"a decryption", Decrypt, Message{IV: sealed.IV, TagBits: 128, Tag: sealed.Tag, Generator: cryptoki.CKG_GENERATE}, 0, cryptoki.CKR_OK},
	} {
		t.Run(test.name, func(t *testing.T) {
			left := some(1)
			test.m.Budget = &left
			_, err := entry.Message(test.f, &test.m, key)
			if (err != nil || test.code != cryptoki.CKR_OK) && cryptoki.Code(err) != test.code {
				t.Errorf("%v, want %v", err, test.code)
			}
			if 1-left != test.takes {
				t.Errorf("took %d, want %d", 1-left, test.takes)
			}
			left = 0
			if got, err := entry.Message(test.f, &test.m, key); test.takes == 1 && (cryptoki.Code(err) != cryptoki.CKR_KEY_EXHAUSTED || got.Output != nil || got.Tag != nil) {
				t.Errorf("with nothing left: %v", err)
			}
		})
	}
}
