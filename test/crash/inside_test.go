package crash

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore/boltstore"
	"tidelock.dev/tidelock/wire"
)

// inside is an HSM in this process, which a test can open thousands of times.
type inside struct {
	link                       *hsm.Link
	application, boot, request uint64
	close                      func() error
}

// openInside starts an HSM from a store's file.
func openInside(path string, rootKey []byte) (*inside, error) {
	store, err := boltstore.Open(path)
	if err != nil {
		return nil, err
	}
	key := secret.Copy(rootKey)
	defer key.Wipe()
	core, err := hsm.Open(hsm.Config{
		Store: store, Answers: []secret.Bytes{key}, Now: time.Now, Log: slog.New(slog.DiscardHandler), Server: "crash test",
	})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	i := &inside{link: core.Connect(hsm.Caller{Link: hsm.LinkLocal, UID: 1000, PID: 1, Owner: true})}
	i.close = func() error {
		i.link.Close()
		return errors.Join(core.Close(), store.Close())
	}
	hello := wire.HelloRequest{ProtocolMin: 1, ProtocolMax: 1, Program: "crash test"}
	_, _ = rand.Read(hello.Application[:])
	_, _ = rand.Read(hello.Secret[:])
	var welcome wire.HelloReply
	if err := i.Do(wire.CallHello, 0, &hello, &welcome); err != nil {
		return nil, errors.Join(err, i.close())
	}
	i.application, i.boot = welcome.Application, welcome.Boot
	return i, nil
}

// Do implements caller.
func (i *inside) Do(call wire.Call, session cryptoki.SessionHandle, q, p wire.Message) error {
	i.request++
	h, m := i.link.Handle(wire.Header{
		Kind: wire.KindRequest, Call: call, Request: i.request, Application: i.application, Session: session,
	}, q.AppendTo(nil))
	if h.Code != cryptoki.CKR_OK {
		return h.Code
	}
	if m == nil {
		return fmt.Errorf("%v: CKR_OK without a body", call)
	}
	return p.Parse(m.AppendTo(nil))
}

// Close implements caller.
func (i *inside) Close() error { return i.close() }
