package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/cryptoki"
)

// call is what a line does: args come before "as", names after it.
type call struct {
	least int // how many args it needs
	do    func(m *machine, args, names []string) (string, error)
}

var calls = map[string]call{
	"init":          {0, (*machine).initialize},
	"finalize":      {0, func(m *machine, _, _ []string) (string, error) { return "", m.module.Finalize() }},
	"open":          {2, (*machine).open},
	"close":         {1, onSession(func(m *machine, s pkcs11.SessionHandle, _ []string) error { return m.module.CloseSession(s) })},
	"close-all":     {0, func(m *machine, _, _ []string) (string, error) { return "", m.module.CloseAllSessions(m.slot) }},
	"login":         {3, onSession((*machine).login)},
	"logout":        {1, onSession(func(m *machine, s pkcs11.SessionHandle, _ []string) error { return m.module.Logout(s) })},
	"set-pin":       {3, onSession(func(m *machine, s pkcs11.SessionHandle, a []string) error { return m.module.SetPIN(s, a[0], a[1]) })},
	"generate-pair": {1, (*machine).generatePair},
	"create":        {1, (*machine).create},
	"find":          {1, (*machine).find},
	"get":           {3, (*machine).get},
	"set":           {3, onObject((*machine).set)},
	"destroy": {2, onObject(func(m *machine, s pkcs11.SessionHandle, o pkcs11.ObjectHandle, _ []string) error {
		return m.module.DestroyObject(s, o)
	})},
	"sign": {3, onObject((*machine).sign)},
	"sign-init": {2, onObject(func(m *machine, s pkcs11.SessionHandle, o pkcs11.ObjectHandle, _ []string) error {
		return m.module.SignInit(s, mechanism, o)
	})},
	"sign-update": {2, onSession(func(m *machine, s pkcs11.SessionHandle, a []string) error {
		return m.module.SignUpdate(s, []byte(a[0]))
	})},
	"sign-final": {1, onSession(func(m *machine, s pkcs11.SessionHandle, _ []string) error {
		_, err := m.module.SignFinal(s)
		return err
	})},
	"policies":        {2, (*machine).policies},
	"set-policies":    {3, onSession((*machine).setPolicies)},
	"describe-policy": {2, (*machine).describePolicy},
	"room":            {0, (*machine).room},
	"firmware":        {0, (*machine).firmware},
	"event":           {1, (*machine).event},
	"approved":        {1, (*machine).approved},
	"log":             {2, onSession((*machine).log)},

	"flags":  {0, (*machine).flags},
	"handle": {1, func(m *machine, a, _ []string) (string, error) { return m.handle(a[0]) }},
	"kill":   {0, func(*machine, []string, []string) (string, error) { return "", killServer() }},
}

var mechanism = []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA_SHA256, nil)}

// p256 is the curve's OID in DER.
var p256 = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}

func onSession(fn func(*machine, pkcs11.SessionHandle, []string) error) func(*machine, []string, []string) (string, error) {
	return func(m *machine, args, _ []string) (string, error) {
		s, err := m.session(args[0])
		if err != nil {
			return "", err
		}
		return "", fn(m, s, args[1:])
	}
}

func onObject(fn func(*machine, pkcs11.SessionHandle, pkcs11.ObjectHandle, []string) error) func(*machine, []string, []string) (string, error) {
	return onSession(func(m *machine, s pkcs11.SessionHandle, args []string) error {
		o, err := m.object(args[0])
		if err != nil {
			return err
		}
		return fn(m, s, o, args[1:])
	})
}

func (m *machine) session(name string) (pkcs11.SessionHandle, error) {
	s, known := m.sessions[name]
	if !known {
		return 0, fmt.Errorf("no session %s in this script", name)
	}
	return s, nil
}

func (m *machine) object(name string) (pkcs11.ObjectHandle, error) {
	o, known := m.objects[name]
	if !known {
		return 0, fmt.Errorf("no object %s in this script", name)
	}
	return o, nil
}

func (m *machine) initialize(_, _ []string) (string, error) {
	if err := m.module.Initialize(); err != nil {
		return "", err
	}
	slots, err := m.module.GetSlotList(true)
	if err != nil {
		return "", err
	}
	if len(slots) > 0 {
		m.slot = slots[0]
	}
	return "", nil
}

