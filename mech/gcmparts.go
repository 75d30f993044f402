package mech

import (
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// MessageParts is a message that comes in parts: an operation whose Update takes them and
// gives nothing, and which ends with End. Once and Final are for other operations.
type MessageParts interface {
	Operation
	// End ends the message as Message does in one part. tag is that of a decryption. An encryption
	// is never approved: its IV was told before the module below could make it.
	End(tag []byte) (Sealed, error)
}

// gcmParts keeps the parts of a message, up to 16 MiB, so that no plaintext leaves before
// its tag is checked.
type gcmParts struct {
	key     *aesKey
	decrypt bool
	message Message
	parts   buffer
}

func beginGCM(f Function, m *Message, k *aesKey) (MessageParts, []byte, error) {
	if err := checkGCM(m.IV, m.TagBits); err != nil {
		return nil, nil, err
	}
	iv := slices.Clone(m.IV)
	if f == Encrypt {
		generates, err := m.generates()
		if err != nil {
			return nil, nil, err
		}
		if generates {
			iv = generateIV(m.IV, int(m.FixedBits))
		}
	}
	kept := Message{IV: iv, TagBits: m.TagBits, AAD: slices.Clone(m.AAD)}
	return &gcmParts{key: k, decrypt: f == Decrypt, message: kept}, slices.Clone(iv), nil
}

func (g *gcmParts) Update(part []byte) ([]byte, error) {
	if g.decrypt {
		return nil, g.parts.add(part, cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE)
	}
	return nil, g.parts.add(part, cryptoki.CKR_DATA_LEN_RANGE)
}

func (g *gcmParts) End(tag []byte) (Sealed, error) {
	g.message.Data, g.message.Tag = g.parts.bytes, tag
	if g.decrypt {
		return g.key.openMessage(&g.message)
	}
	return g.key.sealMessage(&g.message, g.message.IV)
}

func (g *gcmParts) UpdateLength(int) int { return 0 }
func (g *gcmParts) Close()               { g.parts.wipe() }

var errMessage = cryptoki.Errorf(cryptoki.CKR_OPERATION_NOT_INITIALIZED, "a message in parts is no operation of this kind")

func (g *gcmParts) Rule() Rule                            { return Rule{RuleAsk, 0} }
func (g *gcmParts) Once(data, sig []byte) ([]byte, error) { return nil, errMessage }
func (g *gcmParts) Final(sig []byte) ([]byte, error)      { return nil, errMessage }
