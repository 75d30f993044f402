// Package tidelock_test holds the project to its architecture: which packages there
// are, and which may import which.
package tidelock_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "tidelock.dev/tidelock/"

// row is a package, why it may have its imports, and these.
type row struct {
	pkg     string
	reason  string
	imports []string
}

// allowed lists, layer by layer, which packages of this module a package may
// import. A package that is not here may not
// exist. The table is the architecture: do not add a row only to pass.
var allowed = []row{
	// 0: vocabulary and tools that know nothing of an HSM
	{"cryptoki", "the standard's vocabulary, for everybody", nil},
	{"firmware", "levels are data", []string{"cryptoki"}},
	{"internal/secret", "key bytes that do not print", nil},
	{"internal/harden", "settings of the process, memory for secrets", []string{"internal/secret"}},
	{"internal/systemd", "what systemd passes and wants to hear", nil},
	{"internal/libcrypto", "RSA by OpenSSL where it is installed", nil},
	{"internal/secp256k1", "a curve that the standard library does not have", nil},
	{"internal/luna", "the vendor's functions of a PKCS#11 library", nil},
	{"internal/gen", "reads the table; it generates packages and so uses none", nil},

	// 1: pure building blocks
	{"wire", "frames speak of attributes and mechanisms", []string{"cryptoki"}},
	{"mech", "attribute values in and out, an opaque key", []string{"cryptoki", "internal/libcrypto", "internal/secp256k1", "internal/secret"}},
	{"object", "attribute rules", []string{"cryptoki", "internal/secret"}},
	{"seal", "keys at rest", []string{"cryptoki", "internal/secret"}},
	{"keystore", "a contract, no I/O", []string{"cryptoki"}},
	{"keystore/memstore", "an engine", []string{"keystore"}},
	{"keystore/boltstore", "an engine", []string{"keystore"}},
	{"keystore/storetest", "the contract's suite", []string{"keystore"}},
	{"keystore/tally", "a store whose losses show", []string{"cryptoki", "keystore", "seal"}},
	{"policy", "numbers and the rules between them", []string{"cryptoki", "firmware"}},
	{"audit", "records of the store, under a key of the HSM", []string{"cryptoki", "keystore", "seal", "internal/secret"}},

	// 3: a partition
	{"partition", "roles, sessions, objects, operations", []string{
		"cryptoki", "firmware", "policy", "mech", "object", "seal", "keystore", "audit", "internal/secret",
	}},

	// 4: the appliance core, and the other side of the wire; they never meet
	{"hsm", "one dispatcher", []string{
		"cryptoki", "firmware", "policy", "wire", "mech", "object", "seal", "keystore", "keystore/tally", "partition", "audit", "internal/secret",
	}},
	{"client", "what commands speak through", []string{"cryptoki", "firmware", "wire"}},

	// 5: I/O around the core
	{"serve", "sockets to frames", []string{"cryptoki", "wire", "hsm"}},
	{"metrics", "counts for Prometheus", []string{"cryptoki", "hsm", "mech", "wire"}},
	{"home", "files of an HSM", []string{"firmware", "hsm", "audit", "seal", "keystore", "keystore/boltstore", "internal/secret"}},

	// 6: the programs, and what shows what they do
	{"compare", "runs scenarios with the programs, from outside", []string{"firmware"}},
	{"cmd/tidelock-p11", "PKCS#11 calls for scenarios", []string{"cryptoki", "internal/luna"}},
	{"cmd/tidelock", "wiring and commands", []string{"audit", "client", "compare", "cryptoki", "firmware", "home", "internal/harden", "internal/secret", "internal/systemd", "mech", "metrics", "serve", "test/behaviour", "wire"}},

	// whole-system suites
	{"test/bench", "load", []string{"test/token"}},
	{"test/behaviour", "the catalogue of rows and their scenarios, as files", nil},
	{"test/timing", "what takes how long, in process", []string{"cryptoki", "internal/secret", "mech", "seal"}},
	{"test/token", "makes tokens for suites", nil},
}

// TestImports fails on every import between packages of this module that the table
// does not allow, and on every package that it does not name.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Doc,GoFiles", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath, Doc  string
			Imports, GoFiles []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) == 0 {
			continue // a folder of tests
		}
		seen++
		name := strings.TrimPrefix(p.ImportPath, module)
		if p.Doc == "" {
			t.Errorf("%s has no package comment", name)
		}
		i := slices.IndexFunc(allowed, func(r row) bool { return r.pkg == name })
		if i < 0 {
			t.Errorf("%s is not in the table of packages", name)
			continue
		}
		for _, imported := range p.Imports {
			inside, ours := strings.CutPrefix(imported, module)
			if ours && !slices.Contains(allowed[i].imports, inside) {
				t.Errorf("%s must not import %s", name, inside)
			}
		}
	}
	if seen < 10 {
		t.Fatalf("go list named %d packages", seen)
	}
}
