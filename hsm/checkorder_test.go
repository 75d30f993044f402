package hsm_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore/memstore"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/wire"
)

// checkOrder is the table in docs/check-order.md: what each row says after the name of
// its call.
func checkOrder(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../docs/check-order.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 {
			continue
		}
		rows[strings.TrimSpace(cells[1])] = cells[2]
	}
	// Rows refer to others.
	for call, text := range rows {
		rows[call] = strings.NewReplacer(
			"S5", cryptoki.CKR_SLOT_ID_INVALID.String(),
			"S6", cryptoki.CKR_SESSION_HANDLE_INVALID.String(),
			"S7", cryptoki.CKR_PIN_EXPIRED.String(),
			"as InitRole", rows["InitRole"],
			"as SetPartitionPolicies", rows["SetPartitionPolicies"],
			"as C_Login", rows["C_Login"],
			"template as above", rows["C_CreateObject"],
			"as in C_CreateObject", rows["C_CreateObject"],
		).Replace(text)
	}
	return rows
}

// scene is an HSM with an application in each state that the checks tell apart.
type scene struct {
	*box
	user session // logged in as the Crypto Officer, read-write
	ro   session // of the same application, read-only
	none session // nobody logged in, read-write
	noRO session // nobody logged in, read-only
	// The objects: token objects of the user. Those that are named public have
	// CKA_PRIVATE false.
	public, private uint64 // data objects
	pubKey, privKey uint64 // an EC pair, verifying and signing
	stuck           uint64 // a public data object that cannot be changed, copied or destroyed
}

func newScene(t *testing.T) *scene {
	t.Helper()
	e := &scene{box: newHSM(t)}
	e.user = e.box.user()
	e.ro = e.user.client.open(readOnly)
	nobody := e.app()
	e.none, e.noRO = nobody.open(readWrite), nobody.open(readOnly)
	e.public = e.user.mustCreate(dataObject(true, false, "public"))
	e.private = e.user.mustCreate(dataObject(true, true, "private"))
	e.pubKey, e.privKey = e.user.pair(true, "key")
	e.stuck = e.user.mustCreate(with(dataObject(true, false, "stuck"),
		cryptoki.CKA_MODIFIABLE, false, cryptoki.CKA_COPYABLE, false, cryptoki.CKA_DESTROYABLE, false))
	return e
}

// nowhere is a session that does not exist, of the application that is logged in.
func (e *scene) nowhere() session { return session{e.user.client, 0xdead} }

// lock brings the Crypto Officer's PIN to its last try and beyond.
func (e *scene) lock() {
	e.t.Helper()
	for range maxTries {
		e.none.login(cryptoki.CKU_USER, "wrong PIN")
	}
}

// only gives a call's code alone.
func only[T any](_ T, rv cryptoki.RV) cryptoki.RV { return rv }

const unknownAttribute = cryptoki.AttributeType(0x7abcdef0)

