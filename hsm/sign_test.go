package hsm_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	gosha256 "crypto/sha256"
	"math/big"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
)

// verifies checks an ECDSA signature in PKCS#11's form with Go's own package.
func verifies(t *testing.T, point, message, signature []byte) bool {
	t.Helper()
	// CKA_EC_POINT is an OCTET STRING of the uncompressed point (PKCS#11 3.2, 6.3.3).
	if len(point) != 67 || point[0] != 4 || point[1] != 65 {
		t.Fatalf("CKA_EC_POINT is %x", point)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point[2:])
	if err != nil {
		t.Fatal(err)
	}
	if len(signature) != 64 {
		t.Fatalf("a signature of %d bytes", len(signature))
	}
	digest := gosha256.Sum256(message)
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	return ecdsa.Verify(key, digest[:], r, s)
}

func TestLifeOfSign(t *testing.T) {
	b := newHSM(t)
	maker := b.user()
	public, private := maker.pair(true, "tls")
	point := maker.value(public, cryptoki.CKA_EC_POINT)

	s := b.user()
	for name, template := range map[string]cryptoki.Template{
		"label and class": attrs(cryptoki.CKA_LABEL, "tls", cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY),
		"id and class":    attrs(cryptoki.CKA_ID, "id of tls", cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY),
		"class":           attrs(cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY),
		"type and usage":  attrs(cryptoki.CKA_KEY_TYPE, cryptoki.CKK_EC, cryptoki.CKA_SIGN, true),
	} {
		if got := s.find(template); len(got) != 1 || got[0] != private {
			t.Errorf("by %s: found %v, want [%d]", name, got, private)
		}
	}

	message := []byte("to be signed")
	permit, rv := s.init(mech.Sign, ecdsaSHA256, private)
	s.must(rv)
	if !permit.Permit || mech.RuleKind(permit.Rule) != mech.RuleFixed || permit.RuleLength != 64 || permit.Flags != 1 {
		t.Errorf("the permit is %+v", permit)
	}
	signed, rv := s.operate(mech.Sign, message, nil, 64)
	s.must(rv)
	if signed.Length != 64 || !verifies(t, point, message, signed.Output) {
		t.Error("the signature of Operate does not verify")
	}
	_, rv = s.operate(mech.Sign, message, nil, 64)
	want(t, "the operation after its end", rv, cryptoki.CKR_OPERATION_NOT_INITIALIZED)

	fused, rv := s.fused(mech.Sign, ecdsaSHA256, private, message, nil, 64)
	s.must(rv)
	signature := bytes.Clone(fused.Output)
	if !verifies(t, point, message, signature) {
		t.Error("the signature of OperateFused does not verify")
	}

	s.mustInit(mech.Sign, ecdsaSHA256, private)
	for _, part := range [][]byte{message[:3], message[3:]} {
		_, rv := s.update(mech.Sign, part, 0)
		s.must(rv)
	}
	parts, rv := s.final(mech.Sign, nil, 64)
	s.must(rv)
	if !verifies(t, point, message, parts.Output) {
		t.Error("the signature of Update and Final does not verify")
	}

	_, rv = s.fused(mech.Verify, ecdsaSHA256, public, message, signature, 0)
	want(t, "verifying inside", rv, cryptoki.CKR_OK)
	_, rv = s.fused(mech.Verify, ecdsaSHA256, public, []byte("another message"), signature, 0)
	want(t, "verifying another message", rv, cryptoki.CKR_SIGNATURE_INVALID)
	_, rv = s.fused(mech.Verify, ecdsaSHA256, public, message, signature[:63], 0)
	want(t, "verifying a short signature", rv, cryptoki.CKR_SIGNATURE_LEN_RANGE)
}

// A permit tells the length of the output so well that the library can answer a
// question for it.
func TestPermitRules(t *testing.T) {
	s := newHSM(t).user()
	key := s.aesKey(false, "")
	permit, rv := s.init(mech.Encrypt, cbc, key)
	s.must(rv)
	if mech.RuleKind(permit.Rule) != mech.RulePadded || permit.RuleLength != 16 {
		t.Errorf("encrypting with %v: rule %d, length %d", cbc.Type, permit.Rule, permit.RuleLength)
	}
	s.must(s.cancel(mech.Encrypt))
	permit, rv = s.init(mech.Decrypt, cbc, key)
	s.must(rv)
	if mech.RuleKind(permit.Rule) != mech.RuleUnpadded || permit.RuleLength != 16 {
		t.Errorf("decrypting with %v: rule %d, length %d", cbc.Type, permit.Rule, permit.RuleLength)
	}
	permit, rv = s.init(mech.Digest, sha256, 0)
	s.must(rv)
	if !permit.Permit || mech.RuleKind(permit.Rule) != mech.RuleFixed || permit.RuleLength != 32 {
		t.Errorf("a digest's permit is %+v", permit)
	}
}

