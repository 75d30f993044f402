package crash

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"

	"tidelock.dev/tidelock/client"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

// errLost says that a call's outcome is not known: the connection failed.
var errLost = errors.New("no reply")

// caller is how an application reaches an HSM.
type caller interface {
	Do(call wire.Call, session cryptoki.SessionHandle, q, p wire.Message) error
	Close() error
}

// app is an application with a read-write session.
type app struct {
	c       caller
	session cryptoki.SessionHandle
}

func dial(home string) (*app, error) {
	c, err := client.Dial(socketOf(home), "crash test")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLost, err)
	}
	return open(c)
}

// administer is dial for an administrator.
func administer(home string) (*app, error) {
	c, err := client.Dial(filepath.Join(home, "run", "admin.sock"), "crash test")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLost, err)
	}
	return openSlot(c, wire.AdminSlot)
}

func open(c caller) (*app, error) { return openSlot(c, 0) }

func openSlot(c caller, slot uint64) (*app, error) {
	a := &app{c: c}
	var p wire.OpenSessionReply
	flags := cryptoki.CKF_SERIAL_SESSION | cryptoki.CKF_RW_SESSION
	if err := a.do(wire.CallOpenSession, &wire.OpenSessionRequest{Slot: slot, Flags: uint64(flags)}, &p); err != nil {
		return nil, err
	}
	a.session = cryptoki.SessionHandle(p.Session)
	return a, nil
}

// do makes a call. Its error is the code that the server answered, or errLost.
func (a *app) do(call wire.Call, q, p wire.Message) error {
	err := a.c.Do(call, a.session, q, p)
	if err == nil {
		return nil
	}
	if code, ok := err.(cryptoki.RV); ok {
		return fmt.Errorf("%v: %w", call, code)
	}
	return fmt.Errorf("%w to %v: %w", errLost, call, err)
}

func (a *app) login(user cryptoki.UserType, pin string) error {
	return a.do(wire.CallLogin, &wire.LoginRequest{User: uint64(user), PIN: wire.Secret(pin)}, &wire.LoginReply{})
}

func (a *app) logout() error {
	return a.do(wire.CallLogout, &wire.LogoutRequest{}, &wire.LogoutReply{})
}

func (a *app) setPIN(old, pin string) error {
	return a.do(wire.CallSetPIN, &wire.SetPINRequest{Old: wire.Secret(old), New: wire.Secret(pin)}, &wire.SetPINReply{})
}

func (a *app) flags() (cryptoki.Flags, error) {
	var p wire.TokenInfoReply
	err := a.do(wire.CallTokenInfo, &wire.TokenInfoRequest{}, &p)
	return cryptoki.Flags(p.Flags), err
}

// tries tells how many wrong PINs a role still bears, and whether it is locked.
func (a *app) tries(user cryptoki.UserType) (left int, locked bool, err error) {
	const lockedFlag = 0x02 // of CA_ROLE_STATE
	var p wire.RoleStateReply
	err = a.do(wire.CallRoleState, &wire.RoleStateRequest{User: uint64(user)}, &p)
	return int(p.AttemptsLeft), p.Flags&lockedFlag != 0, err
}

func (a *app) initRole(user cryptoki.UserType, pin string) error {
	return a.do(wire.CallInitRole, &wire.InitRoleRequest{User: uint64(user), PIN: wire.Secret(pin)}, &wire.InitRoleReply{})
}

func (a *app) destroy(object uint64) error {
	return a.do(wire.CallDestroyObject, &wire.DestroyObjectRequest{Object: object}, &wire.DestroyObjectReply{})
}

func (a *app) setLabel(object uint64, label string) error {
	return a.do(wire.CallSetAttributes, &wire.SetAttributesRequest{Object: object, Template: labelled(nil, label)}, &wire.SetAttributesReply{})
}

// find gives the handles of all objects that match.
func (a *app) find(t cryptoki.Template) ([]uint64, error) {
	var all []uint64
	for after := uint64(0); ; {
		var p wire.FindReply
		if err := a.do(wire.CallFind, &wire.FindRequest{Template: t, After: after, Limit: 1000}, &p); err != nil {
			return nil, err
		}
		all = append(all, p.Objects...)
		if !p.More {
			return all, nil
		}
		after = all[len(all)-1]
	}
}

// read gives attributes of an object, all of which must be there.
func (a *app) read(object uint64, types ...cryptoki.AttributeType) ([][]byte, error) {
	q := wire.GetAttributesRequest{Object: object}
	for _, t := range types {
		q.Types = append(q.Types, uint64(t))
	}
	var p wire.GetAttributesReply
	if err := a.do(wire.CallGetAttributes, &q, &p); err != nil {
		return nil, err
	}
	values := make([][]byte, len(types))
	for i := range values {
		values[i] = bytes.Clone(p.Values[i].Value)
	}
	return values, nil
}

// operate is an operation in one part.
func (a *app) operate(function uint8, m cryptoki.Mechanism, key uint64, data []byte) ([]byte, error) {
	var p wire.OperateFusedReply
	err := a.do(wire.CallOperateFused, &wire.OperateFusedRequest{
		Function: function, Mechanism: m, Key: key, Data: data, Capacity: 1 << 16,
	}, &p)
	return bytes.Clone(p.Output), err
}

func newToken() (t wire.ID) {
	_, _ = rand.Read(t[:])
	return t
}

func attribute(t cryptoki.AttributeType, value []byte) cryptoki.Attribute {
	return cryptoki.Attribute{Type: t, Value: value}
}

func labelled(t cryptoki.Template, label string) cryptoki.Template {
	return append(t[:len(t):len(t)], attribute(cryptoki.CKA_LABEL, []byte(label)))
}

func identified(t cryptoki.Template, id string) cryptoki.Template {
	return append(t[:len(t):len(t)], attribute(cryptoki.CKA_ID, []byte(id)))
}
