package main

import (
	"strings"
	"testing"
)

func TestPickPartition(t *testing.T) {
	one := []partitionName{{3, "payments", "1000000000001"}}
	many := []partitionName{
		{0, "payments", "1000000000001"}, {1, "2", "1000000000002"}, {2, "twin", "1000000000003"}, {4, "twin", "1000000000004"},
	}
	for _, c := range []struct {
		wanted string
		all    []partitionName
		serial string
		fault  string
		status int
	}{
		{"", one, "1000000000001", "", exitOK},
		{"payments", one, "1000000000001", "", exitOK},
		{"3", one, "1000000000001", "", exitOK},
		{"", nil, "", "there is no partition that you may use", exitRefused},
		{"payments", nil, "", "none that you may use", exitRefused},
		{"", many, "", "there are 4 partitions: say which, with --partition (payments, 2, twin, twin)", exitUsage},
		{"Payments", many, "", `no partition "Payments": there are payments, 2, twin, twin`, exitRefused},
		{"2", many, "1000000000002", "", exitOK}, // a label, not the slot
		{"1000000000004", many, "1000000000004", "", exitOK},
		{"4", many, "1000000000004", "", exitOK},
		{"twin", many, "", `2 partitions are called "twin": give the serial number`, exitRefused},
	} {
		p, err := pickPartition(c.wanted, c.all)
		if p.serial != c.serial || exitStatus(err) != c.status || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%q among %d: %v, %v", c.wanted, len(c.all), p, err)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]uint64{
		"default": sizeDefault, "all": sizeAll, "1": 1, "3306327": 3306327, "512K": 512 << 10, "4M": 4 << 20, "4G": 4 << 30,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "K", "1.5M", "9999999999999999", "18446744073709551615", "4 M", "0K"} {
		if got, err := parseSize(text); exitStatus(err) != exitUsage {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func TestParseSettings(t *testing.T) {
	got, err := parseSettings([]string{"15=1", "20=5", "21=off", "22=on"})
	want := []setting{{15, 1}, {20, 5}, {21, 0}, {22, 1}}
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v, %v", got, err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
	for _, text := range []string{"15", "=1", "15=", "x=1", "15=x", "15=-1", "99999999999=1"} {
		if got, err := parseSettings([]string{text}); exitStatus(err) != exitUsage {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
