package vectors

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/pkcs11"
)

// expectation is what a vector says must happen.
type expectation int

const (
	valid      expectation = iota // accepted, with the vector's output
	invalid                       // refused
	acceptable                    // either
)

// exception is what the token refuses on purpose though it is good.
type exception struct {
	reason string
	code   uint // with which it is refused
	used   atomic.Bool
}

// refuse makes an exception.
func refuse(code uint, reason string) *exception { return &exception{reason: reason, code: code} }

// wantUsed fails the test at its end for exceptions that no vector needed, unless some of
// its files did not run: it returns their number, which they count down.
func wantUsed(t *testing.T, files int, exceptions []*exception) *atomic.Int64 {
	unfinished := new(atomic.Int64)
	unfinished.Store(int64(files))
	t.Cleanup(func() {
		for _, e := range exceptions {
			if unfinished.Load() == 0 && !e.used.Load() {
				t.Errorf("no good vector is refused any more for %q", e.reason)
			}
		}
	})
	return unfinished
}

// verdicts counts what became of the vectors of one file.
type verdicts struct {
	t *testing.T
	// refusals are the codes by which a bad vector may be refused.
	refusals           []uint
	accepted, rejected int
	either             int // acceptable ones, which are counted above as well
	failed             int
	excepted           map[*exception]int
}

// mostFailures are shown of one file.
const mostFailures = 5

// fail fails the test for one vector.
func (v *verdicts) fail(format string, args ...any) {
	v.t.Helper()
	if v.failed++; v.failed <= mostFailures {
		v.t.Errorf(format, args...)
	}
}

// judge compares the outcome of a vector with what it says; e is the exception that it
// falls under, or nil.
func (v *verdicts) judge(name string, want expectation, err error, e *exception) {
	v.t.Helper()
	var code pkcs11.Error
	switch {
	case err != nil && !errors.As(err, &code):
		v.fail("%s: %v", name, err)
		return
	case want == acceptable:
		v.either++
	}
	byException := err != nil && e != nil && uint(code) == e.code
	switch {
	case err == nil && want == invalid:
		v.fail("%s: wrongly accepted", name)
	case err == nil && want == valid && e != nil:
		v.fail("%s: accepted, although it should be refused for %q", name, e.reason)
	case err == nil:
		v.accepted++
	case want == valid && byException:
		e.used.Store(true)
		v.excepted[e]++
	case want == valid:
		v.fail("%s: wrongly refused: %v", name, err)
	case byException || slices.Contains(v.refusals, uint(code)):
		v.rejected++
	default:
		v.fail("%s: refused by an unexpected code: %v", name, err)
	}
}

// report tells the counts, and fails the test where there is nothing to tell.
func (v *verdicts) report() {
	v.t.Helper()
	var text strings.Builder
	total := v.accepted + v.rejected
	fmt.Fprintf(&text, "%d accepted, %d rejected", v.accepted, v.rejected)
	for e, n := range v.excepted {
		fmt.Fprintf(&text, ", %d refused (%s)", n, e.reason)
		total += n
	}
	if v.either > 0 {
		fmt.Fprintf(&text, "; %d could be either", v.either)
	}
	if v.failed > mostFailures {
		v.t.Errorf("and %d more", v.failed-mostFailures)
	}
	if total == 0 {
		v.t.Error("no vectors")
	}
	v.t.Log(text.String())
}
