package hsm_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/memstore"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

const (
	soPIN = "partition so"
	coPIN = "crypto officer"
	// maxTries is partition policy 20's default.
	maxTries = 10
)

// box is an HSM with the disk that outlives it.
type box struct {
	*hsm.HSM
	t       testing.TB
	disk    *memstore.Disk
	store   *interposed
	rootKey secret.Bytes
	clock   time.Time     // what the HSM takes for the time
	life    time.Duration // of tickets
}

// ticketLife is how long a login outlives a test HSM.
const ticketLife = 24 * time.Hour

// newHSM makes a test HSM with one partition in slot 0 and starts it.
func newHSM(t testing.TB) *box {
	t.Helper()
	return newHSMLike(t, hsm.Development{})
}

// newHSMLike is newHSM of a level, memory, licences and version.
func newHSMLike(t testing.TB, d hsm.Development) *box {
	t.Helper()
	b := &box{t: t, disk: new(memstore.Disk), rootKey: secret.New(32), clock: time.Unix(1_800_000_000, 0), life: ticketLife}
	rand.Read(b.rootKey.Expose())
	store := memstore.Open(b.disk)
	d.Label, d.SOPIN, d.PIN, d.Mode = "test", secret.Copy([]byte(soPIN)), secret.Copy([]byte(coPIN)), hsm.ModeTest
	err := hsm.CreateDevelopment(store, b.rootKey, d)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	b.start()
	return b
}

