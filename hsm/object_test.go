package hsm_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

// A creating call that is repeated with its token returns what the first one made.
func TestCreationTokens(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	source := s.mustCreate(dataObject(false, false, "source"))
	aes := func(token bool) cryptoki.Template {
		return attrs(cryptoki.CKA_TOKEN, token, cryptoki.CKA_VALUE_LEN, 16)
	}
	ec := func(token bool) cryptoki.Template {
		return attrs(cryptoki.CKA_TOKEN, token, cryptoki.CKA_EC_PARAMS, p256)
	}
	one := func(h uint64, rv cryptoki.RV) ([]uint64, cryptoki.RV) { return []uint64{h}, rv }
	two := func(a, b uint64, rv cryptoki.RV) ([]uint64, cryptoki.RV) { return []uint64{a, b}, rv }
	type maker func(s session, token [16]byte) ([]uint64, cryptoki.RV)
	for _, c := range []struct {
		name    string
		durable bool // of all objects
		make    maker
	}{
		{"a token object", true, func(s session, k [16]byte) ([]uint64, cryptoki.RV) {
			return one(s.create(k, dataObject(true, true, "made")))
		}},
		{"a session object", false, func(s session, k [16]byte) ([]uint64, cryptoki.RV) {
			return one(s.create(k, dataObject(false, true, "made")))
		}},
		{"a copy in the session", false, func(s session, k [16]byte) ([]uint64, cryptoki.RV) {
			return one(s.copyObject(k, source, attrs(cryptoki.CKA_LABEL, "made")))
		}},
		{"a copy on the token", false, func(s session, k [16]byte) ([]uint64, cryptoki.RV) {
			return one(s.copyObject(k, source, attrs(cryptoki.CKA_LABEL, "made", cryptoki.CKA_TOKEN, true)))
		}},
		{"a key on the token", true, func(s session, k [16]byte) ([]uint64, cryptoki.RV) {
			return one(s.generate(k, aesKeyGen, aes(true)))
		}},
		{"a key in the session", false, func(s session, k [16]byte) ([]uint64, cryptoki.RV) {
			return one(s.generate(k, aesKeyGen, aes(false)))
		}},
		{"a pair on the token", true, func(s session, k [16]byte) ([]uint64, cryptoki.RV) {
			return two(s.generatePair(k, ecKeyPairGen, ec(true), attrs(cryptoki.CKA_TOKEN, true)))
		}},
		{"a pair in the session", false, func(s session, k [16]byte) ([]uint64, cryptoki.RV) {
			return two(s.generatePair(k, ecKeyPairGen, ec(false), attrs(cryptoki.CKA_TOKEN, false)))
		}},
		{"a pair whose private half is on the token", false, func(s session, k [16]byte) ([]uint64, cryptoki.RV) {
			return two(s.generatePair(k, ecKeyPairGen, ec(false), attrs(cryptoki.CKA_TOKEN, true)))
		}},
		{"a pair whose public half is on the token", false, func(s session, k [16]byte) ([]uint64, cryptoki.RV) {
			return two(s.generatePair(k, ecKeyPairGen, ec(true), attrs(cryptoki.CKA_TOKEN, false)))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := newToken()
			made, rv := c.make(s, token)
			s.must(rv)
			count := len(s.find(nil))
			again, rv := c.make(s, token)
			s.must(rv)
			if !slices.Equal(made, again) {
				t.Errorf("made %v, the repeat gave %v", made, again)
			}
			if n := len(s.find(nil)); n != count {
				t.Errorf("%d objects after the repeat, %d before", n, count)
			}
			other, rv := c.make(s, newToken())
			s.must(rv)
			for _, h := range other {
				if slices.Contains(made, h) {
					t.Errorf("another token gave %v, too", h)
				}
			}
			for _, h := range made {
				s.must(s.destroy(h))
			}
			anew, rv := c.make(s, token)
			s.must(rv)
			for _, h := range anew {
				if slices.Contains(made, h) {
					t.Errorf("after its destruction %v came back", h)
				}
			}
			if !c.durable {
				return
			}
			b.restart()
			s = b.user()
			again, rv = c.make(s, token)
			s.must(rv)
			if !slices.Equal(anew, again) {
				t.Errorf("made %v, the repeat after a restart gave %v", anew, again)
			}
			source = s.mustCreate(dataObject(false, false, "source"))
		})
	}
}

