package firmware_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"tidelock.dev/tidelock/firmware"
)

// The C library announces itself as the newest client.
func TestLibraryLevel(t *testing.T) {
	header, err := os.ReadFile("../clib/version.h")
	if err != nil {
		t.Fatal(err)
	}
	l := firmware.NewestClient
	want := fmt.Sprintf("TL_CLIENT_LEVEL = %d }", int(l.Major)*10000+int(l.Minor)*100+int(l.Patch))
	if !strings.Contains(string(header), want) {
		t.Errorf("clib/version.h has no %q", want)
	}
}