func (m *machine) open(args, _ []string) (string, error) {
	flags := uint(pkcs11.CKF_SERIAL_SESSION)
	if args[0] == "rw" {
		flags |= pkcs11.CKF_RW_SESSION
	}
	s, err := m.module.OpenSession(m.slot, flags)
	if err == nil {
		m.sessions[args[1]] = s
	}
	return "", err
}

func (m *machine) login(s pkcs11.SessionHandle, args []string) error {
	user, err := userOf(args[0])
	if err != nil {
		return err
	}
	return m.module.Login(s, user, args[1])
}

func (m *machine) generatePair(args, names []string) (string, error) {
	s, err := m.session(args[0])
	if err != nil {
		return "", err
	}
	if len(names) != 2 {
		return "", errUsage
	}
	common, err := template(args[1:])
	if err != nil {
		return "", err
	}
	// What only one half of a pair has goes there.
	var public, private []*pkcs11.Attribute
	for _, a := range common {
		switch a.Type {
		case pkcs11.CKA_ALWAYS_AUTHENTICATE, pkcs11.CKA_PRIVATE, pkcs11.CKA_SENSITIVE, pkcs11.CKA_EXTRACTABLE,
			uint(cryptoki.CKA_AUTH_DATA), uint(cryptoki.CKA_ASSIGNED):
			private = append(private, a)
		default:
			public, private = append(public, a), append(private, a)
		}
	}
	public = append(public, pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, p256), pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true))
	private = append(private, pkcs11.NewAttribute(pkcs11.CKA_SIGN, true))
	generate := []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil)}
	pub, priv, err := m.module.GenerateKeyPair(s, generate, public, private)
	if err == nil {
		m.objects[names[0]], m.objects[names[1]] = pub, priv
	}
	return "", err
}

func (m *machine) create(args, names []string) (string, error) {
	s, err := m.session(args[0])
	if err != nil {
		return "", err
	}
	if len(names) != 1 {
		return "", errUsage
	}
	attributes, err := template(append([]string{"class=data"}, args[1:]...))
	if err != nil {
		return "", err
	}
	o, err := m.module.CreateObject(s, attributes)
	if err == nil {
		m.objects[names[0]] = o
	}
	return "", err
}

func (m *machine) find(args, names []string) (string, error) {
	s, err := m.session(args[0])
	if err != nil {
		return "", err
	}
	attributes, err := template(args[1:])
	if err != nil {
		return "", err
	}
	if err := m.module.FindObjectsInit(s, attributes); err != nil {
		return "", err
	}
	found, _, err := m.module.FindObjects(s, 100)
	if ended := m.module.FindObjectsFinal(s); err == nil {
		err = ended
	}
	if err != nil {
		return "", err
	}
	if len(names) == 1 {
		if len(found) != 1 {
			return "", fmt.Errorf("%d objects, not one", len(found))
		}
		m.objects[names[0]] = found[0]
	}
	return fmt.Sprintf("%d found", len(found)), nil
}

func (m *machine) get(args, _ []string) (string, error) {
	s, err := m.session(args[0])
	if err != nil {
		return "", err
	}
	o, err := m.object(args[1])
	if err != nil {
		return "", err
	}
	a, known := attributes[args[2]]
	if !known {
		return "", fmt.Errorf("attribute %s: %w", args[2], errUsage)
	}
	values, err := m.module.GetAttributeValue(s, o, []*pkcs11.Attribute{pkcs11.NewAttribute(a.number, nil)})
	if err != nil {
		return "", err
	}
	return a.show(values[0].Value), nil
}

func (m *machine) set(s pkcs11.SessionHandle, o pkcs11.ObjectHandle, args []string) error {
	attributes, err := template(args)
	if err != nil {
		return err
	}
	return m.module.SetAttributeValue(s, o, attributes)
}

func (m *machine) sign(s pkcs11.SessionHandle, o pkcs11.ObjectHandle, args []string) error {
	if err := m.module.SignInit(s, mechanism, o); err != nil {
		return err
	}
	_, err := m.module.Sign(s, []byte(args[0]))
	return err
}

