package cryptoki

import (
	"bytes"
	"testing"
)

func TestFindTakesTheFirst(t *testing.T) {
	template := Template{{CKA_ID, []byte{1}}, {CKA_LABEL, []byte("a")}, {CKA_ID, []byte{2}}}
	if v, ok := template.Find(CKA_ID); !ok || !bytes.Equal(v, []byte{1}) {
		t.Errorf("CKA_ID: %x, %t", v, ok)
	}
	if v, ok := template.Find(CKA_VALUE); ok {
		t.Errorf("CKA_VALUE: %x", v)
	}
}

func TestValues(t *testing.T) {
	if got := ULong(CKK_EC_EDWARDS); !bytes.Equal(got, []byte{0x40, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("ULong: %x", got)
	}
	if v, ok := ParseULong(ULong(UnavailableInformation)); !ok || v != ^uint64(0) {
		t.Errorf("ParseULong: %x, %t", v, ok)
	}
	for _, b := range [][]byte{nil, make([]byte, 4), make([]byte, 9)} {
		if _, ok := ParseULong(b); ok {
			t.Errorf("ParseULong takes %d bytes", len(b))
		}
	}
	for _, want := range []bool{false, true} {
		if got, ok := ParseBool(Bool(want)); !ok || got != want {
			t.Errorf("ParseBool(Bool(%t)) = %t, %t", want, got, ok)
		}
	}
	for _, b := range [][]byte{nil, {2}, {0, 0}} {
		if _, ok := ParseBool(b); ok {
			t.Errorf("ParseBool takes %x", b)
		}
	}
}