// TestCheckOrder violates two checks of a call at once, which are neighbours in the
// table as far as a request can violate both: the answer is the earlier one's.
func TestCheckOrder(t *testing.T) {
	rows := checkOrder(t)
	unknownMechanism := cryptoki.New(cryptoki.MechanismType(0x7abcdef0))
	ecKey := func(pairs ...any) cryptoki.Template {
		return append(attrs(cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_EC, cryptoki.CKA_EC_PARAMS, p256), attrs(pairs...)...)
	}
	brainpool := []byte{0x06, 0x09, 0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07}
	badKey := bytes.Repeat([]byte{0xff}, 32) // above the order of P-256
	aes := func(pairs ...any) cryptoki.Template { return attrs(append(pairs, cryptoki.CKA_VALUE_LEN, 16)...) }

	for _, c := range []struct {
		row            string
		earlier, later cryptoki.RV // later only says what the request violates, too
		name           string
		do             func(e *scene) cryptoki.RV
	}{
		{"C_OpenSession", cryptoki.CKR_SLOT_ID_INVALID, cryptoki.CKR_SESSION_COUNT, "no such slot, no room", func(e *scene) cryptoki.RV {
			e.fillSessions()
			return e.user.call(wire.CallOpenSession, 0, &wire.OpenSessionRequest{Slot: 1, Flags: uint64(readOnly)}, &wire.OpenSessionReply{})
		}},
		{"C_OpenSession", cryptoki.CKR_SESSION_COUNT, cryptoki.CKR_SESSION_READ_WRITE_SO_EXISTS, "no room, read-only beside the PO", func(e *scene) cryptoki.RV {
			e.none.must(e.noRO.close())
			e.none.must(e.none.login(cryptoki.CKU_SO, soPIN))
			for range partition.MaxSessions - 1 {
				e.none.client.open(readWrite)
			}
			return only(e.none.client.tryOpen(readOnly))
		}},

		{"C_Login", cryptoki.CKR_USER_TYPE_INVALID, cryptoki.CKR_USER_ALREADY_LOGGED_IN, "unknown user, logged in", func(e *scene) cryptoki.RV {
			return e.user.login(77, coPIN)
		}},
		{"C_Login", cryptoki.CKR_OPERATION_NOT_INITIALIZED, cryptoki.CKR_USER_ALREADY_LOGGED_IN, "no operation, logged in", func(e *scene) cryptoki.RV {
			return e.user.login(cryptoki.CKU_CONTEXT_SPECIFIC, coPIN)
		}},
		{"C_Login", cryptoki.CKR_OPERATION_NOT_INITIALIZED, cryptoki.CKR_PIN_LEN_RANGE, "no operation, short PIN", func(e *scene) cryptoki.RV {
			return e.none.login(cryptoki.CKU_CONTEXT_SPECIFIC, "abc")
		}},
		{"C_Login", cryptoki.CKR_USER_ALREADY_LOGGED_IN, cryptoki.CKR_PIN_LEN_RANGE, "logged in, short PIN", func(e *scene) cryptoki.RV {
			return e.user.login(cryptoki.CKU_USER, "abc")
		}},
		{"C_Login", cryptoki.CKR_USER_ANOTHER_ALREADY_LOGGED_IN, cryptoki.CKR_SESSION_READ_ONLY_EXISTS, "another role, read-only session", func(e *scene) cryptoki.RV {
			return e.user.login(cryptoki.CKU_SO, soPIN)
		}},
		{"C_Login", cryptoki.CKR_USER_ANOTHER_ALREADY_LOGGED_IN, cryptoki.CKR_USER_PIN_NOT_INITIALIZED, "another role, and one without PIN", func(e *scene) cryptoki.RV {
			return e.user.login(cryptoki.CKU_CRYPTO_USER, coPIN)
		}},
		{"C_Login", cryptoki.CKR_SESSION_READ_ONLY_EXISTS, cryptoki.CKR_PIN_LEN_RANGE, "the PO with a read-only session, short PIN", func(e *scene) cryptoki.RV {
			return e.none.login(cryptoki.CKU_SO, "abc")
		}},
		{"C_Login", cryptoki.CKR_USER_PIN_NOT_INITIALIZED, cryptoki.CKR_PIN_LEN_RANGE, "no PIN yet, short PIN", func(e *scene) cryptoki.RV {
			return e.none.login(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, "abc")
		}},
		{"C_Login", cryptoki.CKR_PIN_LEN_RANGE, cryptoki.CKR_PIN_LOCKED, "short PIN, locked", func(e *scene) cryptoki.RV {
			e.lock()
			return e.none.login(cryptoki.CKU_USER, "abc")
		}},
		{"C_Login", cryptoki.CKR_PIN_LOCKED, cryptoki.CKR_PIN_INCORRECT, "locked, wrong PIN", func(e *scene) cryptoki.RV {
			e.lock()
			return e.none.login(cryptoki.CKU_USER, "wrong PIN")
		}},

		{"C_SetPIN", cryptoki.CKR_SESSION_READ_ONLY, cryptoki.CKR_PIN_LEN_RANGE, "read-only, short new PIN", func(e *scene) cryptoki.RV {
			return e.ro.setPIN(coPIN, "abc")
		}},
		{"C_SetPIN", cryptoki.CKR_PIN_LEN_RANGE, cryptoki.CKR_PIN_INVALID, "short new PIN with a control character", func(e *scene) cryptoki.RV {
			return e.user.setPIN(coPIN, "a\n")
		}},
		{"C_SetPIN", cryptoki.CKR_PIN_INVALID, cryptoki.CKR_PIN_INCORRECT, "control character, wrong old PIN", func(e *scene) cryptoki.RV {
			defer e.uncounted()
			return e.user.setPIN("wrong PIN", "a new\nPIN")
		}},
		{"C_SetPIN", cryptoki.CKR_PIN_LEN_RANGE, cryptoki.CKR_PIN_INCORRECT, "short new PIN, wrong old PIN", func(e *scene) cryptoki.RV {
			defer e.uncounted()
			return e.user.setPIN("wrong PIN", "abc")
		}},

		{"C_CreateObject", cryptoki.CKR_ATTRIBUTE_TYPE_INVALID, cryptoki.CKR_TEMPLATE_INCONSISTENT, "unknown attribute, attribute of another class", func(e *scene) cryptoki.RV {
			return only(e.user.create(newToken(), with(dataObject(false, false, ""), unknownAttribute, "x", cryptoki.CKA_MODULUS, "x")))
		}},
		{"C_CreateObject", cryptoki.CKR_TEMPLATE_INCONSISTENT, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "attribute of another class, malformed itself", func(e *scene) cryptoki.RV {
			return only(e.user.create(newToken(), with(dataObject(false, false, ""), cryptoki.CKA_ENCRYPT, "no boolean")))
		}},
		{"C_CreateObject", cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, cryptoki.CKR_ATTRIBUTE_READ_ONLY, "malformed, not for a caller", func(e *scene) cryptoki.RV {
			return only(e.user.create(newToken(), ecKey(cryptoki.CKA_VALUE, "x", cryptoki.CKA_LOCAL, true, cryptoki.CKA_SIGN, "no boolean")))
		}},
		{"C_CreateObject", cryptoki.CKR_ATTRIBUTE_READ_ONLY, cryptoki.CKR_TEMPLATE_INCOMPLETE, "not for a caller, incomplete", func(e *scene) cryptoki.RV {
			return only(e.user.create(newToken(), ecKey(cryptoki.CKA_LOCAL, true)))
		}},
		{"C_CreateObject", cryptoki.CKR_TEMPLATE_INCOMPLETE, cryptoki.CKR_TEMPLATE_INCONSISTENT, "incomplete, dates the wrong way round", func(e *scene) cryptoki.RV {
			return only(e.user.create(newToken(), ecKey(cryptoki.CKA_START_DATE, "20300101", cryptoki.CKA_END_DATE, "20290101")))
		}},
		{"C_CreateObject", cryptoki.CKR_TEMPLATE_INCONSISTENT, cryptoki.CKR_SESSION_READ_ONLY, "dates the wrong way round, read-only", func(e *scene) cryptoki.RV {
			return only(e.ro.create(newToken(), ecKey(cryptoki.CKA_VALUE, "x", cryptoki.CKA_TOKEN, true, cryptoki.CKA_START_DATE, "20300101", cryptoki.CKA_END_DATE, "20290101")))
		}},
		{"C_CreateObject", cryptoki.CKR_SESSION_READ_ONLY, cryptoki.CKR_USER_NOT_LOGGED_IN, "read-only, nobody logged in", func(e *scene) cryptoki.RV {
			return only(e.noRO.create(newToken(), dataObject(true, true, "")))
		}},
		{"C_CreateObject", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "nobody logged in, key out of range", func(e *scene) cryptoki.RV {
			return only(e.none.create(newToken(), ecKey(cryptoki.CKA_VALUE, badKey)))
		}},
		{"C_CreateObject", cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, cryptoki.CKR_DEVICE_MEMORY, "key out of range, no room", func(e *scene) cryptoki.RV {
			e.fillMemory()
			return only(e.user.create(newToken(), ecKey(cryptoki.CKA_VALUE, badKey)))
		}},

		{"C_CopyObject", cryptoki.CKR_OBJECT_HANDLE_INVALID, cryptoki.CKR_ACTION_PROHIBITED, "not visible, not copyable", func(e *scene) cryptoki.RV {
			h := e.user.mustCreate(with(dataObject(true, true, ""), cryptoki.CKA_COPYABLE, false))
			return only(e.none.copyObject(newToken(), h, nil))
		}},
		{"C_CopyObject", cryptoki.CKR_ACTION_PROHIBITED, cryptoki.CKR_ATTRIBUTE_TYPE_INVALID, "not copyable, unknown attribute", func(e *scene) cryptoki.RV {
			return only(e.user.copyObject(newToken(), e.stuck, attrs(unknownAttribute, "x")))
		}},
		{"C_CopyObject", cryptoki.CKR_ATTRIBUTE_READ_ONLY, cryptoki.CKR_SESSION_READ_ONLY, "fixed attribute, read-only", func(e *scene) cryptoki.RV {
			return only(e.ro.copyObject(newToken(), e.public, attrs(cryptoki.CKA_CLASS, cryptoki.CKO_DATA)))
		}},
		{"C_CopyObject", cryptoki.CKR_SESSION_READ_ONLY, cryptoki.CKR_USER_NOT_LOGGED_IN, "read-only, nobody logged in", func(e *scene) cryptoki.RV {
			return only(e.noRO.copyObject(newToken(), e.public, nil))
		}},

		{"C_DestroyObject", cryptoki.CKR_OBJECT_HANDLE_INVALID, cryptoki.CKR_SESSION_READ_ONLY, "not visible, read-only", func(e *scene) cryptoki.RV {
			return e.noRO.destroy(e.private)
		}},
		{"C_DestroyObject", cryptoki.CKR_SESSION_READ_ONLY, cryptoki.CKR_USER_NOT_LOGGED_IN, "read-only, nobody logged in", func(e *scene) cryptoki.RV {
			return e.noRO.destroy(e.public)
		}},
		{"C_DestroyObject", cryptoki.CKR_SESSION_READ_ONLY, cryptoki.CKR_ACTION_PROHIBITED, "read-only, not destroyable", func(e *scene) cryptoki.RV {
			return e.ro.destroy(e.stuck)
		}},
		{"C_DestroyObject", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_ACTION_PROHIBITED, "nobody logged in, not destroyable", func(e *scene) cryptoki.RV {
			return e.none.destroy(e.stuck)
		}},

		{"C_GetAttributeValue", cryptoki.CKR_OBJECT_HANDLE_INVALID, cryptoki.CKR_ATTRIBUTE_TYPE_INVALID, "not visible, unknown attribute", func(e *scene) cryptoki.RV {
			return only(e.none.get(e.private, unknownAttribute))
		}},
		{"C_GetAttributeValue", cryptoki.CKR_ATTRIBUTE_TYPE_INVALID, cryptoki.CKR_ATTRIBUTE_SENSITIVE, "a secret before an unknown attribute", func(e *scene) cryptoki.RV {
			return only(e.user.get(e.privKey, cryptoki.CKA_VALUE, unknownAttribute))
		}},

		{"C_SetAttributeValue", cryptoki.CKR_SESSION_READ_ONLY, cryptoki.CKR_USER_NOT_LOGGED_IN, "read-only, nobody logged in", func(e *scene) cryptoki.RV {
			return e.noRO.set(e.public, attrs(cryptoki.CKA_LABEL, "x"))
		}},
		{"C_SetAttributeValue", cryptoki.CKR_SESSION_READ_ONLY, cryptoki.CKR_ACTION_PROHIBITED, "read-only, not modifiable", func(e *scene) cryptoki.RV {
			return e.ro.set(e.stuck, attrs(cryptoki.CKA_LABEL, "x"))
		}},
		{"C_SetAttributeValue", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_ACTION_PROHIBITED, "nobody logged in, not modifiable", func(e *scene) cryptoki.RV {
			return e.none.set(e.stuck, attrs(cryptoki.CKA_LABEL, "x"))
		}},
		{"C_SetAttributeValue", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_ATTRIBUTE_TYPE_INVALID, "nobody logged in, unknown attribute", func(e *scene) cryptoki.RV {
			return e.none.set(e.public, attrs(unknownAttribute, "x"))
		}},
		{"C_SetAttributeValue", cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, cryptoki.CKR_ATTRIBUTE_READ_ONLY, "a fixed attribute, malformed", func(e *scene) cryptoki.RV {
			return e.user.set(e.public, attrs(cryptoki.CKA_CLASS, "no number"))
		}},
		{"C_SetAttributeValue", cryptoki.CKR_ATTRIBUTE_READ_ONLY, cryptoki.CKR_ACTION_PROHIBITED, "fixed attribute, not modifiable", func(e *scene) cryptoki.RV {
			return e.user.set(e.stuck, attrs(cryptoki.CKA_CLASS, cryptoki.CKO_DATA))
		}},

		{"C_…Init", cryptoki.CKR_OPERATION_ACTIVE, cryptoki.CKR_MECHANISM_INVALID, "active, unknown mechanism", func(e *scene) cryptoki.RV {
			e.user.mustInit(mech.Sign, ecdsaSHA256, e.privKey)
			return only(e.user.init(mech.Sign, unknownMechanism, e.privKey))
		}},
		{"C_…Init", cryptoki.CKR_MECHANISM_INVALID, cryptoki.CKR_KEY_HANDLE_INVALID, "unknown mechanism, no key", func(e *scene) cryptoki.RV {
			return only(e.user.init(mech.Sign, unknownMechanism, 999_999))
		}},
		{"C_…Init", cryptoki.CKR_MECHANISM_INVALID, cryptoki.CKR_KEY_HANDLE_INVALID, "a mechanism without the function, invisible key", func(e *scene) cryptoki.RV {
			return only(e.none.init(mech.Sign, cbc, e.privKey))
		}},
		{"C_…Init", cryptoki.CKR_KEY_HANDLE_INVALID, cryptoki.CKR_KEY_TYPE_INCONSISTENT, "invisible key of another type", func(e *scene) cryptoki.RV {
			return only(e.none.init(mech.Sign, cryptoki.New(cryptoki.CKM_SHA256_RSA_PKCS), e.privKey))
		}},
		{"C_…Init", cryptoki.CKR_KEY_HANDLE_INVALID, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, "not a key", func(e *scene) cryptoki.RV {
			return only(e.user.init(mech.Sign, ecdsaSHA256, e.public))
		}},
		{"C_…Init", cryptoki.CKR_KEY_TYPE_INCONSISTENT, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, "another key type, no usage", func(e *scene) cryptoki.RV {
			return only(e.user.init(mech.Decrypt, cbc, e.privKey))
		}},
		{"C_…Init", cryptoki.CKR_KEY_TYPE_INCONSISTENT, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, "the other half of the pair", func(e *scene) cryptoki.RV {
			return only(e.user.init(mech.Sign, ecdsaSHA256, e.pubKey))
		}},
		{"C_…Init", cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, cryptoki.CKR_MECHANISM_INVALID, "no usage, mechanism not allowed", func(e *scene) cryptoki.RV {
			return only(e.user.init(mech.Encrypt, cbc, e.restricted(false)))
		}},
		{"C_…Init", cryptoki.CKR_MECHANISM_INVALID, cryptoki.CKR_MECHANISM_PARAM_INVALID, "mechanism not allowed, malformed parameter", func(e *scene) cryptoki.RV {
			return only(e.user.init(mech.Encrypt, cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, []byte("short")), e.restricted(true)))
		}},
		{"C_…Init", cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, cryptoki.CKR_MECHANISM_PARAM_INVALID, "no usage, malformed parameter", func(e *scene) cryptoki.RV {
			h, rv := e.user.generate(newToken(), aesKeyGen, aes())
			e.user.must(rv)
			return only(e.user.init(mech.Encrypt, cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, []byte("short")), h))
		}},

		{"C_…Update", cryptoki.CKR_FUNCTION_NOT_SUPPORTED, cryptoki.CKR_BUFFER_TOO_SMALL, "one part only, no room", func(e *scene) cryptoki.RV {
			e.user.mustInit(mech.Sign, cryptoki.New(cryptoki.CKM_ECDSA), e.privKey)
			rv := only(e.user.update(mech.Sign, make([]byte, 32), 0))
			want(e.t, "the operation after it", only(e.user.operate(mech.Sign, make([]byte, 32), nil, 64)), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
			return rv
		}},
		{"C_Verify, C_VerifyFinal", cryptoki.CKR_SIGNATURE_LEN_RANGE, cryptoki.CKR_SIGNATURE_INVALID, "a wrong signature of a wrong length", func(e *scene) cryptoki.RV {
			return only(e.user.fused(mech.Verify, ecdsaSHA256, e.pubKey, []byte("x"), make([]byte, 63), 0))
		}},

		{"C_GenerateKey, C_GenerateKeyPair", cryptoki.CKR_MECHANISM_INVALID, cryptoki.CKR_MECHANISM_PARAM_INVALID, "unknown mechanism with a parameter", func(e *scene) cryptoki.RV {
			return only(e.user.generate(newToken(), cryptoki.NewBytes(0x7abcdef0, []byte("x")), aes()))
		}},
		{"C_GenerateKey, C_GenerateKeyPair", cryptoki.CKR_MECHANISM_INVALID, cryptoki.CKR_MECHANISM_PARAM_INVALID, "a mechanism that makes pairs", func(e *scene) cryptoki.RV {
			return only(e.user.generate(newToken(), cryptoki.NewBytes(cryptoki.CKM_EC_KEY_PAIR_GEN, []byte("x")), aes()))
		}},
		{"C_GenerateKey, C_GenerateKeyPair", cryptoki.CKR_MECHANISM_PARAM_INVALID, cryptoki.CKR_TEMPLATE_INCONSISTENT, "a parameter, another class", func(e *scene) cryptoki.RV {
			return only(e.user.generate(newToken(), cryptoki.NewBytes(cryptoki.CKM_AES_KEY_GEN, []byte("x")), aes(cryptoki.CKA_CLASS, cryptoki.CKO_DATA)))
		}},
		{"C_GenerateKey, C_GenerateKeyPair", cryptoki.CKR_TEMPLATE_INCONSISTENT, cryptoki.CKR_SESSION_READ_ONLY, "another class, read-only", func(e *scene) cryptoki.RV {
			return only(e.ro.generate(newToken(), aesKeyGen, aes(cryptoki.CKA_CLASS, cryptoki.CKO_DATA, cryptoki.CKA_TOKEN, true)))
		}},
		{"C_GenerateKey, C_GenerateKeyPair", cryptoki.CKR_TEMPLATE_INCONSISTENT, cryptoki.CKR_SESSION_READ_ONLY, "another key type in the private half, read-only for the public one", func(e *scene) cryptoki.RV {
			_, _, rv := e.ro.generatePair(newToken(), ecKeyPairGen, attrs(cryptoki.CKA_TOKEN, true, cryptoki.CKA_EC_PARAMS, p256), attrs(cryptoki.CKA_KEY_TYPE, cryptoki.CKK_RSA))
			return rv
		}},
		{"C_GenerateKey, C_GenerateKeyPair", cryptoki.CKR_SESSION_READ_ONLY, cryptoki.CKR_USER_NOT_LOGGED_IN, "read-only for the private half, nobody logged in for both", func(e *scene) cryptoki.RV {
			_, _, rv := e.noRO.generatePair(newToken(), ecKeyPairGen, attrs(cryptoki.CKA_PRIVATE, true, cryptoki.CKA_EC_PARAMS, p256), attrs(cryptoki.CKA_TOKEN, true))
			return rv
		}},
		{"C_GenerateKey, C_GenerateKeyPair", cryptoki.CKR_SESSION_READ_ONLY, cryptoki.CKR_USER_NOT_LOGGED_IN, "read-only, nobody logged in", func(e *scene) cryptoki.RV {
			return only(e.noRO.generate(newToken(), aesKeyGen, aes(cryptoki.CKA_TOKEN, true)))
		}},
		{"C_GenerateKey, C_GenerateKeyPair", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_CURVE_NOT_SUPPORTED, "nobody logged in, a curve that is not offered", func(e *scene) cryptoki.RV {
			_, _, rv := e.none.generatePair(newToken(), ecKeyPairGen, attrs(cryptoki.CKA_EC_PARAMS, brainpool), nil)
			return rv
		}},
		{"C_GenerateKey, C_GenerateKeyPair", cryptoki.CKR_CURVE_NOT_SUPPORTED, cryptoki.CKR_DEVICE_MEMORY, "a curve that is not offered, no room", func(e *scene) cryptoki.RV {
			e.fillMemory()
			_, _, rv := e.user.generatePair(newToken(), ecKeyPairGen, attrs(cryptoki.CKA_EC_PARAMS, brainpool), nil)
			return rv
		}},
	} {
		t.Run(c.row+"/"+c.name, func(t *testing.T) {
			inOrder(t, rows, c.row, c.earlier, c.later)
			e := newScene(t)
			want(t, c.name, c.do(e), c.earlier)
		})
	}
}

