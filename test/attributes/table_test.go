package attributes

import "github.com/miekg/pkcs11"

// kind is a set of kinds of objects, those that the standard has a table of attributes for.
type kind uint32

const (
	data kind = 1 << iota
	x509Kind
	wtls
	attributeCertificate
	dsaParameters
	dhParameters
	x942Parameters
	rsaPublic
	ecPublic // and the keys of Edwards and Montgomery curves
	rsaPrivate
	ecPrivate
	aes
	generic
	hmacKey // and CKK_HKDF

	certificates = x509Kind | wtls | attributeCertificate
	parameters   = dsaParameters | dhParameters | x942Parameters
	publicKeys   = rsaPublic | ecPublic
	privateKeys  = rsaPrivate | ecPrivate
	secretKeys   = aes | generic | hmacKey
	confidential = privateKeys | secretKeys
	keys         = publicKeys | confidential
	all          = data | certificates | parameters | keys
)

// notes are the footnotes of the standard's tables (PKCS#11 3.1, table 11), by their numbers,
// and what its text says beside them.
type notes uint32

const (
	mustCreate   notes = 1 << 1  // C_CreateObject's template has it
	noCreate     notes = 1 << 2  // and does not
	mustGenerate notes = 1 << 3  // a generating call's template has it
	noGenerate   notes = 1 << 4  // and does not
	mustUnwrap   notes = 1 << 5  // C_UnwrapKey's template has it
	noUnwrap     notes = 1 << 6  // and does not
	hidden       notes = 1 << 7  // not shown of a key that is sensitive or not extractable
	modifiable   notes = 1 << 8  // C_SetAttributeValue and C_CopyObject change it
	officer      notes = 1 << 10 // only the SO sets it to CK_TRUE
	sticksTrue   notes = 1 << 11 // does not change any more when it is CK_TRUE
	sticksFalse  notes = 1 << 12 // when it is CK_FALSE
	inCopy       notes = 1 << 13 // C_CopyObject alone changes it

	readOnly = noCreate | noGenerate | noUnwrap
	material = noGenerate | noUnwrap // of a key: it comes with the key
)

// row is an attribute of some kinds of objects.
type row struct {
	of        kind
	name      string
	attribute uint
	notes     notes
	// initial is the value where a template for C_CreateObject gives none, nil where there
	// is none then, or where it depends.
	initial any
	// sample is a value to give; nil where the object's own template has one.
	sample any
}

// given is the initial value of what depends on the object: it is there.
type given struct{}

// What pkcs11 does not name.
const (
	ckaUniqueID     = 0x4
	ckaHashOfOwn    = 0x8a
	ckaHashOfIssuer = 0x8b
	ckaNameHash     = 0x8c
	ckaPublicInfo   = 0x129
	ckaEncapsulate  = 0x633
	ckaDecapsulate  = 0x634
	ckaDerive       = 0x40000213
	unavailable     = ^uint(0)
)

const aDate = "20300101"