func TestHandlesSurviveRestart(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	public, private := s.pair(true, "key")
	secret := s.aesKey(true, "secret")
	data := s.mustCreate(with(dataObject(true, true, "data"), cryptoki.CKA_VALUE, "content"))
	encrypted, rv := s.fused(mech.Encrypt, cbc, secret, []byte("plain"), nil, anyRoom)
	s.must(rv)
	ciphertext := bytes.Clone(encrypted.Output)
	point := s.value(public, cryptoki.CKA_EC_POINT)
	temporary := s.mustCreate(dataObject(false, false, "temporary"))
	boot, epoch := s.boot, s.epoch

	b.restart()
	fresh := b.app()
	if fresh.boot <= boot {
		t.Errorf("boot went from %d to %d", boot, fresh.boot)
	}
	// The application number may be the same as before, the session's handle must not be.
	stale := session{fresh, s.handle}
	want(t, "a session of the start before", stale.do0(), cryptoki.CKR_SESSION_HANDLE_INVALID)
	n := fresh.open(readWrite)
	if n.handle == s.handle {
		t.Errorf("session handle %#x was given twice", n.handle)
	}
	n.must(n.login(cryptoki.CKU_USER, coPIN))
	if n.epoch <= epoch {
		t.Errorf("the epoch went from %d to %d", epoch, n.epoch)
	}
	if got := n.find(nil); !slices.Equal(got, []uint64{public, private, secret, data}) {
		t.Errorf("found %v, want %v", got, []uint64{public, private, secret, data})
	}
	_, rv = n.get(temporary, cryptoki.CKA_LABEL)
	want(t, "a session object after a restart", rv, cryptoki.CKR_OBJECT_HANDLE_INVALID)
	if got := n.value(data, cryptoki.CKA_VALUE); string(got) != "content" {
		t.Errorf("a data object's value is %q", got)
	}
	decrypted, rv := n.fused(mech.Decrypt, cbc, secret, ciphertext, nil, anyRoom)
	n.must(rv)
	if string(decrypted.Output) != "plain" {
		t.Errorf("decrypted to %q", decrypted.Output)
	}
	signed, rv := n.fused(mech.Sign, ecdsaSHA256, private, []byte("message"), nil, 64)
	n.must(rv)
	if !verifies(t, point, []byte("message"), signed.Output) {
		t.Error("the signature of a stored key does not verify")
	}
}

// do0 is the cheapest call that needs a session.
func (s session) do0() cryptoki.RV { return s.cancel() }

func TestHandlesAreNeverReused(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	seen := map[uint64]bool{}
	make := func() {
		t.Helper()
		for _, token := range []bool{true, false} {
			h := s.mustCreate(dataObject(token, false, ""))
			if seen[h] {
				t.Errorf("handle %#x was given twice", h)
			}
			seen[h] = true
			if session := cryptoki.ObjectHandle(h)&cryptoki.SessionObject != 0; session == token {
				t.Errorf("handle %#x with CKA_TOKEN %v", h, token)
			}
			s.must(s.destroy(h))
		}
	}
	make()
	make()
	s.must(s.logout())
	s.must(s.login(cryptoki.CKU_USER, coPIN))
	make()
	b.restart()
	s = b.user()
	h := s.mustCreate(dataObject(true, false, ""))
	if seen[h] {
		t.Errorf("handle %#x was given again after a restart", h)
	}
	for old := range seen {
		_, rv := s.size(old)
		want(t, fmt.Sprintf("destroyed object %#x", old), rv, cryptoki.CKR_OBJECT_HANDLE_INVALID)
	}
}