// inOrder checks that the table says what a test does.
func inOrder(t *testing.T, rows map[string]string, row string, earlier, later cryptoki.RV) {
	t.Helper()
	text, ok := rows[row]
	if !ok {
		t.Fatalf("docs/check-order.md has no row %s", row)
	}
	at := strings.Index(text, earlier.String())
	if at < 0 || !strings.Contains(text[at:], later.String()) {
		t.Errorf("docs/check-order.md does not put %v before %v", earlier, later)
	}
}

// uncounted checks that no wrong PIN was counted.
func (e *scene) uncounted() {
	e.t.Helper()
	if flags := e.user.tokenFlags() & userPINFlags; flags != 0 {
		e.t.Errorf("a try was counted: flags %#x", uint64(flags))
	}
}

// restricted makes an AES key for a single mechanism, which is not CBC.
func (e *scene) restricted(encrypt bool) uint64 {
	e.t.Helper()
	h, rv := e.user.generate(newToken(), aesKeyGen, attrs(cryptoki.CKA_VALUE_LEN, 16,
		cryptoki.CKA_ENCRYPT, encrypt, cryptoki.CKA_ALLOWED_MECHANISMS, cryptoki.CKM_AES_GCM))
	e.user.must(rv)
	return h
}

// fillSessions opens all sessions that the logged-in application may have.
func (e *scene) fillSessions() {
	e.t.Helper()
	for range partition.MaxSessions - 2 {
		e.user.client.open(readWrite)
	}
}