func (b *box) start() {
	b.t.Helper()
	b.store = &interposed{Store: memstore.Open(b.disk)}
	var err error
	b.HSM, err = hsm.Open(hsm.Config{
		Store: b.store, Answers: []secret.Bytes{b.rootKey}, Now: func() time.Time { return b.clock },
		Log: slog.New(slog.DiscardHandler), Server: "test server", TicketLife: b.life,
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// restart ends the HSM as a crash does and starts another one from its disk.
func (b *box) restart() {
	b.t.Helper()
	if err := b.store.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.start()
}

// interposed is a store that lets a test act in front of an update or a view.
type interposed struct {
	keystore.Store
	onUpdate, onView atomic.Pointer[func() error]
}

func (s *interposed) Update(fn func(keystore.Writer) error) error {
	if f := s.onUpdate.Load(); f != nil {
		if err := (*f)(); err != nil {
			return err
		}
	}
	return s.Store.Update(fn)
}

func (s *interposed) View(fn func(keystore.Reader) error) error {
	if f := s.onView.Load(); f != nil {
		if err := (*f)(); err != nil {
			return err
		}
	}
	return s.Store.View(fn)
}

// identity is what an application brings with Hello.
type identity struct{ id, secret wire.ID }

func newIdentity() (i identity) {
	rand.Read(i.id[:])
	rand.Read(i.secret[:])
	return i
}

// client is one link of an application. It takes every message through the codec, as
// a connection does.
type client struct {
	t           testing.TB
	link        *hsm.Link
	application uint64
	boot        uint64
	request     uint64
	epoch       uint64 // of the last reply
	saw         func(wire.Call)
}

// local is a caller on this host who does not own the server.
var local = hsm.Caller{Link: hsm.LinkLocal, UID: 1000, PID: 4711}

func (b *box) dial(caller hsm.Caller) *client {
	return &client{t: b.t, link: b.Connect(caller)}
}

// join connects a link to the application of an identity.
func (b *box) join(i identity) *client {
	b.t.Helper()
	c := b.dial(local)
	c.must(c.hello(i))
	return c
}

// app connects a new application.
func (b *box) app() *client {
	b.t.Helper()
	return b.join(newIdentity())
}

func (c *client) hello(i identity) cryptoki.RV { return c.helloAt(i, 0) }

// helloAt is hello from a client of a level.
func (c *client) helloAt(i identity, level uint32) cryptoki.RV {
	var p wire.HelloReply
	rv := c.call(wire.CallHello, 0, &wire.HelloRequest{
		ProtocolMin: 1, ProtocolMax: 1, Application: i.id, Secret: i.secret, Program: "test", ClientLevel: level,
	}, &p)
	if rv == cryptoki.CKR_OK {
		c.application, c.boot = p.Application, p.Boot
	}
	return rv
}

// call makes a call and parses its reply. A refusal must have an empty body, unless
// docs/wire.md says otherwise.
func (c *client) call(call wire.Call, session uint64, q, p wire.Message) cryptoki.RV {
	c.t.Helper()
	c.request++
	if c.saw != nil {
		c.saw(call)
	}
	h, m := c.link.Handle(wire.Header{
		Kind: wire.KindRequest, Call: call, Request: c.request,
		Application: c.application, Session: cryptoki.SessionHandle(session),
	}, q.AppendTo(nil))
	c.epoch = h.Epoch
	if h.Kind != wire.KindReply || h.Call != call || h.Request != c.request {
		c.t.Errorf("%v: the reply's header is %+v", call, h)
	}
	if m == nil {
		if h.Code == cryptoki.CKR_OK {
			c.t.Errorf("%v: CKR_OK without a body", call)
		}
		return h.Code
	}
	if err := p.Parse(m.AppendTo(nil)); err != nil {
		c.t.Errorf("%v: the reply does not parse: %v", call, err)
	}
	return h.Code
}

func (c *client) must(rv cryptoki.RV) {
	c.t.Helper()
	if rv != cryptoki.CKR_OK {
		c.t.Fatal(rv)
	}
}

// want checks a code.
func want(t testing.TB, what string, got, want cryptoki.RV) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// session is an open session of a client.
type session struct {
	*client
	handle uint64
}

const (
	readOnly  = cryptoki.CKF_SERIAL_SESSION
	readWrite = cryptoki.CKF_SERIAL_SESSION | cryptoki.CKF_RW_SESSION
)

func (c *client) tryOpen(flags cryptoki.Flags) (session, cryptoki.RV) {
	var p wire.OpenSessionReply
	rv := c.call(wire.CallOpenSession, 0, &wire.OpenSessionRequest{Slot: 0, Flags: uint64(flags)}, &p)
	return session{c, p.Session}, rv
}

func (c *client) open(flags cryptoki.Flags) session {
	c.t.Helper()
	s, rv := c.tryOpen(flags)
	c.must(rv)
	return s
}

// user opens a read-write session of a new application and logs the Crypto Officer in.
func (b *box) user() session {
	b.t.Helper()
	s := b.app().open(readWrite)
	s.must(s.login(cryptoki.CKU_USER, coPIN))
	return s
}

func (s session) do(call wire.Call, q, p wire.Message) cryptoki.RV {
	s.t.Helper()
	return s.call(call, s.handle, q, p)
}

func (s session) close() cryptoki.RV {
	return s.do(wire.CallCloseSession, &wire.CloseSessionRequest{}, &wire.CloseSessionReply{})
}

func (s session) login(user cryptoki.UserType, pin string) cryptoki.RV {
	return s.do(wire.CallLogin, &wire.LoginRequest{User: uint64(user), PIN: wire.Secret(pin)}, &wire.LoginReply{})
}

func (s session) logout() cryptoki.RV {
	return s.do(wire.CallLogout, &wire.LogoutRequest{}, &wire.LogoutReply{})
}

func (s session) setPIN(old, pin string) cryptoki.RV {
	return s.do(wire.CallSetPIN, &wire.SetPINRequest{Old: wire.Secret(old), New: wire.Secret(pin)}, &wire.SetPINReply{})
}

func (s session) state() cryptoki.SessionState {
	s.t.Helper()
	var p wire.SessionInfoReply
	s.must(s.do(wire.CallSessionInfo, &wire.SessionInfoRequest{}, &p))
	return cryptoki.SessionState(p.State)
}

func (s session) create(token wire.ID, t cryptoki.Template) (uint64, cryptoki.RV) {
	var p wire.CreateObjectReply
	rv := s.do(wire.CallCreateObject, &wire.CreateObjectRequest{Token: token, Template: t}, &p)
	return p.Object, rv
}

func (s session) mustCreate(t cryptoki.Template) uint64 {
	s.t.Helper()
	h, rv := s.create(newToken(), t)
	s.must(rv)
	return h
}

func (s session) copyObject(token wire.ID, object uint64, t cryptoki.Template) (uint64, cryptoki.RV) {
	var p wire.CopyObjectReply
	rv := s.do(wire.CallCopyObject, &wire.CopyObjectRequest{Token: token, Object: object, Template: t}, &p)
	return p.Copy, rv
}

func (s session) destroy(object uint64) cryptoki.RV {
	return s.do(wire.CallDestroyObject, &wire.DestroyObjectRequest{Object: object}, &wire.DestroyObjectReply{})
}

func (s session) size(object uint64) (uint64, cryptoki.RV) {
	var p wire.ObjectSizeReply
	rv := s.do(wire.CallObjectSize, &wire.ObjectSizeRequest{Object: object}, &p)
	return p.Size, rv
}

func (s session) get(object uint64, types ...cryptoki.AttributeType) ([]wire.Value, cryptoki.RV) {
	q := wire.GetAttributesRequest{Object: object}
	for _, t := range types {
		q.Types = append(q.Types, uint64(t))
	}
	var p wire.GetAttributesReply
	rv := s.do(wire.CallGetAttributes, &q, &p)
	return p.Values, rv
}

// value reads one attribute that must be there.
func (s session) value(object uint64, t cryptoki.AttributeType) []byte {
	s.t.Helper()
	v, rv := s.get(object, t)
	s.must(rv)
	return bytes.Clone(v[0].Value)
}

func (s session) set(object uint64, t cryptoki.Template) cryptoki.RV {
	return s.do(wire.CallSetAttributes, &wire.SetAttributesRequest{Object: object, Template: t}, &wire.SetAttributesReply{})
}

// page is one Find.
func (s session) page(t cryptoki.Template, after uint64, limit uint32) (wire.FindReply, cryptoki.RV) {
	var p wire.FindReply
	rv := s.do(wire.CallFind, &wire.FindRequest{Template: t, After: after, Limit: limit}, &p)
	return p, rv
}

// find gives all objects that match.
func (s session) find(t cryptoki.Template) []uint64 {
	s.t.Helper()
	p, rv := s.page(t, 0, 0)
	s.must(rv)
	if p.More {
		s.t.Fatal("more objects than one page")
	}
	return p.Objects
}

func (s session) generate(token wire.ID, m cryptoki.Mechanism, t cryptoki.Template) (uint64, cryptoki.RV) {
	var p wire.GenerateKeyReply
	rv := s.do(wire.CallGenerateKey, &wire.GenerateKeyRequest{Token: token, Mechanism: m, Template: t}, &p)
	return p.Object, rv
}

func (s session) generatePair(token wire.ID, m cryptoki.Mechanism, public, private cryptoki.Template) (pub, priv uint64, rv cryptoki.RV) {
	var p wire.GenerateKeyPairReply
	rv = s.do(wire.CallGenerateKeyPair, &wire.GenerateKeyPairRequest{
		Token: token, Mechanism: m, PublicTemplate: public, PrivateTemplate: private,
	}, &p)
	return p.PublicKey, p.PrivateKey, rv
}

func (s session) init(f mech.Function, m cryptoki.Mechanism, key uint64) (wire.OperationInitReply, cryptoki.RV) {
	var p wire.OperationInitReply
	rv := s.do(wire.CallOperationInit, &wire.OperationInitRequest{Function: uint8(f), Mechanism: m, Key: key}, &p)
	return p, rv
}

func (s session) mustInit(f mech.Function, m cryptoki.Mechanism, key uint64) {
	s.t.Helper()
	_, rv := s.init(f, m, key)
	s.must(rv)
}

// anyRoom is a capacity that everything fits into.
const anyRoom = uint64(1) << 32

func (s session) operate(f mech.Function, data, signature []byte, capacity uint64) (wire.OperateReply, cryptoki.RV) {
	var p wire.OperateReply
	rv := s.do(wire.CallOperate, &wire.OperateRequest{Function: uint8(f), Data: data, Signature: signature, Capacity: capacity}, &p)
	return p, rv
}

func (s session) fused(f mech.Function, m cryptoki.Mechanism, key uint64, data, signature []byte, capacity uint64) (wire.OperateFusedReply, cryptoki.RV) {
	var p wire.OperateFusedReply
	rv := s.do(wire.CallOperateFused, &wire.OperateFusedRequest{
		Function: uint8(f), Mechanism: m, Key: key, Data: data, Signature: signature, Capacity: capacity,
	}, &p)
	return p, rv
}

func (s session) update(f mech.Function, data []byte, capacity uint64) (wire.UpdateReply, cryptoki.RV) {
	var p wire.UpdateReply
	rv := s.do(wire.CallUpdate, &wire.UpdateRequest{Function: uint8(f), Data: data, Capacity: capacity}, &p)
	return p, rv
}

func (s session) final(f mech.Function, signature []byte, capacity uint64) (wire.FinalReply, cryptoki.RV) {
	var p wire.FinalReply
	rv := s.do(wire.CallFinal, &wire.FinalRequest{Function: uint8(f), Signature: signature, Capacity: capacity}, &p)
	return p, rv
}

func (s session) drain(f mech.Function) (wire.DrainReply, cryptoki.RV) {
	var p wire.DrainReply
	rv := s.do(wire.CallDrain, &wire.DrainRequest{Function: uint8(f)}, &p)
	return p, rv
}

func (s session) cancel(fs ...mech.Function) cryptoki.RV {
	var q wire.OperationCancelRequest
	for _, f := range fs {
		q.Functions |= 1 << f
	}
	return s.do(wire.CallOperationCancel, &q, &wire.OperationCancelReply{})
}

// newToken makes the token of a creating call.
func newToken() (t wire.ID) {
	rand.Read(t[:])
	return t
}

// attrs makes a template of types and Go values.
func attrs(pairs ...any) cryptoki.Template {
	var t cryptoki.Template
	for i := 0; i < len(pairs); i += 2 {
		a := cryptoki.Attribute{Type: pairs[i].(cryptoki.AttributeType)}
		switch v := pairs[i+1].(type) {
		case bool:
			a.Value = cryptoki.Bool(v)
		case string:
			a.Value = []byte(v)
		case []byte:
			a.Value = v
		case int:
			a.Value = cryptoki.ULong(uint64(v))
		case cryptoki.ObjectClass:
			a.Value = cryptoki.ULong(v)
		case cryptoki.KeyType:
			a.Value = cryptoki.ULong(v)
		case cryptoki.MechanismType:
			a.Value = cryptoki.ULong(v)
		default:
			panic(fmt.Sprintf("attrs: %T", v))
		}
		t = append(t, a)
	}
	return t
}

// with is a template with more attributes.
func with(t cryptoki.Template, pairs ...any) cryptoki.Template {
	return append(t[:len(t):len(t)], attrs(pairs...)...)
}

var (
	p256 = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}

	ecKeyPairGen = cryptoki.New(cryptoki.CKM_EC_KEY_PAIR_GEN)
	aesKeyGen    = cryptoki.New(cryptoki.CKM_AES_KEY_GEN)
	ecdsaSHA256  = cryptoki.New(cryptoki.CKM_ECDSA_SHA256)
	sha256       = cryptoki.New(cryptoki.CKM_SHA256)
)

// pair generates an EC key pair for signing and verifying, both halves as token
// objects or as session objects.
func (s session) pair(token bool, label string) (public, private uint64) {
	s.t.Helper()
	public, private, rv := s.generatePair(newToken(), ecKeyPairGen,
		attrs(cryptoki.CKA_TOKEN, token, cryptoki.CKA_LABEL, label, cryptoki.CKA_ID, "id of "+label, cryptoki.CKA_EC_PARAMS, p256, cryptoki.CKA_VERIFY, true, cryptoki.CKA_PRIVATE, false),
		attrs(cryptoki.CKA_TOKEN, token, cryptoki.CKA_LABEL, label, cryptoki.CKA_ID, "id of "+label, cryptoki.CKA_SIGN, true))
	s.must(rv)
	return public, private
}

// dataObject is the template of a data object.
func dataObject(token, private bool, label string) cryptoki.Template {
	return attrs(cryptoki.CKA_CLASS, cryptoki.CKO_DATA, cryptoki.CKA_TOKEN, token, cryptoki.CKA_PRIVATE, private, cryptoki.CKA_LABEL, label)
}

// aesKey generates an AES key for CBC.
func (s session) aesKey(token bool, label string) uint64 {
	s.t.Helper()
	h, rv := s.generate(newToken(), aesKeyGen, attrs(cryptoki.CKA_TOKEN, token, cryptoki.CKA_LABEL, label,
		cryptoki.CKA_VALUE_LEN, 32, cryptoki.CKA_ENCRYPT, true, cryptoki.CKA_DECRYPT, true))
	s.must(rv)
	return h
}

// cbc is CKM_AES_CBC_PAD with an initialization vector of zeros.
var cbc = cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, make([]byte, 16))
