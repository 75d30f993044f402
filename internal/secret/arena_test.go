package secret

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

// useArena makes New allocate from an arena of its own until the test ends.
func useArena(t testing.TB, a *Arena) *Arena {
	t.Helper()
	SetArena(a)
	t.Cleanup(func() { SetArena(nil) })
	return a
}

// quiet is an arena that may lock or not.
func quiet() *Arena { return NewArena(func(error) {}) }

var sizes = []int{1, 16, 31, 32, 33, 64, 65, 255, 256, 4095, 4096, 4097, 8192, 100_000}

func TestArenaContents(t *testing.T) {
	a := useArena(t, quiet())
	var all []Bytes
	for round := range 3 {
		for i, n := range sizes {
			s := New(n)
			if got := s.Expose(); len(got) != n || cap(got) != n || !bytes.Equal(got, make([]byte, n)) {
				t.Fatalf("round %d, %d bytes: %d bytes of capacity %d, or not zero", round, n, len(got), cap(got))
			}
			fill(s, byte(i+1))
			all = append(all, s)
		}
	}
	total := int64(0)
	for i, s := range all {
		if n := sizes[i%len(sizes)]; !isFilled(s, n, byte(i%len(sizes)+1)) {
			t.Errorf("a secret of %d bytes was overwritten by another", n)
		}
		total += int64(s.Len())
	}
	if u := a.Usage(); u.Secrets != int64(len(all)) || u.Bytes != total {
		t.Errorf("%d secrets of %d bytes are counted as %+v", len(all), total, u)
	}
	for _, s := range all {
		s.Wipe()
		s.Wipe()
		if s.Expose() != nil || s.Len() != 0 {
			t.Error("a wiped secret has contents")
		}
	}
	// Of the class of 4096 bytes six lived at once, and a chunk has four.
	if u := a.Usage(); u.Secrets != 0 || u.Bytes != 0 || u.Dropped != 0 || u.Mapped != (classCount+1)*chunkSize {
		t.Errorf("with all secrets wiped there are %+v", u)
	}
}

func fill(s Bytes, v byte) {
	b := s.Expose()
	for i := range b {
		b[i] = v
	}
}

func isFilled(s Bytes, n int, v byte) bool {
	return bytes.Equal(s.Expose(), bytes.Repeat([]byte{v}, n))
}

func TestArenaWipesAndReuses(t *testing.T) {
	useArena(t, quiet())
	s := Copy(contents)
	under := s.Expose()
	s.Wipe()
	if !bytes.Equal(under, make([]byte, len(under))) {
		t.Error("Wipe left the memory as it was")
	}
	again := New(len(contents))
	if unsafe.SliceData(again.Expose()) != unsafe.SliceData(under) {
		t.Error("freed memory is not used again")
	}
}

func TestArenaMoreThanAChunk(t *testing.T) {
	a := useArena(t, quiet())
	seen := map[*byte]bool{}
	for range 5 * chunkSize / smallest {
		p := unsafe.SliceData(New(smallest).Expose())
		if seen[p] {
			t.Fatal("two secrets share their memory")
		}
		seen[p] = true
	}
	if u := a.Usage(); u.Mapped != (classCount+4)*chunkSize {
		t.Errorf("%d bytes are mapped, not %d", u.Mapped, (classCount+4)*chunkSize)
	}
	runtime.KeepAlive(a)
}

func TestNothingPrintsFromArena(t *testing.T) {
	useArena(t, quiet())
	TestNothingPrints(t)
	TestNothingEncodes(t)
	TestOwnership(t)
	TestEqual(t)
}

// A secret that is forgotten is wiped and its memory used again, but not before the
// time has passed in which its contents may still be in use.
func TestDropped(t *testing.T) {
	for _, n := range []int{32, 10_000} {
		a := useArena(t, newArena(func(error) {}, lockPages, time.Millisecond))
		func() { fill(New(n), 7) }()
		for a.Usage().Secrets != 0 {
			runtime.GC()
			runtime.Gosched()
		}
		if u := a.Usage(); u.Dropped != 1 || u.Bytes != 0 {
			t.Errorf("%d bytes: %+v after the loss of a secret", n, u)
		}
		if got := New(n); !isFilled(got, n, 0) {
			t.Errorf("%d bytes: memory comes back as it was", n)
		}
	}

	a := useArena(t, newArena(func(error) {}, lockPages, time.Hour))
	exposed := func() []byte { return Copy(contents).Expose() }()
	for a.Usage().Dropped == 0 {
		runtime.GC()
		runtime.Gosched()
	}
	if !bytes.Equal(exposed, contents) {
		t.Error("contents that were in use were wiped at once")
	}
}

// A secret that is wiped does not come back a second time by way of the collector.
func TestWipedIsNotDropped(t *testing.T) {
	a := useArena(t, newArena(func(error) {}, lockPages, 0))
	for range 1000 {
		New(40).Wipe()
	}
	for range 3 {
		runtime.GC()
	}
	if u := a.Usage(); u.Dropped != 0 || u.Secrets != 0 {
		t.Errorf("%+v", u)
	}
}

func TestTwoWipesAtOnce(t *testing.T) {
	a := quiet()
	l := a.take(32)
	l.end()
	l.end()
	if x, y := a.take(32), a.take(32); unsafe.SliceData(x.slot) == unsafe.SliceData(y.slot) {
		t.Error("memory that was given back twice is lent twice")
	}
}