// table is the attributes of chapter 4, and of the key types of chapter 6.
var table = []row{
	// 4.2, 4.4
	{all, "CKA_CLASS", pkcs11.CKA_CLASS, mustCreate, given{}, nil},
	{all, "CKA_TOKEN", pkcs11.CKA_TOKEN, inCopy, false, true},
	{all &^ (certificates | parameters), "CKA_PRIVATE", pkcs11.CKA_PRIVATE, inCopy, true, true},
	{certificates | parameters, "CKA_PRIVATE", pkcs11.CKA_PRIVATE, inCopy, false, true},
	{all, "CKA_MODIFIABLE", pkcs11.CKA_MODIFIABLE, inCopy, true, false},
	{all, "CKA_COPYABLE", pkcs11.CKA_COPYABLE, modifiable | sticksFalse, true, false},
	{all, "CKA_DESTROYABLE", pkcs11.CKA_DESTROYABLE, inCopy, true, true},
	{all, "CKA_LABEL", pkcs11.CKA_LABEL, modifiable, "", "a label"},
	{all, "CKA_UNIQUE_ID", ckaUniqueID, readOnly, given{}, "an id"},
	// 4.5
	{data, "CKA_APPLICATION", pkcs11.CKA_APPLICATION, 0, "", "an application"},
	{data, "CKA_OBJECT_ID", pkcs11.CKA_OBJECT_ID, 0, "", "\x06\x01\x2a"},
	{data, "CKA_VALUE", pkcs11.CKA_VALUE, 0, "", "a value"},
	// 4.6
	{certificates, "CKA_CERTIFICATE_TYPE", pkcs11.CKA_CERTIFICATE_TYPE, mustCreate, given{}, nil},
	{certificates, "CKA_TRUSTED", pkcs11.CKA_TRUSTED, officer, false, true},
	{certificates, "CKA_CERTIFICATE_CATEGORY", pkcs11.CKA_CERTIFICATE_CATEGORY, 0, uint(0), uint(2)},
	{certificates, "CKA_CHECK_VALUE", pkcs11.CKA_CHECK_VALUE, 0, given{}, ""},
	{certificates, "CKA_START_DATE", pkcs11.CKA_START_DATE, 0, "", aDate},
	{certificates, "CKA_END_DATE", pkcs11.CKA_END_DATE, 0, "", aDate},
	{certificates, "CKA_PUBLIC_KEY_INFO", ckaPublicInfo, 0, "", "a key"},
	{x509Kind | wtls, "CKA_SUBJECT", pkcs11.CKA_SUBJECT, mustCreate, given{}, nil},
	{x509Kind, "CKA_ID", pkcs11.CKA_ID, modifiable, "", "an id"},
	{x509Kind | wtls, "CKA_ISSUER", pkcs11.CKA_ISSUER, modifiable, "", "an issuer"},
	{x509Kind | attributeCertificate, "CKA_SERIAL_NUMBER", pkcs11.CKA_SERIAL_NUMBER, modifiable, "", "\x02\x01\x07"},
	{certificates, "CKA_VALUE", pkcs11.CKA_VALUE, mustCreate, given{}, nil},
	{x509Kind | wtls, "CKA_URL", pkcs11.CKA_URL, 0, "", ""},
	{x509Kind | wtls, "CKA_HASH_OF_SUBJECT_PUBLIC_KEY", ckaHashOfOwn, 0, "", "20 bytes of a digest"},
	{x509Kind | wtls, "CKA_HASH_OF_ISSUER_PUBLIC_KEY", ckaHashOfIssuer, 0, "", "20 bytes of a digest"},
	{x509Kind | wtls, "CKA_NAME_HASH_ALGORITHM", ckaNameHash, 0, nil, uint(pkcs11.CKM_SHA256)},
	{x509Kind, "CKA_JAVA_MIDP_SECURITY_DOMAIN", pkcs11.CKA_JAVA_MIDP_SECURITY_DOMAIN, 0, uint(0), uint(1)},
	{attributeCertificate, "CKA_OWNER", pkcs11.CKA_OWNER, mustCreate, given{}, nil},
	{attributeCertificate, "CKA_AC_ISSUER", pkcs11.CKA_AC_ISSUER, modifiable, "", "an issuer"},
	{attributeCertificate, "CKA_ATTR_TYPES", pkcs11.CKA_ATTR_TYPES, modifiable, "", "\x30\x00"},
	// 4.7
	{keys, "CKA_KEY_TYPE", pkcs11.CKA_KEY_TYPE, mustCreate | mustUnwrap, given{}, nil},
	{keys, "CKA_ID", pkcs11.CKA_ID, modifiable, "", "an id"},
	{keys, "CKA_START_DATE", pkcs11.CKA_START_DATE, modifiable, "", aDate},
	{keys, "CKA_END_DATE", pkcs11.CKA_END_DATE, modifiable, "", aDate},
	{keys, "CKA_DERIVE", pkcs11.CKA_DERIVE, modifiable, false, true},
	{keys, "CKA_LOCAL", pkcs11.CKA_LOCAL, readOnly, false, true},
	{keys, "CKA_KEY_GEN_MECHANISM", pkcs11.CKA_KEY_GEN_MECHANISM, readOnly, unavailable, uint(pkcs11.CKM_AES_KEY_GEN)},
	{keys, "CKA_ALLOWED_MECHANISMS", pkcs11.CKA_ALLOWED_MECHANISMS, 0, nil, uint(pkcs11.CKM_AES_GCM)},
	// 4.8, 4.9, 4.10
	{publicKeys | privateKeys, "CKA_SUBJECT", pkcs11.CKA_SUBJECT, modifiable, "", "a subject"},
	{publicKeys | secretKeys, "CKA_ENCRYPT", pkcs11.CKA_ENCRYPT, modifiable, false, true},
	{confidential, "CKA_DECRYPT", pkcs11.CKA_DECRYPT, modifiable, false, true},
	{confidential, "CKA_SIGN", pkcs11.CKA_SIGN, modifiable, false, true},
	{privateKeys, "CKA_SIGN_RECOVER", pkcs11.CKA_SIGN_RECOVER, modifiable, false, true},
	{publicKeys | secretKeys, "CKA_VERIFY", pkcs11.CKA_VERIFY, modifiable, false, true},
	{publicKeys, "CKA_VERIFY_RECOVER", pkcs11.CKA_VERIFY_RECOVER, modifiable, false, true},
	{publicKeys | secretKeys, "CKA_WRAP", pkcs11.CKA_WRAP, modifiable, false, true},
	{confidential, "CKA_UNWRAP", pkcs11.CKA_UNWRAP, modifiable, false, true},
	{publicKeys, "CKA_ENCAPSULATE", ckaEncapsulate, modifiable, false, true},
	{privateKeys, "CKA_DECAPSULATE", ckaDecapsulate, modifiable, false, true},
	{publicKeys | secretKeys, "CKA_TRUSTED", pkcs11.CKA_TRUSTED, officer, false, true},
	{publicKeys | secretKeys, "CKA_WRAP_TEMPLATE", pkcs11.CKA_WRAP_TEMPLATE, 0, nil, ""},
	{confidential, "CKA_UNWRAP_TEMPLATE", pkcs11.CKA_UNWRAP_TEMPLATE, 0, nil, ""},
	{confidential, "CKA_DERIVE_TEMPLATE", ckaDerive, 0, nil, ""},
	{publicKeys | privateKeys, "CKA_PUBLIC_KEY_INFO", ckaPublicInfo, modifiable, given{}, ""},
	{privateKeys, "CKA_SENSITIVE", pkcs11.CKA_SENSITIVE, modifiable | sticksTrue, true, true},
	// The standard's default is false; with such HSMs it is true.
	{secretKeys, "CKA_SENSITIVE", pkcs11.CKA_SENSITIVE, modifiable | sticksTrue, true, true},
	{confidential, "CKA_EXTRACTABLE", pkcs11.CKA_EXTRACTABLE, modifiable | sticksFalse, false, false},
	{confidential, "CKA_ALWAYS_SENSITIVE", pkcs11.CKA_ALWAYS_SENSITIVE, readOnly, false, true},
	{confidential, "CKA_NEVER_EXTRACTABLE", pkcs11.CKA_NEVER_EXTRACTABLE, readOnly, false, true},
	{confidential, "CKA_WRAP_WITH_TRUSTED", pkcs11.CKA_WRAP_WITH_TRUSTED, modifiable | sticksTrue, false, true},
	{privateKeys, "CKA_ALWAYS_AUTHENTICATE", pkcs11.CKA_ALWAYS_AUTHENTICATE, 0, false, true},
	{secretKeys, "CKA_CHECK_VALUE", pkcs11.CKA_CHECK_VALUE, modifiable, given{}, ""}, // to an empty value: 4.10
	// 4.11
	{parameters, "CKA_KEY_TYPE", pkcs11.CKA_KEY_TYPE, mustCreate, given{}, nil},
	{parameters, "CKA_LOCAL", pkcs11.CKA_LOCAL, noCreate | noGenerate, false, true},
	{parameters, "CKA_PRIME", pkcs11.CKA_PRIME, mustCreate | noGenerate, given{}, nil},
	{dsaParameters | x942Parameters, "CKA_SUBPRIME", pkcs11.CKA_SUBPRIME, mustCreate | noGenerate, given{}, nil},
	{parameters, "CKA_BASE", pkcs11.CKA_BASE, mustCreate | noGenerate, given{}, nil},
	{parameters, "CKA_PRIME_BITS", pkcs11.CKA_PRIME_BITS, noCreate | mustGenerate, uint(1024), uint(1024)},
	{dsaParameters | x942Parameters, "CKA_SUBPRIME_BITS", pkcs11.CKA_SUBPRIME_BITS, noCreate | mustGenerate, uint(160), uint(160)},
	// 6.1
	{rsaPublic, "CKA_MODULUS", pkcs11.CKA_MODULUS, mustCreate | noGenerate, given{}, nil},
	{rsaPublic, "CKA_MODULUS_BITS", pkcs11.CKA_MODULUS_BITS, noCreate | mustGenerate, uint(1024), uint(1024)},
	{rsaPublic, "CKA_PUBLIC_EXPONENT", pkcs11.CKA_PUBLIC_EXPONENT, mustCreate, given{}, nil},
	{rsaPrivate, "CKA_MODULUS", pkcs11.CKA_MODULUS, mustCreate | material, given{}, nil},
	{rsaPrivate, "CKA_PUBLIC_EXPONENT", pkcs11.CKA_PUBLIC_EXPONENT, mustCreate | material, given{}, nil},
	{rsaPrivate, "CKA_PRIVATE_EXPONENT", pkcs11.CKA_PRIVATE_EXPONENT, mustCreate | material | hidden, given{}, nil},
	{rsaPrivate, "CKA_PRIME_1", pkcs11.CKA_PRIME_1, material | hidden, given{}, nil},
	{rsaPrivate, "CKA_PRIME_2", pkcs11.CKA_PRIME_2, material | hidden, given{}, nil},
	{rsaPrivate, "CKA_EXPONENT_1", pkcs11.CKA_EXPONENT_1, material | hidden, given{}, nil},
	{rsaPrivate, "CKA_EXPONENT_2", pkcs11.CKA_EXPONENT_2, material | hidden, given{}, nil},
	{rsaPrivate, "CKA_COEFFICIENT", pkcs11.CKA_COEFFICIENT, material | hidden, given{}, nil},
	// 6.3
	{ecPublic, "CKA_EC_PARAMS", pkcs11.CKA_EC_PARAMS, mustCreate | mustGenerate, given{}, nil},
	{ecPublic, "CKA_EC_POINT", pkcs11.CKA_EC_POINT, mustCreate | noGenerate, given{}, nil},
	{ecPrivate, "CKA_EC_PARAMS", pkcs11.CKA_EC_PARAMS, mustCreate | material, given{}, nil},
	{ecPrivate, "CKA_EC_POINT", pkcs11.CKA_EC_POINT, material, given{}, nil}, // not the standard's: programs send it
	{ecPrivate, "CKA_VALUE", pkcs11.CKA_VALUE, mustCreate | material | hidden, given{}, nil},
	// 6.8, 6.13, and the keys that are made of them
	{secretKeys, "CKA_VALUE", pkcs11.CKA_VALUE, mustCreate | material | hidden, given{}, nil},
	{aes, "CKA_VALUE_LEN", pkcs11.CKA_VALUE_LEN, noCreate | mustGenerate | noUnwrap, uint(32), uint(32)},
	{generic | hmacKey, "CKA_VALUE_LEN", pkcs11.CKA_VALUE_LEN, noCreate | mustGenerate, uint(32), uint(32)},
}

