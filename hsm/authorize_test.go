package hsm_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

const (
	keyData   = "owner's data"
	wrongData = "not his data"
	// keyTries is how many wrong authorizations in a row a key bears.
	keyTries = 3
)

func (s session) authorize(key uint64, data string) cryptoki.RV {
	return s.do(wire.CallAuthorizeKey, &wire.AuthorizeKeyRequest{Key: key, Data: wire.Secret(data)}, &wire.AuthorizeKeyReply{})
}

func (s session) setAuth(key uint64, old, data string) cryptoki.RV {
	return s.do(wire.CallSetAuthorizationData, &wire.SetAuthorizationDataRequest{Key: key, Old: wire.Secret(old), New: wire.Secret(data)}, &wire.SetAuthorizationDataReply{})
}

func (s session) resetAuth(key uint64, data string) cryptoki.RV {
	return s.do(wire.CallResetAuthorizationData, &wire.ResetAuthorizationDataRequest{Key: key, New: wire.Secret(data)}, &wire.ResetAuthorizationDataReply{})
}

func (s session) assignKey(key uint64) cryptoki.RV {
	return s.do(wire.CallAssignKey, &wire.AssignKeyRequest{Key: key}, &wire.AssignKeyReply{})
}

func (s session) countFailure(key uint64) cryptoki.RV {
	return s.do(wire.CallIncrementFailedAuthCount, &wire.IncrementFailedAuthCountRequest{Key: key}, &wire.IncrementFailedAuthCountReply{})
}

// version1HSM is a test HSM whose partition is of version 1.
func version1HSM(t testing.TB) *box {
	t.Helper()
	return newHSMLike(t, hsm.Development{Version: &version1})
}

// again opens another session of the same application.
func (s session) again() session { return s.client.open(readWrite) }

// guardedKey generates an AES key with authorization data for CBC, a token object.
func (s session) guardedKey(pairs ...any) uint64 {
	s.t.Helper()
	return s.aes(append([]any{cryptoki.CKA_TOKEN, true, cryptoki.CKA_ENCRYPT, true, cryptoki.CKA_AUTH_DATA, keyData}, pairs...)...)
}

// encrypt uses a key in one part, Init and operation apart.
func (s session) encrypt(key uint64) cryptoki.RV {
	s.t.Helper()
	s.mustInit(mech.Encrypt, cbc, key)
	_, rv := s.operate(mech.Encrypt, []byte("data"), nil, anyRoom)
	return rv
}

// status reads what a key shows of its authorization.
func (s session) status(key uint64) (flags byte, failed uint64) {
	s.t.Helper()
	status := s.value(key, cryptoki.CKA_KEY_STATUS)
	if len(status) != 4 || status[1] != keyTries {
		s.t.Errorf("CKA_KEY_STATUS is %x", status)
	}
	failed, _ = cryptoki.ParseULong(s.value(key, cryptoki.CKA_FAILED_KEY_AUTH_COUNT))
	return status[0], failed
}

func (s session) wantStatus(what string, key uint64, flags byte, failed uint64) {
	s.t.Helper()
	if f, n := s.status(key); f != flags || n != failed {
		s.t.Errorf("%s: flags %#x and %d failures, want %#x and %d", what, f, n, flags, failed)
	}
}

// limited is a session of a Limited Crypto Officer, whom the Crypto Officer makes.
func (b *box) limited(co session) session {
	b.t.Helper()
	co.must(co.initRole(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, lcoPIN))
	s := b.app().open(readWrite)
	s.must(s.login(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, lcoPIN))
	return s
}

