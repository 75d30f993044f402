package memory

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/boltstore"
)

// keys are the keys of an HSM whose root key is a file.
type keys struct{ file, root, sealing, hsm []byte }

// readKeys opens the HSM's key as the design says that it is sealed, with nothing of
// the seal package, which does not show keys.
func readKeys(t *testing.T, home string) (k keys) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	k.file, err = os.ReadFile(filepath.Join(home, "root.key"))
	check(err)
	store, err := boltstore.Open(filepath.Join(home, "store.db"))
	check(err)
	defer store.Close()
	var record []byte
	check(store.View(func(r keystore.Reader) error {
		b, err := r.Get(keystore.TableHSM, []byte("key"))
		record = append(record, b...)
		return err
	}))
	// version, one factor, a key file; a commitment; version, nonce, ciphertext, tag
	const head, commitment, sealed = 3, 32, 1 + 12 + 32 + 16
	if len(record) != head+commitment+sealed {
		t.Fatalf("the record of the HSM's key has %d bytes", len(record))
	}
	k.root, err = hkdf.Extract(sha256.New, k.file, nil)
	check(err)
	context := parts("hsm key", string(record[:head]))
	k.sealing, err = hkdf.Expand(sha256.New, k.root, parts("tidelock 1 seal", context), 32)
	check(err)
	block, err := aes.NewCipher(k.sealing)
	check(err)
	gcm, err := cipher.NewGCM(block)
	check(err)
	record = record[head+commitment+1:]
	k.hsm, err = gcm.Open(nil, record[:12], record[12:], []byte(context))
	check(err)
	return k
}

// parts is seal's encoding of a list.
func parts(list ...string) (out string) {
	for _, p := range list {
		out += string(binary.BigEndian.AppendUint32(nil, uint32(len(p)))) + p
	}
	return out
}
