package mech

import (
	"bytes"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// FuzzRestore gives digests strange states: they refuse them, or are as good as any other
// digest afterwards.
func FuzzRestore(f *testing.F) {
	begin := func(i byte) Resumable {
		m := &digests[int(i)%len(digests)]
		p := cryptoki.New(m.Type)
		o, err := m.Start(Digest, &p, nil)
		if err != nil {
			panic(err)
		}
		return o.(Resumable)
	}
	for i := range digests {
		d := begin(byte(i))
		d.Update([]byte("some data"))
		state, err := d.Save()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), state)
		f.Add(byte(i+1), state)
	}
	f.Fuzz(func(t *testing.T, i byte, state []byte) {
		d := begin(i)
		defer d.Close()
		if d.Restore(state) != nil {
			return
		}
		again, err := d.Save()
		if err != nil {
			t.Fatal(err)
		}
		e := begin(i)
		defer e.Close()
		if err := e.Restore(again); err != nil {
			t.Fatalf("a state that was saved: %v", err)
		}
		for _, o := range []Operation{d, e} {
			if _, err := o.Update([]byte("more")); err != nil {
				t.Fatal(err)
			}
		}
		one, _ := d.Final(nil)
		other, _ := e.Final(nil)
		if len(one) == 0 || !bytes.Equal(one, other) {
			t.Errorf("%x and %x", one, other)
		}
	})
}
