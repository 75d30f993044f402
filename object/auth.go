package object

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
)

// The length of a key's authorization data, in bytes.
const (
	MinAuthData = 8
	MaxAuthData = 255
)

// AuthLimit is how many wrong authorizations in a row a key bears.
const AuthLimit = 3

// Family tells the keys that have the same authorization data because they are copies:
// their wrong authorizations are counted together. It is random, and another one as soon
// as the data changes.
type Family [16]byte

// Verifier is what a key has of its authorization data: enough to tell whether data is
// right. It is a part of the key's value, so that nobody who cannot open that takes it
// away.
type Verifier struct {
	Family Family
	sum    [sha256.Size]byte // HMAC-SHA-256 of the data, under the family
}

// verifierSize is the length of an encoded Verifier in bytes: the family, the sum.
const verifierSize = len(Family{}) + sha256.Size

// verifierContext keeps the sum apart from other uses of HMAC.
const verifierContext = "authorization data of a key\x00"

// NewVerifier makes the verifier of new authorization data, which remains the caller's.
// Errors: CKR_AUTH_DATA_TOO_SMALL, CKR_AUTH_DATA_TOO_LARGE.
func NewVerifier(data secret.Bytes) (Verifier, error) {
	if err := CheckAuthData(data.Len()); err != nil {
		return Verifier{}, err
	}
	var v Verifier
	rand.Read(v.Family[:])
	v.sum = v.sumOf(data)
	return v, nil
}

// CheckAuthData checks the length of authorization data in bytes.
// Errors: CKR_AUTH_DATA_TOO_SMALL, CKR_AUTH_DATA_TOO_LARGE.
func CheckAuthData(n int) error {
	switch {
	case n < MinAuthData:
		return cryptoki.Errorf(cryptoki.CKR_AUTH_DATA_TOO_SMALL, "authorization data has %d to %d bytes, not %d", MinAuthData, MaxAuthData, n)
	case n > MaxAuthData:
		return cryptoki.Errorf(cryptoki.CKR_AUTH_DATA_TOO_LARGE, "authorization data has %d to %d bytes, not %d", MinAuthData, MaxAuthData, n)
	}
	return nil
}

// Matches tells whether the data is the key's.
func (v Verifier) Matches(data secret.Bytes) bool {
	sum := v.sumOf(data)
	return hmac.Equal(sum[:], v.sum[:])
}

func (v Verifier) sumOf(data secret.Bytes) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, v.Family[:])
	h.Write([]byte(verifierContext))
	h.Write(data.Expose())
	h.Sum(sum[:0])
	return sum
}

// Guarded tells whether the key has authorization data. It is known of a closed object,
// too.
func (o *Object) Guarded() bool {
	_, guarded := o.findValue(cryptoki.CKA_AUTH_DATA)
	return guarded
}

// Verifier is what the key's authorization data is checked with; false when it has none,
// or when the object is closed.
func (o *Object) Verifier() (v Verifier, guarded bool) {
	i, guarded := o.findValue(cryptoki.CKA_AUTH_DATA)
	if !guarded || o.closed {
		return v, false
	}
	n := copy(v.Family[:], o.values[i].bytes)
	copy(v.sum[:], o.values[i].bytes[n:])
	return v, true
}

// WithVerifier gives the key, which is open, other authorization data.
// Error: CKR_TEMPLATE_INCONSISTENT for an object that can have none.
func (o *Object) WithVerifier(v Verifier) (*Object, error) {
	r := o.rules.byType[cryptoki.CKA_AUTH_DATA]
	if r == nil || !o.format.has(r) {
		return nil, cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "CKA_AUTH_DATA does not go with %v", o.rules)
	}
	n := o.fork()
	n.put(r, append(v.Family[:], v.sum[:]...))
	n.put(o.rules.byType[cryptoki.CKA_KEY_STATUS], n.KeyStatus(false))
	return n, nil
}

// Assigned tells whether the key is its owner's alone.
func (o *Object) Assigned() bool { return o.Bool(cryptoki.CKA_ASSIGNED) }

// Assign makes the key its owner's alone. Errors: CKR_ASSIGNED_KEY_REQUIRES_AUTH_DATA,
// CKR_ASSIGNED_KEY_FAILED_ATTRIBUTE_DEPENDENCIES, CKR_KEY_CANNOT_BE_AUTHORIZED for an object
// that cannot be assigned at all.
func (o *Object) Assign() (*Object, error) {
	r := o.rules.byType[cryptoki.CKA_ASSIGNED]
	switch {
	case r == nil || !o.format.has(r):
		return nil, cryptoki.Errorf(cryptoki.CKR_KEY_CANNOT_BE_AUTHORIZED, "a %v is not assigned", o.rules)
	case !o.Guarded():
		return nil, cryptoki.Errorf(cryptoki.CKR_ASSIGNED_KEY_REQUIRES_AUTH_DATA, "the key has no authorization data, CA_SetAuthorizationData gives it some")
	}
	n := o.fork()
	n.put(r, cryptoki.Bool(true))
	return n, checkAssigned(n.metadata)
}

// checkAssigned checks that an assigned key can neither leave nor change.
// Error: CKR_ASSIGNED_KEY_FAILED_ATTRIBUTE_DEPENDENCIES.
func checkAssigned(get func(cryptoki.AttributeType) []byte) error {
	if !isTrue(get(cryptoki.CKA_ASSIGNED)) {
		return nil
	}
	for _, needs := range [...]struct {
		attribute cryptoki.AttributeType
		value     bool
	}{
		{cryptoki.CKA_SENSITIVE, true}, {cryptoki.CKA_PRIVATE, true}, {cryptoki.CKA_MODIFIABLE, false}, {cryptoki.CKA_EXTRACTABLE, false},
	} {
		if isTrue(get(needs.attribute)) != needs.value {
			return cryptoki.Errorf(cryptoki.CKR_ASSIGNED_KEY_FAILED_ATTRIBUTE_DEPENDENCIES, "an assigned key's %v is %t", needs.attribute, needs.value)
		}
	}
	return nil
}

// refuseAssigned keeps everybody from changing or copying an assigned key.
// Error: CKR_ASSIGNED_KEY_CANNOT_BE_MODIFIED.
func (o *Object) refuseAssigned() error {
	if o.Assigned() {
		return cryptoki.Errorf(cryptoki.CKR_ASSIGNED_KEY_CANNOT_BE_MODIFIED, "the key is assigned: it is neither changed nor copied")
	}
	return nil
}

// The flags in the first byte of CKA_KEY_STATUS.
const (
	keyAuthDataSet = 0x01
	keyLocked      = 0x02 // by wrong authorizations
)

// KeyStatus is the key's CKA_KEY_STATUS: flags, the limit of wrong authorizations, two
// reserved bytes. Whether the limit is reached is for the caller to know.
func (o *Object) KeyStatus(locked bool) []byte {
	var flags byte
	if o.Guarded() {
		flags |= keyAuthDataSet
	}
	if locked {
		flags |= keyLocked
	}
	return []byte{flags, AuthLimit, 0, 0}
}

// keyStatus is CKA_KEY_STATUS of a key without authorization data.
func keyStatus(*draft) []byte { return []byte{0, AuthLimit, 0, 0} }