func TestVisibility(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	other, nobody := b.user(), b.app().open(readWrite)
	public := s.mustCreate(dataObject(true, false, "public"))
	private := s.mustCreate(dataObject(true, true, "private"))
	mine := s.mustCreate(dataObject(false, false, "mine"))

	see := func(what string, s session, want ...uint64) {
		t.Helper()
		if got := s.find(nil); !slices.Equal(got, want) {
			t.Errorf("%s sees %v, want %v", what, got, want)
		}
	}
	see("the maker", s, public, private, mine)
	see("another application", other, public, private)
	see("an application without login", nobody, public)
	// The PO's login shows no private objects.
	officer := b.app().open(readWrite)
	officer.must(officer.login(cryptoki.CKU_SO, soPIN))
	see("the PO", officer, public)

	third := s.mustCreate(dataObject(true, false, "third"))
	see("another application after that", other, public, private, third)
	s.must(s.destroy(public))
	see("another application after a destruction", other, private, third)
	other.must(other.logout())
	see("another application after its logout", other, third)
}

// What an application may not see does not exist for it, whatever the call.
func TestPrivateObjectsAreInvisible(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	publicKey, privateKey := s.pair(true, "key")
	_ = publicKey
	secretKey := s.aesKey(true, "secret")
	data := s.mustCreate(dataObject(true, true, "data"))
	theirs := s.mustCreate(dataObject(false, false, "session object"))

	// At first the objects are in memory, after a restart they are not.
	for _, when := range []string{"while another application is logged in", "after a restart"} {
		nobody := b.app().open(readWrite)
		for what, h := range map[string]uint64{
			"a private key": privateKey, "a secret key": secretKey, "a data object": data,
			"another application's session object": theirs, "no object": 999_999,
		} {
			_, size := nobody.size(h)
			_, get := nobody.get(h, cryptoki.CKA_LABEL)
			_, copied := nobody.copyObject(newToken(), h, nil)
			for call, rv := range map[string]cryptoki.RV{
				"size": size, "get": get, "copy": copied,
				"set": nobody.set(h, attrs(cryptoki.CKA_LABEL, "x")), "destroy": nobody.destroy(h),
			} {
				want(t, fmt.Sprintf("%s: %s of %s", when, call, what), rv, cryptoki.CKR_OBJECT_HANDLE_INVALID)
			}
			for f, m := range map[mech.Function]cryptoki.Mechanism{
				mech.Sign: ecdsaSHA256, mech.Verify: ecdsaSHA256, mech.Encrypt: cbc, mech.Decrypt: cbc,
			} {
				_, init := nobody.init(f, m, h)
				_, fused := nobody.fused(f, m, h, nil, nil, anyRoom)
				want(t, fmt.Sprintf("%s: Init of function %d with %s", when, f, what), init, cryptoki.CKR_KEY_HANDLE_INVALID)
				want(t, fmt.Sprintf("%s: fused function %d with %s", when, f, what), fused, cryptoki.CKR_KEY_HANDLE_INVALID)
			}
			for _, template := range []cryptoki.Template{nil, attrs(cryptoki.CKA_LABEL, "data"), attrs(cryptoki.CKA_CLASS, cryptoki.CKO_DATA)} {
				if slices.Contains(nobody.find(template), h) {
					t.Errorf("%s: %s is found", when, what)
				}
			}
		}
		b.restart()
	}
}

func TestSessionObjectsDieWithTheirSession(t *testing.T) {
	b := newHSM(t)
	keeper := b.user()
	dying := keeper.client.open(readWrite)
	h := dying.mustCreate(dataObject(false, false, ""))
	kept := keeper.mustCreate(dataObject(false, false, ""))
	if _, rv := keeper.size(h); rv != cryptoki.CKR_OK {
		t.Errorf("another session of the application: %v", rv)
	}
	dying.must(dying.close())
	_, rv := keeper.size(h)
	want(t, "after its session", rv, cryptoki.CKR_OBJECT_HANDLE_INVALID)
	_, rv = keeper.size(kept)
	want(t, "of another session", rv, cryptoki.CKR_OK)
}

