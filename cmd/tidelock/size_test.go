package main

import "testing"

func TestParseBytes(t *testing.T) {
	for _, c := range []struct {
		text string
		want uint64
		ok   bool
	}{
		{"1", 1, true},
		{"3306327", 3306327, true},
		{"512K", 512 << 10, true},
		{"16MB", 16 << 20, true},
		{"16mb", 16 << 20, true},
		{"4G", 4 << 30, true},
		{"17179869183GB", 17179869183 << 30, true},
		{"17179869184GB", 0, false},
		{"0", 0, false},
		{"0M", 0, false},
		{"-1", 0, false},
		{"1.5M", 0, false},
		{"16 MB", 0, false},
		{"16B", 0, false},
		{"16KMB", 0, false},
		{"M", 0, false},
		{"1T", 0, false},
		{"", 0, false},
	} {
		n, ok := parseBytes(c.text)
		if n != c.want || ok != c.ok {
			t.Errorf("parseBytes(%q) = %d, %v; want %d, %v", c.text, n, ok, c.want, c.ok)
		}
	}
}

func TestCounted(t *testing.T) {
	for n, want := range map[uint64]string{0: "no objects", 1: "1 object", 2: "2 objects"} {
		if got := counted(n, "object"); got != want {
			t.Errorf("counted(%d) = %q, want %q", n, got, want)
		}
	}
}