func TestCapacity(t *testing.T) {
	s := newHSM(t).user()
	_, private := s.pair(false, "")
	key := s.aesKey(false, "")
	plain := []byte("seventeen letters")
	encrypted, rv := s.fused(mech.Encrypt, cbc, key, plain, nil, anyRoom)
	s.must(rv)
	ciphertext := bytes.Clone(encrypted.Output)

	for _, c := range []struct {
		name      string
		function  mech.Function
		mechanism cryptoki.Mechanism
		key       uint64
		input     []byte
		length    uint64
	}{
		{"sign", mech.Sign, ecdsaSHA256, private, plain, 64},
		{"digest", mech.Digest, sha256, 0, plain, 32},
		{"encrypt", mech.Encrypt, cbc, key, plain, 32},
		{"decrypt, whose length only shows when it is done", mech.Decrypt, cbc, key, ciphertext, 17},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := func(what string, length uint64, output []byte, rv, code cryptoki.RV) {
				t.Helper()
				want(t, what, rv, code)
				if length != c.length || len(output) != 0 {
					t.Errorf("%s: length %d with %d bytes of output, want %d without", what, length, len(output), c.length)
				}
			}
			// A question for the length, then a buffer that is too small: the operation stays.
			f, rv := s.fused(c.function, c.mechanism, c.key, c.input, nil, partition.AskLength)
			check("a fused question", f.Length, f.Output, rv, cryptoki.CKR_OK)
			p, rv := s.operate(c.function, c.input, nil, partition.AskLength)
			check("a question", p.Length, p.Output, rv, cryptoki.CKR_OK)
			p, rv = s.operate(c.function, c.input, nil, c.length-1)
			check("a byte too few", p.Length, p.Output, rv, cryptoki.CKR_BUFFER_TOO_SMALL)
			p, rv = s.operate(c.function, c.input, nil, 0)
			check("no room", p.Length, p.Output, rv, cryptoki.CKR_BUFFER_TOO_SMALL)
			p, rv = s.operate(c.function, c.input, nil, c.length)
			want(t, "enough room", rv, cryptoki.CKR_OK)
			if p.Length != c.length || uint64(len(p.Output)) != c.length {
				t.Errorf("enough room: length %d with %d bytes, want %d", p.Length, len(p.Output), c.length)
			}
			_, rv = s.operate(c.function, c.input, nil, c.length)
			want(t, "after the end", rv, cryptoki.CKR_OPERATION_NOT_INITIALIZED)
			f, rv = s.fused(c.function, c.mechanism, c.key, c.input, nil, c.length-1)
			check("fused, a byte too few", f.Length, f.Output, rv, cryptoki.CKR_BUFFER_TOO_SMALL)
			s.must(s.cancel(c.function))
		})
	}

	t.Run("parts", func(t *testing.T) {
		s.mustInit(mech.Encrypt, cbc, key)
		u, rv := s.update(mech.Encrypt, plain, partition.AskLength)
		want(t, "a question", rv, cryptoki.CKR_OK)
		if u.Length != 16 || len(u.Output) != 0 {
			t.Errorf("a question: length %d with %d bytes of output", u.Length, len(u.Output))
		}
		u, rv = s.update(mech.Encrypt, plain, 15)
		want(t, "a byte too few", rv, cryptoki.CKR_BUFFER_TOO_SMALL)
		if u.Length != 16 {
			t.Errorf("a byte too few: length %d", u.Length)
		}
		u, rv = s.update(mech.Encrypt, plain, 16)
		s.must(rv)
		whole := bytes.Clone(u.Output)
		f, rv := s.final(mech.Encrypt, nil, 15)
		want(t, "final, a byte too few", rv, cryptoki.CKR_BUFFER_TOO_SMALL)
		if f.Length != 16 || len(f.Output) != 0 {
			t.Errorf("final, a byte too few: length %d with %d bytes of output", f.Length, len(f.Output))
		}
		f, rv = s.final(mech.Encrypt, nil, partition.AskLength)
		want(t, "final's question", rv, cryptoki.CKR_OK)
		if f.Length != 16 || len(f.Output) != 0 {
			t.Errorf("final's question: length %d with %d bytes of output", f.Length, len(f.Output))
		}
		f, rv = s.final(mech.Encrypt, nil, 16)
		s.must(rv)
		if whole = append(whole, f.Output...); !bytes.Equal(whole, ciphertext) {
			t.Errorf("in parts %x, in one %x", whole, ciphertext)
		}
	})
}

