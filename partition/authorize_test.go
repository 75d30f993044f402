package partition_test

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/object"
	"tidelock.dev/tidelock/partition"
)

// cut is a store that stops before an update, as when the plug is pulled.
type cut struct {
	keystore.Store
	mu   sync.Mutex
	left int // updates until then; below 0 it does not stop
}

var errCut = errors.New("the plug was pulled")

func (c *cut) Update(fn func(keystore.Writer) error) error {
	c.mu.Lock()
	stop := c.left == 0
	if c.left > 0 {
		c.left--
	}
	c.mu.Unlock()
	if stop {
		return errCut
	}
	return c.Store.Update(fn)
}

func (c *cut) after(updates int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = updates
}

// guardedTemplate is that of an AES token key with authorization data.
func guardedTemplate(data string) cryptoki.Template {
	return cryptoki.Template{
		{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(uint64(cryptoki.CKO_SECRET_KEY))},
		{Type: cryptoki.CKA_KEY_TYPE, Value: cryptoki.ULong(uint64(cryptoki.CKK_AES))},
		{Type: cryptoki.CKA_VALUE, Value: make([]byte, 32)},
		{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(true)},
		{Type: cryptoki.CKA_AUTH_DATA, Value: []byte(data)},
	}
}

// family is a model of what a key's standing should be.
type family struct {
	failed int
	open   bool
}

// begin is the model of a try that begins.
func (f *family) begin() {
	if f.open && f.failed < object.AuthLimit-1 {
		f.failed++
	}
	f.open = true
}

// TestAuthorizationCounts plays right, wrong and interrupted authorizations, counted
// failures, resets and restarts on copies of two keys, against a model.
func TestAuthorizationCounts(t *testing.T) {
	w := ready(t, 1<<24, nil)
	w.version1()
	store := &cut{Store: w.config.Store, left: -1}
	w.config.Store = store
	w.open()
	rapid.Check(t, func(rt *rapid.T) {
		s := w.login(cryptoki.CKU_USER, ownerPIN)
		var handles [3]cryptoki.ObjectHandle
		data := [3]string{"the first", "the first", "the other"}
		for i, from := range [3]int{0, 0, 2} {
			var err error
			if i == from {
				handles[i], err = s.Create(partition.Token{}, guardedTemplate(data[i]))
			} else {
				handles[i], err = s.Copy(partition.Token{}, handles[from], nil)
			}
			if err != nil {
				rt.Fatal(err)
			}
		}
		shared, other := new(family), new(family)
		models := [3]*family{shared, shared, other}
		restart := func() {
			s.Close()
			store.after(-1)
			w.open()
			s = w.login(cryptoki.CKU_USER, ownerPIN)
		}
		restart()
		rt.Repeat(map[string]func(*rapid.T){
			"": func(rt *rapid.T) {
				for i, h := range handles {
					flags, failed := status(rt, s, h)
					locked := models[i].failed == object.AuthLimit
					if failed != uint64(models[i].failed) || flags&2 != 0 != locked {
						rt.Fatalf("key %d: flags %#x, %d failures; the model has %+v", i, flags, failed, *models[i])
					}
				}
			},
			"authorize": func(rt *rapid.T) {
				i, right, interrupted := rapid.IntRange(0, 2).Draw(rt, "key"), rapid.Bool().Draw(rt, "right"), rapid.Bool().Draw(rt, "interrupted")
				m, given := models[i], data[i]
				if !right {
					given = "something else"
				}
				want := cryptoki.CKR_OK
				switch {
				case m.failed == object.AuthLimit:
					want = cryptoki.CKR_KEY_NOT_ACTIVE
				case interrupted:
					store.after(1)
					m.begin()
					want = cryptoki.CKR_DEVICE_ERROR
				case right:
					*m = family{}
				default:
					m.begin()
					*m = family{failed: m.failed + 1}
					want = cryptoki.CKR_AUTH_DATA_INCORRECT
					if m.failed == object.AuthLimit {
						want = cryptoki.CKR_AUTH_DATA_INCORRECT_AND_LIMIT_REACHED
					}
				}
				check(rt, s.AuthorizeKey(handles[i], bytes(given)), want)
				store.after(-1)
				if interrupted {
					restart()
				}
			},
			"count": func(rt *rapid.T) {
				i := rapid.IntRange(0, 2).Draw(rt, "key")
				m, want := models[i], cryptoki.CKR_OK
				if m.failed == object.AuthLimit {
					want = cryptoki.CKR_KEY_NOT_ACTIVE
				} else {
					m.begin()
					*m = family{failed: m.failed + 1}
				}
				check(rt, s.IncrementFailedAuthCount(handles[i]), want)
			},
			"reset": func(rt *rapid.T) {
				i := rapid.IntRange(0, 2).Draw(rt, "key")
				data[i] = rapid.StringMatching(`[a-z]{8,20}`).Draw(rt, "data")
				models[i] = new(family)
				check(rt, s.ResetAuthorizationData(handles[i], bytes(data[i])), cryptoki.CKR_OK)
			},
			"restart": func(*rapid.T) { restart() },
		})
		for _, h := range handles {
			check(rt, s.Destroy(h), cryptoki.CKR_OK)
		}
		s.Close()
	})
}

