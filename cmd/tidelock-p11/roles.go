package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/internal/luna"
)

// roleCalls are the calls about slots, tokens and roles.
var roleCalls = map[string]call{
	"slots":      {0, (*machine).slots},
	"slot":       {1, (*machine).chooseSlot},
	"token":      {1, (*machine).token},
	"init-token": {2, (*machine).initToken},
	"init-pin":   {2, onSession(func(m *machine, s pkcs11.SessionHandle, a []string) error { return m.module.InitPIN(s, a[0]) })},
	"init-role":  {3, onSession((*machine).initRole)},
	"reset-pin":  {2, onSession((*machine).resetPIN)},
	"role":       {1, (*machine).role},
}

func init() {
	for name, c := range roleCalls {
		calls[name] = c
	}
}

// The vendor's user types.
const (
	cryptoUser = 0x80000001
	auditor    = 0x80000002
	limitedCO  = 0x80000003
)

var users = map[string]uint{
	"so": pkcs11.CKU_SO, "user": pkcs11.CKU_USER, "lco": limitedCO, "cu": cryptoUser, "auditor": auditor, "context": pkcs11.CKU_CONTEXT_SPECIFIC,
}

func userOf(name string) (uint, error) {
	if user, known := users[name]; known {
		return user, nil
	}
	return 0, fmt.Errorf("user %s: %w", name, errUsage)
}

func (m *machine) slots(_, _ []string) (string, error) {
	slots, err := m.module.GetSlotList(true)
	if err != nil {
		return "", err
	}
	var labels []string
	for _, slot := range slots {
		info, err := m.module.GetTokenInfo(slot)
		if err != nil {
			return "", err
		}
		labels = append(labels, strings.TrimSpace(info.Label))
	}
	slices.Sort(labels)
	return strings.TrimSpace(fmt.Sprintf("%d %s", len(labels), strings.Join(labels, " "))), nil
}

func (m *machine) chooseSlot(args, _ []string) (string, error) {
	if number, err := strconv.ParseUint(args[0], 10, 64); err == nil {
		m.slot = uint(number)
		return "", nil
	}
	slots, err := m.module.GetSlotList(true)
	if err != nil {
		return "", err
	}
	for _, slot := range slots {
		info, err := m.module.GetTokenInfo(slot)
		if err != nil {
			return "", err
		}
		if strings.TrimSpace(info.Label) == args[0] {
			m.slot = slot
			return "", nil
		}
	}
	return "", fmt.Errorf("no token %s", args[0])
}

// token prints some figures of CK_TOKEN_INFO, in the order of the script.
func (m *machine) token(args, _ []string) (string, error) {
	info, err := m.module.GetTokenInfo(m.slot)
	if err != nil {
		return "", err
	}
	figures := map[string]any{
		"label": strings.TrimSpace(info.Label), "serial": info.SerialNumber,
		"min-pin": info.MinPinLen, "max-pin": info.MaxPinLen,
		"sessions": info.SessionCount, "rw-sessions": info.RwSessionCount,
		"max-sessions": info.MaxSessionCount, "max-rw-sessions": info.MaxRwSessionCount,
		"total": info.TotalPublicMemory, "free": info.FreePublicMemory,
		"total-private": info.TotalPrivateMemory, "free-private": info.FreePrivateMemory,
		"initialised":      info.Flags&pkcs11.CKF_TOKEN_INITIALIZED != 0,
		"user-initialised": info.Flags&pkcs11.CKF_USER_PIN_INITIALIZED != 0,
		"to-be-changed":    info.Flags&pkcs11.CKF_USER_PIN_TO_BE_CHANGED != 0,
	}
	var out []string
	for _, name := range args {
		figure, known := figures[name]
		if !known {
			return "", fmt.Errorf("token %s: %w", name, errUsage)
		}
		out = append(out, fmt.Sprintf("%s=%v", name, figure))
	}
	return strings.Join(out, " "), nil
}

func (m *machine) initToken(args, _ []string) (string, error) {
	return "", m.module.InitToken(m.slot, args[1], args[0])
}

// vendor loads the library a second time, which has the same state as the first.
func (m *machine) vendor() (luna.Library, error) { return luna.Open(os.Getenv(moduleVariable)) }

func answered(code uint, err error) error {
	if err == nil && code != pkcs11.CKR_OK {
		return pkcs11.Error(code)
	}
	return err
}

func (m *machine) initRole(s pkcs11.SessionHandle, args []string) error {
	user, err := userOf(args[0])
	if err != nil {
		return err
	}
	library, err := m.vendor()
	if err != nil {
		return err
	}
	return answered(library.InitRolePIN(uint(s), user, args[1]))
}

func (m *machine) resetPIN(s pkcs11.SessionHandle, args []string) error {
	library, err := m.vendor()
	if err != nil {
		return err
	}
	return answered(library.ResetPIN(uint(s), args[0]))
}

func (m *machine) role(args, _ []string) (string, error) {
	user, err := userOf(args[0])
	if err != nil {
		return "", err
	}
	library, err := m.vendor()
	if err != nil {
		return "", err
	}
	state, code, err := library.RoleState(m.slot, user)
	if err := answered(code, err); err != nil {
		return "", err
	}
	words := []string{}
	for _, f := range []struct {
		bit  uint8
		name string
	}{{0x01, "initialised"}, {0x02, "locked"}, {0x10, "must-change"}} {
		if state.Flags&f.bit != 0 {
			words = append(words, f.name)
		}
	}
	return strings.Join(append(words, fmt.Sprint(state.AttemptsLeft)), " "), nil
}
