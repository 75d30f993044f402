package object

import (
	"cmp"
	"fmt"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// kind is a set of kinds of objects. A kind is a class, with the key types that
// share their attributes.
type kind uint32

const (
	data kind = 1 << iota
	certificate
	rsaPublic
	ecPublic
	edwardsPublic // CKK_EC_EDWARDS and CKK_EC_MONTGOMERY
	rsaPrivate
	ecPrivate
	edwardsPrivate // and CKK_EC_MONTGOMERY
	aes
	generic // CKK_GENERIC_SECRET, CKK_HKDF and the HMAC key types

	publicKeys   = rsaPublic | ecPublic | edwardsPublic
	privateKeys  = rsaPrivate | ecPrivate | edwardsPrivate
	secretKeys   = aes | generic
	confidential = privateKeys | secretKeys
	keys         = publicKeys | confidential
	all          = data | certificate | keys
)

// noKeyType is the key type of what is not a key.
const noKeyType = cryptoki.KeyType(cryptoki.UnavailableInformation)

// supported are the classes and key types that objects are made of.
var supported = []struct {
	class   cryptoki.ObjectClass
	keyType cryptoki.KeyType
	kind    kind
}{
	{cryptoki.CKO_DATA, noKeyType, data},
	{cryptoki.CKO_CERTIFICATE, noKeyType, certificate},
	{cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_RSA, rsaPublic},
	{cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_EC, ecPublic},
	{cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_EC_EDWARDS, edwardsPublic},
	{cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_EC_MONTGOMERY, edwardsPublic},
	{cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_RSA, rsaPrivate},
	{cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_EC, ecPrivate},
	{cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_EC_EDWARDS, edwardsPrivate},
	{cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_EC_MONTGOMERY, edwardsPrivate},
	{cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, aes},
	{cryptoki.CKO_SECRET_KEY, cryptoki.CKK_GENERIC_SECRET, generic},
	{cryptoki.CKO_SECRET_KEY, cryptoki.CKK_HKDF, generic},
	{cryptoki.CKO_SECRET_KEY, cryptoki.CKK_SHA_1_HMAC, generic},
	{cryptoki.CKO_SECRET_KEY, cryptoki.CKK_SHA224_HMAC, generic},
	{cryptoki.CKO_SECRET_KEY, cryptoki.CKK_SHA256_HMAC, generic},
	{cryptoki.CKO_SECRET_KEY, cryptoki.CKK_SHA384_HMAC, generic},
	{cryptoki.CKO_SECRET_KEY, cryptoki.CKK_SHA512_HMAC, generic},
	{cryptoki.CKO_SECRET_KEY, cryptoki.CKK_SHA512_224_HMAC, generic},
	{cryptoki.CKO_SECRET_KEY, cryptoki.CKK_SHA512_256_HMAC, generic},
	{cryptoki.CKO_SECRET_KEY, cryptoki.CKK_SHA3_224_HMAC, generic},
	{cryptoki.CKO_SECRET_KEY, cryptoki.CKK_SHA3_256_HMAC, generic},
	{cryptoki.CKO_SECRET_KEY, cryptoki.CKK_SHA3_384_HMAC, generic},
	{cryptoki.CKO_SECRET_KEY, cryptoki.CKK_SHA3_512_HMAC, generic},
}

// rule is a row of the table: all that is to know of an attribute for the kinds
// that have it. Kinds whose rules for an attribute differ have a row each.
type rule struct {
	attribute cryptoki.AttributeType
	of        kind
	form      form
	// create and generate say whether the template of C_CreateObject, and of the
	// calls that generate, may hold the attribute. What create requires, an object
	// always has.
	create, generate presence
	// set and copy say how C_SetAttributeValue and C_CopyObject may change it.
	set, copy change
	// initial makes the value where the template gives none; nil leaves the
	// attribute out. It may read the attributes whose rows come before.
	initial func(*draft) []byte
	marks   marks
}

// presence is what a template may say of an attribute when an object is made.
type presence uint8

const (
	optional  presence = iota
	required           // CKR_TEMPLATE_INCOMPLETE without it
	readOnly           // CKR_ATTRIBUTE_READ_ONLY with it
	onlyFalse          // CKR_ATTRIBUTE_READ_ONLY with CK_TRUE
)

// change is how an attribute may change once the object is there. Another
// change gives CKR_ATTRIBUTE_READ_ONLY.
type change uint8

const (
	asSet change = iota // in column copy: as column set says
	fixed               // not at all
	free                // to any value; a purpose only within purposes.go
	raise               // from CK_FALSE to CK_TRUE only
	lower               // from CK_TRUE to CK_FALSE only
	anew                // in column copy: the copy has its initial value
)

// marks are properties of an attribute.
type marks uint8

const (
	// inValue: the attribute is in the value part, which is sealed apart from the
	// metadata.
	inValue marks = 1 << iota
	// hidden: it cannot be read while the key is sensitive or not extractable.
	hidden
	// bound: it is in the security context.
	bound
	// measured: it tells a property of the value; for a key that is made here the
	// template's wish is replaced by the truth.
	measured
	// perKey: objects have it from format 2 on.
	perKey
	// writeOnly: it is never read, of no key, and no template inside an attribute has it.
	writeOnly

	secretValue = inValue | hidden
)

// The longest values, in bytes. They keep one object well within a frame of the
// wire.
const (
	maxName    = 4096  // label, id, names of a certificate
	maxContent = 65536 // what a data object or a certificate holds
	maxNumber  = 2048  // big integers: RSA to 16,384 bits
	maxSecret  = 4096  // secret keys
)

// table is the rules of all attributes: PKCS#11 3.2, chapter 4, whose footnotes
// to the tables are the columns here. Where the standard leaves a default to the
// token it is that of the hardware HSMs: a key is sensitive, not extractable and
// good for nothing unless its template says otherwise; what may be confidential
// is private when it is made by somebody who is logged in. Certificates are public by
// default, since programs look for them before they log in.
//
// CKA_TRUSTED is false until the SO sets it (Trust).
var table = []rule{
	// All objects (4.4).
	{cryptoki.CKA_CLASS, all, number, required, optional, fixed, asSet, ofClass, bound},
	{cryptoki.CKA_TOKEN, all, boolean, optional, optional, fixed, free, no, 0},
	{cryptoki.CKA_PRIVATE, all &^ certificate, boolean, optional, optional, fixed, raise, ifLoggedIn, bound},
	{cryptoki.CKA_PRIVATE, certificate, boolean, optional, optional, fixed, raise, no, bound},
	{cryptoki.CKA_MODIFIABLE, all, boolean, optional, optional, lower, asSet, yes, bound},
	{cryptoki.CKA_COPYABLE, all, boolean, optional, optional, lower, asSet, yes, bound},
	{cryptoki.CKA_DESTROYABLE, all, boolean, optional, optional, lower, asSet, yes, 0},
	{cryptoki.CKA_LABEL, all, octets(0, maxName), optional, optional, free, asSet, empty, 0},
	// No object holds it: who keeps objects tells them apart.
	{cryptoki.CKA_UNIQUE_ID, all, octets(1, maxName), readOnly, readOnly, fixed, anew, nil, 0},
	{cryptoki.CKA_OUID, all, octets(OUIDSize, OUIDSize), readOnly, readOnly, fixed, anew, nil, 0}, // the vendor's

	// Data objects (4.5).
	{cryptoki.CKA_APPLICATION, data, octets(0, maxName), optional, optional, free, asSet, empty, 0},
	{cryptoki.CKA_OBJECT_ID, data, octets(0, maxName), optional, optional, free, asSet, empty, 0},
	{cryptoki.CKA_VALUE, data, octets(0, maxContent), optional, optional, free, asSet, empty, inValue},

	// X.509 certificates (4.6).
	{cryptoki.CKA_CERTIFICATE_TYPE, certificate, x509, required, optional, fixed, asSet, nil, 0},
	{cryptoki.CKA_TRUSTED, certificate, boolean, onlyFalse, onlyFalse, fixed, anew, no, bound},
	{cryptoki.CKA_CERTIFICATE_CATEGORY, certificate, number, optional, optional, fixed, asSet, zero, 0},
	{cryptoki.CKA_SUBJECT, certificate, octets(0, maxName), required, optional, fixed, asSet, nil, 0},
	{cryptoki.CKA_ID, certificate, octets(0, maxName), optional, optional, free, asSet, empty, 0},
	{cryptoki.CKA_ISSUER, certificate, octets(0, maxName), optional, optional, free, asSet, empty, 0},
	{cryptoki.CKA_SERIAL_NUMBER, certificate, octets(0, maxName), optional, optional, free, asSet, empty, 0},
	{cryptoki.CKA_START_DATE, certificate, date, optional, optional, fixed, asSet, empty, 0},
	{cryptoki.CKA_END_DATE, certificate, date, optional, optional, fixed, asSet, empty, 0},
	{cryptoki.CKA_VALUE, certificate, octets(1, maxContent), required, optional, fixed, asSet, nil, inValue},

	// All keys (4.7).
	{cryptoki.CKA_KEY_TYPE, keys, number, required, optional, fixed, asSet, ofKeyType, bound},
	{cryptoki.CKA_ID, keys, octets(0, maxName), optional, optional, free, asSet, empty, 0},
	{cryptoki.CKA_START_DATE, keys, date, optional, optional, free, asSet, empty, bound},
	{cryptoki.CKA_END_DATE, keys, date, optional, optional, free, asSet, empty, bound},
	{cryptoki.CKA_DERIVE, keys, boolean, optional, optional, free, asSet, no, bound},
	{cryptoki.CKA_LOCAL, keys, boolean, readOnly, readOnly, fixed, asSet, ifLocal, bound},
	{cryptoki.CKA_KEY_GEN_MECHANISM, keys, number, readOnly, readOnly, fixed, asSet, madeBy, bound},
	{cryptoki.CKA_ALLOWED_MECHANISMS, keys, mechanisms, optional, optional, fixed, asSet, nil, bound},

	// No key holds it either: it follows from the key.
	{cryptoki.CKA_PUBLIC_KEY_INFO, publicKeys | privateKeys, octets(0, maxContent), readOnly, readOnly, fixed, asSet, nil, 0},

	// Purposes and trust of public keys (4.8), private keys (4.9) and secret keys (4.10).
	{cryptoki.CKA_SUBJECT, publicKeys | privateKeys, octets(0, maxName), optional, optional, free, asSet, empty, 0},
	{cryptoki.CKA_ENCRYPT, publicKeys | secretKeys, boolean, optional, optional, free, asSet, no, bound},
	{cryptoki.CKA_DECRYPT, confidential, boolean, optional, optional, free, asSet, no, bound},
	{cryptoki.CKA_SIGN, confidential, boolean, optional, optional, free, asSet, no, bound},
	{cryptoki.CKA_SIGN_RECOVER, privateKeys, boolean, optional, optional, free, asSet, no, bound},
	{cryptoki.CKA_VERIFY, publicKeys | secretKeys, boolean, optional, optional, free, asSet, no, bound},
	{cryptoki.CKA_VERIFY_RECOVER, publicKeys, boolean, optional, optional, free, asSet, no, bound},
	{cryptoki.CKA_WRAP, publicKeys | secretKeys, boolean, optional, optional, free, asSet, no, bound},
	{cryptoki.CKA_UNWRAP, confidential, boolean, optional, optional, free, asSet, no, bound},
	{cryptoki.CKA_ENCAPSULATE, publicKeys, boolean, optional, optional, free, asSet, no, bound},
	{cryptoki.CKA_DECAPSULATE, privateKeys, boolean, optional, optional, free, asSet, no, bound},
	{cryptoki.CKA_TRUSTED, publicKeys | secretKeys, boolean, onlyFalse, onlyFalse, fixed, anew, no, bound},
	{cryptoki.CKA_WRAP_TEMPLATE, publicKeys | secretKeys, inner, optional, optional, fixed, asSet, nil, bound},
	{cryptoki.CKA_UNWRAP_TEMPLATE, confidential, inner, optional, optional, fixed, asSet, nil, bound},
	{cryptoki.CKA_DERIVE_TEMPLATE, confidential, inner, optional, optional, fixed, asSet, nil, bound},
	{cryptoki.CKA_WRAP_WITH_TRUSTED, confidential, boolean, optional, optional, raise, asSet, no, bound},
	{cryptoki.CKA_ALWAYS_AUTHENTICATE, privateKeys, boolean, optional, optional, fixed, asSet, no, bound},
	{cryptoki.CKA_SENSITIVE, confidential, boolean, optional, optional, raise, asSet, sensitive, bound},
	{cryptoki.CKA_EXTRACTABLE, confidential, boolean, optional, optional, lower, asSet, no, bound},
	{cryptoki.CKA_ALWAYS_SENSITIVE, confidential, boolean, readOnly, readOnly, fixed, asSet, ifSensitive, bound},
	{cryptoki.CKA_NEVER_EXTRACTABLE, confidential, boolean, readOnly, readOnly, fixed, asSet, ifNotExtractable, bound},

	// Per-Key Authorization, which the vendor defines.
	{cryptoki.CKA_AUTH_DATA, confidential, octets(verifierSize, verifierSize), readOnly, readOnly, fixed, asSet, nil, inValue | writeOnly | perKey},
	{cryptoki.CKA_ASSIGNED, confidential, boolean, optional, optional, fixed, anew, no, bound | perKey},
	{cryptoki.CKA_KEY_STATUS, keys, octets(4, 4), readOnly, readOnly, fixed, asSet, keyStatus, perKey},
	{cryptoki.CKA_FAILED_KEY_AUTH_COUNT, confidential, number, readOnly, readOnly, fixed, anew, zero, perKey},

	// RSA keys.
	{cryptoki.CKA_MODULUS, rsaPublic | rsaPrivate, modulus, required, readOnly, fixed, asSet, nil, 0},
	{cryptoki.CKA_MODULUS_BITS, rsaPublic, number, readOnly, required, fixed, asSet, modulusBits, measured},
	{cryptoki.CKA_PUBLIC_EXPONENT, rsaPublic, exponent, required, optional, fixed, asSet, nil, 0},
	{cryptoki.CKA_PUBLIC_EXPONENT, rsaPrivate, exponent, required, readOnly, fixed, asSet, nil, 0},
	{cryptoki.CKA_PRIVATE_EXPONENT, rsaPrivate, integer, required, readOnly, fixed, asSet, nil, secretValue},
	{cryptoki.CKA_PRIME_1, rsaPrivate, integer, optional, readOnly, fixed, asSet, nil, secretValue},
	{cryptoki.CKA_PRIME_2, rsaPrivate, integer, optional, readOnly, fixed, asSet, nil, secretValue},
	{cryptoki.CKA_EXPONENT_1, rsaPrivate, integer, optional, readOnly, fixed, asSet, nil, secretValue},
	{cryptoki.CKA_EXPONENT_2, rsaPrivate, integer, optional, readOnly, fixed, asSet, nil, secretValue},
	{cryptoki.CKA_COEFFICIENT, rsaPrivate, integer, optional, readOnly, fixed, asSet, nil, secretValue},

	// Elliptic-curve keys.
	{cryptoki.CKA_EC_PARAMS, ecPublic | edwardsPublic, octets(1, maxNumber), required, required, fixed, asSet, nil, 0},
	{cryptoki.CKA_EC_PARAMS, ecPrivate | edwardsPrivate, octets(1, maxNumber), required, readOnly, fixed, asSet, nil, 0},
	{cryptoki.CKA_EC_POINT, ecPublic | edwardsPublic, octets(1, maxNumber), required, readOnly, fixed, asSet, nil, 0},
	// The standard gives private keys no point; programs that import keys send it.
	{cryptoki.CKA_EC_POINT, ecPrivate | edwardsPrivate, octets(1, maxNumber), optional, readOnly, fixed, asSet, nil, 0},
	{cryptoki.CKA_VALUE, ecPrivate, integer, required, readOnly, fixed, asSet, nil, secretValue},
	{cryptoki.CKA_VALUE, edwardsPrivate, octets(1, maxNumber), required, readOnly, fixed, asSet, nil, secretValue},

	// Secret keys.
	{cryptoki.CKA_VALUE, aes, aesKey, required, readOnly, fixed, asSet, nil, secretValue},
	{cryptoki.CKA_VALUE, generic, octets(1, maxSecret), required, readOnly, fixed, asSet, nil, secretValue},
	{cryptoki.CKA_CHECK_VALUE, secretKeys, octets(0, checkValueSize), optional, optional, fixed, asSet, nil, 0},
	{cryptoki.CKA_VALUE_LEN, secretKeys, number, readOnly, required, fixed, asSet, valueLength, measured},
}

// ruleSet is the rules of one class and key type.
type ruleSet struct {
	class   cryptoki.ObjectClass
	keyType cryptoki.KeyType
	kind    kind
	rules   []*rule // in the order of the table
	sorted  []*rule // in ascending order of the types
	byType  map[cryptoki.AttributeType]*rule
}

type classAndType struct {
	class   cryptoki.ObjectClass
	keyType cryptoki.KeyType
}

var (
	ruleSets = map[classAndType]*ruleSet{}
	classes  = map[cryptoki.ObjectClass]bool{}
	keyTypes = map[cryptoki.KeyType]bool{}
	// known are the attributes that an object of some kind has.
	known = map[cryptoki.AttributeType]bool{}
	// forms are the forms of an attribute that can be read, one per rule for it.
	forms = map[cryptoki.AttributeType][]form{}
)

func init() {
	for i := range table {
		if table[i].marks&writeOnly == 0 {
			forms[table[i].attribute] = append(forms[table[i].attribute], table[i].form)
		}
	}
	for _, s := range supported {
		set := &ruleSet{class: s.class, keyType: s.keyType, kind: s.kind, byType: map[cryptoki.AttributeType]*rule{}}
		for i := range table {
			r := &table[i]
			known[r.attribute] = true
			if r.of&s.kind != 0 {
				set.rules = append(set.rules, r)
				set.byType[r.attribute] = r
			}
		}
		set.sorted = slices.SortedFunc(slices.Values(set.rules), func(a, b *rule) int { return cmp.Compare(a.attribute, b.attribute) })
		ruleSets[classAndType{s.class, s.keyType}] = set
		classes[s.class] = true
		keyTypes[s.keyType] = true
	}
}

// findRules finds the rules of a class and key type.
// Errors: CKR_ATTRIBUTE_VALUE_INVALID for a class or a key type that no object
// has, CKR_TEMPLATE_INCONSISTENT for two that do not go together.
func findRules(class cryptoki.ObjectClass, keyType cryptoki.KeyType) (*ruleSet, error) {
	if set := ruleSets[classAndType{class, keyType}]; set != nil {
		return set, nil
	}
	if !classes[class] {
		return nil, cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "objects of %v are not supported", class)
	}
	if !keyTypes[keyType] {
		return nil, cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "keys of %v are not supported", keyType)
	}
	return nil, cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "%v does not go with %v", keyType, class)
}