// An output that is larger than a frame comes in pieces that are the whole.
func TestDrain(t *testing.T) {
	s := newHSM(t).user()
	key := s.aesKey(false, "")
	plain := bytes.Repeat([]byte("0123456789abcdef"), partition.MaxOutput/16+10)
	got, rv := s.fused(mech.Encrypt, cbc, key, plain, nil, anyRoom)
	s.must(rv)
	if got.Length != uint64(len(plain)+16) || len(got.Output) != partition.MaxOutput {
		t.Fatalf("length %d with %d bytes, want %d with %d", got.Length, len(got.Output), len(plain)+16, partition.MaxOutput)
	}
	whole := bytes.Clone(got.Output)
	rest, rv := s.drain(mech.Encrypt)
	s.must(rv)
	if rest.Length != got.Length-uint64(len(whole)) || uint64(len(rest.Output)) != rest.Length {
		t.Fatalf("the rest: length %d with %d bytes", rest.Length, len(rest.Output))
	}
	whole = append(whole, rest.Output...)
	_, rv = s.drain(mech.Encrypt)
	want(t, "draining what is empty", rv, cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	_, rv = s.operate(mech.Encrypt, plain, nil, anyRoom)
	want(t, "the operation after its last piece", rv, cryptoki.CKR_OPERATION_NOT_INITIALIZED)

	// What was encrypted in one frame is decrypted in parts.
	s.mustInit(mech.Decrypt, cbc, key)
	var back []byte
	for len(whole) > 0 {
		n := min(len(whole), 300_000)
		u, rv := s.update(mech.Decrypt, whole[:n], anyRoom)
		s.must(rv)
		back, whole = append(back, u.Output...), whole[n:]
	}
	f, rv := s.final(mech.Decrypt, nil, anyRoom)
	s.must(rv)
	if back = append(back, f.Output...); !bytes.Equal(back, plain) {
		t.Error("the pieces do not decrypt to what was encrypted")
	}
}

func TestDestroyedKeyMidOperation(t *testing.T) {
	b := newHSM(t)
	s, other := b.user(), b.user()
	for _, token := range []bool{true, false} {
		_, private := s.pair(token, "")
		killer := other
		if !token {
			killer = s
		}
		s.mustInit(mech.Sign, ecdsaSHA256, private)
		_, rv := s.update(mech.Sign, []byte("part"), 0)
		s.must(rv)
		killer.must(killer.destroy(private))
		_, rv = s.update(mech.Sign, []byte("part"), 0)
		want(t, "Update with a destroyed key", rv, cryptoki.CKR_KEY_HANDLE_INVALID)
		_, rv = s.final(mech.Sign, nil, 64)
		want(t, "Final after that", rv, cryptoki.CKR_OPERATION_NOT_INITIALIZED)
		_, rv = s.fused(mech.Sign, ecdsaSHA256, private, nil, nil, 64)
		want(t, "a fused operation with a destroyed key", rv, cryptoki.CKR_KEY_HANDLE_INVALID)
	}
}

// The epoch moves with everything that may make a permit untrue, for those for
// whom it may.
func TestEpoch(t *testing.T) {
	b := newHSM(t)
	s, other := b.user(), b.user()
	public, private := s.pair(true, "key")
	temporary := s.mustCreate(dataObject(false, false, "temporary"))
	epoch := func(s session) uint64 {
		s.state()
		return s.epoch
	}
	for _, c := range []struct {
		name   string
		act    func() cryptoki.RV
		others bool // moves the epoch of other applications, too
	}{
		{"set a token object", func() cryptoki.RV { return s.set(public, attrs(cryptoki.CKA_VERIFY, false)) }, true},
		{"set a session object", func() cryptoki.RV { return s.set(temporary, attrs(cryptoki.CKA_LABEL, "other")) }, false},
		{"destroy a session object", func() cryptoki.RV { return s.destroy(temporary) }, false},
		{"destroy a token object", func() cryptoki.RV { return s.destroy(private) }, true},
		{"logout", func() cryptoki.RV { return s.logout() }, false},
		{"login", func() cryptoki.RV { return s.login(cryptoki.CKU_USER, coPIN) }, false},
	} {
		mine, theirs := epoch(s), epoch(other)
		s.must(c.act())
		if now := epoch(s); now <= mine {
			t.Errorf("%s: the epoch went from %d to %d", c.name, mine, now)
		}
		if now := epoch(other); now < theirs || c.others && now == theirs {
			t.Errorf("%s: the other application's epoch went from %d to %d", c.name, theirs, now)
		}
	}
}

func TestAlwaysAuthenticate(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	_, private, rv := s.generatePair(newToken(), ecKeyPairGen,
		attrs(cryptoki.CKA_EC_PARAMS, p256),
		attrs(cryptoki.CKA_SIGN, true, cryptoki.CKA_ALWAYS_AUTHENTICATE, true, cryptoki.CKA_PRIVATE, true))
	s.must(rv)
	message := []byte("message")

	want(t, "a context-specific login without an operation", s.login(cryptoki.CKU_CONTEXT_SPECIFIC, coPIN), cryptoki.CKR_OPERATION_NOT_INITIALIZED)

	permit, rv := s.init(mech.Sign, ecdsaSHA256, private)
	s.must(rv)
	if permit.Permit {
		t.Error("a key that wants a login each time got a permit")
	}
	_, rv = s.operate(mech.Sign, message, nil, 64)
	want(t, "an operation without its login", rv, cryptoki.CKR_USER_NOT_LOGGED_IN)
	_, rv = s.fused(mech.Sign, ecdsaSHA256, private, message, nil, 64)
	want(t, "a fused operation", rv, cryptoki.CKR_USER_NOT_LOGGED_IN)

	s.mustInit(mech.Sign, ecdsaSHA256, private)
	want(t, "a wrong PIN", s.login(cryptoki.CKU_CONTEXT_SPECIFIC, "wrong PIN"), cryptoki.CKR_PIN_INCORRECT)
	if flags := s.tokenFlags(); flags&cryptoki.CKF_USER_PIN_COUNT_LOW == 0 {
		t.Error("a wrong context-specific login did not count for the Crypto Officer")
	}
	s.must(s.login(cryptoki.CKU_CONTEXT_SPECIFIC, coPIN))
	_, rv = s.operate(mech.Sign, message, nil, 0)
	want(t, "too little room after the login", rv, cryptoki.CKR_BUFFER_TOO_SMALL)
	_, rv = s.operate(mech.Sign, message, nil, 64)
	want(t, "an operation after its login", rv, cryptoki.CKR_OK)
	s.mustInit(mech.Sign, ecdsaSHA256, private)
	_, rv = s.operate(mech.Sign, message, nil, 64)
	want(t, "a second operation after one login", rv, cryptoki.CKR_USER_NOT_LOGGED_IN)
}

func TestLogoutEndsOperationsWithPrivateKeys(t *testing.T) {
	b := newHSM(t)
	keeper := b.user() // keeps the partition's key open
	_ = keeper
	s := b.user()
	public, private := s.pair(true, "")
	fused, rv := s.fused(mech.Sign, ecdsaSHA256, private, []byte("message"), nil, 64)
	s.must(rv)
	signature := bytes.Clone(fused.Output)
	s.mustInit(mech.Sign, ecdsaSHA256, private)
	s.mustInit(mech.Verify, ecdsaSHA256, public)
	s.must(s.logout())
	s.must(s.login(cryptoki.CKU_USER, coPIN))
	_, rv = s.operate(mech.Sign, []byte("message"), nil, 64)
	want(t, "a private key's operation after a logout", rv, cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	_, rv = s.operate(mech.Verify, []byte("message"), signature, 0)
	want(t, "a public key's operation after a logout", rv, cryptoki.CKR_OK)
}

func TestOneOperationOfAFunction(t *testing.T) {
	s := newHSM(t).user()
	_, private := s.pair(false, "")
	s.mustInit(mech.Sign, ecdsaSHA256, private)
	_, rv := s.init(mech.Sign, ecdsaSHA256, private)
	want(t, "a second Init", rv, cryptoki.CKR_OPERATION_ACTIVE)
	_, rv = s.init(mech.Digest, sha256, 0)
	want(t, "another function beside it", rv, cryptoki.CKR_OK)
	s.must(s.cancel(mech.Sign, mech.Digest, mech.Verify))
	_, rv = s.operate(mech.Sign, nil, nil, 64)
	want(t, "after the cancellation", rv, cryptoki.CKR_OPERATION_NOT_INITIALIZED)
}
