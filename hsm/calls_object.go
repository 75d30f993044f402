package hsm

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/object"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/wire"
)

func (r *request) createObject(q *wire.CreateObjectRequest, p *wire.CreateObjectReply) error {
	h, err := r.session.Create(partition.Token(q.Token), q.Template)
	p.Object = uint64(h)
	return err
}

func (r *request) copyObject(q *wire.CopyObjectRequest, p *wire.CopyObjectReply) error {
	h, err := r.session.Copy(partition.Token(q.Token), cryptoki.ObjectHandle(q.Object), q.Template)
	p.Copy = uint64(h)
	return err
}

func (r *request) destroyObject(q *wire.DestroyObjectRequest, _ *wire.DestroyObjectReply) error {
	return r.session.Destroy(cryptoki.ObjectHandle(q.Object))
}

func (r *request) objectSize(q *wire.ObjectSizeRequest, p *wire.ObjectSizeReply) (err error) {
	p.Size, err = r.session.Size(cryptoki.ObjectHandle(q.Object))
	return err
}

func (r *request) getAttributes(q *wire.GetAttributesRequest, p *wire.GetAttributesReply) error {
	if len(q.Types) > wire.MaxAttributes {
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "%d attributes in one call, at most %d", len(q.Types), wire.MaxAttributes)
	}
	size := 0
	err := r.session.Attributes(cryptoki.ObjectHandle(q.Object), q.Types, func(s object.Status, value []byte) {
		size += len(value)
		p.Values = append(p.Values, wire.Value{Status: uint8(s), Value: value})
	})
	// The values are the object's own memory until the reply is written.
	if size > wire.MaxBody {
		return cryptoki.Errorf(cryptoki.CKR_DEVICE_MEMORY, "attributes of %d bytes, and a reply has room for %d", size, wire.MaxBody)
	}
	return err
}

func (r *request) setAttributes(q *wire.SetAttributesRequest, _ *wire.SetAttributesReply) error {
	return r.session.SetAttributes(cryptoki.ObjectHandle(q.Object), q.Template)
}

func (r *request) find(q *wire.FindRequest, p *wire.FindReply) error {
	found, more, err := r.session.Find(q.Template, cryptoki.ObjectHandle(q.After), int(q.Limit))
	for _, h := range found {
		p.Objects = append(p.Objects, uint64(h))
	}
	p.More = more
	return err
}

func (r *request) generateKey(q *wire.GenerateKeyRequest, p *wire.GenerateKeyReply) error {
	h, err := r.session.GenerateKey(partition.Token(q.Token), &q.Mechanism, q.Template)
	r.used(UseGenerateKey, q.Mechanism.Type, err)
	p.Object = uint64(h)
	return err
}

func (r *request) generateKeyPair(q *wire.GenerateKeyPairRequest, p *wire.GenerateKeyPairReply) error {
	public, private, err := r.session.GenerateKeyPair(partition.Token(q.Token), &q.Mechanism, q.PublicTemplate, q.PrivateTemplate)
	r.used(UseGenerateKeyPair, q.Mechanism.Type, err)
	p.PublicKey, p.PrivateKey = uint64(public), uint64(private)
	return err
}
