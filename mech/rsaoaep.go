package mech

import (
	"crypto/rand"
	"crypto/rsa"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// rsaOAEP is RSAES-OAEP (RFC 8017, 7.1; PKCS#11 3.2, 6.1). The hash function and
// that of MGF1 may differ. SHA-1 is taken for both: it is the default of most
// programs, and OAEP does not need its collision resistance.
var rsaOAEP = []Mechanism{
	cipherAndWrap(Mechanism{
		Type:     cryptoki.CKM_RSA_PKCS_OAEP,
		Flags:    cryptoki.CKF_ENCRYPT | cryptoki.CKF_DECRYPT,
		KeyTypes: []cryptoki.KeyType{cryptoki.CKK_RSA},
		MinKey:   minRSA,
		MaxKey:   maxRSA,
		Shape:    cryptoki.ShapeOAEP,
		Approved: true,
	}, startOAEP),
}

func startOAEP(f Function, p *cryptoki.Mechanism, key *rsaKey) (Operation, error) {
	params, err := p.OAEP()
	if err != nil {
		return nil, err
	}
	o := &oaep{key: key, decrypt: f == Decrypt}
	if o.options.Hash, err = hashNamed(params.HashAlg); err != nil {
		return nil, err
	}
	if o.options.MGFHash, err = hashOfMGF(params.MGF); err != nil {
		return nil, err
	}
	// A source of 0 is what programs leave that have no label.
	if params.Source != cryptoki.CKZ_DATA_SPECIFIED && (params.Source != 0 || len(params.SourceData) > 0) {
		return nil, badParameter("the source of the label is %d, not CKZ_DATA_SPECIFIED", params.Source)
	}
	if o.most() < 0 {
		return nil, badParameter("the hash function is too long for a key of %d bits", key.Size())
	}
	o.options.Label = slices.Clone(params.SourceData)
	return o, nil
}

// oaep is an encryption or decryption with RSAES-OAEP.
type oaep struct {
	key     *rsaKey
	decrypt bool
	options rsa.OAEPOptions
}

// most is the length of the longest plaintext in bytes (RFC 8017, 7.1.1).
func (o *oaep) most() int { return o.key.public.Size() - 2*o.options.Hash.Size() - 2 }

func (o *oaep) Rule() Rule {
	if o.decrypt {
		return Rule{RuleAtMost, uint64(o.most())}
	}
	return Rule{RuleFixed, uint64(o.key.public.Size())}
}

func (o *oaep) Once(data, _ []byte) ([]byte, error) {
	if o.decrypt {
		return o.open(data)
	}
	if len(data) > o.most() {
		return nil, cryptoki.Errorf(cryptoki.CKR_DATA_LEN_RANGE, "%d bytes of data where key and hash leave room for %d", len(data), o.most())
	}
	out, err := rsa.EncryptOAEPWithOptions(rand.Reader, o.key.public, data, &o.options)
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "RSA encryption: %w", err)
	}
	return out, nil
}

// open decrypts. Every failure but a wrong length gets one answer, because a
// difference between them would be an oracle (RFC 8017, 7.1.2, note).
func (o *oaep) open(data []byte) ([]byte, error) {
	if len(data) != o.key.public.Size() {
		return nil, cryptoki.Errorf(cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE, "%d bytes of data where the modulus has %d", len(data), o.key.public.Size())
	}
	out, err := o.key.private.DecryptOAEP(data, &o.options)
	if err != nil {
		return nil, errDecryption
	}
	return out, nil
}

func (o *oaep) Update([]byte) ([]byte, error) { return nil, errOnePart }
func (o *oaep) UpdateLength(int) int          { return 0 }
func (o *oaep) Final([]byte) ([]byte, error)  { return nil, errOnePart }
func (o *oaep) Close()                        {}
