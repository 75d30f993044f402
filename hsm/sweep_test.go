package hsm_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/boltstore"
	"tidelock.dev/tidelock/wire"
)

// newHSMIn is newHSM with its store in a file.
func newHSMIn(t *testing.T, path string, d hsm.Development) *box {
	t.Helper()
	store, err := boltstore.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	b := &box{t: t, store: &interposed{Store: store}, life: ticketLife, rootKey: secret.New(32), clock: time.Unix(1_800_000_000, 0)}
	rand.Read(b.rootKey.Expose())
	d.Label, d.SOPIN, d.PIN, d.Mode = "test", secret.Copy([]byte(soPIN)), secret.Copy([]byte(coPIN)), hsm.ModeTest
	if err := hsm.CreateDevelopment(store, b.rootKey, d); err != nil {
		t.Fatal(err)
	}
	b.startOn(b.store)
	return b
}

// startOn starts the HSM on a store.
func (b *box) startOn(s keystore.Store) {
	b.t.Helper()
	var err error
	b.HSM, err = hsm.Open(hsm.Config{
		Store: s, Answers: []secret.Bytes{b.rootKey}, Now: func() time.Time { return b.clock }, Log: slog.New(slog.DiscardHandler), TicketLife: b.life,
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// sealed are the values of a table below a prefix.
func (b *box) sealed(table keystore.Table, prefix ...byte) (values [][]byte) {
	b.t.Helper()
	err := b.store.View(func(r keystore.Reader) error {
		return r.Scan(table, prefix, nil, func(_, value []byte) (bool, error) {
			values = append(values, bytes.Clone(value))
			return true, nil
		})
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return values
}

// When an act that erases has been answered, no byte of the records that it erased is in a
// file any more.
func TestNothingIsLeftInTheFile(t *testing.T) {
	wrongPINs := func(b *box, s session, user cryptoki.UserType, n int) cryptoki.RV {
		rv := cryptoki.CKR_OK
		for range n {
			rv = s.login(user, "another")
		}
		if rv == cryptoki.CKR_PIN_LOCKED {
			rv = cryptoki.CKR_OK
		}
		return rv
	}
	for _, test := range []struct {
		name    string
		level   bool // below 7.7.0
		objects bool // alone are erased
		act     func(b *box, so session) cryptoki.RV
	}{
		{name: "zeroize", act: func(_ *box, so session) cryptoki.RV { return so.zeroize() }},
		{name: "factory reset", act: func(_ *box, so session) cryptoki.RV { return so.factoryReset() }},
		{name: "HSM initialization", act: func(_ *box, so session) cryptoki.RV { return so.initHSM(soPIN) }},
		{name: "HSM policy", act: func(_ *box, so session) cryptoki.RV { return only(so.setHSMPolicy(15, 1, true)) }},
		{name: "partition deletion", act: func(_ *box, so session) cryptoki.RV { return so.deletePartition(0) }},
		{name: "partition initialization", act: func(_ *box, so session) cryptoki.RV { return so.initPartition(0, "again", soPIN) }},
		{name: "partition policy", objects: true, act: func(b *box, _ session) cryptoki.RV {
			po := b.app().open(readWrite)
			po.must(po.login(cryptoki.CKU_SO, soPIN))
			return only(po.setPolicies(true, to(0, 0), to(1, 1)))
		}},
		{name: "wrong PINs of the Partition SO", act: func(b *box, _ session) cryptoki.RV {
			return wrongPINs(b, b.app().open(readWrite), cryptoki.CKU_SO, maxTries)
		}},
		{name: "wrong PINs of the HSM SO", act: func(b *box, _ session) cryptoki.RV {
			return wrongPINs(b, b.joinAs(administrator).openSlot(wire.AdminSlot), cryptoki.CKU_SO, 3)
		}},
		{name: "firmware update", level: true, objects: true, act: func(_ *box, so session) cryptoki.RV {
			return so.do(wire.CallFirmwareUpdate, &wire.FirmwareUpdateRequest{Level: "7.8.0"}, &wire.FirmwareUpdateReply{})
		}},
		{name: "an hour after a destruction", objects: true, act: func(b *box, _ session) cryptoki.RV {
			co := b.user()
			for _, h := range co.find(nil) {
				co.must(co.destroy(h))
			}
			if err := b.Tend(); err != nil {
				t.Fatal(err)
			}
			return cryptoki.CKR_OK
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			var like hsm.Development
			if test.level {
				like.Level = before77
			}
			b := newHSMIn(t, path, like)
			co := b.user()
			for range 20 {
				co.mustCreate(with(dataObject(true, true, "object"), cryptoki.CKA_VALUE, make([]byte, 3000)))
			}
			co.must(co.close())
			var gone [][]byte
			for _, record := range b.sealed(keystore.TableObject) {
				gone = append(gone, record[8:32]) // of the metadata: an update carries values as they are
			}
			if !test.objects {
				for _, record := range b.sealed(keystore.TablePartition, 0, 0, 0, 2) {
					gone = append(gone, record[len(record)-24:])
				}
			}
			inFile := func() (n int) {
				file, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range gone {
					if bytes.Contains(file, v) {
						n++
					}
				}
				return n
			}
			if n := inFile(); n != len(gone) || n < 20 {
				t.Fatalf("%d of %d records are in the file", n, len(gone))
			}
			so := b.officer()
			so.must(test.act(b, so))
			if n := inFile(); n != 0 {
				t.Errorf("%d of %d erased records are in the file", n, len(gone))
			}
		})
	}
}

// unscrubbed is a store whose server ends before it overwrites anything.
type unscrubbed struct{ keystore.Store }

func (unscrubbed) Scrub() error { return errors.New("the plug was pulled") }

// What a server swept and did not overwrite any more is the next one's to overwrite.
func TestNothingIsLeftByAnEarlierServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	b := newHSMIn(t, path, hsm.Development{})
	co := b.user()
	for range 100 { // more than the pages that the next updates write to anyway
		co.mustCreate(with(dataObject(true, true, "object"), cryptoki.CKA_VALUE, make([]byte, 3000)))
	}
	co.must(co.close())
	records := b.sealed(keystore.TableObject)
	inFile := func() (n int) {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range records {
			if bytes.Contains(file, record[8:32]) {
				n++
			}
		}
		return n
	}
	b.startOn(unscrubbed{b.store})
	if so := b.officer(); so.deletePartition(0) == cryptoki.CKR_OK || len(b.sealed(keystore.TableObject)) != 0 || inFile() == 0 {
		t.Fatal("the objects were not swept, or overwritten all the same")
	}
	b.startOn(b.store)
	if n := inFile(); n != 0 {
		t.Errorf("the next server leaves %d objects in the file", n)
	}
}
