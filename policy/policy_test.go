package policy

import (
	"bytes"
	"slices"
	"testing"
)

func TestSet(t *testing.T) {
	var none Set
	s := none.With(20, 3).With(7, 1).With(8, 0)
	if none.Has(20) || !s.Has(8) || s.On(8) || !s.On(7) || s.Value(20) != 3 || s.Value(9) != 0 {
		t.Error("a set does not hold what it was given")
	}
	if !slices.Equal(s.IDs(), []ID{7, 8, 20}) {
		t.Errorf("the policies are %v", s.IDs())
	}
	if got := s.To(s.With(7, 2).With(9, 0)); !slices.Equal(got, []Change{{7, 2}, {9, 0}}) || s.To(s) != nil {
		t.Errorf("the changes are %v", got)
	}
	again, err := ParseSet(s.Encode())
	if err != nil || !bytes.Equal(again.Encode(), s.Encode()) {
		t.Errorf("%v, %v", again, err)
	}
	twice := append(none.With(7, 1).Encode(), none.With(7, 1).Encode()...)
	for _, b := range [][]byte{s.Encode()[1:], {0}, twice} {
		if _, err := ParseSet(b); err == nil {
			t.Errorf("%x is a set", b)
		}
	}
}

func FuzzParseSet(f *testing.F) {
	f.Add(Set{}.With(20, 3).With(41, 1).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ParseSet(b); err == nil && !bytes.Equal(s.Encode(), b) {
			t.Errorf("%x is read as %x", b, s.Encode())
		}
	})
}