// fillMemory makes session objects until there is no room for one more.
func (e *scene) fillMemory() {
	e.t.Helper()
	for _, size := range []int{65536, 1024, 1} {
		for {
			_, rv := e.user.create(newToken(), with(dataObject(false, false, ""), cryptoki.CKA_VALUE, make([]byte, size)))
			if rv == cryptoki.CKR_DEVICE_MEMORY {
				break
			}
			e.user.must(rv)
		}
	}
}

// The checks that all calls share, S1 to S6 of the table, two at once.
func TestCheckOrderOfAllCalls(t *testing.T) {
	const unknown = wire.Call(60_000)
	slot := (&wire.TokenInfoRequest{Slot: 7}).AppendTo(nil)
	size := (&wire.ObjectSizeRequest{Object: 1}).AppendTo(nil)
	for _, c := range []struct {
		name   string
		call   wire.Call
		body   []byte
		hello  bool // Hello came first
		failed bool // the store has failed
		code   cryptoki.RV
	}{
		{"S1 before S3", wire.CallTokenInfo, slot[:3], false, false, cryptoki.CKR_ARGUMENTS_BAD},
		{"S1 before S4", wire.CallTokenInfo, slot[:3], true, true, cryptoki.CKR_ARGUMENTS_BAD},
		{"S1 before S6", wire.CallObjectSize, append(size[:8:8], 0), true, false, cryptoki.CKR_ARGUMENTS_BAD},
		{"S2 before S3", unknown, nil, false, false, cryptoki.CKR_FUNCTION_NOT_SUPPORTED},
		{"S2 before S4", unknown, nil, true, true, cryptoki.CKR_FUNCTION_NOT_SUPPORTED},
		{"S3 before S4", wire.CallTokenInfo, slot, false, true, cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED},
		{"S3 before S5", wire.CallTokenInfo, slot, false, false, cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED},
		{"S3 before S6", wire.CallObjectSize, size, false, false, cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED},
		{"S4 before S5", wire.CallTokenInfo, slot, true, true, cryptoki.CKR_DEVICE_ERROR},
		{"S4 before S6", wire.CallObjectSize, size, true, true, cryptoki.CKR_DEVICE_ERROR},
		{"S5", wire.CallTokenInfo, slot, true, false, cryptoki.CKR_SLOT_ID_INVALID},
		{"S6", wire.CallObjectSize, size, true, false, cryptoki.CKR_SESSION_HANDLE_INVALID},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHSM(t)
			client := b.dial(local)
			if c.hello {
				client.must(client.hello(newIdentity()))
			}
			if c.failed {
				b.store.Store.(*memstore.Store).Fail(errors.New("the disk is gone"))
			}
			h, m := client.link.Handle(wire.Header{Kind: wire.KindRequest, Call: c.call, Request: 9, Application: client.application}, c.body)
			want(t, c.name, h.Code, c.code)
			if m != nil || h.Request != 9 || h.Call != c.call {
				t.Errorf("the reply is %+v with the body %v", h, m)
			}
		})
	}
}

