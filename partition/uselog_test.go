package partition_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
)

// logged sets what is recorded.
func (w *world) logged(classes string) {
	w.t.Helper()
	c, err := audit.ParseClasses(classes)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.config.Audit.Set(w.config.Store, audit.Settings{Classes: c, Limit: audit.DefaultLimit}, audit.Actor{}); err != nil {
		w.t.Fatal(err)
	}
}

// newest is the number of the newest entry.
func (w *world) newest() uint64 {
	w.t.Helper()
	p, err := w.config.Audit.Read(w.config.Store, 0, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return p.Newest
}

// entries are those behind a number, as event, result and detail.
func (w *world) entries(after uint64) string {
	w.t.Helper()
	p, err := w.config.Audit.Read(w.config.Store, after+1, audit.MaxPage)
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, e := range p.Entries {
		all = append(all, strings.Join(strings.Fields(strings.Join([]string{e.Record.Event.String(), e.Record.Result.String(), e.Record.Detail}, " ")), " "))
	}
	return strings.Join(all, "; ")
}

// aesTemplate is that of an AES session key with all purposes that go together.
func aesTemplate(more ...cryptoki.Attribute) cryptoki.Template {
	return append(cryptoki.Template{
		{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(uint64(cryptoki.CKO_SECRET_KEY))},
		{Type: cryptoki.CKA_KEY_TYPE, Value: cryptoki.ULong(uint64(cryptoki.CKK_AES))},
		{Type: cryptoki.CKA_VALUE, Value: make([]byte, 32)},
		{Type: cryptoki.CKA_ENCRYPT, Value: cryptoki.Bool(true)},
		{Type: cryptoki.CKA_DECRYPT, Value: cryptoki.Bool(true)},
		{Type: cryptoki.CKA_SIGN, Value: cryptoki.Bool(true)},
		{Type: cryptoki.CKA_VERIFY, Value: cryptoki.Bool(true)},
	}, more...)
}

func authData(data string) cryptoki.Attribute {
	return cryptoki.Attribute{Type: cryptoki.CKA_AUTH_DATA, Value: []byte(data)}
}

// guardedKey makes a key with authorization data that the session has given.
func (w *world) guardedKey(s *partition.Session, t cryptoki.Template) cryptoki.ObjectHandle {
	w.t.Helper()
	h, err := s.Create(partition.Token{}, append(t, authData("the data")))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := s.AuthorizeKey(h, bytes("the data")); err != nil {
		w.t.Fatal(err)
	}
	return h
}

func cbc() *cryptoki.Mechanism {
	m := cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, make([]byte, 16))
	return &m
}