func TestLogoutEndsPrivateSessionObjects(t *testing.T) {
	s := newHSM(t).user()
	private := s.mustCreate(dataObject(false, true, ""))
	public := s.mustCreate(dataObject(false, false, ""))
	s.must(s.logout())
	s.must(s.login(cryptoki.CKU_USER, coPIN))
	_, rv := s.size(private)
	want(t, "a private session object after a logout", rv, cryptoki.CKR_OBJECT_HANDLE_INVALID)
	_, rv = s.size(public)
	want(t, "a public session object after a logout", rv, cryptoki.CKR_OK)
}

// A search in pages neither skips nor repeats what existed throughout.
func TestFindInPages(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 3,000 objects")
	}
	b := newHSM(t)
	s, other := b.user(), b.user()
	const total = 3000
	existing := map[uint64]bool{}
	var doomed []uint64
	for i := range total {
		h := s.mustCreate(dataObject(i%10 != 0, i%2 == 0, "many"))
		existing[h] = true
		if i%100 == 50 {
			doomed = append(doomed, h)
		}
	}
	for _, template := range []cryptoki.Template{
		attrs(cryptoki.CKA_LABEL, "many"), // by an index
		attrs(cryptoki.CKA_APPLICATION, ""),
	} {
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				h, rv := other.create(newToken(), dataObject(true, false, "many"))
				if rv != cryptoki.CKR_OK {
					t.Errorf("create: %v", rv)
					return
				}
				if rv := other.destroy(h); rv != cryptoki.CKR_OK {
					t.Errorf("destroy: %v", rv)
					return
				}
			}
		})
		found := map[uint64]bool{}
		after, pages := uint64(0), 0
		for {
			p, rv := s.page(template, after, 170)
			s.must(rv)
			if len(p.Objects) > 170 {
				t.Fatalf("a page of %d objects", len(p.Objects))
			}
			for _, h := range p.Objects {
				if h <= after {
					t.Fatalf("%#x came after %#x", h, after)
				}
				after = h
				found[h] = true
			}
			if pages++; !p.More {
				break
			}
			// What has been passed may go without a gap in what follows.
			if len(doomed) > 0 && doomed[0] < after {
				s.must(s.destroy(doomed[0]))
				delete(existing, doomed[0])
				doomed = doomed[1:]
			}
		}
		close(stop)
		wg.Wait()
		missing := 0
		for h := range existing {
			if !found[h] {
				missing++
			}
		}
		if missing > 0 {
			t.Errorf("%v: %d of %d objects were skipped", template[0].Type, missing, len(existing))
		}
		if pages < total/170 {
			t.Errorf("%d pages", pages)
		}
	}
}

// A search finds the same whether or not the objects are in memory.
func TestFindAfterRestart(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	certificate := s.mustCreate(attrs(cryptoki.CKA_CLASS, cryptoki.CKO_CERTIFICATE, cryptoki.CKA_TOKEN, true,
		cryptoki.CKA_CERTIFICATE_TYPE, 0, cryptoki.CKA_SUBJECT, "subject", cryptoki.CKA_VALUE, "the certificate"))
	data := s.mustCreate(with(dataObject(true, true, "data"), cryptoki.CKA_VALUE, "the data"))
	s.value(certificate, cryptoki.CKA_VALUE)
	s.value(data, cryptoki.CKA_VALUE)
	for _, when := range []string{"in memory", "after a restart"} {
		for value, h := range map[string]uint64{"the certificate": certificate, "the data": data} {
			if got := s.find(attrs(cryptoki.CKA_VALUE, value)); !slices.Equal(got, []uint64{h}) {
				t.Errorf("%s: by CKA_VALUE %q found %v, want [%d]", when, value, got, h)
			}
		}
		if got := s.find(attrs(cryptoki.CKA_LABEL, "data", cryptoki.CKA_VALUE, "other")); len(got) != 0 {
			t.Errorf("%s: by another value found %v", when, got)
		}
		b.restart()
		s = b.user()
	}
}

