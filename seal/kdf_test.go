package seal

import (
	"encoding/hex"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
)

// password makes a secret of a text.
func password(s string) secret.Bytes { return secret.Copy([]byte(s)) }

func salted(c Cost) KDF {
	k := KDF{Cost: c}
	copy(k.Salt[:], "saltsaltsaltsalt")
	return k
}

// The values were computed with other implementations: Argon2's reference
// implementation, and another PBKDF2.
func TestStretch(t *testing.T) {
	s := NewStretcher(true)
	for _, c := range []struct {
		name string
		cost Cost
		want string
	}{
		{"default", DefaultCost, "cfb7fbdad30f18ccd5f477540d965e58e4186ad4a7e9d6068fb009853374c21e"},
		{"test", TestCost, "ac08ee7b12a52dd0072efaa4ed379e8966635b838fa111b095d2577476d3b8a2"},
		{"FIPS", FIPSCost, "72ba81cecb0666dc58d770c257922f9f55d1f24823c758e3ed6de3cbc7fae879"},
	} {
		got, err := s.stretch(salted(c.cost), password("correct horse"))
		if err != nil || hex.EncodeToString(got.Expose()) != c.want {
			t.Errorf("%s: %x, %v", c.name, got.Expose(), err)
		}
	}
}

func TestTestCost(t *testing.T) {
	if _, err := NewStretcher(false).stretch(salted(TestCost), password("x")); cryptoki.Code(err) != cryptoki.CKR_DEVICE_ERROR {
		t.Errorf("an HSM that is not marked test uses the test cost: %v", err)
	}
}

func TestCostBounds(t *testing.T) {
	for _, c := range []struct {
		name string
		cost Cost
		ok   bool
	}{
		{"default", DefaultCost, true},
		{"FIPS", FIPSCost, true},
		{"test", TestCost, true},
		{"least Argon2id", Cost{Argon2id, 2, 19 << 10, 1}, true},
		{"most Argon2id", Cost{Argon2id, 4, 1 << 20, 16}, true},
		{"most PBKDF2", Cost{PBKDF2, 10_000_000, 0, 0}, true},
		{"nothing", Cost{}, false},
		{"unknown algorithm", Cost{3, 3, 64 << 10, 2}, false},
		{"one pass", Cost{Argon2id, 1, 64 << 10, 2}, false},
		{"little memory", Cost{Argon2id, 3, 19<<10 - 1, 2}, false},
		{"above a gibibyte", Cost{Argon2id, 2, 1<<20 + 1, 2}, false},
		{"100 GiB", Cost{Argon2id, 2, 100 << 20, 2}, false},
		{"4 TiB, the most that can be said", Cost{Argon2id, 1<<32 - 1, 1<<32 - 1, 255}, false},
		{"many passes", Cost{Argon2id, 5, 1 << 20, 2}, false},
		{"no lanes", Cost{Argon2id, 3, 64 << 10, 0}, false},
		{"many lanes", Cost{Argon2id, 3, 64 << 10, 17}, false},
		{"near the test cost", Cost{Argon2id, 1, 64, 2}, false},
		{"few iterations", Cost{PBKDF2, 599_999, 0, 0}, false},
		{"many iterations", Cost{PBKDF2, 10_000_001, 0, 0}, false},
		{"PBKDF2 with memory", Cost{PBKDF2, 600_000, 64, 0}, false},
		{"PBKDF2 with lanes", Cost{PBKDF2, 600_000, 0, 1}, false},
	} {
		k := salted(c.cost)
		if _, _, err := parseKDF(k.appendTo(nil)); (err == nil) != c.ok {
			t.Errorf("%s: parsing gives %v", c.name, err)
		}
		if !c.ok {
			if _, err := NewStretcher(true).stretch(k, password("x")); err == nil {
				t.Errorf("%s: is computed", c.name)
			}
		}
	}
}

func TestSaltsDiffer(t *testing.T) {
	if a, b := newKDF(TestCost), newKDF(TestCost); a.Salt == b.Salt {
		t.Error("two credentials have one salt")
	}
}

// Of many callers as many as the gate's size are inside at once, and no more.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, callers = 2, 7
		g := NewGate(size)
		var inside atomic.Int64
		release := make(chan struct{})
		for range callers {
			go g.Do(func() {
				inside.Add(1)
				<-release
				inside.Add(-1)
			})
		}
		for left := callers; left >= 0; left-- {
			synctest.Wait()
			if n := inside.Load(); n != int64(min(size, left)) {
				t.Errorf("%d are inside while %d are left", n, left)
			}
			if left > 0 {
				release <- struct{}{}
			}
		}
	})
}

func TestGateAfterPanic(t *testing.T) {
	g := NewGate(1)
	func() {
		defer func() { _ = recover() }()
		g.Do(func() { panic("oops") })
	}()
	ran := false
	g.Do(func() { ran = true })
	if !ran {
		t.Error("a panic kept its place")
	}
}
