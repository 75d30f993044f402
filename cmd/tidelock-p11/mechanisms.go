package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/cryptoki"
)

// mechanismCalls are the calls about what a token can do, and what keys it makes.
var mechanismCalls = map[string]call{
	"mechanisms":   {0, (*machine).mechanisms},
	"mechanism":    {1, (*machine).mechanism},
	"generate-key": {2, (*machine).generateKey},
	"size":         {2, (*machine).size},
}

func init() {
	for name, c := range mechanismCalls {
		calls[name] = c
	}
}

func (m *machine) mechanisms(_, _ []string) (string, error) {
	list, err := m.module.GetMechanismList(m.slot)
	if err != nil {
		return "", err
	}
	var names []string
	for _, mechanism := range list {
		names = append(names, cryptoki.MechanismType(mechanism.Mechanism).String())
	}
	slices.Sort(names)
	return fmt.Sprintf("%d %s", len(names), strings.Join(names, " ")), nil
}

// mechanism prints CK_MECHANISM_INFO of one: its smallest and its largest key, and what
// it is for.
func (m *machine) mechanism(args, _ []string) (string, error) {
	number, err := cryptoki.ParseMechanismType(args[0])
	if err != nil {
		return "", err
	}
	info, err := m.module.GetMechanismInfo(m.slot, []*pkcs11.Mechanism{pkcs11.NewMechanism(uint(number), nil)})
	if err != nil {
		return "", err
	}
	words := []string{fmt.Sprintf("min=%d max=%d", info.MinKeySize, info.MaxKeySize)}
	for _, f := range []struct {
		bit  uint
		name string
	}{
		{pkcs11.CKF_ENCRYPT, "encrypt"}, {pkcs11.CKF_DECRYPT, "decrypt"}, {pkcs11.CKF_DIGEST, "digest"},
		{pkcs11.CKF_SIGN, "sign"}, {pkcs11.CKF_VERIFY, "verify"},
		{pkcs11.CKF_SIGN_RECOVER, "sign-recover"}, {pkcs11.CKF_VERIFY_RECOVER, "verify-recover"}, {pkcs11.CKF_WRAP, "wrap"}, {pkcs11.CKF_UNWRAP, "unwrap"},
		{pkcs11.CKF_DERIVE, "derive"}, {pkcs11.CKF_GENERATE, "generate"}, {pkcs11.CKF_GENERATE_KEY_PAIR, "generate-key-pair"},
	} {
		if info.Flags&f.bit != 0 {
			words = append(words, f.name)
		}
	}
	return strings.Join(words, " "), nil
}

// generateKey makes an AES key of so many bytes.
func (m *machine) generateKey(args, names []string) (string, error) {
	s, err := m.session(args[0])
	if err != nil {
		return "", err
	}
	var length uint
	if _, err := fmt.Sscan(args[1], &length); err != nil || len(names) != 1 {
		return "", errUsage
	}
	attributes, err := template(args[2:])
	if err != nil {
		return "", err
	}
	attributes = append(attributes, pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, length))
	o, err := m.module.GenerateKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, attributes)
	if err == nil {
		m.objects[names[0]] = o
	}
	return "", err
}

func (m *machine) size(args, _ []string) (string, error) {
	s, err := m.session(args[0])
	if err != nil {
		return "", err
	}
	o, err := m.object(args[1])
	if err != nil {
		return "", err
	}
	size, err := m.module.GetObjectSize(s, o)
	return fmt.Sprint(size), err
}
