package vectors

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/miekg/pkcs11"
)

// octets is a string of bytes that JSON has as hex digits.
type octets []byte

func (o *octets) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*o = b
	return err
}

// wycheproofFile is a file of Wycheproof's, of any of its schemas: each uses some of the
// members.
type wycheproofFile struct {
	Algorithm     string
	NumberOfTests int
	TestGroups    []*group
}

// group has what a number of vectors share.
type group struct {
	algorithm              string // the file's
	KeySize, TagSize, SLen int    // the last in bytes, the others in bits
	SHA, MGFSHA            string
	Curve                  string
	PublicKey              publicKey
	PrivateKeyPKCS8        octets
	Tests                  []*vector
}

// publicKey is one of RSA, of ECDSA or of Ed25519.
type publicKey struct {
	Modulus, PublicExponent octets
	Curve                   string
	Uncompressed            octets
	PK                      octets
}

// vector is one test.
type vector struct {
	ID      int `json:"tcId"`
	Comment string
	Flags   []string
	Result  string

	Key, IV, AAD, Msg, CT, Tag, Sig, Label octets
	Public, Private, Shared                octets
	IKM, Salt, Info, OKM                   octets
	Size                                   int
}

// suite is what a number of Wycheproof's files have in common.
type suite struct {
	files []string // patterns of package filepath
	// refusals are the codes by which a bad vector may be refused.
	refusals []uint
	// exceptions are all that except may return.
	exceptions []*exception
	// except tells which exception a vector falls under, if any; nil: none does.
	except func(g *group, v *vector) *exception
	// prepare makes what the vectors of a group share and returns how to try one. An
	// error is that of each of them.
	prepare func(t *testing.T, s *session, g *group) (func(v *vector) error, error)
}

// suites are all of them.
var suites = []suite{
	ecdsaP1363, ecdsaDER, ed25519Verification, pkcs1Verification, pkcs1Signature, pssVerification,
	oaepDecryption, gcm, cbcPadded, keyWrap, keyWrapPadded,
	hmacs, cmac, hkdf, ecdhPoints, ecdhKeys, x25519,
}

func TestWycheproof(t *testing.T) {
	covered := map[string]bool{}
	for _, s := range suites {
		files := archive(t, "wycheproof.zip", s.files...)
		unfinished := wantUsed(t, len(files), s.exceptions)
		for _, file := range files {
			if covered[file.name] {
				t.Errorf("%s belongs to two suites", file.name)
			}
			covered[file.name] = true
			t.Run(file.name, func(t *testing.T) {
				t.Parallel()
				s.run(t, file)
				unfinished.Add(-1)
			})
		}
	}
	for _, file := range archive(t, "wycheproof.zip", "*.json") {
		if !covered[file.name] {
			t.Errorf("%s belongs to no suite", file.name)
		}
	}
}

func (s *suite) run(t *testing.T, file archived) {
	var content wycheproofFile
	if err := json.Unmarshal(file.read(t), &content); err != nil {
		t.Fatal(err)
	}
	verdicts := &verdicts{t: t, refusals: s.refusals, excepted: map[*exception]int{}}
	session := newSession(t)
	count := 0
	for _, g := range content.TestGroups {
		g.algorithm = content.Algorithm
		begin := session.mark()
		try, err := s.prepare(t, session, g)
		if err != nil {
			try = func(*vector) error { return err }
		}
		for _, v := range g.Tests {
			count++
			var e *exception
			if s.except != nil {
				e = s.except(g, v)
			}
			mark := session.mark()
			err := try(v)
			verdicts.judge(fmt.Sprintf("%d (%s) %v", v.ID, v.Comment, v.Flags), v.expectation(t), err, e)
			if err := session.forget(mark); err != nil {
				t.Fatal(err)
			}
		}
		if err := session.forget(begin); err != nil {
			t.Fatal(err)
		}
	}
	if count != content.NumberOfTests {
		t.Errorf("%d vectors where the file says %d", count, content.NumberOfTests)
	}
	verdicts.report()
}

func (v *vector) expectation(t *testing.T) expectation {
	switch v.Result {
	case "valid":
		return valid
	case "invalid":
		return invalid
	case "acceptable":
		return acceptable
	}
	t.Fatalf("vector %d: result %q", v.ID, v.Result)
	return 0
}

// good tells whether the output counts: where a vector is bad there is none that is right.
func (v *vector) good() bool { return v.Result == "valid" }

// output compares the output of a good vector.
func (v *vector) output(want []byte) func(got []byte, err error) error {
	if v.good() {
		return same(want)
	}
	return func(_ []byte, err error) error { return err }
}

// wrongSignature are the codes of a signature or MAC that is wrong, or of a key that is
// none.
var wrongSignature = []uint{pkcs11.CKR_SIGNATURE_INVALID, pkcs11.CKR_SIGNATURE_LEN_RANGE, pkcs11.CKR_ATTRIBUTE_VALUE_INVALID}

// wrongCiphertext are those of a ciphertext, or of a key that is none.
var wrongCiphertext = []uint{pkcs11.CKR_ENCRYPTED_DATA_INVALID, pkcs11.CKR_ENCRYPTED_DATA_LEN_RANGE, pkcs11.CKR_ATTRIBUTE_VALUE_INVALID}