// exception is a cell whose answer is not the table's, on purpose.
type exception struct {
	of         kind
	attributes []uint
	cell       string
	want       pkcs11.Error
	why        string
}

// content is what a data object holds.
var content = []uint{pkcs11.CKA_APPLICATION, pkcs11.CKA_OBJECT_ID, pkcs11.CKA_VALUE}

// purposes are what a key may be used for.
var purposes = []uint{
	pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT, pkcs11.CKA_SIGN, pkcs11.CKA_SIGN_RECOVER, pkcs11.CKA_VERIFY, pkcs11.CKA_VERIFY_RECOVER,
	pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP, pkcs11.CKA_DERIVE, ckaEncapsulate, ckaDecapsulate,
}

var exceptions = []exception{
	{all, []uint{pkcs11.CKA_MODIFIABLE}, "set", pkcs11.CKR_OK, "an object can be frozen later, and never thawed"},
	{all, []uint{pkcs11.CKA_DESTROYABLE}, "set", pkcs11.CKR_OK, "an object can be kept for good later"},
	{data, content, "set", pkcs11.CKR_OK, "earlier editions say that these change"},
	{data, content, "copy", pkcs11.CKR_OK, "the same"},
	{confidential, purposes, "copy", pkcs11.CKR_TEMPLATE_INCONSISTENT, "a copy and its original could share wrapping and decrypting out"},
	{publicKeys | privateKeys, []uint{ckaPublicInfo}, "generate", pkcs11.CKR_ATTRIBUTE_TYPE_INVALID, "4.9 allows that it is not taken before there is a key"},
	{privateKeys, []uint{ckaPublicInfo}, "unwrap", pkcs11.CKR_ATTRIBUTE_TYPE_INVALID, "the same"},
	{aes, []uint{pkcs11.CKA_VALUE_LEN}, "unwrap", pkcs11.CKR_OK, "programs of such HSMs give it; it is compared"},
}
