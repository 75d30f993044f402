package firmware

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestCapacityLevel(t *testing.T) {
	for _, l := range Levels() {
		base := l.CapacityLevel()
		if Converts(base, l) != l.AtLeast(versions) || base.AtLeast(versions) {
			t.Errorf("the capacity of %v is that of %v", l, base)
		}
	}
}

// The sizes are in docs/partitions.md, too.
func TestKeys(t *testing.T) {
	page, err := os.ReadFile("../docs/partitions.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		if line := fmt.Sprintf("\n| %s | %d |\n", k.Name, k.Size); !strings.Contains(string(page), line) {
			t.Errorf("docs/partitions.md lacks the line %q", line)
		}
		if k.Name == "" || k.Size < 128 {
			t.Errorf("%+v: no object is smaller than 128 bytes", k)
		}
	}
}
