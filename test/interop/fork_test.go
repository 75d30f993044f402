package interop

import (
	"path/filepath"
	"testing"

	"tidelock.dev/tidelock/test/token"
)

// TestFork runs testdata/fork/fork.c, which tells what is expected.
func TestFork(t *testing.T) {
	program := filepath.Join(t.TempDir(), "fork")
	compileC(t, program, "testdata/fork/fork.c")
	for _, how := range []string{"fork", "clone", "grandchild", "busy"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			tok := newToken(t)
			if how == "busy" && !tok.Tidelock() {
				t.Skip("SoftHSM 2.6 hangs in a child that was forked amid its calls")
			}
			if out, err := tok.Command(program, tok.Module, token.Label, token.PIN, how).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