// PKA-1, PKA-8.
func TestAuthDataIsNeverShown(t *testing.T) {
	s := version1HSM(t).user()
	plain, guarded := s.aes(cryptoki.CKA_TOKEN, true, cryptoki.CKA_ENCRYPT, true), s.guardedKey()
	for _, key := range []uint64{plain, guarded} {
		_, rv := s.get(key, cryptoki.CKA_AUTH_DATA)
		want(t, "CKA_AUTH_DATA", rv, cryptoki.CKR_ATTRIBUTE_SENSITIVE)
		if s.value(key, cryptoki.CKA_ASSIGNED)[0] != 0 {
			t.Error("a new key is assigned")
		}
	}
	s.wantStatus("a key without data", plain, 0, 0)
	s.wantStatus("a key with data", guarded, 1, 0)
	want(t, "a key without data", s.encrypt(plain), cryptoki.CKR_OK)
	small, _ := s.size(plain)
	if size, _ := s.size(guarded); size != small {
		t.Errorf("authorization data makes %d bytes of %d", size, small)
	}
	public, _ := s.pair(true, "pair")
	_, rv := s.get(public, cryptoki.CKA_AUTH_DATA)
	want(t, "CKA_AUTH_DATA of a public key", rv, cryptoki.CKR_ATTRIBUTE_TYPE_INVALID)
	_, private, rv := s.generatePair(newToken(), ecKeyPairGen, attrs(cryptoki.CKA_EC_PARAMS, p256), attrs(cryptoki.CKA_SIGN, true, cryptoki.CKA_AUTH_DATA, keyData))
	s.must(rv)
	s.wantStatus("a private key with data", private, 1, 0)
	_, rv = s.fused(mech.Sign, ecdsaSHA256, private, []byte("data"), nil, anyRoom)
	want(t, "signing", rv, cryptoki.CKR_KEY_NOT_AUTHORIZED)
	s.must(s.destroy(private))
	if found := s.find(attrs(cryptoki.CKA_KEY_STATUS, []byte{1, 3, 0, 0})); !slices.Equal(found, []uint64{guarded}) {
		t.Errorf("found %v by CKA_KEY_STATUS", found)
	}
	if found := s.find(attrs(cryptoki.CKA_AUTH_DATA, keyData)); len(found) != 0 {
		t.Errorf("found %v by CKA_AUTH_DATA", found)
	}
}

// What a template may say of authorization data.
func TestAuthDataInTemplates(t *testing.T) {
	s := version1HSM(t).user()
	secretKey := attrs(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_AES, cryptoki.CKA_VALUE, make([]byte, 32))
	data := dataObject(false, true, "data")
	for _, c := range []struct {
		name     string
		template cryptoki.Template
		want     cryptoki.RV
	}{
		{"7 bytes", with(secretKey, cryptoki.CKA_AUTH_DATA, "1234567"), cryptoki.CKR_AUTH_DATA_TOO_SMALL},
		{"8 bytes", with(secretKey, cryptoki.CKA_AUTH_DATA, "12345678"), cryptoki.CKR_OK},
		{"255 bytes", with(secretKey, cryptoki.CKA_AUTH_DATA, make([]byte, 255)), cryptoki.CKR_OK},
		{"256 bytes", with(secretKey, cryptoki.CKA_AUTH_DATA, make([]byte, 256)), cryptoki.CKR_AUTH_DATA_TOO_LARGE},
		{"twice", with(secretKey, cryptoki.CKA_AUTH_DATA, keyData, cryptoki.CKA_AUTH_DATA, keyData), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"a data object", with(data, cryptoki.CKA_AUTH_DATA, keyData), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"inside a template", with(secretKey, cryptoki.CKA_DERIVE_TEMPLATE, templateOf(cryptoki.CKA_AUTH_DATA, make([]byte, 48))), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"assigned without data", with(secretKey, cryptoki.CKA_ASSIGNED, true), cryptoki.CKR_ASSIGNED_KEY_REQUIRES_AUTH_DATA},
		{"assigned and modifiable", with(secretKey, cryptoki.CKA_ASSIGNED, true, cryptoki.CKA_AUTH_DATA, keyData), cryptoki.CKR_ASSIGNED_KEY_FAILED_ATTRIBUTE_DEPENDENCIES},
		{"assigned", with(secretKey, cryptoki.CKA_ASSIGNED, true, cryptoki.CKA_AUTH_DATA, keyData, cryptoki.CKA_MODIFIABLE, false), cryptoki.CKR_OK},
	} {
		_, rv := s.create(newToken(), c.template)
		want(t, c.name, rv, c.want)
	}
	key := s.guardedKey()
	want(t, "set", s.set(key, attrs(cryptoki.CKA_AUTH_DATA, keyData)), cryptoki.CKR_ATTRIBUTE_READ_ONLY)
	_, rv := s.copyObject(newToken(), key, attrs(cryptoki.CKA_AUTH_DATA, keyData))
	want(t, "copy", rv, cryptoki.CKR_ATTRIBUTE_READ_ONLY)
}

