package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

// reading is a server's statistics at a second, with a count of signatures.
func reading(second int64, signatures uint64) statistics {
	return statistics{at: time.Unix(second, 0), StatisticsReply: &wire.StatisticsReply{
		UptimeSeconds: 3600, Applications: 2, Connections: 3,
		UseFunctions:  []uint64{4, 4, 3},
		UseMechanisms: []uint64{uint64(cryptoki.CKM_ECDSA), uint64(cryptoki.CKM_ECDSA), ^uint64(0)},
		UseCodes:      []uint64{uint64(cryptoki.CKR_OK), uint64(cryptoki.CKR_KEY_HANDLE_INVALID), uint64(cryptoki.CKR_OK)},
		UseCounts:     []uint64{signatures, 10, 5},
		Calls:         []uint64{1, 1},
		CallCodes:     []uint64{uint64(cryptoki.CKR_OK), uint64(cryptoki.CKR_PIN_INCORRECT)},
		CallCounts:    []uint64{signatures, signatures / 100},
		Slots:         []uint64{0, 1}, Labels: []string{"demo", "ev\x1bil"},
		Sessions: []uint64{4, 0}, Objects: []uint64{7, 0}, UsedBytes: []uint64{500, 0}, TotalBytes: []uint64{1000, 0},
	}}
}

func TestView(t *testing.T) {
	const full, none = "############", "............"
	for _, test := range []struct {
		name          string
		previous, now statistics
		want          []string
	}{
		{"rates", reading(10, 100), reading(12, 500), []string{
			"tidelock  up 1h0m0s  applications 2  connections 3",
			"sign CKM_ECDSA                       " + full + "      200.0          510",
			"digest other                         " + none + "        0.0            5",
			"CKR_PIN_INCORRECT                    " + full + "        2.0            5",
			"   0 demo                            ######......   50%        7        4",
			"   1 ev\ufffdil                           " + none + "    0%        0        0",
		}},
		{"the first reading", reading(10, 100), reading(10, 100), []string{
			"sign CKM_ECDSA                       " + none + "        0.0          110",
		}},
		{"a new server", reading(10, 500), reading(12, 100), []string{
			"sign CKM_ECDSA                       " + full + "       55.0          110",
		}},
		{"nothing", statistics{StatisticsReply: &wire.StatisticsReply{}}, statistics{StatisticsReply: &wire.StatisticsReply{}}, []string{"none"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := view(test.previous, test.now, 80, 24)
			for _, line := range test.want {
				if !strings.Contains(got, line+"\n") {
					t.Errorf("no line %q in\n%s", line, got)
				}
			}
			if strings.Contains(got, "CKR_OK") {
				t.Errorf("CKR_OK is no error:\n%s", got)
			}
		})
	}
}

// The view fits the screen, and says what it left out.
func TestViewFits(t *testing.T) {
	s := reading(10, 100)
	for slot := uint64(2); slot < 40; slot++ {
		s.Slots, s.Labels = append(s.Slots, slot), append(s.Labels, strings.Repeat("ü", 40))
		s.Sessions, s.Objects = append(s.Sessions, 0), append(s.Objects, 0)
		s.UsedBytes, s.TotalBytes = append(s.UsedBytes, 1), append(s.TotalBytes, 1000)
	}
	for _, size := range []struct{ width, height int }{{80, 24}, {200, 60}, {20, 5}, {1, 1}} {
		text := view(s, s, size.width, size.height)
		if n := strings.Count(text, "\n"); n > size.height {
			t.Errorf("%v: %d lines", size, n)
		}
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > size.width {
				t.Errorf("%v: %d columns: %q", size, n, line)
			}
		}
	}
	if text := view(s, s, 80, 24); !strings.Contains(text, "and 36 more\n") {
		t.Errorf("what is left out is not told:\n%s", text)
	}
	if text := view(s, s, 80, 0); strings.Contains(text, " more\n") {
		t.Errorf("something is left out:\n%s", text)
	}
}

// top draws anew when the terminal's size changes, ends with a key, and leaves the
// terminal as it was.
func TestTopOnATerminal(t *testing.T) {
	dir := developmentHSM(t)
	for _, key := range []string{"q", "\x03"} {
		x := onTerminal(t, dir, "top", "--interval", "1h")
		x.expect("connections 1" + endLine)
		x.expect(clearBelow)
		if err := pty.Setsize(x.side, &pty.Winsize{Rows: 10, Cols: 12}); err != nil {
			t.Fatal(err)
		}
		x.expect(toTop + "tidelock  up" + endLine)
		x.typeText(key)
		shown, status := x.end()
		if status != exitOK || !strings.HasSuffix(shown, leaveScreen) {
			t.Errorf("%q: status %d, %q", key, status, shown)
		}
	}
}