func check(t rapid.TB, err error, want cryptoki.RV) {
	t.Helper()
	if err == nil && want != cryptoki.CKR_OK || err != nil && cryptoki.Code(err) != want {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// status reads the flags of CKA_KEY_STATUS, and CKA_FAILED_KEY_AUTH_COUNT.
func status(t rapid.TB, s *partition.Session, h cryptoki.ObjectHandle) (flags byte, failed uint64) {
	t.Helper()
	var values [][]byte
	types := []uint64{uint64(cryptoki.CKA_KEY_STATUS), uint64(cryptoki.CKA_FAILED_KEY_AUTH_COUNT)}
	err := s.Attributes(h, types, func(_ object.Status, v []byte) { values = append(values, slices.Clone(v)) })
	if err != nil {
		t.Fatal(err)
	}
	failed, _ = cryptoki.ParseULong(values[1])
	return values[0][0], failed
}

// yielding is a store that lets others go first after each update.
type yielding struct{ keystore.Store }

func (y yielding) Update(fn func(keystore.Writer) error) error {
	err := y.Store.Update(fn)
	for range 10 {
		runtime.Gosched()
	}
	return err
}

// Guesses that come at the same time get no more tries than those in turn.
func TestGuessesAtOnce(t *testing.T) {
	w := ready(t, 1<<20, nil)
	w.version1()
	w.config.Store = yielding{w.config.Store}
	w.open()
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	h, err := s.Create(partition.Token{}, guardedTemplate("12345678"))
	code(t, err, cryptoki.CKR_OK)
	const guesses = 20
	answers := make(chan cryptoki.RV, guesses)
	for range guesses {
		go func() { answers <- cryptoki.Code(s.AuthorizeKey(h, secret.Copy([]byte("87654321")))) }()
	}
	counts := map[cryptoki.RV]int{}
	for range guesses {
		counts[<-answers]++
	}
	if counts[cryptoki.CKR_AUTH_DATA_INCORRECT] != object.AuthLimit-1 || counts[cryptoki.CKR_AUTH_DATA_INCORRECT_AND_LIMIT_REACHED] != 1 ||
		counts[cryptoki.CKR_KEY_NOT_ACTIVE] != guesses-object.AuthLimit {
		t.Errorf("answers: %v", counts)
	}
}

// Whoever writes into the store neither takes a count back nor a key's data away.
func TestForgedStanding(t *testing.T) {
	w := ready(t, 1<<20, nil)
	w.version1()
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	h, err := s.Create(partition.Token{}, guardedTemplate("12345678"))
	code(t, err, cryptoki.CKR_OK)
	code(t, s.AuthorizeKey(h, bytes("87654321")), cryptoki.CKR_AUTH_DATA_INCORRECT)
	prefix := []byte{0x80, 0, 0, byte(w.next), 'f'} // of the area
	changed := 0
	w.update(func(u keystore.Writer) error {
		return u.Scan(keystore.TableCounter, prefix, nil, func(key, value []byte) (bool, error) {
			forged := slices.Clone(value)
			forged[0] = 0
			changed++
			return false, u.Put(keystore.TableCounter, slices.Clone(key), forged)
		})
	})
	if changed != 1 {
		t.Fatalf("%d counts in the store", changed)
	}
	code(t, s.AuthorizeKey(h, bytes("12345678")), cryptoki.CKR_DEVICE_ERROR)
}
