package memory

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// needle is something that must not be found.
type needle struct {
	name  string
	forms map[string][]byte
}

// seek makes the forms in which a value would show.
func seek(name string, value []byte) needle {
	reversed := bytes.Clone(value)
	slices.Reverse(reversed)
	// Without its last characters, which depend on what comes behind the value.
	encoded := base64.StdEncoding.EncodeToString(value)[:len(value)/3*4]
	return needle{name, map[string][]byte{
		"raw":       value,
		"hex":       []byte(hex.EncodeToString(value)),
		"HEX":       []byte(strings.ToUpper(hex.EncodeToString(value))),
		"base64":    []byte(encoded),
		"base64url": []byte(strings.NewReplacer("+", "-", "/", "_").Replace(encoded)),
		"reversed":  reversed,
	}}
}

// in lists the places of a text where a needle is.
func (n needle) in(where string, text []byte) (found []string) {
	for form, b := range n.forms {
		for from := 0; ; {
			i := bytes.Index(text[from:], b)
			if i < 0 {
				break
			}
			found = append(found, fmt.Sprintf("%s (%s) in %s at %#x", n.name, form, where, from+i))
			from += i + 1
		}
	}
	return found
}

// area is a writable mapping of a process, read at one moment.
type area struct {
	name   string
	arena  bool // one of the arena's
	locked bool
	bytes  []byte
}

// memoryOf reads all writable mappings of a process, without stopping it.
func memoryOf(t *testing.T, pid int) (areas []area) {
	t.Helper()
	smaps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	total := 0
	var current *area
	for line := range strings.Lines(string(smaps)) {
		var from, to uint64
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n == 3 {
			current = nil
			if !strings.Contains(mode, "w") || strings.Contains(mode, "s") {
				continue // a shared mapping is a file's, and those are read as files
			}
			// What was never touched cannot be read, or is zero.
			b := make([]byte, to-from)
			n, err := mem.ReadAt(b, int64(from))
			if n == 0 && err != nil {
				continue
			}
			total += n
			areas = append(areas, area{name: fmt.Sprintf("%#x-%#x", from, to), bytes: b[:n]})
			current = &areas[len(areas)-1]
		}
		// Wiped in a forked child are the arena's mappings and those of the kernel's random
		// number generator, which are droppable.
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && current != nil {
			current.arena = strings.Contains(flags, " wf") && !strings.Contains(flags, " dp")
			current.locked = strings.Contains(flags, " lo")
		}
	}
	if total < 1<<20 {
		t.Fatalf("only %d bytes of memory could be read", total)
	}
	return areas
}

// outside looks for needles in all of the memory but the arena.
func outside(areas []area, needles ...needle) (found []string) {
	for _, a := range areas {
		if !a.arena {
			for _, n := range needles {
				found = append(found, n.in(a.name, a.bytes)...)
			}
		}
	}
	return found
}

// inside looks for needles in the arena.
func inside(areas []area, needles ...needle) (found []string) {
	for _, a := range areas {
		if a.arena {
			for _, n := range needles {
				found = append(found, n.in(a.name+" of the arena", a.bytes)...)
			}
		}
	}
	return found
}

// inFiles looks for needles in all files below a directory.
func inFiles(t *testing.T, dir string, needles ...needle) (found []string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, n := range needles {
			found = append(found, n.in(filepath.Base(path), b)...)
		}
		return nil
	})
	if err != nil || files < 3 {
		t.Fatalf("read %d files: %v", files, err)
	}
	return found
}

// inProcess looks for needles in what everybody can see of a process.
func inProcess(t *testing.T, pid int, needles ...needle) (found []string) {
	t.Helper()
	for _, name := range []string{"cmdline", "environ", "comm"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range needles {
			found = append(found, n.in(name, b)...)
		}
	}
	return found
}

func none(t *testing.T, found []string) {
	t.Helper()
	for i, f := range found {
		if i == 8 {
			t.Errorf("and %d more", len(found)-i)
			break
		}
		t.Errorf("found %s", f)
	}
}
