package hsm

import "tidelock.dev/tidelock/wire"

// sent is the exchange whose reply is on its way.
type sent struct {
	exchange
	call  wire.Call
	large bool // its request was
}

// keptBody is the longest request, in bytes, that an exchange may go on referring to: a
// connection that sent one large frame of each call must not cost their memory for ever.
const keptBody = 64 << 10

// Sent says that nobody needs the message any more that Handle returned last. What an
// operation gave is wiped, since the connection may now be idle for long, and the memory of a
// large request goes.
func (l *Link) Sent() {
	last := l.sent
	l.sent = sent{}
	if last.exchange == nil {
		return
	}
	last.forgetReply()
	if last.large {
		delete(l.exchanges, last.call)
	}
}

func (t *typed[Q, R, PQ, PR]) forgetReply() {
	clear(output(PR(&t.reply)))
	var empty R
	t.reply = empty
}

// output is what a reply has of an operation, which is nobody else's: attributes belong to
// their objects.
func output(m wire.Message) []byte {
	switch p := m.(type) {
	case *wire.OperateReply:
		return p.Output
	case *wire.OperateFusedReply:
		return p.Output
	case *wire.UpdateReply:
		return p.Output
	case *wire.UpdateBothReply:
		return p.Output
	case *wire.FinalReply:
		return p.Output
	case *wire.DrainReply:
		return p.Output
	case *wire.MessageCryptReply:
		return p.Output
	case *wire.MessageNextReply:
		return p.Output
	case *wire.GenerateRandomReply:
		return p.Random
	}
	return nil
}
