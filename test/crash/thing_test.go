package crash

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"
	"math/big"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

// kind is how a thing is made.
type kind int

const (
	generated kind = iota // C_GenerateKey, AES
	pair                  // C_GenerateKeyPair, EC on P-256
	imported              // C_CreateObject, AES with a value that is known
	kinds
)

// thing is what one creating call makes: a key or a key pair, with the attributes
// and the behaviour that the server acknowledged.
type thing struct {
	kind   kind
	token  wire.ID
	label  string
	former []string // labels that it had before
	id     string
	value  []byte           // of an imported key
	handle []uint64         // of a pair the public key first
	cipher []byte           // what a generated key made of block when it was new
	public *ecdsa.PublicKey // of a pair
}

var (
	p256  = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
	block = []byte("sixteen bytes it")
	cbc   = cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, make([]byte, aes.BlockSize))
	yes   = cryptoki.Bool(true)
)

// Functions of docs/wire.md, "Operations".
const (
	encrypt uint8 = 1
	sign    uint8 = 4
)

// make sends the creating call, with the token that it had if it was sent before.
func (x *thing) make(a *app) ([]uint64, error) {
	common := identified(labelled(cryptoki.Template{attribute(cryptoki.CKA_TOKEN, yes)}, x.label), x.id)
	use := append(common[:len(common):len(common)], attribute(cryptoki.CKA_ENCRYPT, yes))
	switch x.kind {
	case pair:
		var p wire.GenerateKeyPairReply
		err := a.do(wire.CallGenerateKeyPair, &wire.GenerateKeyPairRequest{
			Token: x.token, Mechanism: cryptoki.New(cryptoki.CKM_EC_KEY_PAIR_GEN),
			PublicTemplate:  append(common[:len(common):len(common)], attribute(cryptoki.CKA_EC_PARAMS, p256)),
			PrivateTemplate: append(common[:len(common):len(common)], attribute(cryptoki.CKA_SIGN, yes)),
		}, &p)
		return []uint64{p.PublicKey, p.PrivateKey}, err
	case imported:
		var p wire.CreateObjectReply
		err := a.do(wire.CallCreateObject, &wire.CreateObjectRequest{Token: x.token, Template: append(use,
			attribute(cryptoki.CKA_CLASS, cryptoki.ULong(cryptoki.CKO_SECRET_KEY)),
			attribute(cryptoki.CKA_KEY_TYPE, cryptoki.ULong(cryptoki.CKK_AES)),
			attribute(cryptoki.CKA_VALUE, x.value))}, &p)
		return []uint64{p.Object}, err
	}
	var p wire.GenerateKeyReply
	err := a.do(wire.CallGenerateKey, &wire.GenerateKeyRequest{
		Token: x.token, Mechanism: cryptoki.New(cryptoki.CKM_AES_KEY_GEN),
		Template: append(use, attribute(cryptoki.CKA_VALUE_LEN, cryptoki.ULong(uint64(32)))),
	}, &p)
	return []uint64{p.Object}, err
}

func (x *thing) relabel(label string) {
	x.former = append(x.former, x.label)
	x.label = label
}

// size is how many objects the thing is.
func (x *thing) size() int {
	if x.kind == pair {
		return 2
	}
	return 1
}

// learn notes what the new key does, to compare with later.
func (x *thing) learn(a *app) error {
	switch x.kind {
	case pair:
		v, err := a.read(x.handle[0], cryptoki.CKA_EC_POINT)
		if err != nil {
			return err
		}
		// An OCTET STRING around the point of 65 bytes.
		if len(v[0]) != 67 {
			return fmt.Errorf("CKA_EC_POINT has %d bytes", len(v[0]))
		}
		x.public, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), v[0][2:])
		return err
	case imported:
		b, err := aes.NewCipher(x.value)
		if err != nil {
			return err
		}
		// A whole block of padding follows a text of whole blocks.
		x.cipher = append(bytes.Clone(block), bytes.Repeat([]byte{aes.BlockSize}, aes.BlockSize)...)
		cipher.NewCBCEncrypter(b, make([]byte, aes.BlockSize)).CryptBlocks(x.cipher, x.cipher)
		return nil
	}
	var err error
	x.cipher, err = a.operate(encrypt, cbc, x.handle[0], block)
	return err
}

// use checks that the key is the one that it was.
func (x *thing) use(a *app) error {
	if x.kind != pair {
		got, err := a.operate(encrypt, cbc, x.handle[0], block)
		if err != nil {
			return err
		}
		if x.cipher != nil && !bytes.Equal(got, x.cipher) {
			return fmt.Errorf("%s: it is another key", x.label)
		}
		return nil
	}
	signature, err := a.operate(sign, cryptoki.New(cryptoki.CKM_ECDSA_SHA256), x.handle[1], block)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(block)
	if x.public != nil && (len(signature) != 64 ||
		!ecdsa.Verify(x.public, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))) {
		return fmt.Errorf("%s: the signature does not verify", x.label)
	}
	return nil
}

// check compares all that is known of the thing with what the server says.
func (x *thing) check(a *app) error {
	for what, t := range map[string]cryptoki.Template{
		"label":        labelled(nil, x.label),
		"id":           identified(nil, x.id),
		"label and id": identified(labelled(nil, x.label), x.id),
	} {
		found, err := a.find(t)
		if err != nil {
			return err
		}
		if !slices.Equal(found, x.handle) {
			return fmt.Errorf("%s: by its %s are found %d, not %d", x.label, what, found, x.handle)
		}
	}
	if err := x.checkFormer(a); err != nil {
		return err
	}
	for _, h := range x.handle {
		v, err := a.read(h, cryptoki.CKA_LABEL, cryptoki.CKA_ID)
		if err != nil {
			return fmt.Errorf("%s: %w", x.label, err)
		}
		if string(v[0]) != x.label || string(v[1]) != x.id {
			return fmt.Errorf("object %d has label %q and id %q, not %q and %q", h, v[0], v[1], x.label, x.id)
		}
	}
	return x.use(a)
}

// checkFormer checks that nothing is found by a label that the thing had.
func (x *thing) checkFormer(a *app) error {
	for _, label := range x.former {
		if found, err := a.find(labelled(nil, label)); err != nil || len(found) != 0 {
			return fmt.Errorf("%s: by its former label %s are found %d (%v)", x.label, label, found, err)
		}
	}
	return nil
}
