package mech

import (
	"bytes"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// A message in parts is what it is as a whole, whatever the lengths of IV and tag.
func TestMessageParts(t *testing.T) {
	entry, _ := Lookup(cryptoki.CKM_AES_GCM)
	key := aesSecret().secret(t, cryptoki.CKK_AES).private
	data := bytes.Repeat([]byte("a message "), 100)
	for _, c := range []struct {
		iv, tagBits, n int
		cuts           []int
	}{
		{12, 128, 1000, []int{0, 1, 16, 500}}, {12, 96, 17, []int{16}}, {1, 128, 100, nil}, {256, 104, 64, []int{64}}, {12, 128, 0, []int{0}},
	} {
		m := Message{IV: bytes.Repeat([]byte{7}, c.iv), Generator: cryptoki.CKG_NO_GENERATE, TagBits: uint64(c.tagBits), AAD: []byte("aad"), Data: data[:c.n]}
		whole, err := entry.Message(Encrypt, &m, key)
		if err != nil {
			t.Fatal(err)
		}
		inParts := func(f Function, data, tag []byte) (Sealed, error) {
			p, iv, err := entry.MessageBegin(f, &Message{IV: m.IV, Generator: m.Generator, TagBits: m.TagBits, AAD: m.AAD}, key)
			if err != nil || !bytes.Equal(iv, m.IV) {
				t.Fatalf("the IV %x, %v", iv, err)
			}
			defer p.Close()
			at := 0
			for _, cut := range append(c.cuts, c.n) {
				if out, err := p.Update(data[at:cut]); len(out) > 0 || err != nil {
					t.Fatalf("a part gave %x, %v", out, err)
				}
				at = cut
			}
			sealed, err := p.End(tag)
			if err != nil {
				return sealed, err
			}
			return Sealed{Output: bytes.Clone(sealed.Output), Tag: bytes.Clone(sealed.Tag), Approved: sealed.Approved}, nil
		}
		sealed, err := inParts(Encrypt, m.Data, nil)
		if err != nil || sealed.Approved || !bytes.Equal(sealed.Output, whole.Output) || !bytes.Equal(sealed.Tag, whole.Tag) {
			t.Errorf("%+v: in parts %x, %x, %v", c, sealed.Output, sealed.Tag, err)
		}
		opened, err := inParts(Decrypt, whole.Output, whole.Tag)
		if err != nil || !opened.Approved || !bytes.Equal(opened.Output, m.Data) {
			t.Errorf("%+v: opened %q, %v", c, opened.Output, err)
		}
		opened, err = inParts(Decrypt, whole.Output, flipped(whole.Tag, 0))
		wantCode(t, err, cryptoki.CKR_AEAD_DECRYPT_FAILED)
		if len(opened.Output) > 0 {
			t.Error("plaintext with a wrong tag")
		}
		_, err = inParts(Decrypt, whole.Output, whole.Tag[1:])
		wantCode(t, err, cryptoki.CKR_MECHANISM_PARAM_INVALID)
	}
}

// The IV of a message in parts is told when it begins.
func TestMessagePartsIV(t *testing.T) {
	entry, _ := Lookup(cryptoki.CKM_AES_GCM)
	key := aesSecret().secret(t, cryptoki.CKK_AES).private
	m := Message{IV: make([]byte, 16), FixedBits: 32, Generator: cryptoki.CKG_GENERATE, TagBits: 128}
	p, iv, err := entry.MessageBegin(Encrypt, &m, key)
	if err != nil || !bytes.Equal(iv[:4], make([]byte, 4)) || bytes.Equal(iv, m.IV) || len(iv) != 16 {
		t.Fatalf("the IV %x, %v", iv, err)
	}
	p.Update([]byte("data"))
	sealed, err := p.End(nil)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := entry.Message(Decrypt, &Message{IV: iv, TagBits: 128, Data: sealed.Output, Tag: sealed.Tag}, key)
	if err != nil || string(opened.Output) != "data" {
		t.Errorf("%q, %v", opened.Output, err)
	}
	for _, bad := range []Message{{TagBits: 128}, {IV: m.IV, TagBits: 32}, {IV: m.IV, TagBits: 128, Generator: cryptoki.CKG_GENERATE_COUNTER}, {IV: m.IV, TagBits: 128, Generator: cryptoki.CKG_GENERATE, FixedBits: 33}} {
		_, _, err := entry.MessageBegin(Encrypt, &bad, key)
		wantCode(t, err, cryptoki.CKR_MECHANISM_PARAM_INVALID)
	}
	if _, err := p.Update(make([]byte, maxParts)); cryptoki.Code(err) != cryptoki.CKR_DATA_LEN_RANGE {
		t.Errorf("too much: %v", err)
	}
}
