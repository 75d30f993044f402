package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/luna"
)

func whoseOf(word string) (luna.Whose, error) {
	switch word {
	case "hsm":
		return luna.OfHSM, nil
	case "partition":
		return luna.OfPartition, nil
	}
	return 0, fmt.Errorf("policies of %s: %w", word, errUsage)
}

// policies tells the values of some policies.
func (m *machine) policies(args, _ []string) (string, error) {
	whose, err := whoseOf(args[0])
	if err != nil {
		return "", err
	}
	library, err := m.vendor()
	if err != nil {
		return "", err
	}
	values, code, err := library.Policies(whose, m.slot)
	if err := answered(code, err); err != nil {
		return "", err
	}
	var out []string
	for _, word := range args[1:] {
		id, err := strconv.ParseUint(word, 10, 32)
		if err != nil {
			return "", err
		}
		value, there := values[uint(id)]
		if !there {
			return "", pkcs11.Error(cryptoki.CKR_POLICY_ID_INVALID)
		}
		out = append(out, fmt.Sprintf("%d=%d", id, value))
	}
	return strings.Join(out, " "), nil
}

// setPolicies changes some, all at once.
func (m *machine) setPolicies(s pkcs11.SessionHandle, args []string) error {
	whose, err := whoseOf(args[0])
	if err != nil {
		return err
	}
	args = args[1:]
	destructive := args[0] == "destructive"
	if destructive {
		args = args[1:]
	}
	var ids, values []uint
	for _, word := range args {
		var id, value uint
		if _, err := fmt.Sscanf(word, "%d=%d", &id, &value); err != nil {
			return fmt.Errorf("policy %s: %w", word, errUsage)
		}
		ids, values = append(ids, id), append(values, value)
	}
	if len(ids) == 0 {
		return errUsage
	}
	library, err := m.vendor()
	if err != nil {
		return err
	}
	return answered(library.SetPolicies(whose, destructive, uint(s), m.slot, ids, values))
}

func (m *machine) describePolicy(args, _ []string) (string, error) {
	whose, err := whoseOf(args[0])
	if err != nil {
		return "", err
	}
	id, err := strconv.ParseUint(args[1], 10, 32)
	if err != nil {
		return "", err
	}
	library, err := m.vendor()
	if err != nil {
		return "", err
	}
	d, code, err := library.Describe(whose, m.slot, uint(id))
	if err := answered(code, err); err != nil {
		return "", err
	}
	out := fmt.Sprintf("%q bits=%d", d.Name, d.Bits)
	if d.Destructive {
		out += " destructive"
	}
	if d.Fixed {
		out += " fixed"
	}
	return out, nil
}

// room is a partition's, as a Luna client hears of it.
func (m *machine) room(_, _ []string) (string, error) {
	library, err := m.vendor()
	if err != nil {
		return "", err
	}
	s, code, err := library.Storage(m.slot)
	if err := answered(code, err); err != nil {
		return "", err
	}
	return fmt.Sprintf("overhead=%d total=%d used=%d free=%d objects=%d", s.Overhead, s.Total, s.Used, s.Free, s.Objects), nil
}

func (m *machine) firmware(_, _ []string) (string, error) {
	library, err := m.vendor()
	if err != nil {
		return "", err
	}
	v, code, err := library.FirmwareVersion(m.slot)
	if err := answered(code, err); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]), nil
}

// log writes a text into the audit log.
func (m *machine) log(s pkcs11.SessionHandle, args []string) error {
	library, err := m.vendor()
	if err != nil {
		return err
	}
	return answered(library.LogExternal(m.slot, uint(s), args[0]))
}

// approved tells whether a session's last service was an approved one.
func (m *machine) approved(args, _ []string) (string, error) {
	s, err := m.session(args[0])
	if err != nil {
		return "", err
	}
	library, err := m.vendor()
	if err != nil {
		return "", err
	}
	flags, code, err := library.ValidationFlags(uint(s))
	if err := answered(code, err); err != nil {
		return "", err
	}
	return fmt.Sprint(flags == 1), nil
}
