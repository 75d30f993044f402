package hsm_test

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
)

// TestCheckOrderOfWrapping is TestCheckOrder for the calls that make something of a key.
func TestCheckOrderOfWrapping(t *testing.T) {
	rows := checkOrder(t)
	unknown := cryptoki.New(cryptoki.MechanismType(0x7abcdef0))
	malformed := cryptoki.Mechanism{Type: cryptoki.CKM_AES_CBC_PAD, Shape: cryptoki.ShapeMalformed}
	malformedHKDF := cryptoki.Mechanism{Type: cryptoki.CKM_HKDF_DERIVE, Shape: cryptoki.ShapeMalformed}
	const nothing = 999_999
	kek := func(e *scene, pairs ...any) uint64 {
		return e.user.aes(append(pairs, cryptoki.CKA_TOKEN, true, cryptoki.CKA_PRIVATE, false, cryptoki.CKA_WRAP, true, cryptoki.CKA_UNWRAP, true)...)
	}
	mixed := func(e *scene) uint64 {
		return e.user.aes(cryptoki.CKA_WRAP, true, cryptoki.CKA_UNWRAP, true, cryptoki.CKA_ENCRYPT, true, cryptoki.CKA_DECRYPT, true,
			cryptoki.CKA_ALLOWED_MECHANISMS, cryptoki.CKM_AES_GCM)
	}
	exportable := func(e *scene) uint64 {
		return e.user.aes(cryptoki.CKA_TOKEN, true, cryptoki.CKA_PRIVATE, false, cryptoki.CKA_EXTRACTABLE, true)
	}
	base := func(e *scene, pairs ...any) uint64 {
		h, rv := e.user.generate(newToken(), genericKeyGen, attrs(append(pairs, cryptoki.CKA_TOKEN, true, cryptoki.CKA_PRIVATE, false,
			cryptoki.CKA_VALUE_LEN, 32, cryptoki.CKA_DERIVE, true)...))
		e.user.must(rv)
		return h
	}
	token := with(secretAES, cryptoki.CKA_TOKEN, true)
	for _, c := range []struct {
		row            string
		earlier, later cryptoki.RV
		name           string
		do             func(e *scene) cryptoki.RV
	}{
		{"C_WrapKey", cryptoki.CKR_MECHANISM_INVALID, cryptoki.CKR_WRAPPING_KEY_HANDLE_INVALID, "unknown mechanism, no wrapping key", func(e *scene) cryptoki.RV {
			return only(e.user.wrap(unknown, nothing, nothing, anyRoom))
		}},
		{"C_WrapKey", cryptoki.CKR_WRAPPING_KEY_HANDLE_INVALID, cryptoki.CKR_KEY_HANDLE_INVALID, "no wrapping key, no key", func(e *scene) cryptoki.RV {
			return only(e.user.wrap(keyWrap, nothing, nothing, anyRoom))
		}},
		{"C_WrapKey", cryptoki.CKR_WRAPPING_KEY_HANDLE_INVALID, cryptoki.CKR_USER_NOT_LOGGED_IN, "a wrapping key that is not visible", func(e *scene) cryptoki.RV {
			return only(e.none.wrap(keyWrap, e.user.aes(cryptoki.CKA_TOKEN, true, cryptoki.CKA_WRAP, true), exportable(e), anyRoom))
		}},
		{"C_WrapKey", cryptoki.CKR_KEY_HANDLE_INVALID, cryptoki.CKR_USER_NOT_LOGGED_IN, "a data object, nobody logged in", func(e *scene) cryptoki.RV {
			return only(e.none.wrap(keyWrap, kek(e), e.public, anyRoom))
		}},
		{"C_WrapKey", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_WRAPPING_KEY_TYPE_INCONSISTENT, "nobody logged in, an EC key", func(e *scene) cryptoki.RV {
			return only(e.none.wrap(keyWrap, e.pubKey, exportable(e), anyRoom))
		}},
		{"C_WrapKey", cryptoki.CKR_WRAPPING_KEY_TYPE_INCONSISTENT, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, "an EC key that does not wrap", func(e *scene) cryptoki.RV {
			return only(e.user.wrap(keyWrap, e.pubKey, exportable(e), anyRoom))
		}},
		{"C_WrapKey", cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, cryptoki.CKR_MECHANISM_INVALID, "does not wrap, another mechanism allowed", func(e *scene) cryptoki.RV {
			return only(e.user.wrap(keyWrap, e.restricted(false), exportable(e), anyRoom))
		}},
		{"C_WrapKey", cryptoki.CKR_MECHANISM_INVALID, cryptoki.CKR_KEY_NOT_WRAPPABLE, "another mechanism allowed, a public key", func(e *scene) cryptoki.RV {
			return only(e.user.wrap(keyWrap, mixed(e), e.pubKey, anyRoom))
		}},
		{"C_WrapKey", cryptoki.CKR_KEY_UNEXTRACTABLE, cryptoki.CKR_MECHANISM_PARAM_INVALID, "not extractable, malformed parameter", func(e *scene) cryptoki.RV {
			return only(e.user.wrap(malformed, kek(e), e.user.aes(), anyRoom))
		}},
		{"C_WrapKey", cryptoki.CKR_KEY_UNEXTRACTABLE, cryptoki.CKR_KEY_NOT_WRAPPABLE, "not extractable, wants a trusted key", func(e *scene) cryptoki.RV {
			return only(e.user.wrap(keyWrap, kek(e), e.user.aes(cryptoki.CKA_WRAP_WITH_TRUSTED, true), anyRoom))
		}},
		{"C_WrapKey", cryptoki.CKR_KEY_NOT_WRAPPABLE, cryptoki.CKR_WRAPPING_KEY_SIZE_RANGE, "wants a trusted key, a weaker one", func(e *scene) cryptoki.RV {
			return only(e.user.wrap(keyWrap, kek(e, cryptoki.CKA_VALUE_LEN, 16), e.user.aes(cryptoki.CKA_EXTRACTABLE, true, cryptoki.CKA_WRAP_WITH_TRUSTED, true), anyRoom))
		}},
		{"C_WrapKey", cryptoki.CKR_WRAPPING_KEY_SIZE_RANGE, cryptoki.CKR_MECHANISM_PARAM_INVALID, "a weaker key, malformed parameter", func(e *scene) cryptoki.RV {
			return only(e.user.wrap(malformed, kek(e, cryptoki.CKA_VALUE_LEN, 16), exportable(e), anyRoom))
		}},
		{"C_WrapKey", cryptoki.CKR_MECHANISM_PARAM_INVALID, cryptoki.CKR_BUFFER_TOO_SMALL, "malformed parameter, no room", func(e *scene) cryptoki.RV {
			return only(e.user.wrap(malformed, kek(e), exportable(e), 0))
		}},

		{"C_UnwrapKey", cryptoki.CKR_MECHANISM_INVALID, cryptoki.CKR_UNWRAPPING_KEY_HANDLE_INVALID, "unknown mechanism, no key", func(e *scene) cryptoki.RV {
			return only(e.user.unwrap(newToken(), unknown, nothing, nil, nil))
		}},
		{"C_UnwrapKey", cryptoki.CKR_UNWRAPPING_KEY_HANDLE_INVALID, cryptoki.CKR_TEMPLATE_INCOMPLETE, "no key, no class", func(e *scene) cryptoki.RV {
			return only(e.user.unwrap(newToken(), keyWrap, e.public, nil, nil))
		}},
		{"C_UnwrapKey", cryptoki.CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, "an EC key that does not unwrap", func(e *scene) cryptoki.RV {
			return only(e.user.unwrap(newToken(), keyWrap, e.privKey, nil, secretAES))
		}},
		{"C_UnwrapKey", cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, cryptoki.CKR_MECHANISM_INVALID, "for all purposes, another mechanism allowed", func(e *scene) cryptoki.RV {
			return only(e.user.unwrap(newToken(), keyWrap, mixed(e), nil, secretAES))
		}},
		{"C_UnwrapKey", cryptoki.CKR_MECHANISM_INVALID, cryptoki.CKR_TEMPLATE_INCONSISTENT, "another mechanism allowed, against the template", func(e *scene) cryptoki.RV {
			key := kek(e, cryptoki.CKA_ALLOWED_MECHANISMS, cryptoki.CKM_AES_GCM, cryptoki.CKA_UNWRAP_TEMPLATE, templateOf(cryptoki.CKA_EXTRACTABLE, false))
			return only(e.user.unwrap(newToken(), keyWrap, key, nil, with(secretAES, cryptoki.CKA_EXTRACTABLE, true)))
		}},
		{"C_UnwrapKey", cryptoki.CKR_TEMPLATE_INCONSISTENT, cryptoki.CKR_TEMPLATE_INCOMPLETE, "against the template, no class", func(e *scene) cryptoki.RV {
			key := kek(e, cryptoki.CKA_UNWRAP_TEMPLATE, templateOf(cryptoki.CKA_EXTRACTABLE, false))
			return only(e.user.unwrap(newToken(), keyWrap, key, nil, attrs(cryptoki.CKA_EXTRACTABLE, true)))
		}},
		{"C_UnwrapKey", cryptoki.CKR_TEMPLATE_INCOMPLETE, cryptoki.CKR_SESSION_READ_ONLY, "no class, read-only", func(e *scene) cryptoki.RV {
			return only(e.ro.unwrap(newToken(), keyWrap, kek(e), nil, attrs(cryptoki.CKA_TOKEN, true)))
		}},
		{"C_UnwrapKey", cryptoki.CKR_TEMPLATE_INCONSISTENT, cryptoki.CKR_SESSION_READ_ONLY, "of two purposes, read-only", func(e *scene) cryptoki.RV {
			return only(e.ro.unwrap(newToken(), keyWrap, kek(e), nil, with(token, cryptoki.CKA_WRAP, true, cryptoki.CKA_DECRYPT, true)))
		}},
		{"C_UnwrapKey", cryptoki.CKR_SESSION_READ_ONLY, cryptoki.CKR_USER_NOT_LOGGED_IN, "read-only, nobody logged in", func(e *scene) cryptoki.RV {
			return only(e.noRO.unwrap(newToken(), keyWrap, kek(e), nil, token))
		}},
		{"C_UnwrapKey", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_WRAPPED_KEY_LEN_RANGE, "nobody logged in, nothing wrapped", func(e *scene) cryptoki.RV {
			return only(e.none.unwrap(newToken(), keyWrap, kek(e), nil, secretAES))
		}},
		{"C_UnwrapKey", cryptoki.CKR_MECHANISM_PARAM_INVALID, cryptoki.CKR_WRAPPED_KEY_LEN_RANGE, "malformed parameter, nothing wrapped", func(e *scene) cryptoki.RV {
			return only(e.user.unwrap(newToken(), malformed, kek(e), nil, secretAES))
		}},
		{"C_UnwrapKey", cryptoki.CKR_WRAPPED_KEY_LEN_RANGE, cryptoki.CKR_DEVICE_MEMORY, "nothing wrapped, no room", func(e *scene) cryptoki.RV {
			key := kek(e)
			e.fillMemory()
			return only(e.user.unwrap(newToken(), keyWrap, key, make([]byte, 7), secretAES))
		}},
		{"C_UnwrapKey", cryptoki.CKR_WRAPPED_KEY_INVALID, cryptoki.CKR_DEVICE_MEMORY, "another key's, no room", func(e *scene) cryptoki.RV {
			key := kek(e)
			e.fillMemory()
			return only(e.user.unwrap(newToken(), keyWrap, key, make([]byte, 40), secretAES))
		}},

		{"C_DeriveKey", cryptoki.CKR_MECHANISM_INVALID, cryptoki.CKR_KEY_HANDLE_INVALID, "unknown mechanism, no key", func(e *scene) cryptoki.RV {
			return only(e.user.derive(newToken(), unknown, nothing, nil))
		}},
		{"C_DeriveKey", cryptoki.CKR_KEY_HANDLE_INVALID, cryptoki.CKR_TEMPLATE_INCONSISTENT, "no key, a public key as result", func(e *scene) cryptoki.RV {
			return only(e.user.derive(newToken(), hkdf, nothing, attrs(cryptoki.CKA_CLASS, cryptoki.CKO_PUBLIC_KEY)))
		}},
		{"C_DeriveKey", cryptoki.CKR_KEY_TYPE_INCONSISTENT, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, "an EC key that does not derive", func(e *scene) cryptoki.RV {
			return only(e.user.derive(newToken(), hkdf, e.privKey, nil))
		}},
		{"C_DeriveKey", cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, cryptoki.CKR_MECHANISM_INVALID, "does not derive, another mechanism allowed", func(e *scene) cryptoki.RV {
			return only(e.user.derive(newToken(), hkdf, base(e, cryptoki.CKA_ALLOWED_MECHANISMS, cryptoki.CKM_AES_GCM, cryptoki.CKA_ENCRYPT, true,
				cryptoki.CKA_DECRYPT, true, cryptoki.CKA_WRAP, true, cryptoki.CKA_UNWRAP, true), nil))
		}},
		{"C_DeriveKey", cryptoki.CKR_MECHANISM_INVALID, cryptoki.CKR_TEMPLATE_INCONSISTENT, "another mechanism allowed, a public key as result", func(e *scene) cryptoki.RV {
			return only(e.user.derive(newToken(), hkdf, base(e, cryptoki.CKA_ALLOWED_MECHANISMS, cryptoki.CKM_AES_GCM), attrs(cryptoki.CKA_CLASS, cryptoki.CKO_PUBLIC_KEY)))
		}},
		{"C_DeriveKey", cryptoki.CKR_TEMPLATE_INCONSISTENT, cryptoki.CKR_SESSION_READ_ONLY, "less protected, read-only", func(e *scene) cryptoki.RV {
			return only(e.ro.derive(newToken(), hkdf, base(e), attrs(cryptoki.CKA_TOKEN, true, cryptoki.CKA_SENSITIVE, false)))
		}},
		{"C_DeriveKey", cryptoki.CKR_SESSION_READ_ONLY, cryptoki.CKR_USER_NOT_LOGGED_IN, "read-only, nobody logged in", func(e *scene) cryptoki.RV {
			return only(e.noRO.derive(newToken(), hkdf, base(e), attrs(cryptoki.CKA_TOKEN, true)))
		}},
		{"C_DeriveKey", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_KEY_SIZE_RANGE, "nobody logged in, one byte", func(e *scene) cryptoki.RV {
			return only(e.none.derive(newToken(), hkdf, base(e), attrs(cryptoki.CKA_VALUE_LEN, 1)))
		}},
		{"C_DeriveKey", cryptoki.CKR_KEY_SIZE_RANGE, cryptoki.CKR_MECHANISM_PARAM_INVALID, "one byte, malformed parameter", func(e *scene) cryptoki.RV {
			return only(e.user.derive(newToken(), malformedHKDF, base(e), attrs(cryptoki.CKA_VALUE_LEN, 1)))
		}},
		{"C_DeriveKey", cryptoki.CKR_MECHANISM_PARAM_INVALID, cryptoki.CKR_DEVICE_MEMORY, "malformed parameter, no room", func(e *scene) cryptoki.RV {
			key := base(e)
			e.fillMemory()
			return only(e.user.derive(newToken(), malformedHKDF, key, nil))
		}},

		{"C_DigestKey", cryptoki.CKR_OPERATION_NOT_INITIALIZED, cryptoki.CKR_KEY_HANDLE_INVALID, "no digest, no key", func(e *scene) cryptoki.RV {
			return e.user.digestKey(nothing)
		}},
		{"C_DigestKey", cryptoki.CKR_KEY_HANDLE_INVALID, cryptoki.CKR_KEY_INDIGESTIBLE, "no key, with policy 9 off", func(e *scene) cryptoki.RV {
			e.user.mustInit(mech.Digest, sha256, 0)
			return e.user.digestKey(nothing)
		}},
		{"C_DigestKey", cryptoki.CKR_KEY_INDIGESTIBLE, cryptoki.CKR_KEY_SIZE_RANGE, "policy 9 off, a short key", func(e *scene) cryptoki.RV {
			short := e.user.mustCreate(attrs(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_GENERIC_SECRET, cryptoki.CKA_VALUE, "short"))
			e.user.mustInit(mech.Digest, sha256, 0)
			return e.user.digestKey(short)
		}},
	} {
		t.Run(c.row+"/"+c.name, func(t *testing.T) {
			inOrder(t, rows, c.row, c.earlier, c.later)
			e := newScene(t)
			want(t, c.name, c.do(e), c.earlier)
		})
	}
	e := newScene(t)
	s := e.nowhere()
	for name, rv := range map[string]cryptoki.RV{
		"C_WrapKey": only(s.wrap(unknown, 0, 0, partition.AskLength)), "C_UnwrapKey": only(s.unwrap(newToken(), unknown, 0, nil, nil)),
		"C_DeriveKey": only(s.derive(newToken(), unknown, 0, nil)), "C_DigestKey": s.digestKey(0),
	} {
		want(t, name, rv, cryptoki.CKR_SESSION_HANDLE_INVALID)
	}
}
