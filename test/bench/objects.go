package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/test/token"
)

// makers is how many sessions make the keys of a large token.
const makers = 32

// large makes n token keys and measures what a token of that size asks of its users.
func large(p plan, dir string, n int, out io.Writer) error {
	tok, err := token.New(p.module, dir, nil)
	if err != nil {
		return err
	}
	defer tok.Close()
	for _, variable := range tok.Env {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	ctx := pkcs11.New(p.module)
	if ctx == nil {
		return fmt.Errorf("%s cannot be loaded", p.module)
	}
	defer ctx.Destroy()
	say := func(what string, d time.Duration) {
		fmt.Fprintf(out, "%-58s %10.1f ms\n", what, float64(d.Microseconds())/1000)
	}

	took, err := timed(func() error { return makeKeys(ctx, n) })
	if err != nil {
		return err
	}
	say(fmt.Sprintf("making %d keys, %d sessions", n, makers), took)
	if err := tok.Close(); err != nil {
		return err
	}
	took, err = timed(func() error { return errors.Join(ctx.Initialize(), ctx.Finalize()) })
	if err != nil {
		return err
	}
	say("C_Initialize that starts the server", took)
	var session pkcs11.SessionHandle
	for _, what := range []string{"C_Initialize, C_OpenSession, first login", "the same again, the PIN being remembered"} {
		if took, err = timed(func() (err error) { session, err = login(ctx); return err }); err != nil {
			return err
		}
		say(what, took)
		if what[0] == 'C' {
			if err := ctx.Finalize(); err != nil {
				return err
			}
		}
	}
	defer ctx.Finalize()
	var finds []time.Duration
	for i := range 101 {
		label := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, labelOf(i*(n/101)))}
		took, err := timed(func() error { return find(ctx, session, label, 1) })
		if err != nil {
			return err
		}
		finds = append(finds, took)
	}
	slices.Sort(finds)
	say("C_FindObjects by label, median of 101", finds[50])
	if took, err = timed(func() error { return find(ctx, session, nil, n) }); err != nil {
		return err
	}
	say("C_FindObjects of everything", took)
	if store, err := os.Stat(filepath.Join(dir, "store.db")); err == nil {
		fmt.Fprintf(out, "%-58s %10.1f MB\n", "store", float64(store.Size())/1e6)
	}
	return nil
}

func timed(fn func() error) (time.Duration, error) {
	begin := time.Now()
	err := fn()
	return time.Since(begin), err
}

func labelOf(i int) string { return fmt.Sprintf("key %d", i) }

// login opens a session that is logged in, from nothing.
func login(ctx *pkcs11.Ctx) (s pkcs11.SessionHandle, err error) {
	if err := ctx.Initialize(); err != nil {
		return 0, err
	}
	slots, err := ctx.GetSlotList(true)
	if err != nil {
		return 0, err
	}
	if s, err = ctx.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION); err != nil {
		return 0, err
	}
	return s, ctx.Login(s, pkcs11.CKU_USER, token.PIN)
}

func makeKeys(ctx *pkcs11.Ctx, n int) error {
	if _, err := login(ctx); err != nil {
		return err
	}
	defer ctx.Finalize()
	slots, err := ctx.GetSlotList(true)
	if err != nil {
		return err
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, makers)
	for range makers {
		wg.Go(func() {
			s, err := ctx.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
			for err == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				_, err = ctx.GenerateKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, []*pkcs11.Attribute{
					pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32),
					pkcs11.NewAttribute(pkcs11.CKA_LABEL, labelOf(i)), pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, true),
				})
			}
			failed <- err
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}

// find searches and checks how much there is to find.
func find(ctx *pkcs11.Ctx, s pkcs11.SessionHandle, t []*pkcs11.Attribute, want int) error {
	if err := ctx.FindObjectsInit(s, t); err != nil {
		return err
	}
	found := 0
	for {
		list, _, err := ctx.FindObjects(s, 4096)
		if err != nil {
			return err
		}
		if found += len(list); len(list) == 0 {
			break
		}
	}
	if found != want {
		return fmt.Errorf("%d objects found, not %d", found, want)
	}
	return ctx.FindObjectsFinal(s)
}
