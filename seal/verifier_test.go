package seal

import (
	"fmt"
	"sync"
	"testing"
)

func TestVerifier(t *testing.T) {
	v := NewVerifier()
	kek := NewPartKEK()
	pin := password("1234")
	check := func(name string, c Credential, text string, want bool) {
		t.Helper()
		got, ok := v.Check(c, password(text))
		if ok != want || ok && !got.raw.Equal(kek.raw) {
			t.Errorf("%s: %v", name, ok)
		}
	}
	check("before anything", officer, "1234", false)
	v.Remember(officer, pin, kek)
	if pin.Len() != 4 || kek.raw.Len() != keySize {
		t.Fatal("Remember wiped what is the caller's")
	}
	check("right PIN", officer, "1234", true)
	check("right PIN again", officer, "1234", true)
	check("wrong PIN", officer, "1235", false)
	check("longer PIN", officer, "12345", false)
	check("no PIN", officer, "", false)

	later, other, elsewhere := officer, officer, officer
	later.Epoch++
	other.Role++
	elsewhere.Partition++
	check("later epoch", later, "1234", false)
	check("other role", other, "1234", false)
	check("other partition", elsewhere, "1234", false)

	v.Remember(later, password("5678"), kek)
	check("the PIN before", officer, "1234", false)
	check("the PIN after", later, "5678", true)

	v.Remember(other, pin, kek)
	v.Remember(elsewhere, pin, kek)
	v.Forget(officer.Partition, officer.Role)
	check("forgotten", later, "5678", false)
	check("another role than the forgotten one", other, "1234", true)
	v.ForgetPartition(officer.Partition)
	check("forgotten partition", other, "1234", false)
	check("another partition than the forgotten one", elsewhere, "1234", true)
	v.Wipe()
	check("after Wipe", elsewhere, "1234", false)
}

// What one process remembers another cannot use.
func TestVerifiersDiffer(t *testing.T) {
	a, b := NewVerifier(), NewVerifier()
	a.Remember(officer, password("1234"), NewPartKEK())
	b.entries = a.entries
	if _, ok := b.Check(officer, password("1234")); ok {
		t.Error("another process's entries are believed")
	}
}

func TestVerifierConcurrent(t *testing.T) {
	v := NewVerifier()
	kek := NewPartKEK()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			c := officer
			c.Partition = uint64(i % 2)
			pin := password(fmt.Sprint(c.Partition))
			for range 100 {
				v.Remember(c, pin, kek)
				if p, ok := v.Check(c, pin); ok && !p.raw.Equal(kek.raw) {
					t.Error("another key")
				}
				v.Forget(c.Partition, c.Role)
			}
		})
	}
	wg.Wait()
}
