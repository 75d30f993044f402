package vectors

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

// record is one vector of a file in the form of NIST's Cryptographic Algorithm
// Validation System: values by their names, in capitals. What a section says in brackets
// is there as well; one that only has a name has it under SECTION. LINE is the last one's.
type record map[string]string

// records reads a file. A record is complete when it has the closing names, of each "A|B"
// either; of the others, what it does not have itself is that of the record before.
func records(text string, closing ...string) (all []record) {
	current := record{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		section := false
		if line[0] == '[' {
			section, line = true, strings.Trim(line, "[]")
		}
		name, value, assigned := strings.Cut(line, "=")
		name, value = strings.ToUpper(strings.TrimSpace(name)), strings.TrimSpace(value)
		if section && !assigned {
			name, value = "SECTION", line
		}
		current[name] = value
		if current.complete(closing) {
			current["LINE"] = strconv.Itoa(number)
			all = append(all, maps.Clone(current))
			for _, names := range closing {
				for name := range strings.SplitSeq(names, "|") {
					delete(current, name)
				}
			}
		}
	}
	return all
}

// has tells whether the record has a value, even an empty one.
func (r record) has(name string) bool {
	_, found := r[name]
	return found
}

func (r record) complete(closing []string) bool {
	for _, names := range closing {
		if a, b, _ := strings.Cut(names, "|"); !r.has(a) && !r.has(b) {
			return false
		}
	}
	return true
}

// bytes decodes hex digits, of which the first may be missing.
func (r record) bytes(name string) []byte {
	digits := r[name]
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		panic(fmt.Sprintf("%s = %s", name, r[name]))
	}
	return b
}

// number decodes a decimal number.
func (r record) number(name string) int {
	n, err := strconv.Atoi(r[name])
	if err != nil {
		panic(fmt.Sprintf("%s = %q", name, r[name]))
	}
	return n
}

// padded decodes hex digits as a number and encodes it in so many bytes.
func (r record) padded(name string, size int) []byte {
	return new(big.Int).SetBytes(r.bytes(name)).FillBytes(make([]byte, size))
}

// String names the record by the line of its end, and tells what it says of itself.
func (r record) String() string { return strings.TrimSpace("line " + r["LINE"] + " " + r["RESULT"]) }

// result is what most files say about a signature or a key.
func (r record) result() expectation {
	if strings.HasPrefix(r["RESULT"], "P") {
		return valid
	}
	return invalid
}

// cavsSuite is what a number of files have in common.
type cavsSuite struct {
	archive string
	files   []string // patterns of package filepath
	closing []string // the names by which a record is complete
	// refusals, exceptions and except are those of suite.
	refusals   []uint
	exceptions []*exception
	except     func(r record) *exception
	// try does what a record says, and tells what should come of it.
	try func(s *session, r record) (expectation, error)
}

func (c cavsSuite) run(t *testing.T) {
	files := archive(t, c.archive, c.files...)
	unfinished := wantUsed(t, len(files), c.exceptions)
	for _, file := range files {
		t.Run(file.name, func(t *testing.T) {
			t.Parallel()
			session := newSession(t)
			verdicts := &verdicts{t: t, refusals: c.refusals, excepted: map[*exception]int{}}
			for _, r := range records(string(file.read(t)), c.closing...) {
				var e *exception
				if c.except != nil {
					e = c.except(r)
				}
				want, err := c.try(session, r)
				verdicts.judge(r.String(), want, err, e)
				if err := session.forget(0); err != nil {
					t.Fatal(err)
				}
			}
			verdicts.report()
			unfinished.Add(-1)
		})
	}
}

// refusedUnless turns the outcome of a bad vector whose output merely differs into a
// refusal, where to compare the output is what the vector asks for.
func refusedUnless(want expectation, err error) error {
	if want == invalid && err == errDiffers {
		return pkcs11.Error(pkcs11.CKR_DATA_INVALID)
	}
	return err
}
