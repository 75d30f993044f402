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

func (r *request) messageCrypt(q *wire.MessageCryptRequest, p *wire.MessageCryptReply) error {
	sealed, err := r.session.Message(mech.Function(q.Function), &q.Mechanism, cryptoki.ObjectHandle(q.Key), &mech.Message{
		IV: q.IV, FixedBits: q.IVFixedBits, Generator: q.IVGenerator, TagBits: q.TagBits, AAD: q.AAD, Data: q.Data, Tag: q.Tag,
	})
	r.used(UseFunction(q.Function), q.Mechanism.Type, err)
	*p = wire.MessageCryptReply{IV: sealed.IV, Output: sealed.Output, Tag: sealed.Tag}
	return err
}
