package object

import (
	"cmp"
	"fmt"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// kind is a set of kinds of objects. A kind is a class, with the key types that
// share their attributes, or one type of certificate.
type kind uint32

const (
	data kind = 1 << iota
	x509
	wtls
	attributeCertificate // X.509's
	dsaParameters
	dhParameters
	x942Parameters
	rsaPublic
	ecPublic
	edwardsPublic // CKK_EC_EDWARDS and CKK_EC_MONTGOMERY
	rsaPrivate
	ecPrivate
	edwardsPrivate // and CKK_EC_MONTGOMERY
	aes
	generic // CKK_GENERIC_SECRET, CKK_HKDF and the HMAC key types

	certificates = x509 | wtls | attributeCertificate
	parameters   = dsaParameters | dhParameters | x942Parameters
	publicKeys   = rsaPublic | ecPublic | edwardsPublic
	privateKeys  = rsaPrivate | ecPrivate | edwardsPrivate
	secretKeys   = aes | generic
	confidential = privateKeys | secretKeys
	keys         = publicKeys | confidential
	all          = data | certificates | parameters | keys
)

// variety is what tells the objects of a class apart: their CKA_KEY_TYPE or
// CKA_CERTIFICATE_TYPE.
type variety uint64

// noVariety is the variety of a class that has but one kind.
const noVariety = variety(cryptoki.UnavailableInformation)

// noKeyType is the key type of what is not a key.
const noKeyType = cryptoki.KeyType(noVariety)

// varieties are the attributes that tell the variety, of the classes that have one.
var varieties = map[cryptoki.ObjectClass]cryptoki.AttributeType{
	cryptoki.CKO_CERTIFICATE:       cryptoki.CKA_CERTIFICATE_TYPE,
	cryptoki.CKO_DOMAIN_PARAMETERS: cryptoki.CKA_KEY_TYPE,
	cryptoki.CKO_PUBLIC_KEY:        cryptoki.CKA_KEY_TYPE,
	cryptoki.CKO_PRIVATE_KEY:       cryptoki.CKA_KEY_TYPE,
	cryptoki.CKO_SECRET_KEY:        cryptoki.CKA_KEY_TYPE,
}

// supported are the classes and varieties that objects are made of.
var supported = []struct {
	class     cryptoki.ObjectClass
	kind      kind
	varieties []variety
}{
	{cryptoki.CKO_DATA, data, []variety{noVariety}},
	{cryptoki.CKO_CERTIFICATE, x509, []variety{cryptoki.CKC_X_509}},
	{cryptoki.CKO_CERTIFICATE, wtls, []variety{cryptoki.CKC_WTLS}},
	{cryptoki.CKO_CERTIFICATE, attributeCertificate, []variety{cryptoki.CKC_X_509_ATTR_CERT}},
	{cryptoki.CKO_DOMAIN_PARAMETERS, dsaParameters, keyTypes(cryptoki.CKK_DSA)},
	{cryptoki.CKO_DOMAIN_PARAMETERS, dhParameters, keyTypes(cryptoki.CKK_DH)},
	{cryptoki.CKO_DOMAIN_PARAMETERS, x942Parameters, keyTypes(cryptoki.CKK_X9_42_DH)},
	{cryptoki.CKO_PUBLIC_KEY, rsaPublic, keyTypes(cryptoki.CKK_RSA)},
	{cryptoki.CKO_PUBLIC_KEY, ecPublic, keyTypes(cryptoki.CKK_EC)},
	{cryptoki.CKO_PUBLIC_KEY, edwardsPublic, keyTypes(cryptoki.CKK_EC_EDWARDS, cryptoki.CKK_EC_MONTGOMERY)},
	{cryptoki.CKO_PRIVATE_KEY, rsaPrivate, keyTypes(cryptoki.CKK_RSA)},
	{cryptoki.CKO_PRIVATE_KEY, ecPrivate, keyTypes(cryptoki.CKK_EC)},
	{cryptoki.CKO_PRIVATE_KEY, edwardsPrivate, keyTypes(cryptoki.CKK_EC_EDWARDS, cryptoki.CKK_EC_MONTGOMERY)},
	{cryptoki.CKO_SECRET_KEY, aes, keyTypes(cryptoki.CKK_AES)},
	{cryptoki.CKO_SECRET_KEY, generic, keyTypes(cryptoki.CKK_GENERIC_SECRET, cryptoki.CKK_HKDF,
		cryptoki.CKK_SHA_1_HMAC, cryptoki.CKK_SHA224_HMAC, cryptoki.CKK_SHA256_HMAC, cryptoki.CKK_SHA384_HMAC, cryptoki.CKK_SHA512_HMAC,
		cryptoki.CKK_SHA512_224_HMAC, cryptoki.CKK_SHA512_256_HMAC,
		cryptoki.CKK_SHA3_224_HMAC, cryptoki.CKK_SHA3_256_HMAC, cryptoki.CKK_SHA3_384_HMAC, cryptoki.CKK_SHA3_512_HMAC)},
}

func keyTypes(list ...cryptoki.KeyType) []variety {
	out := make([]variety, len(list))
	for i, t := range list {
		out[i] = variety(t)
	}
	return out
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
	notHere            // CKR_ATTRIBUTE_TYPE_INVALID with it, although such objects have it
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
	drop                // to an empty value, which takes the attribute away
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
	// derived: no object holds it, it follows from the key. Who knows the key compares a
	// value that a template gives.
	derived
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
	maxDigest  = 64    // a hash of a public key
)

// table is the rules of all attributes: PKCS#11 3.2, chapter 4, whose footnotes
// to the tables are the columns here. Where the standard leaves a default to the
// token it is that of the hardware HSMs: a key is sensitive, not extractable and
// good for nothing unless its template says otherwise; what may be confidential
// is private when it is made by somebody who is logged in. Certificates are public by
// default, since programs look for them before they log in, and so are domain parameters.
//
// CKA_TRUSTED is false until the SO sets it (Trust).
var table = []rule{
	// All objects (4.4).
	{cryptoki.CKA_CLASS, all, number, required, optional, fixed, asSet, ofClass, bound},
	{cryptoki.CKA_TOKEN, all, boolean, optional, optional, fixed, free, no, 0},
	{cryptoki.CKA_PRIVATE, all &^ (certificates | parameters), boolean, optional, optional, fixed, raise, ifLoggedIn, bound},
	{cryptoki.CKA_PRIVATE, certificates | parameters, boolean, optional, optional, fixed, raise, no, bound},
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

	// Certificates (4.6): all, X.509's and WTLS', X.509 attribute certificates.
	{cryptoki.CKA_CERTIFICATE_TYPE, certificates, number, required, optional, fixed, asSet, ofVariety, 0},
	{cryptoki.CKA_TRUSTED, certificates, boolean, onlyFalse, onlyFalse, fixed, anew, no, bound},
	{cryptoki.CKA_CERTIFICATE_CATEGORY, certificates, number, optional, optional, fixed, asSet, zero, 0},
	{cryptoki.CKA_START_DATE, certificates, date, optional, optional, fixed, asSet, empty, 0},
	{cryptoki.CKA_END_DATE, certificates, date, optional, optional, fixed, asSet, empty, 0},
	{cryptoki.CKA_PUBLIC_KEY_INFO, certificates, octets(0, maxName), optional, optional, fixed, asSet, empty, 0},
	{cryptoki.CKA_CHECK_VALUE, certificates, octets(0, checkValueSize), optional, optional, fixed, asSet, nil, 0},
	{cryptoki.CKA_SUBJECT, x509 | wtls, octets(0, maxName), required, optional, fixed, asSet, nil, 0},
	{cryptoki.CKA_ID, x509, octets(0, maxName), optional, optional, free, asSet, empty, 0},
	{cryptoki.CKA_ISSUER, x509 | wtls, octets(0, maxName), optional, optional, free, asSet, empty, 0},
	{cryptoki.CKA_SERIAL_NUMBER, x509 | attributeCertificate, octets(0, maxName), optional, optional, free, asSet, empty, 0},
	{cryptoki.CKA_VALUE, x509 | wtls, octets(0, maxContent), required, optional, fixed, asSet, nil, inValue},
	{cryptoki.CKA_URL, x509 | wtls, octets(0, maxName), optional, optional, fixed, asSet, empty, 0},
	{cryptoki.CKA_HASH_OF_SUBJECT_PUBLIC_KEY, x509 | wtls, octets(0, maxDigest), optional, optional, fixed, asSet, empty, 0},
	{cryptoki.CKA_HASH_OF_ISSUER_PUBLIC_KEY, x509 | wtls, octets(0, maxDigest), optional, optional, fixed, asSet, empty, 0},
	{cryptoki.CKA_NAME_HASH_ALGORITHM, x509 | wtls, number, optional, optional, fixed, asSet, nil, 0}, // SHA-1 where there is none
	{cryptoki.CKA_JAVA_MIDP_SECURITY_DOMAIN, x509, number, optional, optional, fixed, asSet, zero, 0},
	{cryptoki.CKA_OWNER, attributeCertificate, octets(0, maxName), required, optional, fixed, asSet, nil, 0},
	{cryptoki.CKA_AC_ISSUER, attributeCertificate, octets(0, maxName), optional, optional, free, asSet, empty, 0},
	{cryptoki.CKA_ATTR_TYPES, attributeCertificate, octets(0, maxName), optional, optional, free, asSet, empty, 0},
	{cryptoki.CKA_VALUE, attributeCertificate, octets(1, maxContent), required, optional, fixed, asSet, nil, inValue},

	// Domain parameters (4.11). None are generated here: the columns are the standard's.
	{cryptoki.CKA_PRIME, parameters, modulus, required, readOnly, fixed, asSet, nil, 0},
	{cryptoki.CKA_SUBPRIME, dsaParameters | x942Parameters, modulus, required, readOnly, fixed, asSet, nil, 0},
	{cryptoki.CKA_BASE, parameters, integer, required, readOnly, fixed, asSet, nil, 0},
	{cryptoki.CKA_PRIME_BITS, parameters, number, readOnly, required, fixed, asSet, primeBits, measured},
	{cryptoki.CKA_SUBPRIME_BITS, dsaParameters | x942Parameters, number, readOnly, optional, fixed, asSet, subprimeBits, measured},

	// All keys (4.7), and what domain parameters share with them.
	{cryptoki.CKA_KEY_TYPE, keys | parameters, number, required, optional, fixed, asSet, ofVariety, bound},
	{cryptoki.CKA_ID, keys, octets(0, maxName), optional, optional, free, asSet, empty, 0},
	{cryptoki.CKA_START_DATE, keys, date, optional, optional, free, asSet, empty, bound},
	{cryptoki.CKA_END_DATE, keys, date, optional, optional, free, asSet, empty, bound},
	{cryptoki.CKA_DERIVE, keys, boolean, optional, optional, free, asSet, no, bound},
	{cryptoki.CKA_LOCAL, keys | parameters, boolean, readOnly, readOnly, fixed, asSet, ifLocal, bound},
	{cryptoki.CKA_KEY_GEN_MECHANISM, keys, number, readOnly, readOnly, fixed, asSet, madeBy, bound},
	{cryptoki.CKA_ALLOWED_MECHANISMS, keys, mechanisms, optional, optional, fixed, asSet, nil, bound},

	// When a key is generated or unwrapped nobody knows it yet (4.9).
	{cryptoki.CKA_PUBLIC_KEY_INFO, publicKeys | privateKeys, octets(0, maxName), optional, notHere, free, asSet, nil, derived},

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
	{cryptoki.CKA_CHECK_VALUE, secretKeys, octets(0, checkValueSize), optional, optional, drop, asSet, nil, 0},
	{cryptoki.CKA_VALUE_LEN, secretKeys, number, readOnly, required, fixed, asSet, valueLength, measured},
}

// ruleSet is the rules of one class and variety.
type ruleSet struct {
	class   cryptoki.ObjectClass
	variety variety
	kind    kind
	rules   []*rule // in the order of the table
	sorted  []*rule // in ascending order of the types
	byType  map[cryptoki.AttributeType]*rule
}

type classAndVariety struct {
	class   cryptoki.ObjectClass
	variety variety
}

var (
	ruleSets = map[classAndVariety]*ruleSet{}
	classes  = map[cryptoki.ObjectClass]bool{}
	// ofKeys are the key types that keys have.
	ofKeys = map[variety]bool{}
	// known are the attributes that an object of some kind has.
	known = map[cryptoki.AttributeType]bool{}
	// forms are the forms of an attribute that can be read, one per rule for it.
	forms = map[cryptoki.AttributeType][]form{}
)

func init() {
	for i := range table {
		known[table[i].attribute] = true
		if table[i].marks&writeOnly == 0 {
			forms[table[i].attribute] = append(forms[table[i].attribute], table[i].form)
		}
	}
	for _, s := range supported {
		classes[s.class] = true
		for _, v := range s.varieties {
			ruleSets[classAndVariety{s.class, v}] = newRuleSet(s.class, v, s.kind)
			ofKeys[v] = ofKeys[v] || s.kind&keys != 0
		}
	}
}

func newRuleSet(class cryptoki.ObjectClass, v variety, k kind) *ruleSet {
	set := &ruleSet{class: class, variety: v, kind: k, byType: map[cryptoki.AttributeType]*rule{}}
	for i := range table {
		if r := &table[i]; r.of&k != 0 {
			set.rules = append(set.rules, r)
			set.byType[r.attribute] = r
		}
	}
	set.sorted = slices.SortedFunc(slices.Values(set.rules), func(a, b *rule) int { return cmp.Compare(a.attribute, b.attribute) })
	return set
}

// findRules finds the rules of a class and variety.
// Errors: CKR_ATTRIBUTE_VALUE_INVALID for a class or a variety that no object
// has, CKR_TEMPLATE_INCONSISTENT for a key type that does not go with the class.
func findRules(class cryptoki.ObjectClass, v variety) (*ruleSet, error) {
	if set := ruleSets[classAndVariety{class, v}]; set != nil {
		return set, nil
	}
	if !classes[class] {
		return nil, cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "objects of %v are not supported", class)
	}
	if varieties[class] == cryptoki.CKA_CERTIFICATE_TYPE {
		return nil, cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "certificates of type %#x are not supported", uint64(v))
	}
	if !ofKeys[v] {
		return nil, cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "a %v of %v is not supported", class, cryptoki.KeyType(v))
	}
	return nil, cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "%v does not go with %v", cryptoki.KeyType(v), class)
}

// keyType is the key type of keys, noKeyType of other objects.
func (s *ruleSet) keyType() cryptoki.KeyType {
	if s.kind&keys == 0 {
		return noKeyType
	}
	return cryptoki.KeyType(s.variety)
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
	switch varieties[s.class] {
	case cryptoki.CKA_KEY_TYPE:
		return fmt.Sprintf("%v %v", s.class, cryptoki.KeyType(s.variety))
	case cryptoki.CKA_CERTIFICATE_TYPE:
		return fmt.Sprintf("%v of type %d", s.class, s.variety)
	}
	return s.class.String()
}
