package hsm

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/wire"
)

func (r *request) authorizeKey(q *wire.AuthorizeKeyRequest, _ *wire.AuthorizeKeyReply) error {
	data := secret.Take(q.Data)
	defer data.Wipe()
	return r.session.AuthorizeKey(cryptoki.ObjectHandle(q.Key), data)
}

func (r *request) setAuthorizationData(q *wire.SetAuthorizationDataRequest, _ *wire.SetAuthorizationDataReply) error {
	old, data := secret.Take(q.Old), secret.Take(q.New)
	defer old.Wipe()
	defer data.Wipe()
	return r.session.SetAuthorizationData(cryptoki.ObjectHandle(q.Key), old, data)
}

func (r *request) resetAuthorizationData(q *wire.ResetAuthorizationDataRequest, _ *wire.ResetAuthorizationDataReply) error {
	data := secret.Take(q.New)
	defer data.Wipe()
	return r.session.ResetAuthorizationData(cryptoki.ObjectHandle(q.Key), data)
}

func (r *request) assignKey(q *wire.AssignKeyRequest, _ *wire.AssignKeyReply) error {
	return r.session.AssignKey(cryptoki.ObjectHandle(q.Key))
}

func (r *request) incrementFailedAuthCount(q *wire.IncrementFailedAuthCountRequest, _ *wire.IncrementFailedAuthCountReply) error {
	return r.session.IncrementFailedAuthCount(cryptoki.ObjectHandle(q.Key))
}