// A secret that is no longer to be read cannot be guessed by searches either.
func TestFindTellsNoSecrets(t *testing.T) {
	s := newHSM(t).user()
	value := bytes.Repeat([]byte{7}, 16)
	sensitive := attrs(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_AES, cryptoki.CKA_VALUE, value, cryptoki.CKA_SENSITIVE, true)
	s.mustCreate(sensitive)
	if got := s.find(attrs(cryptoki.CKA_VALUE, value)); len(got) != 0 {
		t.Errorf("a sensitive key is found by its value: %v", got)
	}
	open := s.mustCreate(with(sensitive[:3], cryptoki.CKA_SENSITIVE, false, cryptoki.CKA_EXTRACTABLE, true))
	if got := s.find(attrs(cryptoki.CKA_VALUE, value)); !slices.Equal(got, []uint64{open}) {
		t.Errorf("by its value found %v, want [%d]", got, open)
	}
}

func TestGetAttributes(t *testing.T) {
	s := newHSM(t).user()
	key := s.aesKey(true, "key")
	v, rv := s.get(key, cryptoki.CKA_LABEL, cryptoki.CKA_VALUE, cryptoki.CKA_MODULUS, cryptoki.CKA_VALUE_LEN)
	want(t, "a label, a secret, and what the key does not have", rv, cryptoki.CKR_ATTRIBUTE_TYPE_INVALID)
	if len(v) != 4 || v[0].Status != 0 || string(v[0].Value) != "key" || v[1].Status != 1 || v[2].Status != 2 || v[3].Status != 0 {
		t.Errorf("the values are %v", v)
	}
	v, rv = s.get(key, cryptoki.CKA_VALUE, cryptoki.CKA_LABEL)
	want(t, "a secret and a label", rv, cryptoki.CKR_ATTRIBUTE_SENSITIVE)
	if len(v) != 2 || v[0].Status != 1 || len(v[0].Value) != 0 || string(v[1].Value) != "key" {
		t.Errorf("the values are %v", v)
	}
	// What no reply could hold is not put together.
	large := s.mustCreate(with(dataObject(false, false, "large"), cryptoki.CKA_VALUE, make([]byte, 1<<16)))
	_, rv = s.get(large, slices.Repeat([]cryptoki.AttributeType{cryptoki.CKA_VALUE}, 15)...)
	want(t, "15 large values", rv, cryptoki.CKR_OK)
	_, rv = s.get(large, slices.Repeat([]cryptoki.AttributeType{cryptoki.CKA_VALUE}, 16)...)
	want(t, "16 large values", rv, cryptoki.CKR_DEVICE_MEMORY)
	// A template holds no more attributes than this, and so does the reply.
	_, rv = s.get(key, make([]cryptoki.AttributeType, 257)...)
	want(t, "257 attributes", rv, cryptoki.CKR_ARGUMENTS_BAD)
}

// Ids are any bytes, and no program is kept from making a label of some. The list of a
// partition's contents shows them all the same.
func TestContentsOfAnyBytes(t *testing.T) {
	s := newHSM(t).user()
	label := string(append(bytes.Repeat([]byte("x"), 255), "\u00e9"...))
	s.aes(cryptoki.CKA_ID, []byte{0xff, 0, 0xfe}, cryptoki.CKA_LABEL, "caf\xe9")
	s.aes(cryptoki.CKA_ID, bytes.Repeat([]byte{0xaa}, 300), cryptoki.CKA_LABEL, label)
	var list wire.ContentsReply
	s.must(s.do(wire.CallContents, &wire.ContentsRequest{}, &list))
	if !slices.Equal(list.Ids, []string{"ff00fe", strings.Repeat("aa", 256)}) {
		t.Errorf("the ids are %q", list.Ids)
	}
	if !slices.Equal(list.Labels, []string{"caf\ufffd", label[:255] + "\ufffd"}) {
		t.Errorf("the labels are %q", list.Labels)
	}
}

