package wire

import (
	"encoding/binary"

	"tidelock.dev/tidelock/cryptoki"
)

// The encoders are named after the types of docs/wire.md, "Field types".

func appendU8(b []byte, v uint8) []byte   { return append(b, v) }
func appendU16(b []byte, v uint16) []byte { return binary.LittleEndian.AppendUint16(b, v) }
func appendU32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }
func appendU64(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }
func appendID(b []byte, id ID) []byte     { return append(b, id[:]...) }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendBytes[T ~[]byte | ~string](b []byte, v T) []byte {
	return append(appendU32(b, uint32(len(v))), v...)
}

func appendSecret(b []byte, v Secret) []byte { return appendBytes(b, v) }
func appendText(b []byte, v string) []byte   { return appendBytes(b, v) }

func appendTexts(b []byte, v []string) []byte {
	b = appendU32(b, uint32(len(v)))
	for _, text := range v {
		b = appendText(b, text)
	}
	return b
}

func appendU64s(b []byte, v []uint64) []byte {
	b = appendU32(b, uint32(len(v)))
	for _, n := range v {
		b = appendU64(b, n)
	}
	return b
}

func appendValues(b []byte, v []Value) []byte {
	b = appendU32(b, uint32(len(v)))
	for i := range v {
		b = appendU8(b, v[i].Status)
		b = appendBytes(b, v[i].Value)
	}
	return b
}

func appendTemplate(b []byte, t cryptoki.Template) []byte { return AppendTemplate(b, t) }

func appendMechanism(b []byte, m *cryptoki.Mechanism) []byte {
	b = appendU64(b, uint64(m.Type))
	b = appendU16(b, uint16(m.Shape))
	b = appendU16(b, uint16(len(m.Fields)))
	b = appendU32(b, uint32(len(m.Data)))
	for _, n := range m.Fields {
		b = appendU64(b, n)
	}
	return append(b, m.Data...)
}