// PKA-7, and partition policy 40 off.
func TestAuthDataNotAllowed(t *testing.T) {
	off := version1HSM(t)
	off.setPartition(policy.Change{ID: policy.PerKeyAuth, Value: 0})
	for name, b := range map[string]*box{"version 0": newHSM(t), "before 7.7": newHSMLike(t, hsm.Development{Level: before77}), "policy 40 off": off} {
		t.Run(name, func(t *testing.T) {
			s := b.user()
			_, rv := s.generate(newToken(), aesKeyGen, attrs(cryptoki.CKA_VALUE_LEN, 16, cryptoki.CKA_AUTH_DATA, keyData))
			want(t, "generate", rv, cryptoki.CKR_AUTH_DATA_NOT_ALLOWED)
			_, rv = s.generate(newToken(), aesKeyGen, attrs(cryptoki.CKA_VALUE_LEN, 16, cryptoki.CKA_ASSIGNED, true))
			want(t, "generate assigned", rv, cryptoki.CKR_ASSIGNED_KEY_NOT_ALLOWED)
			_, rv = s.create(newToken(), with(secretAES, cryptoki.CKA_VALUE, make([]byte, 16), cryptoki.CKA_AUTH_DATA, keyData))
			want(t, "create", rv, cryptoki.CKR_AUTH_DATA_NOT_ALLOWED)
			_, _, rv = s.generatePair(newToken(), ecKeyPairGen, attrs(cryptoki.CKA_EC_PARAMS, p256), attrs(cryptoki.CKA_AUTH_DATA, keyData))
			want(t, "a pair", rv, cryptoki.CKR_AUTH_DATA_NOT_ALLOWED)
			key := s.aesKey(true, "key")
			want(t, "authorize", s.authorize(key, keyData), cryptoki.CKR_KEY_CANNOT_BE_AUTHORIZED)
			want(t, "set", s.setAuth(key, "", keyData), cryptoki.CKR_AUTH_DATA_NOT_ALLOWED)
			want(t, "reset", s.resetAuth(key, keyData), cryptoki.CKR_AUTH_DATA_NOT_ALLOWED)
			want(t, "assign", s.assignKey(key), cryptoki.CKR_ASSIGNED_KEY_NOT_ALLOWED)
			want(t, "count", s.countFailure(key), cryptoki.CKR_KEY_CANNOT_BE_AUTHORIZED)
			want(t, "use", s.encrypt(key), cryptoki.CKR_OK)
		})
	}
}