func TestSetAttributesIsWholeOrNothing(t *testing.T) {
	s := newHSM(t).user()
	for _, token := range []bool{true, false} {
		h := s.mustCreate(dataObject(token, false, "before"))
		rv := s.set(h, attrs(cryptoki.CKA_LABEL, "after", cryptoki.CKA_CLASS, cryptoki.CKO_DATA))
		want(t, "a change of the class", rv, cryptoki.CKR_ATTRIBUTE_READ_ONLY)
		if got := s.value(h, cryptoki.CKA_LABEL); string(got) != "before" {
			t.Errorf("half a change was made: label %q", got)
		}
		s.must(s.set(h, attrs(cryptoki.CKA_LABEL, "after")))
		if got := s.find(attrs(cryptoki.CKA_LABEL, "after")); !slices.Contains(got, h) {
			t.Errorf("by its new label found %v, want %d", got, h)
		}
		if got := s.find(attrs(cryptoki.CKA_LABEL, "before")); len(got) != 0 {
			t.Errorf("by its old label found %v", got)
		}
	}
}

// Every object has a CKA_UNIQUE_ID of its own, which stays and by which it is found.
func TestUniqueIDs(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	public, private := s.pair(true, "pair")
	session := s.mustCreate(dataObject(false, false, ""))
	copied, rv := s.copyObject(newToken(), private, nil)
	s.must(rv)
	ids := map[string]uint64{}
	for _, h := range []uint64{public, private, session, copied} {
		id := s.value(h, cryptoki.CKA_UNIQUE_ID)
		ids[string(id)] = h
		if got := s.find(attrs(cryptoki.CKA_UNIQUE_ID, id)); !slices.Equal(got, []uint64{h}) {
			t.Errorf("by the ID of %#x found %#x", h, got)
		}
		if got := s.find(attrs(cryptoki.CKA_UNIQUE_ID, id, cryptoki.CKA_LABEL, "other")); len(got) != 0 {
			t.Errorf("by the ID of %#x and another label found %#x", h, got)
		}
		if p, rv := s.page(attrs(cryptoki.CKA_UNIQUE_ID, id), h, 0); rv != cryptoki.CKR_OK || len(p.Objects) != 0 {
			t.Errorf("behind %#x found %#x: %v", h, p.Objects, rv)
		}
		want(t, "another ID", s.set(h, attrs(cryptoki.CKA_UNIQUE_ID, "x")), cryptoki.CKR_ATTRIBUTE_READ_ONLY)
	}
	if len(ids) != 4 {
		t.Errorf("the IDs are %v", ids)
	}
	id := s.value(private, cryptoki.CKA_UNIQUE_ID)
	nobody := b.app().open(readWrite)
	for what, template := range map[string]cryptoki.Template{
		"of a private object": attrs(cryptoki.CKA_UNIQUE_ID, id), "in other letters": attrs(cryptoki.CKA_UNIQUE_ID, "0000000000000A00"),
		"of nothing": attrs(cryptoki.CKA_UNIQUE_ID, "ffffffffffffffff"), "that is none": attrs(cryptoki.CKA_UNIQUE_ID, ""),
		"and another": attrs(cryptoki.CKA_UNIQUE_ID, s.value(public, cryptoki.CKA_UNIQUE_ID), cryptoki.CKA_UNIQUE_ID, id),
	} {
		if got := nobody.find(template); len(got) != 0 {
			t.Errorf("by an ID %s found %#x", what, got)
		}
	}
	b.restart()
	if got := b.user().value(private, cryptoki.CKA_UNIQUE_ID); !bytes.Equal(got, id) {
		t.Errorf("the ID was %s and is %s after a restart", id, got)
	}
}
