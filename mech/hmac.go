package mech

import (
	"crypto"
	"crypto/hmac"
	"hash"

	"tidelock.dev/tidelock/cryptoki"
)

// hmacFunctions are the hash functions of HMAC (FIPS 198-1; PKCS#11 3.2, "HMAC
// mechanisms"), each with its mechanisms for a whole MAC, for one of a length that is
// the parameter, and for making keys of its own type.
var hmacFunctions = []struct {
	hash           crypto.Hash
	whole, general cryptoki.MechanismType
	key            cryptoki.KeyType
	keyGen         cryptoki.MechanismType
}{
	{crypto.SHA1, cryptoki.CKM_SHA_1_HMAC, cryptoki.CKM_SHA_1_HMAC_GENERAL, cryptoki.CKK_SHA_1_HMAC, cryptoki.CKM_SHA_1_KEY_GEN},
	{crypto.SHA224, cryptoki.CKM_SHA224_HMAC, cryptoki.CKM_SHA224_HMAC_GENERAL, cryptoki.CKK_SHA224_HMAC, cryptoki.CKM_SHA224_KEY_GEN},
	{crypto.SHA256, cryptoki.CKM_SHA256_HMAC, cryptoki.CKM_SHA256_HMAC_GENERAL, cryptoki.CKK_SHA256_HMAC, cryptoki.CKM_SHA256_KEY_GEN},
	{crypto.SHA384, cryptoki.CKM_SHA384_HMAC, cryptoki.CKM_SHA384_HMAC_GENERAL, cryptoki.CKK_SHA384_HMAC, cryptoki.CKM_SHA384_KEY_GEN},
	{crypto.SHA512, cryptoki.CKM_SHA512_HMAC, cryptoki.CKM_SHA512_HMAC_GENERAL, cryptoki.CKK_SHA512_HMAC, cryptoki.CKM_SHA512_KEY_GEN},
	{crypto.SHA512_224, cryptoki.CKM_SHA512_224_HMAC, cryptoki.CKM_SHA512_224_HMAC_GENERAL, cryptoki.CKK_SHA512_224_HMAC, cryptoki.CKM_SHA512_224_KEY_GEN},
	{crypto.SHA512_256, cryptoki.CKM_SHA512_256_HMAC, cryptoki.CKM_SHA512_256_HMAC_GENERAL, cryptoki.CKK_SHA512_256_HMAC, cryptoki.CKM_SHA512_256_KEY_GEN},
	{crypto.SHA3_224, cryptoki.CKM_SHA3_224_HMAC, cryptoki.CKM_SHA3_224_HMAC_GENERAL, cryptoki.CKK_SHA3_224_HMAC, cryptoki.CKM_SHA3_224_KEY_GEN},
	{crypto.SHA3_256, cryptoki.CKM_SHA3_256_HMAC, cryptoki.CKM_SHA3_256_HMAC_GENERAL, cryptoki.CKK_SHA3_256_HMAC, cryptoki.CKM_SHA3_256_KEY_GEN},
	{crypto.SHA3_384, cryptoki.CKM_SHA3_384_HMAC, cryptoki.CKM_SHA3_384_HMAC_GENERAL, cryptoki.CKK_SHA3_384_HMAC, cryptoki.CKM_SHA3_384_KEY_GEN},
	{crypto.SHA3_512, cryptoki.CKM_SHA3_512_HMAC, cryptoki.CKM_SHA3_512_HMAC_GENERAL, cryptoki.CKK_SHA3_512_HMAC, cryptoki.CKM_SHA3_512_KEY_GEN},
}

var hmacs, hmacKeys = hmacMechanisms()

func hmacMechanisms() (macs, keys []Mechanism) {
	for _, h := range hmacFunctions {
		types := []cryptoki.KeyType{cryptoki.CKK_GENERIC_SECRET, h.key}
		macs = append(macs, hmacOf(h.whole, h.hash, types, cryptoki.ShapeNone), hmacOf(h.general, h.hash, types, cryptoki.ShapeULong))
		keys = append(keys, secretKeyGen(h.keyGen, h.key))
	}
	return macs, keys
}

// macKeyTypes are the types of keys for HMAC.
var macKeyTypes = func() []cryptoki.KeyType {
	types := []cryptoki.KeyType{cryptoki.CKK_GENERIC_SECRET}
	for _, h := range hmacFunctions {
		types = append(types, h.key)
	}
	return types
}()

func hmacOf(t cryptoki.MechanismType, h crypto.Hash, types []cryptoki.KeyType, shape cryptoki.Shape) Mechanism {
	return keyed(Mechanism{
		Type:      t,
		Flags:     cryptoki.CKF_SIGN | cryptoki.CKF_VERIFY,
		KeyTypes:  types,
		MinKey:    minGeneric,
		MaxKey:    maxGeneric,
		Shape:     shape,
		MultiPart: true,
		Approved:  h != crypto.SHA1,
	}, func(f Function, p *cryptoki.Mechanism, key *macKey) (Operation, error) {
		length, err := h.Size(), p.None()
		if shape == cryptoki.ShapeULong {
			length, err = macLength(p, h.Size())
		}
		if err != nil {
			return nil, err
		}
		return &mac{state: key.state(h), length: length, verify: f == Verify, pool: &key.states}, nil
	})
}

// macState is an HMAC that has absorbed its key.
type macState struct {
	hash.Hash
	function crypto.Hash
}

// state returns a fresh HMAC of the key. The pool spares the allocations and the
// two compressions that absorbing the key costs; a key is rarely used with two
// functions, so a state of another one is dropped.
func (k *macKey) state(h crypto.Hash) *macState {
	if s, ok := k.states.Get().(*macState); ok && s.function == h {
		return s
	}
	return &macState{hmac.New(h.New, k.value), h}
}
