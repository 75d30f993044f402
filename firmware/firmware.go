// Package firmware holds the levels of an HSM's firmware: what each level is
// called and how it compares to others. Nothing else in the project compares
// versions.
//
// It may import cryptoki only.
package firmware

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Level is a firmware level, such as 7.8.0.
type Level struct{ Major, Minor, Patch uint8 }

// Newest is the level that a new HSM gets when nobody asks for another.
var Newest = Level{7, 8, 0}

func (l Level) String() string { return fmt.Sprintf("%d.%d.%d", l.Major, l.Minor, l.Patch) }

// Parse reads a level of the form major.minor.patch.
func Parse(s string) (Level, error) {
	parts := strings.Split(s, ".")
	var n [3]uint8
	if len(parts) != len(n) {
		return Level{}, fmt.Errorf("firmware level %q is not of the form 7.8.0", s)
	}
	for i, part := range parts {
		v, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return Level{}, fmt.Errorf("firmware level %q is not of the form 7.8.0", s)
		}
		n[i] = uint8(v)
	}
	return Level{n[0], n[1], n[2]}, nil
}

// Compare orders levels: negative when l is older than m.
func (l Level) Compare(m Level) int {
	return cmp.Or(cmp.Compare(l.Major, m.Major), cmp.Compare(l.Minor, m.Minor), cmp.Compare(l.Patch, m.Patch))
}

// AtLeast tells whether l is m or newer.
func (l Level) AtLeast(m Level) bool { return l.Compare(m) >= 0 }

// Within tells whether l is neither older than from nor newer than to.
func (l Level) Within(from, to Level) bool { return l.AtLeast(from) && to.AtLeast(l) }
