package hsm

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/wire"
)

func (r *request) wrapKey(q *wire.WrapKeyRequest, p *wire.WrapKeyReply) error {
	o, err := r.session.WrapKey(&q.Mechanism, cryptoki.ObjectHandle(q.WrappingKey), cryptoki.ObjectHandle(q.Key), q.Capacity)
	err = outcome(o, err, q.Capacity, &p.Wrapped, &p.Length)
	if q.Capacity != partition.AskLength {
		r.used(UseWrap, q.Mechanism.Type, err)
	}
	return err
}

func (r *request) unwrapKey(q *wire.UnwrapKeyRequest, p *wire.UnwrapKeyReply) error {
	h, err := r.session.UnwrapKey(partition.Token(q.Token), &q.Mechanism, cryptoki.ObjectHandle(q.UnwrappingKey), q.Wrapped, q.Template)
	r.used(UseUnwrap, q.Mechanism.Type, err)
	p.Object = uint64(h)
	return err
}

func (r *request) deriveKey(q *wire.DeriveKeyRequest, p *wire.DeriveKeyReply) error {
	h, err := r.session.DeriveKey(partition.Token(q.Token), &q.Mechanism, cryptoki.ObjectHandle(q.BaseKey), q.Template)
	r.used(UseDerive, q.Mechanism.Type, err)
	p.Object = uint64(h)
	return err
}

func (r *request) digestKey(q *wire.DigestKeyRequest, _ *wire.DigestKeyReply) error {
	return r.session.DigestKey(cryptoki.ObjectHandle(q.Key))
}