// PKA-2: an authorization is one session's, and ends with it, with its login and with the
// server.
func TestAuthorizationIsTheSessions(t *testing.T) {
	b := version1HSM(t)
	i := newIdentity()
	s := b.join(i).open(readWrite)
	s.must(s.login(cryptoki.CKU_USER, coPIN))
	other := s.again()
	key := s.guardedKey()

	p, rv := s.init(mech.Encrypt, cbc, key)
	s.must(rv)
	if p.Permit {
		t.Error("a permit for a key with authorization data")
	}
	_, rv = s.operate(mech.Encrypt, []byte("data"), nil, partition.AskLength)
	want(t, "the question for the length", rv, cryptoki.CKR_KEY_NOT_AUTHORIZED)
	_, rv = s.operate(mech.Encrypt, []byte("data"), nil, anyRoom)
	want(t, "the operation afterwards", rv, cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	want(t, "without", s.encrypt(key), cryptoki.CKR_KEY_NOT_AUTHORIZED)
	_, rv = s.fused(mech.Encrypt, cbc, key, []byte("data"), nil, anyRoom)
	want(t, "Init and operation in one", rv, cryptoki.CKR_KEY_NOT_AUTHORIZED)
	s.mustInit(mech.Encrypt, cbc, key)
	_, rv = s.update(mech.Encrypt, []byte("data"), anyRoom)
	want(t, "a part", rv, cryptoki.CKR_KEY_NOT_AUTHORIZED)
	_, rv = s.final(mech.Encrypt, nil, anyRoom)
	want(t, "the end afterwards", rv, cryptoki.CKR_OPERATION_NOT_INITIALIZED)

	s.must(s.authorize(key, keyData))
	want(t, "authorized", s.encrypt(key), cryptoki.CKR_OK)
	want(t, "another session", other.encrypt(key), cryptoki.CKR_KEY_NOT_AUTHORIZED)
	s.must(s.close())
	s = other.again()
	want(t, "a new session", s.encrypt(key), cryptoki.CKR_KEY_NOT_AUTHORIZED)

	s.must(s.authorize(key, keyData))
	s.must(s.logout())
	s.must(s.login(cryptoki.CKU_USER, coPIN))
	want(t, "after another login", s.encrypt(key), cryptoki.CKR_KEY_NOT_AUTHORIZED)

	s.must(s.authorize(key, keyData))
	b.restart()
	s = b.user()
	want(t, "after a restart", s.encrypt(key), cryptoki.CKR_KEY_NOT_AUTHORIZED)
	s.must(s.authorize(key, keyData))
	want(t, "authorized after a restart", s.encrypt(key), cryptoki.CKR_OK)
}

// Every use of a key's value wants its authorization, and none has a way around.
func TestWhatNeedsAuthorization(t *testing.T) {
	b := version1HSM(t)
	b.setPartition(policy.Change{ID: policy.DigestKey, Value: 1})
	s := b.user()
	kek := s.aes(cryptoki.CKA_WRAP, true, cryptoki.CKA_UNWRAP, true)
	wrapped := s.mustWrap(keyWrapPad, kek, s.aes(cryptoki.CKA_EXTRACTABLE, true))
	guardedKEK := s.aes(cryptoki.CKA_WRAP, true, cryptoki.CKA_UNWRAP, true, cryptoki.CKA_AUTH_DATA, keyData)
	leaving := s.guardedKey(cryptoki.CKA_EXTRACTABLE, true, cryptoki.CKA_SENSITIVE, false)
	plain := s.aes(cryptoki.CKA_EXTRACTABLE, true)
	base, rv := s.generate(newToken(), genericKeyGen, attrs(cryptoki.CKA_VALUE_LEN, 32, cryptoki.CKA_DERIVE, true, cryptoki.CKA_AUTH_DATA, keyData))
	s.must(rv)
	uses := []struct {
		name string
		key  uint64
		use  func() cryptoki.RV
	}{
		{"encrypt", leaving, func() cryptoki.RV { return s.encrypt(leaving) }},
		{"wrap with", guardedKEK, func() cryptoki.RV { return only(s.wrap(keyWrapPad, guardedKEK, plain, anyRoom)) }},
		{"wrap", leaving, func() cryptoki.RV { return only(s.wrap(keyWrapPad, kek, leaving, anyRoom)) }},
		{"length of a wrapped key", leaving, func() cryptoki.RV { return only(s.wrap(keyWrapPad, kek, leaving, partition.AskLength)) }},
		{"message", leaving, func() cryptoki.RV { return only(s.message(mech.Encrypt, messagesGCM, leaving, nil)) }},
		{"derive", base, func() cryptoki.RV {
			return only(s.derive(newToken(), hkdf, base, attrs(cryptoki.CKA_VALUE_LEN, 32)))
		}},
		{"digest", leaving, func() cryptoki.RV {
			s.mustInit(mech.Digest, sha256, 0)
			rv := s.digestKey(leaving)
			s.must(s.cancel(mech.Digest))
			return rv
		}},
	}
	for _, u := range uses {
		want(t, u.name, u.use(), cryptoki.CKR_KEY_NOT_AUTHORIZED)
	}
	_, rv = s.unwrap(newToken(), keyWrapPad, guardedKEK, wrapped, secretAES)
	want(t, "unwrap", rv, cryptoki.CKR_KEY_NOT_AUTHORIZED)
	_, rv = s.get(leaving, cryptoki.CKA_VALUE)
	want(t, "read", rv, cryptoki.CKR_ATTRIBUTE_SENSITIVE)
	for _, u := range uses {
		s.must(s.authorize(u.key, keyData))
		want(t, u.name+", authorized", u.use(), cryptoki.CKR_OK)
	}
	// What comes in has authorization data when its template says so.
	for name, h := range map[string]func() (uint64, cryptoki.RV){
		"unwrapped": func() (uint64, cryptoki.RV) {
			return s.unwrap(newToken(), keyWrapPad, kek, wrapped, with(secretAES, cryptoki.CKA_ENCRYPT, true, cryptoki.CKA_AUTH_DATA, keyData))
		},
		"derived": func() (uint64, cryptoki.RV) {
			return s.derive(newToken(), hkdf, base, attrs(cryptoki.CKA_KEY_TYPE, cryptoki.CKK_AES, cryptoki.CKA_VALUE_LEN, 32, cryptoki.CKA_ENCRYPT, true, cryptoki.CKA_AUTH_DATA, keyData))
		},
	} {
		key, rv := h()
		s.must(rv)
		want(t, name, s.encrypt(key), cryptoki.CKR_KEY_NOT_AUTHORIZED)
		s.must(s.authorize(key, keyData))
		want(t, name+", authorized", s.encrypt(key), cryptoki.CKR_OK)
	}
	unguarded, rv := s.unwrap(newToken(), keyWrapPad, kek, wrapped, with(secretAES, cryptoki.CKA_ENCRYPT, true))
	s.must(rv)
	s.wantStatus("unwrapped without data", unguarded, 0, 0)
}

// PKA-3.
func TestWrongAuthorizationsLock(t *testing.T) {
	b := version1HSM(t)
	s := b.user()
	other := s.again()
	key := s.guardedKey()
	s.must(s.authorize(key, keyData))
	want(t, "too small", other.authorize(key, "1234567"), cryptoki.CKR_AUTH_DATA_TOO_SMALL)
	want(t, "too large", other.authorize(key, string(make([]byte, 256))), cryptoki.CKR_AUTH_DATA_TOO_LARGE)
	other.wantStatus("bad lengths", key, 1, 0)
	want(t, "wrong 1", other.authorize(key, wrongData), cryptoki.CKR_AUTH_DATA_INCORRECT)
	want(t, "wrong 2", other.authorize(key, wrongData), cryptoki.CKR_AUTH_DATA_INCORRECT)
	other.wantStatus("two wrong", key, 1, 2)
	if found := s.find(attrs(cryptoki.CKA_FAILED_KEY_AUTH_COUNT, 2)); !slices.Equal(found, []uint64{key}) {
		t.Errorf("found %v by the count", found)
	}
	s.must(other.authorize(key, keyData))
	other.wantStatus("forgiven", key, 1, 0)
	for range keyTries - 1 {
		want(t, "wrong", other.authorize(key, wrongData), cryptoki.CKR_AUTH_DATA_INCORRECT)
	}
	s.mustInit(mech.Encrypt, cbc, key)
	_, rv := s.update(mech.Encrypt, []byte("data"), anyRoom)
	s.must(rv)
	want(t, "the last", other.authorize(key, wrongData), cryptoki.CKR_AUTH_DATA_INCORRECT_AND_LIMIT_REACHED)
	_, rv = s.update(mech.Encrypt, []byte("data"), anyRoom)
	want(t, "the next part of who was authorized", rv, cryptoki.CKR_KEY_NOT_ACTIVE)
	want(t, "who was authorized", s.encrypt(key), cryptoki.CKR_KEY_NOT_ACTIVE)
	want(t, "the right data", other.authorize(key, keyData), cryptoki.CKR_KEY_NOT_ACTIVE)
	other.wantStatus("locked", key, 3, 3)
	b.restart()
	s = b.user()
	s.wantStatus("after a restart", key, 3, 3)
	want(t, "the right data after a restart", s.authorize(key, keyData), cryptoki.CKR_KEY_NOT_ACTIVE)
	want(t, "use after a restart", s.encrypt(key), cryptoki.CKR_KEY_NOT_ACTIVE)
	var wrong []cryptoki.RV
	for _, e := range b.joinAs(administrator).auditEntries() {
		if e.Record.Event == audit.EventAuthorize && e.Record.Result != cryptoki.CKR_OK {
			if uint64(e.Record.Object) != key {
				t.Errorf("the log has key %d", e.Record.Object)
			}
			wrong = append(wrong, e.Record.Result)
		}
	}
	incorrect := cryptoki.CKR_AUTH_DATA_INCORRECT
	if !slices.Equal(wrong, []cryptoki.RV{incorrect, incorrect, incorrect, incorrect, cryptoki.CKR_AUTH_DATA_INCORRECT_AND_LIMIT_REACHED}) {
		t.Errorf("the log has %v", wrong)
	}
}

// interruptAuthorize tries authorization data and restarts the HSM between the first
// durable step and the second.
func (b *box) interruptAuthorize(key uint64, data string) {
	b.t.Helper()
	s := b.user()
	updates := 0
	cut := func() error {
		if updates++; updates > 1 {
			return errors.New("the plug was pulled")
		}
		return nil
	}
	b.store.onUpdate.Store(&cut)
	want(b.t, "an interrupted authorization", s.authorize(key, data), cryptoki.CKR_DEVICE_ERROR)
	want(b.t, "use after it", s.encrypt(key), cryptoki.CKR_KEY_NOT_AUTHORIZED)
	b.restart()
}

// A try whose outcome was lost counts as a wrong one, but for the last: whoever pulls the
// plug gets no guess back, and a crash alone locks no key.
func TestInterruptedAuthorizations(t *testing.T) {
	b := version1HSM(t)
	key := b.user().guardedKey()
	for range 2 * keyTries {
		b.interruptAuthorize(key, wrongData)
		b.interruptAuthorize(key, keyData)
	}
	s := b.user()
	s.wantStatus("only crashes", key, 1, keyTries-1)
	s.must(s.authorize(key, keyData))
	s.wantStatus("forgiven", key, 1, 0)

	b.interruptAuthorize(key, wrongData)
	b.interruptAuthorize(key, wrongData)
	s = b.user()
	want(t, "one wrong try after two that were lost", s.authorize(key, wrongData), cryptoki.CKR_AUTH_DATA_INCORRECT_AND_LIMIT_REACHED)
	want(t, "the right data", s.authorize(key, keyData), cryptoki.CKR_KEY_NOT_ACTIVE)
}

// PKA-4: the owner changes the data, the Crypto Officer resets it.
func TestChangingAuthData(t *testing.T) {
	const changed = "changed data"
	for _, token := range []bool{true, false} {
		b := version1HSM(t)
		s := b.user()
		key := s.guardedKey()
		if !token {
			key = s.aes(cryptoki.CKA_ENCRYPT, true, cryptoki.CKA_AUTH_DATA, keyData)
		}
		s.must(s.authorize(key, keyData))
		want(t, "wrong old data", s.setAuth(key, wrongData, changed), cryptoki.CKR_AUTH_DATA_INCORRECT)
		want(t, "small new data", s.setAuth(key, keyData, "1234567"), cryptoki.CKR_AUTH_DATA_TOO_SMALL)
		want(t, "no old data", s.setAuth(key, "", changed), cryptoki.CKR_AUTH_DATA_TOO_SMALL)
		s.wantStatus("one wrong", key, 1, 1)
		s.mustInit(mech.Encrypt, cbc, key)
		_, rv := s.update(mech.Encrypt, []byte("data"), anyRoom)
		s.must(rv)
		s.must(s.setAuth(key, keyData, changed))
		_, rv = s.update(mech.Encrypt, []byte("data"), anyRoom)
		want(t, "an operation from before", rv, cryptoki.CKR_KEY_NOT_AUTHORIZED)
		want(t, "the authorization from before", s.encrypt(key), cryptoki.CKR_KEY_NOT_AUTHORIZED)
		s.wantStatus("changed", key, 1, 0)
		want(t, "the data from before", s.authorize(key, keyData), cryptoki.CKR_AUTH_DATA_INCORRECT)
		s.must(s.authorize(key, changed))
		want(t, "the new data", s.encrypt(key), cryptoki.CKR_OK)
		for range keyTries {
			s.setAuth(key, wrongData, changed)
		}
		want(t, "locked by wrong changes", s.encrypt(key), cryptoki.CKR_KEY_NOT_ACTIVE)
		s.must(s.resetAuth(key, keyData))
		s.wantStatus("reset", key, 1, 0)
		want(t, "the authorization before the reset", s.encrypt(key), cryptoki.CKR_KEY_NOT_AUTHORIZED)
		s.must(s.authorize(key, keyData))
		want(t, "the data of the reset", s.encrypt(key), cryptoki.CKR_OK)
	}
}

// PKA-8: a key without data is used as ever until the Crypto Officer gives it some.
func TestFirstAuthData(t *testing.T) {
	b := version1HSM(t)
	co := b.user()
	lco := b.limited(co)
	key := co.aesKey(true, "key")
	want(t, "authorize a key without data", co.authorize(key, keyData), cryptoki.CKR_KEY_CANNOT_BE_AUTHORIZED)
	want(t, "change what is not there", co.setAuth(key, keyData, wrongData), cryptoki.CKR_KEY_CANNOT_BE_AUTHORIZED)
	want(t, "by the Limited Crypto Officer", lco.setAuth(key, "", keyData), cryptoki.CKR_USER_NOT_AUTHORIZED)
	co.mustInit(mech.Encrypt, cbc, key)
	co.must(co.setAuth(key, "", keyData))
	co.wantStatus("first data", key, 1, 0)
	_, rv := co.operate(mech.Encrypt, []byte("data"), nil, anyRoom)
	want(t, "an operation from before", rv, cryptoki.CKR_KEY_NOT_AUTHORIZED)
	lco.must(lco.authorize(key, keyData))
	want(t, "by who knows the data", lco.encrypt(key), cryptoki.CKR_OK)
	public, _ := co.pair(true, "pair")
	want(t, "a public key", co.resetAuth(public, keyData), cryptoki.CKR_KEY_CANNOT_BE_AUTHORIZED)
	data := co.mustCreate(dataObject(true, true, "data"))
	want(t, "a data object", co.resetAuth(data, keyData), cryptoki.CKR_KEY_HANDLE_INVALID)
}

// Who may make which call.
func TestRolesOfAuthorization(t *testing.T) {
	b := version1HSM(t)
	co := b.user()
	lco := b.limited(co)
	co.must(co.initRole(cryptoki.CKU_CRYPTO_USER, cuPIN))
	cu := b.app().open(readWrite)
	cu.must(cu.login(cryptoki.CKU_CRYPTO_USER, cuPIN))
	key := lco.guardedKey(cryptoki.CKA_PRIVATE, false)
	nobody, readOnly := b.app().open(readWrite), co.client.open(readOnly)
	no, out := cryptoki.CKR_USER_NOT_AUTHORIZED, cryptoki.CKR_USER_NOT_LOGGED_IN
	calls := []struct {
		name                  string
		call                  func(session) cryptoki.RV
		lco, cu, nobody, roCO cryptoki.RV
	}{
		{"authorize", func(s session) cryptoki.RV { return s.authorize(key, keyData) }, cryptoki.CKR_OK, no, out, cryptoki.CKR_OK},
		{"set", func(s session) cryptoki.RV { return s.setAuth(key, keyData, keyData) }, cryptoki.CKR_OK, no, out, cryptoki.CKR_SESSION_READ_ONLY},
		{"reset", func(s session) cryptoki.RV { return s.resetAuth(key, keyData) }, no, no, out, cryptoki.CKR_SESSION_READ_ONLY},
		{"count", func(s session) cryptoki.RV { return s.countFailure(key) }, no, no, out, cryptoki.CKR_OK},
		{"assign", func(s session) cryptoki.RV { return s.assignKey(key) }, cryptoki.CKR_ROLE_CANNOT_MAKE_KEYS_ASSIGNED, cryptoki.CKR_ROLE_CANNOT_MAKE_KEYS_ASSIGNED, out, cryptoki.CKR_SESSION_READ_ONLY},
	}
	for _, c := range calls {
		want(t, c.name+" by the LCO", c.call(lco), c.lco)
		want(t, c.name+" by the CU", c.call(cu), c.cu)
		want(t, c.name+" by nobody", c.call(nobody), c.nobody)
		want(t, c.name+" in a read-only session", c.call(readOnly), c.roCO)
	}
	want(t, "use by the CU", cu.encrypt(key), cryptoki.CKR_KEY_NOT_AUTHORIZED)
	_, rv := lco.generate(newToken(), aesKeyGen, attrs(cryptoki.CKA_VALUE_LEN, 16, cryptoki.CKA_ASSIGNED, true, cryptoki.CKA_AUTH_DATA, keyData, cryptoki.CKA_MODIFIABLE, false))
	want(t, "an assigned key by the LCO", rv, cryptoki.CKR_ROLE_CANNOT_MAKE_KEYS_ASSIGNED)
}

// PKA-4, PKA-5: nobody but its owner changes an assigned key.
func TestAssignedKey(t *testing.T) {
	b := version1HSM(t)
	s := b.user()
	lco := b.limited(s)
	for _, c := range []struct {
		name  string
		pairs []any
	}{
		{"modifiable", []any{cryptoki.CKA_MODIFIABLE, true}},
		{"extractable", []any{cryptoki.CKA_MODIFIABLE, false, cryptoki.CKA_EXTRACTABLE, true}},
		{"public", []any{cryptoki.CKA_MODIFIABLE, false, cryptoki.CKA_PRIVATE, false}},
		{"not sensitive", []any{cryptoki.CKA_MODIFIABLE, false, cryptoki.CKA_SENSITIVE, false}},
	} {
		want(t, c.name, s.assignKey(s.guardedKey(c.pairs...)), cryptoki.CKR_ASSIGNED_KEY_FAILED_ATTRIBUTE_DEPENDENCIES)
	}
	want(t, "no data", s.assignKey(s.aesKey(true, "key")), cryptoki.CKR_ASSIGNED_KEY_REQUIRES_AUTH_DATA)

	key := lco.guardedKey(cryptoki.CKA_MODIFIABLE, false)
	early, rv := s.copyObject(newToken(), key, nil)
	s.must(rv)
	s.must(s.assignKey(key))
	want(t, "assigned again", s.assignKey(key), cryptoki.CKR_OK)
	check := func(s session) {
		t.Helper()
		if s.value(key, cryptoki.CKA_ASSIGNED)[0] != 1 {
			t.Error("CKA_ASSIGNED is false")
		}
		want(t, "use", s.encrypt(key), cryptoki.CKR_KEY_NOT_AUTHORIZED)
		want(t, "set", s.set(key, attrs(cryptoki.CKA_LABEL, "mine")), cryptoki.CKR_ASSIGNED_KEY_CANNOT_BE_MODIFIED)
		want(t, "unassign", s.set(key, attrs(cryptoki.CKA_ASSIGNED, false)), cryptoki.CKR_ASSIGNED_KEY_CANNOT_BE_MODIFIED)
		_, rv := s.copyObject(newToken(), key, nil)
		want(t, "copy", rv, cryptoki.CKR_ASSIGNED_KEY_CANNOT_BE_MODIFIED)
		_, rv = s.wrap(keyWrapPad, s.aes(cryptoki.CKA_WRAP, true), key, anyRoom)
		want(t, "wrap", rv, cryptoki.CKR_KEY_UNEXTRACTABLE)
		want(t, "reset", s.resetAuth(key, wrongData), cryptoki.CKR_ASSIGNED_KEY_CANNOT_BE_RESET)
		want(t, "reset of a copy from before", s.resetAuth(early, wrongData), cryptoki.CKR_ASSIGNED_KEY_CANNOT_BE_RESET)
	}
	check(s)
	b.restart()
	s = b.user()
	check(s)
	s.must(s.authorize(key, keyData))
	want(t, "use by its owner", s.encrypt(key), cryptoki.CKR_OK)
	s.must(s.setAuth(key, keyData, "owner's next"))
	want(t, "reset after the owner's change", s.resetAuth(key, wrongData), cryptoki.CKR_ASSIGNED_KEY_CANNOT_BE_RESET)
	want(t, "reset of a copy after it", s.resetAuth(early, wrongData), cryptoki.CKR_ASSIGNED_KEY_CANNOT_BE_RESET)
	s.must(s.setAuth(early, keyData, "the copy's next"))
	want(t, "reset of a copy with other data", s.resetAuth(early, wrongData), cryptoki.CKR_ASSIGNED_KEY_CANNOT_BE_RESET)
	s.must(s.authorize(key, "owner's next"))
	s.must(s.destroy(key))
	want(t, "reset of a copy after the key is gone", s.resetAuth(early, wrongData), cryptoki.CKR_ASSIGNED_KEY_CANNOT_BE_RESET)

	born := s.guardedKey(cryptoki.CKA_MODIFIABLE, false, cryptoki.CKA_ASSIGNED, true)
	want(t, "reset of a key that was made assigned", s.resetAuth(born, wrongData), cryptoki.CKR_ASSIGNED_KEY_CANNOT_BE_RESET)
	s.must(s.setAuth(born, keyData, "owner's next"))
	want(t, "and after its owner's change", s.resetAuth(born, wrongData), cryptoki.CKR_ASSIGNED_KEY_CANNOT_BE_RESET)

	locked := s.guardedKey(cryptoki.CKA_MODIFIABLE, false)
	for range keyTries {
		s.must(s.countFailure(locked))
	}
	want(t, "a locked key", s.assignKey(locked), cryptoki.CKR_KEY_NOT_ACTIVE)
}

// Copies share one count, and the owner of none gets guesses by another.
func TestCopiesShareTheirCount(t *testing.T) {
	s := version1HSM(t).user()
	key := s.guardedKey()
	other, rv := s.copyObject(newToken(), key, nil)
	s.must(rv)
	s.wantStatus("the copy", other, 1, 0)
	want(t, "the copy without authorization", s.encrypt(other), cryptoki.CKR_KEY_NOT_AUTHORIZED)
	want(t, "wrong", s.authorize(key, wrongData), cryptoki.CKR_AUTH_DATA_INCORRECT)
	s.wantStatus("the copy after a wrong try", other, 1, 1)
	// With data of its own it has a count of its own.
	s.must(s.resetAuth(other, "another's data"))
	s.wantStatus("the copy with other data", other, 1, 0)
	s.must(s.authorize(other, "another's data"))
	s.wantStatus("the key", key, 1, 1)
	want(t, "wrong again", s.authorize(key, wrongData), cryptoki.CKR_AUTH_DATA_INCORRECT)
	s.must(s.authorize(other, "another's data"))
	want(t, "the last", s.authorize(key, wrongData), cryptoki.CKR_AUTH_DATA_INCORRECT_AND_LIMIT_REACHED)
	want(t, "the copy goes on", s.encrypt(other), cryptoki.CKR_OK)
}

// PKA-12.
func TestCountingFailures(t *testing.T) {
	b := version1HSM(t)
	s := b.user()
	key := s.guardedKey()
	s.must(s.countFailure(key))
	s.wantStatus("one", key, 1, 1)
	s.must(s.authorize(key, keyData))
	s.wantStatus("forgiven", key, 1, 0)
	s.must(s.countFailure(key))
	s.must(s.countFailure(key))
	want(t, "below the limit", s.encrypt(key), cryptoki.CKR_OK)
	s.must(s.countFailure(key))
	want(t, "at the limit", s.encrypt(key), cryptoki.CKR_KEY_NOT_ACTIVE)
	want(t, "beyond it", s.countFailure(key), cryptoki.CKR_KEY_NOT_ACTIVE)
	counted := 0
	for _, e := range b.joinAs(administrator).auditEntries() {
		if e.Record.Event == audit.EventAuthorize && bytes.HasPrefix([]byte(e.Record.Detail), []byte("counted ")) {
			counted++
		}
	}
	if counted != 4 {
		t.Errorf("the log has %d of 4", counted)
	}
	b.restart()
	s = b.user()
	s.wantStatus("after a restart", key, 3, 3)
	s.must(s.resetAuth(key, keyData))
	s.must(s.authorize(key, keyData))
	want(t, "unlocked", s.encrypt(key), cryptoki.CKR_OK)
}

// testAuthorization makes every call of per-key authorization once.
func (b *box) testAuthorization(saw func(wire.Call)) {
	b.t.Helper()
	s := b.user()
	s.client.saw = saw
	key := s.guardedKey(cryptoki.CKA_MODIFIABLE, false)
	s.must(s.authorize(key, keyData))
	s.must(s.setAuth(key, keyData, keyData))
	s.must(s.resetAuth(key, keyData))
	s.must(s.countFailure(key))
	s.must(s.assignKey(key))
}
