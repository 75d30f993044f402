package mech

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// hexBytes is a byte string of Wycheproof's files.
type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := hex.DecodeString(s)
	*h = v
	return err
}

// wycheproofGroup is what its groups for these mechanisms have.
type wycheproofGroup struct {
	KeySize         int // bits
	TagSize         uint64
	SHA, MGFSHA     string
	SLen            uint64
	PublicKeyASN    hexBytes
	PrivateKeyPKCS8 hexBytes
	Tests           []struct {
		ID                                     int `json:"tcId"`
		Comment                                string
		Key, IV, AAD, Msg, CT, Tag, Sig, Label hexBytes
		Result                                 string
	}
}

// TestWycheproof runs Project Wycheproof's vectors, which are no part of the source.
// TIDELOCK_WYCHEPROOF is the directory of its testvectors_v1.
func TestWycheproof(t *testing.T) {
	dir := os.Getenv("TIDELOCK_WYCHEPROOF")
	if dir == "" {
		t.Skip("TIDELOCK_WYCHEPROOF is not set")
	}
	run := func(pattern string, check func(t *testing.T, g *wycheproofGroup)) {
		files, err := filepath.Glob(filepath.Join(dir, pattern+"_test.json"))
		if err != nil || len(files) == 0 {
			t.Errorf("no %s: %v", pattern, err)
		}
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), "_test.json"), func(t *testing.T) {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				var all struct{ TestGroups []wycheproofGroup }
				if err := json.Unmarshal(b, &all); err != nil {
					t.Fatal(err)
				}
				for i := range all.TestGroups {
					check(t, &all.TestGroups[i])
				}
			})
		}
	}
	run("aes_wrap", checkKeyWrap(cryptoki.CKM_AES_KEY_WRAP))
	run("aes_kwp", checkKeyWrap(cryptoki.CKM_AES_KEY_WRAP_KWP))
	run("aes_cbc_pkcs5", checkCipher)
	run("aes_gcm", checkCipher)
	run("aes_cmac", checkMAC(cryptoki.CKK_AES, cryptoki.CKM_AES_CMAC_GENERAL))
	for _, h := range hmacFunctions {
		name := strings.TrimSuffix(strings.ToLower(strings.TrimPrefix(h.whole.String(), "CKM_")), "_hmac")
		run("hmac_"+strings.Replace(name, "sha_1", "sha1", 1), checkMAC(cryptoki.CKK_GENERIC_SECRET, h.general))
	}
	run("rsa_signature_*", checkRSASignature)
	run("rsa_pss_*_mgf1*", checkRSASignature)
	run("rsa_pss_misc", checkRSASignature)
	run("rsa_oaep_*", checkOAEP)
}

// checkResult compares an answer with the file's; what is "acceptable" may be
// refused.
func checkResult(t *testing.T, id int, comment, result string, err error) {
	t.Helper()
	if result == "valid" && err != nil || result == "invalid" && err == nil {
		t.Errorf("%d, %s: %s, but the answer is %v", id, comment, result, err)
	}
}

func checkKeyWrap(typ cryptoki.MechanismType) func(*testing.T, *wycheproofGroup) {
	return func(t *testing.T, g *wycheproofGroup) {
		m := cryptoki.New(typ)
		entry, _ := Lookup(typ)
		for _, v := range g.Tests {
			key := secretKeyOf(t, cryptoki.CKK_AES, v.Key)
			got, err := entry.Unwrap(&m, key, v.CT)
			checkResult(t, v.ID, v.Comment, v.Result, err)
			if err == nil && !bytes.Equal(got, v.Msg) {
				t.Errorf("%d: %x", v.ID, got)
			}
			if wrapped, err := entry.Wrap(&m, key, v.Msg); v.Result == "valid" && (err != nil || !bytes.Equal(wrapped, v.CT)) {
				t.Errorf("%d: %x, %v", v.ID, wrapped, err)
			}
		}
	}
}

// checkCipher is for GCM, and for CBC with padding where there are no tags.
func checkCipher(t *testing.T, g *wycheproofGroup) {
	for _, v := range g.Tests {
		m := cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, v.IV)
		if g.TagSize > 0 {
			m = cryptoki.NewGCM(cryptoki.CKM_AES_GCM, cryptoki.GCMParameters{IV: v.IV, AAD: v.AAD, TagBits: g.TagSize})
		}
		key := secretKeyOf(t, cryptoki.CKK_AES, v.Key)
		op, err := tryStart(Decrypt, m, key)
		var got []byte
		if err == nil {
			got, err = op.Once(append(bytes.Clone(v.CT), v.Tag...), nil)
		}
		if len(v.IV) > gcmMaxIV && cryptoki.Code(err) == cryptoki.CKR_MECHANISM_PARAM_INVALID {
			continue
		}
		checkResult(t, v.ID, v.Comment, v.Result, err)
		if err == nil && !bytes.Equal(got, v.Msg) {
			t.Errorf("%d: %x", v.ID, got)
		}
		if v.Result == "valid" && err == nil {
			if sealed := once(t, Encrypt, m, key, v.Msg, nil); !bytes.Equal(sealed, append(bytes.Clone(v.CT), v.Tag...)) {
				t.Errorf("%d: %x", v.ID, sealed)
			}
		}
	}
}

