// Package crash shows on the real server process that nothing acknowledged is lost,
// that nothing destroyed returns, and that nobody gets a guess at a PIN back:
// docs/durability.md says what is promised, and the tests here take the server's
// life, its disk and the bits of its store to see whether that holds.
package crash

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

var seed = flag.Uint64("crash.seed", uint64(time.Now().UnixNano()), "where the random choices begin")

// program is the server that TestMain built.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "crash")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "tidelock")
		if out, err := exec.Command("go", "build", "-o", program, "tidelock.dev/tidelock/cmd/tidelock").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the server: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// random gives a test its own choices and says how to get them again.
func random(t *testing.T) *rand.Rand {
	t.Logf("-crash.seed=%d", *seed)
	return rand.New(rand.NewPCG(*seed, uint64(len(t.Name()))))
}

// times is how often a test does what it does: normally, with -short, or as an
// environment variable says.
func times(t *testing.T, variable string, normal, short int) int {
	if text := os.Getenv(variable); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%s is no number of times", variable, text)
		}
		return n
	}
	if testing.Short() {
		return short
	}
	return normal
}
