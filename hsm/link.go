package hsm

import (
	"context"
	"log/slog"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/wire"
)

// Link is one connection's way into the HSM. It handles one request at a time,
// so that the messages it parses into can be used again: a call in its steady
// state allocates nothing here.
type Link struct {
	hsm       *HSM
	caller    Caller
	app       *application
	exchanges map[wire.Call]exchange
	sent      sent
	uses      tallier[Use]
	counts    tallier[CallCode]
}

// Connect begins a link. Close ends it.
func (h *HSM) Connect(caller Caller) *Link {
	h.links.Add(1)
	number := h.connects.Add(1)
	return &Link{
		hsm: h, caller: caller, exchanges: make(map[wire.Call]exchange),
		uses: newTallier(&h.statistics.uses, number), counts: newTallier(&h.statistics.calls, number),
	}
}

// Failed tells why the HSM can no longer serve; nil while it can.
func (l *Link) Failed() error { return l.hsm.Failed() }

// Close ends the link and, with the application's last one, the application.
func (l *Link) Close() {
	l.hsm.links.Add(-1)
	if l.app != nil {
		l.hsm.applications.leave(l.app)
		l.app = nil
	}
}

// request is one request on its way through the HSM.
type request struct {
	*Link
	session *partition.Session // nil for calls that need none
}

// exchange is a call's request and reply, and what is done between them.
type exchange interface {
	run(l *Link, header wire.Header, body []byte) (wire.Message, *partition.Session, error)
	forgetReply()
}

// message is a wire.Message that is a pointer to T.
type message[T any] interface {
	*T
	wire.Message
}

// typed is the exchange of one call.
type typed[Q, R any, PQ message[Q], PR message[R]] struct {
	handle func(*request, *Q, *R) error
	needs  needs
	query  Q
	reply  R
}

// needs is what must be there before a call is handled.
type needs uint8

const (
	needNothing needs = iota
	needApplication
	// needOwnSession is for leaving: a client may that cannot use the partition, since that
	// has become another version.
	needOwnSession
	// needSession is for what an application may do in a session while its PIN is an
	// initial one.
	needSession
	// needUse is for everything else in a session.
	needUse
)

func (t *typed[Q, R, PQ, PR]) run(l *Link, header wire.Header, body []byte) (wire.Message, *partition.Session, error) {
	if err := PQ(&t.query).Parse(body); err != nil {
		return nil, nil, err
	}
	r := request{Link: l}
	if t.needs >= needApplication && (l.app == nil || l.app.ended.Load() || header.Application != l.app.number) {
		return nil, nil, cryptoki.Errorf(cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED, "Hello must come first, and Goodbye was last")
	}
	if err := l.hsm.Failed(); err != nil {
		return nil, nil, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the HSM does not serve: %w", err)
	}
	if err := l.hsm.roomToTell(header.Call); err != nil {
		return nil, nil, err
	}
	if t.needs >= needOwnSession {
		if r.session = l.hsm.session(header.Session, l.app); r.session == nil {
			return nil, nil, cryptoki.CKR_SESSION_HANDLE_INVALID
		}
	}
	if t.needs >= needSession {
		if err := firmware.ClientAccess(l.app.level, r.session.Partition().Version()); err != nil {
			return nil, r.session, err
		}
	}
	if t.needs >= needUse && r.session.Expired() {
		return nil, r.session, cryptoki.Errorf(cryptoki.CKR_PIN_EXPIRED, "the PIN is an initial one and must be changed first")
	}
	var empty R
	t.reply = empty
	err := t.handle(&r, &t.query, &t.reply)
	return PR(&t.reply), r.session, err
}

// on makes the entry of a call in the dispatch table.
func on[Q, R any, PQ message[Q], PR message[R]](n needs, handle func(*request, *Q, *R) error) func() exchange {
	return func() exchange { return &typed[Q, R, PQ, PR]{handle: handle, needs: n} }
}

// Handle executes one request and returns its reply. The message is valid until Sent or the
// next call; the body may be reused when it returns.
func (l *Link) Handle(header wire.Header, body []byte) (wire.Header, wire.Message) {
	reply := wire.Header{
		Kind: wire.KindReply, Call: header.Call, Request: header.Request,
		Application: header.Application, Session: header.Session,
	}
	m, session, err := l.run(header, body)
	if session != nil {
		reply.Epoch = session.Epoch()
	}
	if err == nil {
		l.called(header.Call, cryptoki.CKR_OK)
		return reply, m
	}
	reply.Code = cryptoki.Code(err)
	l.called(header.Call, reply.Code)
	l.log(header, reply.Code, err)
	if !carriesBody(header.Call, reply.Code) {
		m = nil
	}
	return reply, m
}

func (l *Link) run(header wire.Header, body []byte) (wire.Message, *partition.Session, error) {
	x := l.exchanges[header.Call]
	if x == nil {
		build := calls[header.Call]
		if build == nil {
			return nil, nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_NOT_SUPPORTED, "call %d", header.Call)
		}
		x = build()
		l.exchanges[header.Call] = x
	}
	l.sent = sent{x, header.Call, len(body) > keptBody}
	if !whileUpdating(header.Call) {
		if !l.hsm.serving.TryRLock() {
			return nil, nil, errUpdating
		}
		defer l.hsm.serving.RUnlock()
	}
	return x.run(l, header, body)
}

// carriesBody tells which failures have something to say beyond their code.
func carriesBody(call wire.Call, code cryptoki.RV) bool {
	switch code {
	case cryptoki.CKR_BUFFER_TOO_SMALL:
		return true
	case cryptoki.CKR_ATTRIBUTE_SENSITIVE, cryptoki.CKR_ATTRIBUTE_TYPE_INVALID:
		return call == wire.CallGetAttributes
	}
	switch call {
	case wire.CallPartitionInit, wire.CallSetPartitionPolicies, wire.CallSetHSMPolicies:
		return policyCode(code)
	}
	return false
}

// policyCode tells whether a code is of policies that were refused, for a reason that the
// reply tells.
func policyCode(code cryptoki.RV) bool {
	switch code {
	case cryptoki.CKR_POLICY_ID_INVALID, cryptoki.CKR_CONFIG_CHANGE_ILLEGAL, cryptoki.CKR_CONFIG_ILLEGAL, cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES,
		cryptoki.CKR_FUNCTION_NOT_SUPPORTED, cryptoki.CKR_ACCESS_ID_INVALID, cryptoki.CKR_ACTION_PROHIBITED, cryptoki.CKR_DATA_INVALID, cryptoki.CKR_DATA_LEN_RANGE:
		return true
	}
	return false
}

// log records a refusal with what the caller is not told. Failures of the HSM
// itself are errors, everything else is an application's business.
func (l *Link) log(header wire.Header, code cryptoki.RV, err error) {
	level := slog.LevelDebug
	if code == cryptoki.CKR_GENERAL_ERROR || code == cryptoki.CKR_DEVICE_ERROR {
		level = slog.LevelError
	}
	if code == cryptoki.CKR_BUFFER_TOO_SMALL || !l.hsm.log.Enabled(context.Background(), level) {
		return
	}
	l.hsm.log.LogAttrs(context.Background(), level, "refused",
		slog.String("call", header.Call.String()),
		slog.Uint64("request", header.Request),
		slog.Uint64("application", header.Application),
		slog.Uint64("connection", l.caller.Connection),
		slog.Uint64("session", uint64(header.Session)),
		slog.String("code", code.String()),
		slog.String("cause", err.Error()))
}