func checkMAC(typ cryptoki.KeyType, m cryptoki.MechanismType) func(*testing.T, *wycheproofGroup) {
	return func(t *testing.T, g *wycheproofGroup) {
		for _, v := range g.Tests {
			template := cryptoki.Template{attribute(cryptoki.CKA_VALUE, v.Key)}
			key, err := ParseKey(cryptoki.CKO_SECRET_KEY, typ, getter(template))
			var op Operation
			if err == nil {
				op, err = tryStart(Verify, cryptoki.NewULong(m, g.TagSize/8), key)
			}
			if err == nil {
				_, err = op.Once(v.Msg, v.Tag)
			}
			checkResult(t, v.ID, v.Comment, v.Result, err)
		}
	}
}

func checkRSASignature(t *testing.T, g *wycheproofGroup) {
	hash, mgf := wycheproofHash(g.SHA)
	var m cryptoki.Mechanism
	if g.MGFSHA != "" {
		_, mgf = wycheproofHash(g.MGFSHA)
		m = cryptoki.NewPSS(pssWithHash[hash], pssParameters(hash, mgf, g.SLen))
	} else {
		m = cryptoki.New(pkcs1WithHash[hash])
	}
	if m.Type == 0 {
		t.Logf("%s: not offered", g.SHA)
		return
	}
	public, err := x509.ParsePKCS1PublicKey(g.PublicKeyASN)
	if err != nil {
		t.Fatal(err)
	}
	key := rsaKeyOf(t, public)
	for _, v := range g.Tests {
		op, err := tryStart(Verify, m, key)
		if err != nil {
			t.Logf("%d bits, %s, %s, salt of %d: not offered: %v", g.KeySize, g.SHA, g.MGFSHA, g.SLen, err)
			return
		}
		_, err = op.Once(v.Msg, v.Sig)
		checkResult(t, v.ID, v.Comment, v.Result, err)
	}
}

func checkOAEP(t *testing.T, g *wycheproofGroup) {
	hash, _ := wycheproofHash(g.SHA)
	_, mgf := wycheproofHash(g.MGFSHA)
	typ, values, err := DecodePrivate(g.PrivateKeyPKCS8)
	if err != nil {
		t.Fatal(err)
	}
	key := mustParse(t, cryptoki.CKO_PRIVATE_KEY, typ, values)
	for _, v := range g.Tests {
		op, err := tryStart(Decrypt, cryptoki.NewOAEP(cryptoki.CKM_RSA_PKCS_OAEP, cryptoki.OAEPParameters{
			HashAlg: hash, MGF: mgf, Source: cryptoki.CKZ_DATA_SPECIFIED, SourceData: v.Label,
		}), key)
		if err != nil {
			t.Logf("%d bits, %s, %s: not offered: %v", g.KeySize, g.SHA, g.MGFSHA, err)
			return
		}
		got, err := op.Once(v.CT, nil)
		checkResult(t, v.ID, v.Comment, v.Result, err)
		if err == nil && !bytes.Equal(got, v.Msg) {
			t.Errorf("%d: %x", v.ID, got)
		}
	}
}

// wycheproofHash finds the names of a hash function; both are 0 for one without MGF1.
func wycheproofHash(name string) (cryptoki.MechanismType, cryptoki.MGF) {
	plain := strings.NewReplacer("-", "", "/", "_").Replace(strings.Replace(name, "SHA3-", "SHA3_", 1))
	for _, f := range hashFunctions {
		if strings.Replace(strings.TrimPrefix(f.name.String(), "CKM_"), "SHA_1", "SHA1", 1) == plain {
			return f.name, f.mgf
		}
	}
	return cryptoki.CKM_MD5, 0
}

var pkcs1WithHash, pssWithHash = func() (pkcs1, pss map[cryptoki.MechanismType]cryptoki.MechanismType) {
	pkcs1, pss = map[cryptoki.MechanismType]cryptoki.MechanismType{}, map[cryptoki.MechanismType]cryptoki.MechanismType{}
	for _, f := range rsaHashes {
		pkcs1[f.hash], pss[f.hash] = f.pkcs1, f.pss
	}
	return pkcs1, pss
}()
