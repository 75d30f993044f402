package interop

import (
	"path/filepath"
	"testing"

	"tidelock.dev/tidelock/test/token"
)

// TestStandard runs testdata/standard/standard.c, which tells what is expected.
func TestStandard(t *testing.T) {
	program := filepath.Join(t.TempDir(), "standard")
	compileC(t, program, "testdata/standard/standard.c")
	tok := newToken(t)
	if !tok.Tidelock() {
		t.Skip("SoftHSM 2.6 has PKCS#11 2.40")
	}
	if out, err := tok.Command(program, tok.Module, token.Label, token.PIN).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