// Each call that works in a session looks at the session before anything else.
func TestSessionIsCheckedFirst(t *testing.T) {
	e := newScene(t)
	s := e.nowhere()
	_, _, pair := s.generatePair(newToken(), cryptoki.New(0x7abcdef0), nil, nil)
	for name, rv := range map[string]cryptoki.RV{
		"C_CloseSession": s.close(), "C_Login": s.login(77, ""), "C_Logout": s.logout(), "C_SetPIN": s.setPIN("", ""),
		"C_CreateObject": only(s.create(newToken(), attrs(unknownAttribute, "x"))), "C_CopyObject": only(s.copyObject(newToken(), 0, nil)),
		"C_DestroyObject": s.destroy(0), "C_GetObjectSize": only(s.size(0)), "C_GetAttributeValue": only(s.get(0, unknownAttribute)),
		"C_SetAttributeValue": s.set(0, nil), "C_FindObjects": only(s.page(nil, 0, 0)), "C_SignInit": only(s.init(mech.Sign, cryptoki.New(0x7abcdef0), 0)),
		"C_Sign": only(s.operate(mech.Sign, nil, nil, 0)), "C_Sign, fused": only(s.fused(mech.Sign, cryptoki.New(0x7abcdef0), 0, nil, nil, 0)),
		"C_SignUpdate": only(s.update(mech.Sign, nil, 0)), "C_SignFinal": only(s.final(mech.Sign, nil, 0)),
		"C_SignEncryptUpdate": only(s.updateBoth(mech.Encrypt, mech.Sign, nil, 0)), "C_GetOperationState": only(s.operationState(0)),
		"C_SetOperationState": only(s.restore(nil)), "Drain": only(s.drain(mech.Sign)),
		"C_SessionCancel": s.cancel(mech.Sign), "C_GenerateKey": only(s.generate(newToken(), cryptoki.New(0x7abcdef0), nil)), "C_GenerateKeyPair": pair,
		"C_GenerateRandom": s.do(wire.CallGenerateRandom, &wire.GenerateRandomRequest{Length: 1 << 31}, &wire.GenerateRandomReply{}),
		"C_SeedRandom":     s.do(wire.CallSeedRandom, &wire.SeedRandomRequest{}, &wire.SeedRandomReply{}),
		"C_GetSessionInfo": s.do(wire.CallSessionInfo, &wire.SessionInfoRequest{}, &wire.SessionInfoReply{}),
	} {
		want(t, name, rv, cryptoki.CKR_SESSION_HANDLE_INVALID)
	}
}

// Unlike elsewhere, what a search asks for need not exist.
func TestFindWithUnknownAttributes(t *testing.T) {
	e := newScene(t)
	for name, template := range map[string]cryptoki.Template{
		"an unknown attribute": attrs(unknownAttribute, "x"),
		"a malformed value":    attrs(cryptoki.CKA_TOKEN, "no boolean"),
		"an unknown class":     attrs(cryptoki.CKA_CLASS, 0x7abcdef0),
	} {
		if got := e.user.find(template); len(got) != 0 {
			t.Errorf("%s: found %v", name, got)
		}
	}
}
