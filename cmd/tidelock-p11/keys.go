package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/cryptoki"
)

// keyCalls are the calls that make a key of another, or bring one in.
var keyCalls = map[string]call{
	"copy":       {2, (*machine).copyObject},
	"create-key": {2, (*machine).createKey},
	"wrap":       {4, (*machine).wrapKey},
	"unwrap":     {4, (*machine).unwrapKey},
	"derive":     {3, (*machine).deriveKey},
	"encrypt":    {2, (*machine).encrypt},
}

func init() {
	for name, c := range keyCalls {
		calls[name] = c
	}
	for name, number := range map[string]cryptoki.AttributeType{
		"encrypt": cryptoki.CKA_ENCRYPT, "decrypt": cryptoki.CKA_DECRYPT, "sign": cryptoki.CKA_SIGN, "wrap": cryptoki.CKA_WRAP,
		"unwrap": cryptoki.CKA_UNWRAP, "derive": cryptoki.CKA_DERIVE, "trusted": cryptoki.CKA_TRUSTED, "local": cryptoki.CKA_LOCAL,
		"wrap-with-trusted": cryptoki.CKA_WRAP_WITH_TRUSTED, "always-sensitive": cryptoki.CKA_ALWAYS_SENSITIVE,
		"never-extractable": cryptoki.CKA_NEVER_EXTRACTABLE, "modifiable": cryptoki.CKA_MODIFIABLE, "copyable": cryptoki.CKA_COPYABLE,
	} {
		attributes[name] = attribute{uint(number), truth, isTrue}
	}
}

// aes are the attributes of an AES key in a template.
func aes() []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
	}
}

// wrapping finds a mechanism by its name.
func wrapping(name string) ([]*pkcs11.Mechanism, error) {
	switch name {
	case "CKM_AES_KEY_WRAP":
		return []*pkcs11.Mechanism{pkcs11.NewMechanism(uint(cryptoki.CKM_AES_KEY_WRAP), nil)}, nil
	case "CKM_AES_KEY_WRAP_KWP":
		return []*pkcs11.Mechanism{pkcs11.NewMechanism(uint(cryptoki.CKM_AES_KEY_WRAP_KWP), nil)}, nil
	case "CKM_AES_CBC_PAD":
		return []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_CBC_PAD, make([]byte, 16))}, nil
	}
	return nil, fmt.Errorf("mechanism %s: %w", name, errUsage)
}

// named keeps what a call has made under its only name.
func (m *machine) named(names []string, o pkcs11.ObjectHandle, err error) (string, error) {
	if err == nil {
		m.objects[names[0]] = o
	}
	return "", err
}

// onKey gives a call its session, its key, and the template in the words behind them.
func (m *machine) onKey(args, names []string, words int) (s pkcs11.SessionHandle, o pkcs11.ObjectHandle, t []*pkcs11.Attribute, err error) {
	if len(names) != 1 {
		return 0, 0, nil, errUsage
	}
	if s, err = m.session(args[0]); err != nil {
		return 0, 0, nil, err
	}
	if o, err = m.object(args[1]); err != nil {
		return 0, 0, nil, err
	}
	t, err = template(args[words:])
	return s, o, t, err
}

func (m *machine) copyObject(args, names []string) (string, error) {
	s, o, t, err := m.onKey(args, names, 2)
	if err != nil {
		return "", err
	}
	made, err := m.module.CopyObject(s, o, t)
	return m.named(names, made, err)
}

// createKey brings an AES key in, whose value the script knows.
func (m *machine) createKey(args, names []string) (string, error) {
	s, err := m.session(args[0])
	if err != nil {
		return "", err
	}
	value, err := octets(args[1])
	if err != nil || len(names) != 1 {
		return "", errUsage
	}
	t, err := template(args[2:])
	if err != nil {
		return "", err
	}
	made, err := m.module.CreateObject(s, append(append(aes(), pkcs11.NewAttribute(pkcs11.CKA_VALUE, value)), t...))
	return m.named(names, made, err)
}

// wrapKey keeps the wrapped key under the name.
func (m *machine) wrapKey(args, names []string) (string, error) {
	s, by, _, err := m.onKey([]string{args[0], args[2]}, names, 2)
	if err != nil {
		return "", err
	}
	key, err := m.object(args[3])
	if err != nil {
		return "", err
	}
	mechanism, err := wrapping(args[1])
	if err != nil {
		return "", err
	}
	wrapped, err := m.module.WrapKey(s, mechanism, by, key)
	if err != nil {
		return "", err
	}
	m.wrapped[names[0]] = wrapped
	return fmt.Sprintf("%d bytes", len(wrapped)), nil
}

// unwrapKey takes an AES key out of what wrapKey made.
func (m *machine) unwrapKey(args, names []string) (string, error) {
	s, by, t, err := m.onKey(append([]string{args[0], args[2]}, args[4:]...), names, 2)
	if err != nil {
		return "", err
	}
	wrapped, known := m.wrapped[args[3]]
	if !known {
		return "", fmt.Errorf("no wrapped key %s in this script", args[3])
	}
	mechanism, err := wrapping(args[1])
	if err != nil {
		return "", err
	}
	made, err := m.module.UnwrapKey(s, mechanism, by, wrapped, append(aes(), t...))
	return m.named(names, made, err)
}

// deriveKey derives an AES key of 32 bytes from an EC pair's private key and another's
// public key.
func (m *machine) deriveKey(args, names []string) (string, error) {
	s, base, t, err := m.onKey(append([]string{args[0], args[1]}, args[3:]...), names, 2)
	if err != nil {
		return "", err
	}
	public, err := m.object(args[2])
	if err != nil {
		return "", err
	}
	point, err := m.module.GetAttributeValue(s, public, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil)})
	if err != nil {
		return "", err
	}
	mechanism := pkcs11.NewMechanism(pkcs11.CKM_ECDH1_DERIVE, pkcs11.NewECDH1DeriveParams(pkcs11.CKD_NULL, nil, point[0].Value))
	t = append(append(aes(), pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32)), t...)
	made, err := m.module.DeriveKey(s, []*pkcs11.Mechanism{mechanism}, base, t)
	return m.named(names, made, err)
}

// encrypt compares keys: what each makes of the same block is the same.
func (m *machine) encrypt(args, _ []string) (string, error) {
	s, err := m.session(args[0])
	if err != nil {
		return "", err
	}
	mechanism, err := wrapping("CKM_AES_CBC_PAD")
	if err != nil {
		return "", err
	}
	var first []byte
	for _, name := range args[1:] {
		key, err := m.object(name)
		if err != nil {
			return "", err
		}
		if err := m.module.EncryptInit(s, mechanism, key); err != nil {
			return "", err
		}
		out, err := m.module.Encrypt(s, []byte("a block to compare keys by"))
		if err != nil {
			return "", err
		}
		if first != nil && !bytes.Equal(first, out) {
			return "", errors.New("they are different keys")
		}
		first = out
	}
	return "", nil
}