func TestCannotLock(t *testing.T) {
	var heard []error
	no := errors.New("no")
	a := useArena(t, newArena(func(err error) { heard = append(heard, err) }, func([]byte) error { return no }, grace))
	for _, n := range sizes {
		s := New(n)
		fill(s, 9)
		if !isFilled(s, n, 9) {
			t.Errorf("%d bytes do not work without a lock", n)
		}
		s.Wipe()
	}
	if len(heard) != 1 || !errors.Is(heard[0], no) {
		t.Errorf("the notices are %v, not one", heard)
	}
	if u := a.Usage(); u.Locked != 0 || u.Mapped != classCount*chunkSize {
		t.Errorf("%+v", u)
	}
}

// What the kernel says about the memory of a secret.
func TestMappingFlags(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("/proc is Linux's")
	}
	a := useArena(t, NewArena(func(err error) { t.Logf("%v", err) }))
	for _, n := range []int{32, 4096, 10_000} {
		s := New(n)
		flags := vmFlags(t, uintptr(unsafe.Pointer(unsafe.SliceData(s.Expose()))))
		wanted := []string{"dd", "wf"} // no dump, wiped on fork
		if a.Usage().Locked == a.Usage().Mapped {
			wanted = append(wanted, "lo")
		}
		for _, f := range wanted {
			if !strings.Contains(flags+" ", " "+f+" ") {
				t.Errorf("%d bytes: the mapping's flags are%s, without %s", n, flags, f)
			}
		}
		runtime.KeepAlive(s)
	}
}

// vmFlags are the kernel's flags of the mapping that an address lies in.
func vmFlags(t *testing.T, address uintptr) string {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	inside := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var from, to uintptr
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x", &from, &to); n == 2 {
			inside = from <= address && address < to
		}
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok && inside {
			return flags
		}
	}
	t.Fatalf("no mapping has address %x", address)
	return ""
}

// Beyond both ends of a mapping lies a page that nobody can read.
func TestGuardPages(t *testing.T) {
	m, err := newMapping(10_000)
	if err != nil {
		t.Fatal(err)
	}
	defer m.unmap()
	debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(false)
	before := len(m.whole)/2 - len(m.usable)/2 - 1
	for name, i := range map[string]int{"before": before, "behind": before + 1 + len(m.usable)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("the page %s can be read", name)
				}
			}()
			_ = bytes.Clone(m.whole[i : i+1])
		}()
	}
	// A secret of its own mapping ends where the guard page begins.
	l := quiet().take(10_001)
	end := &l.own.usable[len(l.own.usable)-1]
	if &l.slot[len(l.slot)-1] != end {
		t.Error("a large secret does not end with its mapping")
	}
	l.end()
}

// Many goroutines at once: no secret changes but by its owner.
func TestArenaRace(t *testing.T) {
	a := useArena(t, newArena(func(error) {}, lockPages, time.Microsecond))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			var mine [32]Bytes
			var size [32]int
			for range 5000 {
				i := r.IntN(len(mine))
				if size[i] != 0 && !isFilled(mine[i], size[i], byte(g+1)) {
					t.Errorf("a secret of %d bytes was changed", size[i])
					return
				}
				if r.IntN(16) != 0 { // else it is dropped
					mine[i].Wipe()
				}
				size[i] = sizes[r.IntN(len(sizes)-1)]
				mine[i] = New(size[i])
				fill(mine[i], byte(g+1))
			}
			for i := range mine {
				mine[i].Wipe()
			}
		})
	}
	wg.Wait()
	for a.Usage().Secrets != 0 {
		runtime.GC()
		runtime.Gosched()
	}
	if u := a.Usage(); u.Dropped == 0 || u.Bytes != 0 {
		t.Errorf("%+v", u)
	}
}

// script is a sequence of allocations and wipes, checked against a map.
func script(t interface{ Fatalf(string, ...any) }, a *Arena, steps []byte) {
	SetArena(a)
	defer SetArena(nil)
	live := map[byte]Bytes{}
	for i := 0; i+2 < len(steps); i += 3 {
		name, n := steps[i]%16, int(steps[i+1])<<5|int(steps[i+2])&31
		if s, ok := live[name]; ok {
			if !isFilled(s, s.Len(), name+1) {
				t.Fatalf("step %d: a secret of %d bytes was changed", i/3, s.Len())
			}
			s.Wipe()
			delete(live, name)
			continue
		}
		s := New(n)
		if !isFilled(s, n, 0) {
			t.Fatalf("step %d: a new secret of %d bytes is not zero", i/3, n)
		}
		fill(s, name+1)
		live[name] = s
	}
	for name, s := range live {
		if !isFilled(s, s.Len(), name+1) {
			t.Fatalf("at the end: a secret of %d bytes was changed", s.Len())
		}
		s.Wipe()
	}
	if u := a.Usage(); u.Secrets != 0 || u.Bytes != 0 {
		t.Fatalf("at the end: %+v", u)
	}
}

func TestArenaScripts(t *testing.T) {
	a := quiet()
	rapid.Check(t, func(t *rapid.T) {
		script(t, a, rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "steps"))
	})
}

func FuzzArena(f *testing.F) {
	f.Add([]byte{1, 1, 0, 2, 1, 0, 1, 0, 0, 3, 255, 31})
	a := quiet()
	f.Fuzz(func(t *testing.T, steps []byte) { script(t, a, steps) })
}

func BenchmarkNewAndWipe(b *testing.B) {
	for _, n := range []int{32, 4096} {
		b.Run(fmt.Sprintf("heap/%d", n), func(b *testing.B) {
			for b.Loop() {
				New(n).Wipe()
			}
		})
		b.Run(fmt.Sprintf("arena/%d", n), func(b *testing.B) {
			useArena(b, quiet())
			for b.Loop() {
				New(n).Wipe()
			}
		})
	}
	b.Run("loan/32", func(b *testing.B) {
		a := quiet()
		for b.Loop() {
			a.take(32).end()
		}
	})
}
