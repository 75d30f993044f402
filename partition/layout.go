package partition

import (
	"encoding/binary"
	"fmt"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/seal"
)

// ID is a partition's number in the HSM's store. Numbers are never used again.
type ID uint32

// The keys of a partition's records. Each begins with the partition's number, so
// that one scan finds, or erases, all of one partition.
//
//	TablePartition  id 'i'             identity: label, serial, settings
//	TablePartition  id 'k'             the partition's own key, wrapped by the HSM key
//	TablePartition  id 'r' role        credential of a role
//	TablePartition  id 'd'             domain
//	TableCounter    id 't' role        wrong PINs in a row
//	TableCounter    id 'a' application a login's ticket
//	TableCounter    id 'h'             last object handle given
//	TableCounter    id 'u'             where its objects are, and how full it is
//	TableCounter    area 'f' family    wrong authorizations of keys with the same data
//	TableCounter    area 'g' handle    random IVs that are reserved for a key
//	TableObject     area handle        an object
//	TableIndex      area attribute hash handle   an object by a keyed hash of an attribute
//	TableIndex      area 0 token       handles that a creating call made
const (
	keyIdentity = 'i'
	keyKey      = 'k'
	keyRole     = 'r'
	keyTries    = 't'
	keyHandle   = 'h'
	keyTicket   = 'a'
	keyDomain   = 'd'
	keyUsage    = 'u'
	keyStanding = 'f'
	keyIVs      = 'g'
)

func (id ID) key(kind byte, rest ...byte) []byte {
	k := binary.BigEndian.AppendUint32(make([]byte, 0, 5+len(rest)), uint32(id))
	return append(append(k, kind), rest...)
}

func (id ID) roleKey(kind byte, role Role) []byte { return id.key(kind, byte(role)) }

func (p *Partition) objectKey(h cryptoki.ObjectHandle) []byte { return p.where().objectKey(h) }

func (id ID) objectKey(h cryptoki.ObjectHandle) []byte {
	return binary.BigEndian.AppendUint64(id.objectPrefix(), uint64(h))
}

// hashSize is the length of an index hash: 128 bits of HMAC-SHA-256 make two values
// with one hash as unlikely as a guessed key.
const hashSize = 16

// indexed are the attributes that objects are found by, the most selective first.
var indexed = [...]cryptoki.AttributeType{
	cryptoki.CKA_ID, cryptoki.CKA_LABEL, cryptoki.CKA_KEY_TYPE, cryptoki.CKA_CLASS,
}

// indexPrefix is what the index entries of all objects with this value begin with.
func (p *Partition) indexPrefix(area ID, t cryptoki.AttributeType, value []byte) []byte {
	k := binary.BigEndian.AppendUint64(area.objectPrefix(), uint64(t)+1)
	sum := p.index.Sum(seal.NewContext("attribute").Uint64(uint64(t)).Bytes(value))
	return append(k, sum[:hashSize]...)
}

func (p *Partition) indexKey(area ID, t cryptoki.AttributeType, value []byte, h cryptoki.ObjectHandle) []byte {
	return binary.BigEndian.AppendUint64(p.indexPrefix(area, t, value), uint64(h))
}

// tokenKey is where the handles of a creating call are found: below attribute
// number 0, which indexPrefix never uses.
func (id ID) tokenKey(t Token) []byte {
	k := binary.BigEndian.AppendUint64(id.objectPrefix(), 0)
	return append(k, t[:]...)
}

// handleAt reads the handle at the end of an index or object key.
func handleAt(key []byte) (cryptoki.ObjectHandle, error) {
	if len(key) < 8 {
		return 0, fmt.Errorf("an index key of %d bytes", len(key))
	}
	return cryptoki.ObjectHandle(binary.BigEndian.Uint64(key[len(key)-8:])), nil
}