// isKeyClass says that objects of the class have a key type.
func isKeyClass(class cryptoki.ObjectClass) bool {
	return classes[class] && ruleSets[classAndType{class, noKeyType}] == nil
}

// rule finds the rule for an attribute in a template.
// Errors: CKR_ATTRIBUTE_TYPE_INVALID for an attribute that no object has,
// CKR_TEMPLATE_INCONSISTENT for one that objects of another kind have (PKCS#11
// 3.2, 4.1.1).
func (s *ruleSet) rule(t cryptoki.AttributeType) (*rule, error) {
	if r := s.byType[t]; r != nil {
		return r, nil
	}
	if known[t] {
		return nil, cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "%v does not go with %v", t, s)
	}
	return nil, cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_TYPE_INVALID, "%v is not supported", t)
}

// given is an attribute of a template, with the rule for it and its value in
// normal form.
type given struct {
	rule  *rule
	value []byte
}

// resolve finds the rules for a template and checks what depends on nothing else.
// Errors: CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID,
// CKR_TEMPLATE_INCONSISTENT.
func (s *ruleSet) resolve(t cryptoki.Template) ([]given, error) {
	list := make([]given, 0, len(t))
	seen := make(map[cryptoki.AttributeType]bool, len(t))
	for _, a := range t {
		r, err := s.rule(a.Type)
		if err != nil {
			return nil, err
		}
		if seen[a.Type] {
			return nil, cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "%v is given twice", a.Type)
		}
		seen[a.Type] = true
		if err := r.form.check(a.Value); err != nil {
			return nil, cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "%v %w", a.Type, err)
		}
		list = append(list, given{r, r.form.normal(a.Value)})
	}
	return list, nil
}

func (s *ruleSet) String() string {
	if s.keyType == noKeyType {
		return s.class.String()
	}
	return fmt.Sprintf("%v %v", s.class, s.keyType)
}