// Every use of a key with authorization data is in the log, whatever the Auditor has set,
// once and with its result.
func TestUseOfGuardedKeys(t *testing.T) {
	w := ready(t, 1<<24, nil)
	w.version1()
	w.set(map[policy.ID]uint64{policy.DigestKey: 1})
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	w.logged("none")
	h := w.guardedKey(s, aesTemplate())
	plain, err := s.Create(partition.Token{}, aesTemplate())
	if err != nil {
		t.Fatal(err)
	}
	wrapping := w.guardedKey(s, cryptoki.Template{
		{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(uint64(cryptoki.CKO_SECRET_KEY))},
		{Type: cryptoki.CKA_KEY_TYPE, Value: cryptoki.ULong(uint64(cryptoki.CKK_AES))},
		{Type: cryptoki.CKA_VALUE, Value: make([]byte, 32)},
		{Type: cryptoki.CKA_WRAP, Value: cryptoki.Bool(true)},
		{Type: cryptoki.CKA_UNWRAP, Value: cryptoki.Bool(true)},
	})
	sealed, err := s.OperateFused(mech.Encrypt, cbc(), h, []byte("text"), nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	stranger := w.login(cryptoki.CKU_USER, ownerPIN)
	kwp := cryptoki.New(cryptoki.CKM_AES_KEY_WRAP_KWP)
	wrappedTemplate := cryptoki.Template{
		{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(uint64(cryptoki.CKO_SECRET_KEY))},
		{Type: cryptoki.CKA_KEY_TYPE, Value: cryptoki.ULong(uint64(cryptoki.CKK_AES))},
	}
	gcm := cryptoki.New(cryptoki.CKM_AES_GCM)
	for _, test := range []struct {
		name string
		use  func() error
		rv   cryptoki.RV
		want string
	}{
		{"encrypt", func() error { return fused(s, mech.Encrypt, h, 100) }, cryptoki.CKR_OK, "key-use CKR_OK encrypt"},
		{"a question for the length", func() error { return fused(s, mech.Encrypt, h, 1) }, cryptoki.CKR_OK, ""},
		{"what was asked for", func() error {
			_, err := s.Operate(mech.Encrypt, []byte("text"), nil, 100)
			return err
		}, cryptoki.CKR_OK, "key-use CKR_OK encrypt"},
		{"decrypt what is no ciphertext", func() error { return fused(s, mech.Decrypt, h, 100) }, cryptoki.CKR_ENCRYPTED_DATA_INVALID, "key-use CKR_ENCRYPTED_DATA_INVALID decrypt"},
		{"the length of what is decrypted", func() error {
			_, err := s.OperateFused(mech.Decrypt, cbc(), h, sealed.Data, nil, partition.AskLength)
			return err
		}, cryptoki.CKR_OK, "key-use CKR_OK decrypt"},
		{"what is decrypted, then", func() error {
			_, err := s.Operate(mech.Decrypt, sealed.Data, nil, 100)
			return err
		}, cryptoki.CKR_OK, ""},
		{"in parts", func() error {
			if _, err := s.Init(mech.Encrypt, cbc(), h); err != nil {
				return err
			}
			for range 3 {
				if _, err := s.Update(mech.Encrypt, make([]byte, 32), 100); err != nil {
					return err
				}
			}
			_, err := s.Final(mech.Encrypt, nil, 100)
			return err
		}, cryptoki.CKR_OK, "key-use CKR_OK encrypt"},
		{"in parts that give nothing", func() error {
			if _, err := s.Init(mech.Encrypt, cbc(), h); err != nil {
				return err
			}
			_, err := s.Update(mech.Encrypt, make([]byte, 1), 100)
			s.Cancel(mech.Encrypt)
			return err
		}, cryptoki.CKR_OK, ""},
		{"in parts that fail", func() error {
			if _, err := s.Init(mech.Decrypt, cbc(), h); err != nil {
				return err
			}
			if _, err := s.Update(mech.Decrypt, make([]byte, 48), 100); err != nil {
				return err
			}
			_, err := s.Final(mech.Decrypt, nil, 100)
			return err
		}, cryptoki.CKR_ENCRYPTED_DATA_INVALID, "key-use CKR_OK decrypt; key-use CKR_ENCRYPTED_DATA_INVALID decrypt"},
		{"a message", func() error {
			_, err := s.Message(mech.Encrypt, &gcm, h, &mech.Message{IV: make([]byte, 12), TagBits: 128})
			return err
		}, cryptoki.CKR_OK, "key-use CKR_OK encrypt"},
		{"a wrong message", func() error {
			_, err := s.Message(mech.Decrypt, &gcm, h, &mech.Message{IV: make([]byte, 12), TagBits: 128, Tag: make([]byte, 16)})
			return err
		}, cryptoki.CKR_AEAD_DECRYPT_FAILED, "key-use CKR_AEAD_DECRYPT_FAILED decrypt"},
		{"digest", func() error {
			m := cryptoki.New(cryptoki.CKM_SHA256)
			if _, err := s.Init(mech.Digest, &m, 0); err != nil {
				return err
			}
			defer s.Cancel(mech.Digest)
			return s.DigestKey(h)
		}, cryptoki.CKR_OK, "key-use CKR_OK digest"},
		{"wrap", func() error {
			_, err := s.WrapKey(&kwp, wrapping, plain, partition.AskLength)
			return err
		}, cryptoki.CKR_KEY_UNEXTRACTABLE, "wrap CKR_KEY_UNEXTRACTABLE"},
		{"unwrap", func() error {
			_, err := s.UnwrapKey(partition.Token{}, &kwp, wrapping, make([]byte, 40), wrappedTemplate)
			return err
		}, cryptoki.CKR_WRAPPED_KEY_INVALID, "unwrap CKR_WRAPPED_KEY_INVALID"},
		{"without authorization", func() error { return fused(stranger, mech.Encrypt, h, 100) }, cryptoki.CKR_OBJECT_HANDLE_INVALID, ""},
		{"another key", func() error { return fused(s, mech.Encrypt, plain, 100) }, cryptoki.CKR_OK, ""},
	} {
		before := w.newest()
		if err := test.use(); test.name != "without authorization" {
			code(t, err, test.rv)
		} else if err == nil {
			t.Error("used without authorization")
		}
		if got := w.entries(before); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// fused encrypts or decrypts 16 bytes with AES-CBC-PAD.
func fused(s *partition.Session, f mech.Function, h cryptoki.ObjectHandle, capacity uint64) error {
	_, err := s.OperateFused(f, cbc(), h, make([]byte, 16), nil, capacity)
	return err
}

// A use of which the entry is not on the disk gives nothing.
func TestUseIsDurableFirst(t *testing.T) {
	w := ready(t, 1<<24, nil)
	w.version1()
	store := &cut{Store: w.config.Store, left: -1}
	w.config.Store = store
	w.open()
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	h := w.guardedKey(s, aesTemplate())
	m, mac := cbc(), cryptoki.New(cryptoki.CKM_AES_CMAC)
	gcm := cryptoki.New(cryptoki.CKM_AES_GCM)
	store.after(0)
	for name, use := range map[string]func() (partition.Output, error){
		"encrypt": func() (partition.Output, error) {
			return s.OperateFused(mech.Encrypt, m, h, make([]byte, 16), nil, 100)
		},
		"sign": func() (partition.Output, error) {
			return s.OperateFused(mech.Sign, &mac, h, make([]byte, 16), nil, 100)
		},
		"in parts": func() (partition.Output, error) {
			if _, err := s.Init(mech.Encrypt, m, h); err != nil {
				t.Fatal(err)
			}
			return s.Update(mech.Encrypt, make([]byte, 32), 100)
		},
		"a message": func() (partition.Output, error) {
			sealed, err := s.Message(mech.Encrypt, &gcm, h, &mech.Message{IV: make([]byte, 12), TagBits: 128, Data: []byte("text")})
			return partition.Output{Data: append(sealed.Output, sealed.Tag...)}, err
		},
	} {
		out, err := use()
		if !errors.Is(err, errCut) || out.Data != nil || out.Fits {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
		// The operation is over, and what it would have given is gone with it.
		_, err = s.Final(mech.Encrypt, nil, 100)
		code(t, err, cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	}
}

// A full log refuses the use, and the key is used again when there is room.
func TestUseInAFullLog(t *testing.T) {
	w := ready(t, 1<<24, nil)
	w.version1()
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	h := w.guardedKey(s, aesTemplate())
	set := func(limit uint64) {
		t.Helper()
		if err := w.config.Audit.Set(w.config.Store, audit.Settings{Classes: audit.AlwaysRecorded, Limit: limit}, audit.Actor{}); err != nil {
			t.Fatal(err)
		}
	}
	set(audit.MinLimit)
	for w.newest() < audit.MinLimit {
		code(t, fused(s, mech.Encrypt, h, 100), cryptoki.CKR_OK)
	}
	code(t, fused(s, mech.Encrypt, h, 100), cryptoki.CKR_LOG_FULL)
	set(2 * audit.MinLimit)
	code(t, fused(s, mech.Encrypt, h, 100), cryptoki.CKR_OK)
}

// Other keys are recorded as the Auditor sets: each use, or the first of the key.
func TestUseAsSet(t *testing.T) {
	const use = "key-use CKR_OK encrypt"
	for _, test := range []struct{ classes, want string }{
		{"none", ""},
		{"success,failure", ""},
		{"usage,success,failure", ""}, // the key is a secret one
		{"symmetric", ""},             // and nothing says with which result
		{"symmetric,success", use + "; " + use},
		{"symmetric,failure", "key-use CKR_ENCRYPTED_DATA_INVALID decrypt"},
		{"symfirst,success,failure", use},
		{"symmetric,symfirst,success", use + "; " + use},
	} {
		w := ready(t, 1<<24, nil)
		s := w.login(cryptoki.CKU_USER, ownerPIN)
		token := cryptoki.Attribute{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(true)}
		h, err := s.Create(partition.Token{}, aesTemplate(token))
		if err != nil {
			t.Fatal(err)
		}
		w.logged(test.classes)
		before := w.newest()
		for range 2 {
			code(t, fused(s, mech.Encrypt, h, 100), cryptoki.CKR_OK)
		}
		code(t, fused(s, mech.Decrypt, h, 100), cryptoki.CKR_ENCRYPTED_DATA_INVALID)
		if got := w.entries(before); got != test.want {
			t.Errorf("%s: %q, want %q", test.classes, got, test.want)
		}
	}
}

// meeting is a store whose updates wait for one another.
type meeting struct {
	keystore.Store
	all *sync.WaitGroup
}

func (m *meeting) Update(fn func(keystore.Writer) error) error {
	if m.all != nil {
		m.all.Done()
		m.all.Wait()
	}
	return m.Store.Update(fn)
}

// Uses at the same time are in the store at the same time, which flushes them together.
func TestUsesMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := ready(t, 1<<24, nil)
		w.version1()
		store := &meeting{Store: w.config.Store}
		w.config.Store = store
		w.open()
		var sessions []*partition.Session
		var keys []cryptoki.ObjectHandle
		for range 8 {
			s := w.login(cryptoki.CKU_USER, ownerPIN)
			sessions, keys = append(sessions, s), append(keys, w.guardedKey(s, aesTemplate()))
		}
		store.all = new(sync.WaitGroup)
		store.all.Add(len(sessions))
		var done sync.WaitGroup
		for i, s := range sessions {
			done.Go(func() { code(t, fused(s, mech.Encrypt, keys[i], 100), cryptoki.CKR_OK) })
		}
		done.Wait()
	})
}
