package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"tidelock.dev/tidelock/cryptoki"
)

// maxTries is how many wrong PINs lock a role (partition policy 20's default).
const maxTries = 10

// guesser tries PINs of the Crypto User, whose lock costs nobody else anything, wrong ones and right ones, and knows
// between which bounds the count of wrong tries must be.
type guesser struct {
	rng       *rand.Rand
	acts      *acts
	low, high int
	delicate  bool   // the right PIN was lost at the last try
	unknown   string // the PIN whose outcome was lost, empty when there is none
}

const (
	wrongPIN = "wrong-0000"
	cuPIN    = "reader-0000"
)

// work guesses until a call is lost. A role that is locked is only looked at.
func (g *guesser) work(a *app) error {
	for {
		if err := g.guess(a); err != nil {
			return err
		}
	}
}

func (g *guesser) guess(a *app) error {
	// Before the last try the right PIN is tried as often as a wrong one: there the server
	// must not lock a role whose last try it lost. That shows with the right PIN alone.
	odds := 6
	if g.low == maxTries-1 {
		odds = 2
	}
	pin := wrongPIN
	if g.rng.IntN(odds) == 0 || g.delicate {
		pin = cuPIN
	}
	g.delicate = false
	g.unknown = pin
	err := a.login(cryptoki.CKU_CRYPTO_USER, pin)
	if errors.Is(err, errLost) {
		return err
	}
	g.unknown = ""
	switch {
	case err == nil && pin == cuPIN && g.low < maxTries:
		g.low, g.high = 0, 0
		g.acts.note("login", "CKR_OK", 0)
		return a.logout()
	case errors.Is(err, cryptoki.CKR_PIN_INCORRECT) && pin == wrongPIN && g.low+1 < maxTries:
		g.low, g.high = g.low+1, min(g.high+1, maxTries-1)
		g.acts.note("login", "CKR_PIN_INCORRECT", 0)
		return nil
	case errors.Is(err, cryptoki.CKR_PIN_LOCKED) && g.high >= maxTries:
		g.low, g.high = maxTries, maxTries // it was locked before
		return nil
	case errors.Is(err, cryptoki.CKR_PIN_LOCKED) && pin == wrongPIN && g.high+1 >= maxTries:
		g.low, g.high = maxTries, maxTries
		g.acts.note("role-lock", "CKR_PIN_LOCKED", 0)
		return nil
	}
	return fmt.Errorf("after %d to %d wrong PINs, %q answers %v", g.low, g.high, pin, err)
}

// settle widens the bounds for a try whose outcome was lost, and compares them with
// what the role's state says.
func (g *guesser) settle(a *app) error {
	switch g.unknown {
	case cuPIN:
		// Forgiven, not begun, or begun: then it counts, but a crash alone locks nothing.
		g.delicate = g.high == maxTries-1
		if g.high < maxTries {
			g.high = min(g.high+1, maxTries-1)
		}
		if g.low < maxTries {
			g.low = 0
		}
	case wrongPIN:
		g.high = min(g.high+1, maxTries)
	}
	g.unknown = ""
	left, locked, err := a.tries(cryptoki.CKU_CRYPTO_USER)
	if err != nil {
		return err
	}
	low := left < maxTries
	switch {
	case locked && g.high < maxTries:
		return fmt.Errorf("the role is locked after %d to %d wrong PINs", g.low, g.high)
	case !locked && g.low >= maxTries:
		return fmt.Errorf("the role was locked and is no more")
	case !locked && !low && g.low > 0:
		return fmt.Errorf("%d wrong PINs are forgotten", g.low)
	case locked:
		g.low, g.high = maxTries, maxTries
	default:
		g.high = min(g.high, maxTries-1)
	}
	return nil
}

func (g *guesser) locked() bool { return g.low >= maxTries }

// changer changes the Crypto Officer's PIN, by turns without and with a login.
type changer struct {
	acts     *acts
	pin      string
	unknown  string // the PIN that was perhaps set
	sequence int
}

func (c *changer) work(a *app) error {
	for {
		c.sequence++
		c.unknown = fmt.Sprintf("user-%d", c.sequence)
		if err := a.setPIN(c.pin, c.unknown); err != nil {
			return err
		}
		c.pin, c.unknown = c.unknown, ""
		c.acts.note("pin-change", "CKR_OK", 0)
	}
}

// settle logs in, with the old PIN or with the one that was perhaps set.
func (c *changer) settle(a *app) error {
	err := a.login(cryptoki.CKU_USER, c.pin)
	if errors.Is(err, cryptoki.CKR_PIN_INCORRECT) && c.unknown != "" {
		c.pin = c.unknown
		err = a.login(cryptoki.CKU_USER, c.pin)
	}
	c.unknown = ""
	return err
}
