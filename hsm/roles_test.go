package hsm_test

import (
	"slices"
	"strings"
	"testing"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

// company is an HSM with a partition of version 1, HSM policy 15 on, and a session for
// everybody: so and auditor of the administration, po, co, lco and cu of slot 0, and
// nobody, who has no role there.
type company struct {
	*box
	sessions         map[string]session
	private, public  uint64 // data objects in the token
	pubKey, privKey  uint64
	wrapping, secret uint64 // AES keys; secret may leave
	cipher           uint64 // an AES key that encrypts
	base             uint64 // a key that others are derived from
	wrapped          []byte // secret under wrapping
}

const lcoPIN, cuPIN, auditorPIN = "limited officer", "crypto user", "the auditor"

func newCompany(t *testing.T) *company {
	t.Helper()
	e := &company{box: newHSMLike(t, hsm.Development{Version: &version1}), sessions: make(map[string]session)}
	auditor := e.joinAs(administrator).openSlot(wire.AdminSlot)
	auditor.must(auditor.initRole(cryptoki.CKU_AUDIT, auditorPIN))
	auditor.must(auditor.login(cryptoki.CKU_AUDIT, auditorPIN))
	so := e.officer()
	_, rv := so.setHSMPolicy(policy.ResetPIN, 1, true)
	so.must(rv)
	so.must(so.initPartition(0, "company", soPIN))
	enter := func(user cryptoki.UserType, pin string) session {
		s := e.joinAs(administrator).openSlot(0)
		s.must(s.login(user, pin))
		return s
	}
	po := enter(cryptoki.CKU_SO, soPIN)
	po.must(po.initRole(cryptoki.CKU_USER, coPIN))
	co := enter(cryptoki.CKU_USER, coPIN)
	co.must(co.initRole(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, lcoPIN))
	co.must(co.initRole(cryptoki.CKU_CRYPTO_USER, cuPIN))
	e.private, e.public = co.mustCreate(dataObject(true, true, "private")), co.mustCreate(dataObject(true, false, "public"))
	e.pubKey, e.privKey = co.pair(true, "key")
	e.wrapping, e.secret = co.aes(cryptoki.CKA_TOKEN, true, cryptoki.CKA_WRAP, true, cryptoki.CKA_UNWRAP, true), co.aes(cryptoki.CKA_TOKEN, true, cryptoki.CKA_EXTRACTABLE, true)
	e.cipher = co.aes(cryptoki.CKA_TOKEN, true, cryptoki.CKA_ENCRYPT, true)
	e.base, rv = co.generate(newToken(), genericKeyGen, attrs(cryptoki.CKA_TOKEN, true, cryptoki.CKA_VALUE_LEN, 32, cryptoki.CKA_DERIVE, true))
	co.must(rv)
	e.wrapped = co.mustWrap(keyWrap, e.wrapping, e.secret)
	for name, s := range map[string]session{
		"so": so, "auditor": auditor, "po": po, "co": co, "nobody": e.joinAs(administrator).openSlot(0),
		"lco": enter(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, lcoPIN), "cu": enter(cryptoki.CKU_CRYPTO_USER, cuPIN),
	} {
		e.sessions[name] = s
	}
	return e
}

// ROL-2: who may do what. Each role is tried at everything; those that are not named are
// refused.
func TestWhoMayDoWhat(t *testing.T) {
	const everybody = "so auditor po co lco cu nobody"
	relabel := attrs(cryptoki.CKA_LABEL, "other")
	for _, act := range []struct {
		name, may string
		do        func(e *company, s session) cryptoki.RV
	}{
		{"create a partition", "so", func(_ *company, s session) cryptoki.RV { return only(s.createPartition("new", 10_000)) }},
		{"delete a partition", "so", func(_ *company, s session) cryptoki.RV { return s.deletePartition(0) }},
		{"resize a partition", "so", func(_ *company, s session) cryptoki.RV { return s.resize(0, 100_000) }},
		{"assign a partition", "so", func(_ *company, s session) cryptoki.RV { return s.assign(0, 7, false) }},
		{"set a policy of the HSM", "so", func(_ *company, s session) cryptoki.RV {
			return only(s.setHSMPolicy(policy.ForcePINChange, 1, false))
		}},
		{"set a policy of the partition", "po", func(_ *company, s session) cryptoki.RV { return only(s.setPolicies(false, to(20, 5))) }},
		{"set the version", "po", func(_ *company, s session) cryptoki.RV { return only(s.setPolicies(true, to(41, 0))) }},
		{"make or reset the Crypto Officer", "po", func(_ *company, s session) cryptoki.RV { return s.initRole(cryptoki.CKU_USER, "another one") }},
		{"make or reset the Limited Crypto Officer", "co", func(_ *company, s session) cryptoki.RV {
			return s.initRole(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, "another one")
		}},
		{"make or reset the Crypto User", "co", func(_ *company, s session) cryptoki.RV {
			return s.initRole(cryptoki.CKU_CRYPTO_USER, "another one")
		}},
		{"create a private object", "co lco", func(_ *company, s session) cryptoki.RV {
			return only(s.create(newToken(), dataObject(true, true, "new")))
		}},
		{"create a private session object", "co lco", func(_ *company, s session) cryptoki.RV {
			return only(s.create(newToken(), dataObject(false, true, "new")))
		}},
		{"create a public object", "co lco cu", func(_ *company, s session) cryptoki.RV {
			return only(s.create(newToken(), dataObject(true, false, "new")))
		}},
		{"create a public session object", everybody, func(_ *company, s session) cryptoki.RV {
			return only(s.create(newToken(), dataObject(false, false, "new")))
		}},
		{"copy a public object", "co lco cu", func(e *company, s session) cryptoki.RV {
			return only(s.copyObject(newToken(), e.public, relabel))
		}},
		{"generate a key", "co lco", func(_ *company, s session) cryptoki.RV {
			return only(s.generate(newToken(), aesKeyGen, attrs(cryptoki.CKA_TOKEN, true, cryptoki.CKA_VALUE_LEN, 32)))
		}},
		{"generate a session key", "co lco", func(_ *company, s session) cryptoki.RV {
			return only(s.generate(newToken(), aesKeyGen, attrs(cryptoki.CKA_VALUE_LEN, 32)))
		}},
		{"read a private object", "co lco cu", func(e *company, s session) cryptoki.RV { return only(s.get(e.private, cryptoki.CKA_LABEL)) }},
		{"read a public object", "po co lco cu nobody", func(e *company, s session) cryptoki.RV { return only(s.get(e.public, cryptoki.CKA_LABEL)) }},
		{"change a private object", "co lco", func(e *company, s session) cryptoki.RV { return s.set(e.private, relabel) }},
		{"change a public object", "co lco", func(e *company, s session) cryptoki.RV { return s.set(e.public, relabel) }},
		{"destroy a private object", "co lco", func(e *company, s session) cryptoki.RV { return s.destroy(e.private) }},
		{"destroy a public object", "co lco", func(e *company, s session) cryptoki.RV { return s.destroy(e.public) }},
		{"sign", "co lco cu", func(e *company, s session) cryptoki.RV {
			return only(s.fused(mech.Sign, ecdsaSHA256, e.privKey, []byte("message"), nil, 64))
		}},
		{"wrap a key", "co lco cu", func(e *company, s session) cryptoki.RV { return only(s.wrap(keyWrap, e.wrapping, e.secret, anyRoom)) }},
		{"unwrap a key", "co lco", func(e *company, s session) cryptoki.RV {
			return only(s.unwrap(newToken(), keyWrap, e.wrapping, e.wrapped, secretAES))
		}},
		{"generate a key pair", "co lco", func(_ *company, s session) cryptoki.RV {
			_, _, rv := s.generatePair(newToken(), ecKeyPairGen, attrs(cryptoki.CKA_EC_PARAMS, p256), nil)
			return rv
		}},
		{"derive a key", "co lco", func(e *company, s session) cryptoki.RV {
			return only(s.derive(newToken(), hkdf, e.base, attrs(cryptoki.CKA_VALUE_LEN, 32)))
		}},
		{"encrypt a message", "co lco cu", func(e *company, s session) cryptoki.RV {
			return s.do(wire.CallMessageInit, &wire.MessageInitRequest{Function: uint8(mech.Encrypt), Mechanism: cryptoki.New(cryptoki.CKM_AES_GCM), Key: e.cipher}, &wire.MessageInitReply{})
		}},
		{"copy a private object", "co lco", func(e *company, s session) cryptoki.RV { return only(s.copyObject(newToken(), e.private, relabel)) }},
		{"copy a key", "co lco", func(e *company, s session) cryptoki.RV {
			return only(s.copyObject(newToken(), e.privKey, attrs(cryptoki.CKA_TOKEN, false)))
		}},
		{"measure a private object", "co lco cu", func(e *company, s session) cryptoki.RV { return only(s.size(e.private)) }},
		{"give a key authorization data", "co", func(e *company, s session) cryptoki.RV { return s.setAuth(e.secret, "", keyData) }},
		{"begin to verify", "po co lco cu nobody", func(e *company, s session) cryptoki.RV {
			return only(s.init(mech.Verify, ecdsaSHA256, e.pubKey))
		}},
		{"random bytes", everybody, func(_ *company, s session) cryptoki.RV {
			return s.do(wire.CallGenerateRandom, &wire.GenerateRandomRequest{Length: 8}, &wire.GenerateRandomReply{})
		}},
	} {
		t.Run(act.name, func(t *testing.T) {
			for who := range strings.FieldsSeq(everybody) {
				e := newCompany(t)
				rv := act.do(e, e.sessions[who])
				if may := strings.Contains(" "+act.may+" ", " "+who+" "); may != (rv == cryptoki.CKR_OK) {
					t.Errorf("%s: %v", who, rv)
				}
				switch rv {
				case cryptoki.CKR_OK, cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_OBJECT_HANDLE_INVALID, cryptoki.CKR_KEY_HANDLE_INVALID,
					cryptoki.CKR_WRAPPING_KEY_HANDLE_INVALID, cryptoki.CKR_UNWRAPPING_KEY_HANDLE_INVALID, cryptoki.CKR_USER_TYPE_INVALID,
					cryptoki.CKR_USER_NOT_AUTHORIZED:
				default:
					t.Errorf("%s is refused with %v", who, rv)
				}
			}
		})
	}
}

// ROL-1: a Limited Crypto Officer is there on version 1 alone, and keys that he makes are
// the Crypto Officer's as well.
func TestLimitedCryptoOfficer(t *testing.T) {
	const user = cryptoki.CKU_LIMITED_CRYPTO_OFFICER
	for name, like := range map[string]hsm.Development{"before 7.7": {Level: before77}, "version 0": {}} {
		s := newHSMLike(t, like).user()
		want(t, name+": making him", s.initRole(user, lcoPIN), cryptoki.CKR_USER_PIN_NOT_INITIALIZED)
		s.must(s.logout())
		want(t, name+": his login", s.login(user, lcoPIN), cryptoki.CKR_USER_PIN_NOT_INITIALIZED)
	}
	e := newCompany(t)
	lco, co := e.sessions["lco"], e.sessions["co"]
	key := lco.aesKey(true, "his")
	if len(co.find(attrs(cryptoki.CKA_LABEL, "his"))) != 1 {
		t.Error("the Crypto Officer does not see his key")
	}
	want(t, "the Crypto Officer destroys it", co.destroy(key), cryptoki.CKR_OK)
	_, rv := e.sessions["po"].setPolicies(true, to(41, 0))
	e.sessions["po"].must(rv)
	_, rv = lco.create(newToken(), dataObject(true, true, "after him"))
	want(t, "what he does after the end of version 1", rv, cryptoki.CKR_USER_NOT_LOGGED_IN)
	s := e.joinAs(administrator).openSlot(0)
	want(t, "his login to version 0", s.login(user, lcoPIN), cryptoki.CKR_USER_PIN_NOT_INITIALIZED)
	want(t, "the Crypto Officer's", s.login(cryptoki.CKU_USER, coPIN), cryptoki.CKR_OK)
}

// A partition that becomes version 0 while a Limited Crypto Officer is made has none
// afterwards, and none of that day when it is version 1 again; logins that end with the
// version end in the audit log, too.
func TestVersionEndsRole(t *testing.T) {
	const user = cryptoki.CKU_LIMITED_CRYPTO_OFFICER
	b := newHSMLike(t, hsm.Development{Version: &version1})
	co := b.user()
	co.must(co.initRole(user, lcoPIN))
	lco, po := b.app().open(readWrite), b.joinAs(administrator).openSlot(0)
	lco.must(lco.login(user, lcoPIN))
	po.must(po.login(cryptoki.CKU_SO, soPIN))
	change := func(version uint64) {
		_, rv := po.setPolicies(true, to(policy.Version, version))
		po.must(rv)
	}
	change(0)
	entries := po.auditEntries()
	ended := func(e audit.Entry) bool {
		r := e.Record
		return r.Event == audit.EventLogout && r.Actor.Role == audit.RoleLimitedCryptoOfficer && r.Actor.Application == lco.application
	}
	if n := len(entries); !slices.ContainsFunc(entries[max(0, n-4):], ended) {
		t.Errorf("no login ends in the audit log: %v", entries[max(0, n-4):])
	}
	change(1)
	between := func() error {
		b.store.onUpdate.Store(nil)
		change(0)
		return nil
	}
	b.store.onUpdate.Store(&between)
	want(t, "making him meanwhile", co.initRole(user, lcoPIN), cryptoki.CKR_USER_PIN_NOT_INITIALIZED)
	change(1)
	want(t, "his login", lco.login(user, lcoPIN), cryptoki.CKR_USER_PIN_NOT_INITIALIZED)
}
