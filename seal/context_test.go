package seal

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// Contexts of the same bytes, cut differently, are different.
func TestContextCuts(t *testing.T) {
	same := []Context{
		NewContext("abc"),
		NewContext("ab").String("c"),
		NewContext("a").String("bc"),
		NewContext("a").String("b").String("c"),
		NewContext("").String("abc"),
		NewContext("abc").String(""),
		NewContext("abc").String("").Bytes(nil),
	}
	for i, a := range same {
		for j, b := range same {
			if equal := bytes.Equal(a.encoded, b.encoded); equal != (i == j) {
				t.Errorf("contexts %d and %d: equal is %v", i, j, equal)
			}
		}
	}
}

// An encoding has one reading, so no two lists of parts share one.
func TestContextDecodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 1, 5).Draw(t, "parts")
		c := NewContext(string(parts[0]))
		for _, p := range parts[1:] {
			c = c.Bytes(p)
		}
		rest := c.encoded
		for i, p := range parts {
			if len(rest) < 4 {
				t.Fatalf("part %d is missing", i)
			}
			n := int(rest[0])<<24 | int(rest[1])<<16 | int(rest[2])<<8 | int(rest[3])
			if n != len(p) || !bytes.HasPrefix(rest[4:], p) {
				t.Fatalf("part %d of %d bytes reads as %d bytes", i, len(p), n)
			}
			rest = rest[4+n:]
		}
		if len(rest) != 0 {
			t.Fatalf("%d bytes are left over", len(rest))
		}
	})
}

func TestContextsBranch(t *testing.T) {
	base := NewContext("base").Uint64(1)
	a, b := base.String("a"), base.String("b")
	if !bytes.Equal(a.encoded, NewContext("base").Uint64(1).String("a").encoded) {
		t.Error("a context changed when another went on from the same one")
	}
	if bytes.Equal(a.encoded, b.encoded) {
		t.Error("two branches are equal")
	}
}