func (m *machine) flags(_, _ []string) (string, error) {
	info, err := m.module.GetTokenInfo(m.slot)
	if err != nil {
		return "", err
	}
	var set []string
	for _, f := range []struct {
		bit  uint
		name string
	}{
		{pkcs11.CKF_USER_PIN_COUNT_LOW, "CKF_USER_PIN_COUNT_LOW"},
		{pkcs11.CKF_USER_PIN_FINAL_TRY, "CKF_USER_PIN_FINAL_TRY"},
		{pkcs11.CKF_USER_PIN_LOCKED, "CKF_USER_PIN_LOCKED"},
		{pkcs11.CKF_SO_PIN_COUNT_LOW, "CKF_SO_PIN_COUNT_LOW"},
		{pkcs11.CKF_SO_PIN_FINAL_TRY, "CKF_SO_PIN_FINAL_TRY"},
		{pkcs11.CKF_SO_PIN_LOCKED, "CKF_SO_PIN_LOCKED"},
	} {
		if info.Flags&f.bit != 0 {
			set = append(set, f.name)
		}
	}
	return strings.Join(set, " "), nil
}

// attribute is one that scripts can name.
type attribute struct {
	number uint
	parse  func(string) (any, error)
	show   func([]byte) string
}

func text(s string) (any, error) { return []byte(s), nil }

func truth(s string) (any, error) { return strconv.ParseBool(s) }

func octets(s string) (any, error) { return hex.DecodeString(s) }

func class(s string) (any, error) {
	classes := map[string]uint{"data": pkcs11.CKO_DATA, "public": pkcs11.CKO_PUBLIC_KEY, "private": pkcs11.CKO_PRIVATE_KEY, "secret": pkcs11.CKO_SECRET_KEY}
	if c, known := classes[s]; known {
		return c, nil
	}
	return nil, fmt.Errorf("class %s: %w", s, errUsage)
}

func plain(b []byte) string { return string(b) }

func isTrue(b []byte) string { return strconv.FormatBool(bytes.Equal(b, []byte{1})) }

var attributes = map[string]attribute{
	"class":               {pkcs11.CKA_CLASS, class, hex.EncodeToString},
	"token":               {pkcs11.CKA_TOKEN, truth, isTrue},
	"private":             {pkcs11.CKA_PRIVATE, truth, isTrue},
	"label":               {pkcs11.CKA_LABEL, text, plain},
	"value":               {pkcs11.CKA_VALUE, text, plain},
	"id":                  {pkcs11.CKA_ID, octets, hex.EncodeToString},
	"sensitive":           {pkcs11.CKA_SENSITIVE, truth, isTrue},
	"extractable":         {pkcs11.CKA_EXTRACTABLE, truth, isTrue},
	"unique-id":           {uint(cryptoki.CKA_UNIQUE_ID), text, plain},
	"ouid":                {uint(cryptoki.CKA_OUID), octets, hex.EncodeToString},
	"modifiable":          {pkcs11.CKA_MODIFIABLE, truth, isTrue},
	"encrypt":             {pkcs11.CKA_ENCRYPT, truth, isTrue},
	"decrypt":             {pkcs11.CKA_DECRYPT, truth, isTrue},
	"wrap":                {pkcs11.CKA_WRAP, truth, isTrue},
	"unwrap":              {pkcs11.CKA_UNWRAP, truth, isTrue},
	"derive":              {pkcs11.CKA_DERIVE, truth, isTrue},
	"assigned":            {uint(cryptoki.CKA_ASSIGNED), truth, isTrue},
	"key-status":          {uint(cryptoki.CKA_KEY_STATUS), octets, hex.EncodeToString},
	"auth-data":           {uint(cryptoki.CKA_AUTH_DATA), text, plain},
	"failed-count":        {uint(cryptoki.CKA_FAILED_KEY_AUTH_COUNT), octets, hex.EncodeToString},
	"always-authenticate": {pkcs11.CKA_ALWAYS_AUTHENTICATE, truth, isTrue},
}

func template(words []string) ([]*pkcs11.Attribute, error) {
	var out []*pkcs11.Attribute
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		a, known := attributes[name]
		if !known {
			return nil, fmt.Errorf("attribute %s: %w", word, errUsage)
		}
		v, err := a.parse(value)
		if err != nil {
			return nil, err
		}
		out = append(out, pkcs11.NewAttribute(a.number, v))
	}
	return out, nil
}
