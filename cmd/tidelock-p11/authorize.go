package main

import (
	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/internal/luna"
)

// authorizeCalls are the vendor's calls about a key's own authorization.
var authorizeCalls = map[string]call{
	"authorize": {3, onKeyOf(func(l luna.Library, s, key uint, a []string) (uint, error) { return l.AuthorizeKey(s, key, a[0]) })},
	"set-auth-data": {4, onKeyOf(func(l luna.Library, s, key uint, a []string) (uint, error) {
		if a[0] == noData {
			a[0] = ""
		}
		return l.SetAuthorizationData(s, key, a[0], a[1])
	})},
	"reset-auth-data": {3, onKeyOf(func(l luna.Library, s, key uint, a []string) (uint, error) {
		return l.ResetAuthorizationData(s, key, a[0])
	})},
	"assign":        {2, onKeyOf(func(l luna.Library, s, key uint, _ []string) (uint, error) { return l.AssignKey(s, key) })},
	"count-failure": {2, onKeyOf(func(l luna.Library, s, key uint, _ []string) (uint, error) { return l.IncrementFailedAuthCount(s, key) })},
}

// noData stands for the authorization data that a key does not have yet.
const noData = "none"

func init() {
	for name, c := range authorizeCalls {
		calls[name] = c
	}
}

// onKeyOf makes a call of one of the vendor's functions.
func onKeyOf(fn func(l luna.Library, session, key uint, args []string) (uint, error)) func(*machine, []string, []string) (string, error) {
	return onObject(func(m *machine, s pkcs11.SessionHandle, o pkcs11.ObjectHandle, args []string) error {
		library, err := m.vendor()
		if err != nil {
			return err
		}
		return answered(fn(library, uint(s), uint(o), args))
	})
}
