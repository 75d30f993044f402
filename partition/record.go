package partition

import (
	"encoding/binary"
	"errors"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/object"
	"tidelock.dev/tidelock/seal"
)

// An object record is
//
//	version 1 · length of the sealed metadata (4, big-endian) · sealed metadata · sealed value
//
// The metadata, under the partition's own key, are the creation token and all
// attributes that are no secret; they are read, listed and updated with nobody
// logged in. The value, the secret attributes of a key, is under the partition key
// that only a user's login opens, or for an object with CKA_PRIVATE false under the
// partition's own; it is empty where an object has no secret.
//
// The value's additional data are the object's place and its security attributes, so
// that neither a record moved to another handle nor metadata exchanged around a
// value will open.
const recordVersion = 1

var errRecord = errors.New("the object record is damaged")

// sealObject makes the record of an object.
func (p *Partition) sealObject(h cryptoki.ObjectHandle, token Token, o *object.Object) ([]byte, error) {
	record := p.sealMetadata(h, token, o)
	secrets := o.Secrets()
	defer clear(secrets)
	if len(secrets) == 0 {
		return record, nil
	}
	key, err := p.valueKey(o)
	if err != nil {
		return nil, err
	}
	return key.Seal(record, secrets, p.valueContext(h, o)), nil
}

// sealMetadata makes the record of an object up to its value.
func (p *Partition) sealMetadata(h cryptoki.ObjectHandle, token Token, o *object.Object) []byte {
	plain := append(token[:len(token):len(token)], o.Metadata()...)
	metadata := p.objects.Seal(nil, plain, p.metadataContext(h))
	record := make([]byte, 0, 5+len(metadata))
	record = append(record, recordVersion)
	record = binary.BigEndian.AppendUint32(record, uint32(len(metadata)))
	return append(record, metadata...)
}

// splitRecord checks the form of a record.
func splitRecord(record []byte) (metadata, value []byte, err error) {
	if len(record) < 5 || record[0] != recordVersion {
		return nil, nil, errRecord
	}
	n := binary.BigEndian.Uint32(record[1:])
	rest := record[5:]
	if uint64(n) > uint64(len(rest)) {
		return nil, nil, errRecord
	}
	return rest[:n], rest[n:], nil
}

// openMetadata reads an object without its secrets.
func (p *Partition) openMetadata(h cryptoki.ObjectHandle, record []byte) (*object.Object, Token, error) {
	sealed, _, err := splitRecord(record)
	if err != nil {
		return nil, Token{}, p.damaged(h, err)
	}
	plain, err := p.objects.Open(nil, sealed, p.metadataContext(h))
	if err != nil {
		return nil, Token{}, p.damaged(h, err)
	}
	if len(plain) < len(Token{}) {
		return nil, Token{}, p.damaged(h, errRecord)
	}
	o, err := object.Parse(plain[len(Token{}):], nil)
	if err != nil {
		return nil, Token{}, p.damaged(h, err)
	}
	return o, Token(plain), nil
}

// openObject reads an object with its secrets. Error CKR_USER_NOT_LOGGED_IN when a
// private object's key is not there.
func (p *Partition) openObject(h cryptoki.ObjectHandle, record []byte) (*object.Object, Token, error) {
	o, token, err := p.openMetadata(h, record)
	if err != nil {
		return nil, Token{}, err
	}
	_, value, _ := splitRecord(record)
	if len(value) == 0 {
		return o, token, nil
	}
	key, err := p.valueKey(o)
	if err != nil {
		return nil, Token{}, err
	}
	secrets, err := key.Open(nil, value, p.valueContext(h, o))
	if err != nil {
		return nil, Token{}, p.damaged(h, err)
	}
	defer clear(secrets)
	if o, err = o.Open(secrets); err != nil {
		return nil, Token{}, p.damaged(h, err)
	}
	return o, token, nil
}

// damaged is a record that does not open: the store was changed or has decayed.
func (p *Partition) damaged(h cryptoki.ObjectHandle, err error) error {
	return cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "object %d of partition %d: %w", h, p.id, err)
}

// valueKey is the key over an object's secrets.
func (p *Partition) valueKey(o *object.Object) (*seal.Key, error) {
	if !o.Private() {
		return p.objects, nil
	}
	kek := p.private.Load()
	if kek == nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_USER_NOT_LOGGED_IN, "the partition's key is not open")
	}
	return kek, nil
}

func (p *Partition) metadataContext(h cryptoki.ObjectHandle) seal.Context {
	return seal.NewContext("tidelock object metadata").Uint64(uint64(p.id)).Uint64(uint64(h))
}

func (p *Partition) valueContext(h cryptoki.ObjectHandle, o *object.Object) seal.Context {
	return seal.NewContext("tidelock object value").Uint64(uint64(p.id)).Uint64(uint64(h)).
		Uint64(uint64(o.Class())).Uint64(uint64(o.KeyType())).Bytes(o.SecurityContext())
}
