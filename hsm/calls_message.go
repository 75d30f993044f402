package hsm

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

func (r *request) messageInit(q *wire.MessageInitRequest, _ *wire.MessageInitReply) error {
	err := r.session.MessageInit(mech.Function(q.Function), &q.Mechanism, cryptoki.ObjectHandle(q.Key))
	if err != nil {
		r.used(UseFunction(q.Function), q.Mechanism.Type, err)
	}
	return err
}

func (r *request) messageBegin(q *wire.MessageBeginRequest, p *wire.MessageBeginReply) error {
	iv, err := r.session.MessageBegin(mech.Function(q.Function), &q.Mechanism, cryptoki.ObjectHandle(q.Key), &mech.Message{
		IV: q.IV, FixedBits: q.IVFixedBits, Generator: q.IVGenerator, TagBits: q.TagBits, AAD: q.AAD,
	})
	r.used(UseFunction(q.Function), q.Mechanism.Type, err)
	p.IV = iv
	return err
}

func (r *request) messageNext(q *wire.MessageNextRequest, p *wire.MessageNextReply) error {
	if !q.Last {
		return r.session.MessagePart(mech.Function(q.Function), q.Data)
	}
	o, tag, err := r.session.MessageEnd(mech.Function(q.Function), q.Data, q.Tag)
	*p = wire.MessageNextReply{Output: o.Data, Length: o.Length, Tag: tag}
	return err
}

func (r *request) messageCrypt(q *wire.MessageCryptRequest, p *wire.MessageCryptReply) error {
	sealed, err := r.session.Message(mech.Function(q.Function), &q.Mechanism, cryptoki.ObjectHandle(q.Key), &mech.Message{
		IV: q.IV, FixedBits: q.IVFixedBits, Generator: q.IVGenerator, TagBits: q.TagBits, AAD: q.AAD, Data: q.Data, Tag: q.Tag,
	})
	r.used(UseFunction(q.Function), q.Mechanism.Type, err)
	*p = wire.MessageCryptReply{IV: sealed.IV, Output: sealed.Output, Tag: sealed.Tag}
	return err
}
