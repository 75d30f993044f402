package interop

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/test/token"
)

var ecdsaMechanism = []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)}

// TestRestartGo has eight goroutines sign while the server is killed three times:
// none of them hears of it.
func TestRestartGo(t *testing.T) {
	d := load(t)
	s := serverOf(t, d.token)
	public, private := d.tokenPair()
	key := d.publicKey(public)

	var signed atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for worker := range 8 {
		session := d.open(0)
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := d.signs(session, private, key, fmt.Sprint(worker, n)); err != nil {
					t.Errorf("goroutine %d, signature %d: %v", worker, n, err)
					return
				}
				signed.Add(1)
			}
		})
	}
	more := func() {
		t.Helper()
		wanted := signed.Load() + 200
		err := eventually(func() (bool, error) {
			return t.Failed() || signed.Load() >= wanted, fmt.Errorf("%d signatures, not %d", signed.Load(), wanted)
		})
		if err != nil {
			t.Error(err)
		}
	}
	more()
	for range 3 {
		s.kill()
		more()
	}
	close(stop)
	wg.Wait()
	t.Logf("%d signatures over 3 kills", signed.Load())
}

// TestRestartWithoutTickets turns tickets off: the login that was there is not taken
// over, the application hears that its private keys are gone, and logs in again.
func TestRestartWithoutTickets(t *testing.T) {
	d := load(t)
	s := serverOf(t, d.token)
	public, private := d.tokenPair()
	key := d.publicKey(public)
	s.turnTicketsOff()
	// The first login has a ticket, the second was made where there are none.
	for range 2 {
		if err := d.signs(d.session, private, key, "before"); err != nil {
			t.Fatal(err)
		}
		s.kill()
		// C_SignInit may be answered without the server, C_Sign tells the truth.
		if err := d.signs(d.session, private, key, "without"); !errors.Is(err, pkcs11.Error(pkcs11.CKR_KEY_HANDLE_INVALID)) {
			t.Errorf("signing without a login: %v", err)
		}
		if err := d.Logout(d.session); err != pkcs11.Error(pkcs11.CKR_USER_NOT_LOGGED_IN) {
			t.Errorf("logout without a login: %v", err)
		}
		if err := d.Login(d.session, pkcs11.CKU_USER, token.PIN); err != nil {
			t.Fatalf("login again: %v", err)
		}
		if err := d.signs(d.session, private, key, "after"); err != nil {
			t.Errorf("after the new login: %v", err)
		}
	}
}

// tokenPair makes a P-256 pair that stays.
func (d *device) tokenPair() (public, private pkcs11.ObjectHandle) {
	d.t.Helper()
	stays := pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true)
	public, private, err := d.GenerateKeyPair(d.session,
		[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil)},
		[]*pkcs11.Attribute{stays, pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, oidP256)},
		[]*pkcs11.Attribute{stays, pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true), pkcs11.NewAttribute(pkcs11.CKA_SIGN, true)})
	if err != nil {
		d.t.Fatal(err)
	}
	return public, private
}

// signs makes a signature and verifies it outside of the token.
func (d *device) signs(session pkcs11.SessionHandle, private pkcs11.ObjectHandle, public *ecdsa.PublicKey, message string) error {
	digest := sha256.Sum256([]byte(message))
	if err := d.SignInit(session, ecdsaMechanism, private); err != nil {
		return fmt.Errorf("C_SignInit: %w", err)
	}
	signature, err := d.Sign(session, digest[:])
	if err != nil {
		return fmt.Errorf("C_Sign: %w", err)
	}
	half := len(signature) / 2
	r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
	if !ecdsa.Verify(public, digest[:], r, s) {
		return fmt.Errorf("signature %x does not verify", signature)
	}
	return nil
}
